//! `cargo xtask …`: Longhaul's chores as one Rust program, so that nobody needs make, just or a shell.
//! Never part of what Longhaul ships.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line program")]

mod cargo;
mod compose_test;
mod packages;
mod step;
mod suite;
mod tidy;
mod upgrade;
mod yaml;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::compose_test::Verdict;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  tidy                        checks the rules of the house: floors, rings, sizes, names, purity, stored codes
  test [--no-lint] [FILTER…]  formatting, clippy, tidy, then every test against a private Redis and RabbitMQ;
                              with filters only the tests whose name contains one
  simulate [OPTION…]          seeds of the simulation on every core; --help shows the options
  upgrade-test [REF]          workers of another version (HEAD~1) and of today replace each other under load
  compose-test                the fleet of docker-compose.yml, scaled and hurt under load; exits with 3 if no Docker
                              Engine answers
  bench [--quick] [--peers]   how fast Longhaul is on this machine, with --peers also others that Python has, written into
                              docs/performance.md; with --only TEXT some of it, written nowhere
  verify                      test, then the slow tier";

/// Nothing was tested, because this machine has not what it takes.
const NOT_TESTED: u8 = 3;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let root = root()?;
    let fine = match words.as_slice() {
        ["tidy"] => tidy::run(&root)?,
        ["test", rest @ ..]
            if rest
                .iter()
                .all(|word| !word.starts_with('-') || *word == "--no-lint") =>
        {
            suite::test(&root, rest.contains(&"--no-lint"), rest)?
        }
        ["simulate", rest @ ..] => suite::simulate(&root, rest)?,
        ["upgrade-test"] => upgrade::test(&root, upgrade::PREVIOUS)?,
        ["upgrade-test", reference] if !reference.starts_with('-') => upgrade::test(&root, reference)?,
        ["compose-test"] => match compose_test::run(&root)? {
            Verdict::Passed => true,
            Verdict::NoEngine(why) => {
                println!("the fleet was NOT tested: {why}");
                return Ok(ExitCode::from(NOT_TESTED));
            }
        },
        ["bench", rest @ ..] => suite::bench(&root, rest)?,
        ["verify"] => suite::verify(&root)?,
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            true
        }
        _ => {
            eprintln!("{USAGE}");
            return Ok(ExitCode::from(2));
        }
    };
    Ok(if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// The workspace: cargo says where this package is, also when the build is kept somewhere else.
fn root() -> anyhow::Result<PathBuf> {
    let package = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let package = PathBuf::from(package)
        .canonicalize()
        .context("cannot find the workspace")?;
    Ok(package
        .parent()
        .context("the package xtask has no directory above it")?
        .to_path_buf())
}
