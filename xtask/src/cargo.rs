//! Calls of cargo, each shown as it would be typed.
//! Never reads what a call prints, but for the path of a program that it built.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::Context;
use serde_json::Value;

use crate::step::Outcome;

/// The cargo that runs this program.
pub(crate) fn program() -> PathBuf {
    std::env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

/// Variables by which cargo tells this program of its own package. ring's build looks at them: where they are set, it
/// and all that stands on it is built anew, and once more by the next build outside.
const OF_THIS_PACKAGE: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// A command in the root, in the environment of whoever called `cargo xtask`.
fn command(program: &Path, root: &Path) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if OF_THIS_PACKAGE.iter().any(|begin| text.starts_with(begin)) {
            command.env_remove(&name);
        }
    }
    command
}

/// Runs `cargo ARGUMENTS`.
pub(crate) fn run(root: &Path, arguments: &[&str]) -> anyhow::Result<Outcome> {
    run_with(root, arguments, &[])
}

/// Runs `cargo ARGUMENTS` with these variables, which are paths.
pub(crate) fn run_with(
    root: &Path,
    arguments: &[&str],
    environment: &[(&str, &Path)],
) -> anyhow::Result<Outcome> {
    show(arguments);
    let status = command(&program(), root)
        .args(arguments)
        .envs(environment.iter().copied())
        .status()
        .context("cannot run cargo")?;
    Ok(Outcome::of(status.success()))
}

/// Runs `WRAPPER cargo ARGUMENTS`.
pub(crate) fn run_within(wrapper: &Path, root: &Path, arguments: &[&str]) -> anyhow::Result<Outcome> {
    show(arguments);
    let status = command(wrapper, root)
        .arg("--programs")
        .arg(program())
        .args(arguments)
        .status()
        .with_context(|| format!("cannot run {}", wrapper.display()))?;
    Ok(Outcome::of(status.success()))
}

/// Runs `cargo ARGUMENTS`, a build, and returns where it put the program `wanted`; `None` if the build failed.
pub(crate) fn build(root: &Path, arguments: &[&str], wanted: &str) -> anyhow::Result<Option<PathBuf>> {
    show(arguments);
    let output = command(&program(), root)
        .args(arguments)
        .arg("--message-format=json-render-diagnostics")
        .stderr(Stdio::inherit())
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        return Ok(None);
    }
    let messages = String::from_utf8_lossy(&output.stdout);
    let path = messages.lines().find_map(|line| executable(line, wanted));
    path.with_context(|| format!("cargo built no program `{wanted}`"))
        .map(Some)
}

pub(crate) fn has_nextest() -> bool {
    let mut command = Command::new(program());
    command
        .args(["nextest", "--version"])
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// The path in cargo's message that it built the program `wanted`.
fn executable(message: &str, wanted: &str) -> Option<PathBuf> {
    let message: Value = serde_json::from_str(message).ok()?;
    let target = message.get("target")?;
    let is_program = target.get("kind")?.as_array()?.iter().any(|kind| kind == "bin");
    let is_wanted = is_program && target.get("name")? == wanted;
    is_wanted
        .then(|| message.get("executable")?.as_str().map(PathBuf::from))
        .flatten()
}

fn show(arguments: &[&str]) {
    println!("cargo {}", arguments.join(" "));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_program_among_cargos_messages() {
        let message = |kind: &str, name: &str| {
            format!(
                r#"{{"target": {{"kind": ["{kind}"], "name": "{name}"}}, "executable": "/x/{kind}/{name}"}}"#
            )
        };
        assert_eq!(
            executable(&message("bin", "servers"), "servers"),
            Some(PathBuf::from("/x/bin/servers"))
        );
        assert_eq!(executable(&message("test", "servers"), "servers"), None);
        assert_eq!(executable(&message("bin", "other"), "servers"), None);
        assert_eq!(executable("not json", "servers"), None);
    }
}
