//! `cargo xtask test` and `cargo xtask verify`: what has to pass before a change is taken.
//! Never knows how the servers are started: the program `servers` of the tests wraps the test run.

use std::path::Path;
use std::process::Command;

use anyhow::Context;

use crate::compose_test::Verdict;
use crate::step::{Outcome, Steps};
use crate::{cargo, compose_test, packages, tidy};

/// What is too slow for every change: a name and the arguments of cargo.
const SLOW: [(&str, &[&str]); 3] = [
    (
        "model",
        &["run", "--release", "-p", "longhaul-model", "--", "deep"],
    ),
    (
        "simulation",
        &[
            "run",
            "--release",
            "-p",
            "longhaul-simulation",
            "--bin",
            "simulate",
            "--",
            "--seeds",
            "100000",
        ],
    ),
    ("upgrade", &["xtask", "upgrade-test"]),
];

/// Runs the checks and the tests; `words` are the command's, of which the filters are those without a dash.
pub(crate) fn test(root: &Path, no_lint: bool, words: &[&str]) -> anyhow::Result<bool> {
    let filters: Vec<&str> = words
        .iter()
        .copied()
        .filter(|word| !word.starts_with('-'))
        .collect();
    let mut steps = Steps::default();
    checks_and_tests(root, no_lint, &filters, &mut steps);
    Ok(steps.finish())
}

/// Seeds of the simulation; `words` are its options.
pub(crate) fn simulate(root: &Path, words: &[&str]) -> anyhow::Result<bool> {
    let program = [
        "run",
        "--quiet",
        "--release",
        "-p",
        "longhaul-simulation",
        "--bin",
        "simulate",
        "--",
    ];
    let arguments = [&program, words].concat();
    Ok(cargo::run(root, &arguments)? == Outcome::Passed)
}

/// How fast it is, on servers of its own; `words` are the bench's.
pub(crate) fn bench(root: &Path, words: &[&str]) -> anyhow::Result<bool> {
    if packages::ensure()? != Outcome::Passed {
        return Ok(false);
    }
    let workers = ["longhaul-orchestrator-worker", "longhaul-activity-worker"];
    let mut build = vec![
        "build",
        "--release",
        "-p",
        "longhaul-benches",
        "-p",
        "longhaul-tests",
    ];
    build.extend(workers.iter().flat_map(|worker| ["-p", *worker]));
    let Some(servers) = cargo::build(root, &build, "servers")? else {
        return Ok(false);
    };
    let bench = servers.with_file_name("bench");
    let status = Command::new(&servers)
        .arg(&bench)
        .args(words)
        .current_dir(root)
        .status();
    Ok(status.context("cannot run the benchmark")?.success())
}

/// Everything: [`test`], then the slow tier.
pub(crate) fn verify(root: &Path) -> anyhow::Result<bool> {
    let mut steps = Steps::default();
    checks_and_tests(root, false, &[], &mut steps);
    for (name, arguments) in SLOW {
        steps.run(name, || cargo::run(root, arguments));
    }
    steps.run("fleet", || {
        Ok(match compose_test::run(root)? {
            Verdict::Passed => Outcome::Passed,
            Verdict::NoEngine(why) => {
                println!("the fleet was NOT tested: {why}");
                Outcome::Skipped
            }
        })
    });
    Ok(steps.finish())
}

fn checks_and_tests(root: &Path, no_lint: bool, filters: &[&str], steps: &mut Steps) {
    // First, because whoever lacks them wants to know it now and not after the lints.
    if steps.run("servers", packages::ensure) != Outcome::Passed {
        return;
    }
    if no_lint {
        steps.skip("fmt");
        steps.skip("clippy");
    } else {
        steps.run("fmt", || cargo::run(root, &["fmt", "--all", "--check"]));
        let clippy = [
            "clippy",
            "--workspace",
            "--all-targets",
            "--all-features",
            "--",
            "-D",
            "warnings",
        ];
        steps.run("clippy", || cargo::run(root, &clippy));
    }
    steps.run("tidy", || Ok(Outcome::of(tidy::run(root)?)));

    let mut wrapper = None;
    steps.run("build", || {
        // What the tests' own build would be, so that nothing is built twice.
        let build = ["test", "--no-run", "--workspace", "--all-features"];
        wrapper = cargo::build(root, &build, "servers")?;
        Ok(Outcome::of(wrapper.is_some()))
    });
    let Some(wrapper) = wrapper else {
        steps.skip("tests");
        steps.skip("doc tests");
        return;
    };
    steps.run("tests", || {
        cargo::run_within(&wrapper, root, &test_arguments(cargo::has_nextest(), filters))
    });
    if filters.is_empty() {
        steps.run("doc tests", || {
            cargo::run(root, &["test", "--doc", "--workspace", "--all-features"])
        });
    } else {
        steps.skip("doc tests");
    }
}

fn test_arguments<'a>(nextest: bool, filters: &[&'a str]) -> Vec<&'a str> {
    let runner: &[&str] = if nextest {
        &["nextest", "run", "--workspace", "--all-features"]
    } else {
        &[
            "test",
            "--workspace",
            "--all-features",
            "--no-fail-fast",
            "--lib",
            "--bins",
            "--tests",
            "--",
        ]
    };
    [runner, filters].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_reach_either_runner() {
        let typed = |nextest| test_arguments(nextest, &["one", "two"]).join(" ");
        assert!(typed(true).starts_with("nextest run ") && typed(true).ends_with(" one two"));
        assert!(typed(false).starts_with("test ") && typed(false).ends_with(" -- one two"));
    }
}
