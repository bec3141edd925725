//! The instructions that fixed pieces of the engine's work take, against what they took when they were last written
//! down: what makes one dearer by more than a tenth is noticed here, whatever else the machine does meanwhile.
//!
//! Counted by callgrind on the programs as the tests build them, which are not optimised: a count says how much more or
//! less is done than before, not how fast it is (`cargo xtask bench` does). `LONGHAUL_GUARD_WRITE=1` writes the counts
//! anew; whoever does says in the commit why they changed.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

const WRITE: &str = "LONGHAUL_GUARD_WRITE";
/// Names the program, where it is not in `PATH`.
const VALGRIND: &str = "LONGHAUL_TEST_VALGRIND";
/// Hundredths by which a count may rise.
const MARGIN: u64 = 10;
const WORK: [&str; 5] = ["replay", "turn", "encode", "decode", "decide"];

/// How many instructions are executed in the function of the guard that has this work's name, and below it.
fn count(work: &str) -> u64 {
    let directory = tempfile::tempdir().unwrap();
    let out = directory.path().join("out");
    let valgrind = std::env::var_os(VALGRIND).unwrap_or_else(|| "valgrind".into());
    let output = Command::new(valgrind)
        .args(["--tool=callgrind", "--collect-atstart=no"])
        .arg(format!("--toggle-collect=guard::{work}"))
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(env!("CARGO_BIN_EXE_guard"))
        .arg(work)
        .output()
        .unwrap_or_else(|error| {
            panic!("valgrind cannot be run ({error}): install Debian's package valgrind")
        });
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let collected = said.lines().find_map(|line| line.split_once("Collected :"));
    let (_, number) = collected.unwrap_or_else(|| panic!("callgrind counted nothing: {said}"));
    number.trim().parse().unwrap()
}

#[test]
fn the_engines_work_takes_no_more_instructions_than_it_did() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("guard.txt");
    let counts = WORK.map(|work| (work, count(work)));
    if std::env::var(WRITE).is_ok_and(|value| value == "1") {
        let lines = counts.map(|(work, count)| format!("{work} {count}\n"));
        return std::fs::write(path, lines.concat()).unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    for (work, count) in counts {
        assert!(
            count > 10_000,
            "{work} takes {count} instructions: is it done at all?"
        );
        let before = recorded
            .lines()
            .find_map(|line| line.strip_prefix(work)?.trim().parse::<u64>().ok());
        let before = before.unwrap_or_else(|| panic!("no count of {work} in guard.txt; {WRITE}=1 writes it"));
        assert!(
            count * 100 <= before * (100 + MARGIN),
            "{work} takes {count} instructions and took {before}: find out why, or write it down with {WRITE}=1"
        );
    }
}
