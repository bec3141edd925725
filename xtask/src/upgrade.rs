//! `cargo xtask upgrade-test [REF]`: workers of another version and of today share a hub under load.
//! Never touches the working tree: the other version is built in a git worktree of its own, below `target/`.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};

use crate::cargo;
use crate::step::Outcome;

/// The version that a fleet most likely comes from.
pub(crate) const PREVIOUS: &str = "HEAD~1";
/// Where the test finds the other version's workers.
const VARIABLE: &str = "LONGHAUL_TEST_OTHER_VERSION";
const TEST: &str = "workers_of_two_versions_share_a_hub_and_replace_each_other";

/// Builds the workers of `reference`, a commit or a tag, and lets them and today's replace each other.
pub(crate) fn test(root: &Path, reference: &str) -> anyhow::Result<bool> {
    let place = root.join("target").join("upgrade");
    let (source, target) = (place.join("source"), place.join("target"));
    let commit = git(
        root,
        &["rev-parse", "--verify", &format!("{reference}^{{commit}}")],
    );
    let commit = commit.with_context(|| {
        format!(
            "there is no commit {reference}: name another one, or fetch the history (git fetch --unshallow)"
        )
    })?;
    println!("the other version: {reference}, {commit}");
    check_out(root, &source, &commit)?;
    let built = build(&source, &target);
    remove(root, &source)?;
    if built? != Outcome::Passed {
        bail!("the workers of {reference} cannot be built");
    }
    let test = [
        "test",
        "--workspace",
        "--all-features",
        "--test",
        "e2e",
        "--",
        TEST,
        "--nocapture",
    ];
    let programs = target.join("debug");
    Ok(cargo::run_with(root, &test, &[(VARIABLE, &programs)])? == Outcome::Passed)
}

fn check_out(root: &Path, source: &Path, commit: &str) -> anyhow::Result<()> {
    // What a run left behind that was ended in the middle.
    remove(root, source)?;
    let path = source
        .to_str()
        .context("the path of the workspace is not UTF-8")?;
    git(root, &["worktree", "add", "--detach", path, commit])?;
    Ok(())
}

fn remove(root: &Path, source: &Path) -> anyhow::Result<()> {
    if source.exists() {
        std::fs::remove_dir_all(source).with_context(|| format!("cannot remove {}", source.display()))?;
    }
    git(root, &["worktree", "prune"])?;
    Ok(())
}

fn build(source: &Path, target: &Path) -> anyhow::Result<Outcome> {
    let target = target
        .to_str()
        .context("the path of the workspace is not UTF-8")?;
    let build = [
        "build",
        "--locked",
        "--target-dir",
        target,
        "-p",
        "longhaul-orchestrator-worker",
        "-p",
        "longhaul-activity-worker",
    ];
    cargo::run(source, &build)
}

/// What git answers.
fn git(root: &Path, arguments: &[&str]) -> anyhow::Result<String> {
    let mut command = Command::new("git");
    let output = command.args(arguments).current_dir(root).output();
    let output = output.context("cannot run git")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("git {} failed: {}", arguments.join(" "), said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A filter that no test matches would pass.
    #[test]
    fn the_test_is_there_and_reads_the_variable() {
        let file = include_str!("../../tests/tests/e2e/operations/upgrade.rs");
        assert!(file.contains(&format!("async fn {TEST}()")));
        assert!(file.contains(&format!("\"{VARIABLE}\"")));
    }
}
