//! The instructions that fixed pieces of the engine's work take, against what they took when they were last written
//! down: what makes one dearer by more than a tenth is noticed here, whatever else the machine does meanwhile.
//!
//! Counted by callgrind on the programs as the tests build them, which are not optimised: a count says how much more or
//! less is done than before, not how fast it is (`cargo xtask bench` does). `LONGHAUL_GUARD_WRITE=1` writes the counts
//! anew; whoever does says in the commit why they changed. They are those of one compiler and one kind of processor:
//! another compiler has a wider margin, and another kind of processor no such test.

#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::Path;
use std::process::Command;

const WRITE: &str = "LONGHAUL_GUARD_WRITE";
/// Names the program, where it is not in `PATH`.
const VALGRIND: &str = "LONGHAUL_TEST_VALGRIND";
/// Hundredths by which a count may change, and with another compiler than the one that is written down.
const MARGIN: u64 = 10;
const MARGIN_OF_ANOTHER: u64 = 50;
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

/// What the programs are built with.
fn compiler() -> String {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc).arg("--version").output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn the_engines_work_takes_as_many_instructions_as_it_did() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("guard.txt");
    let (compiler, counts) = (compiler(), WORK.map(|work| (work, count(work))));
    if std::env::var(WRITE).is_ok_and(|value| value == "1") {
        let lines = counts.map(|(work, count)| format!("{work} {count}\n"));
        return std::fs::write(path, format!("{compiler}\n{}", lines.concat())).unwrap();
    }
    let recorded = std::fs::read_to_string(&path).unwrap_or_default();
    let is_the_same = recorded.lines().next() == Some(compiler.as_str());
    let margin = if is_the_same { MARGIN } else { MARGIN_OF_ANOTHER };
    for (work, count) in counts {
        assert!(
            count > 10_000,
            "{work} takes {count} instructions: is it done at all?"
        );
        let before = recorded
            .lines()
            .find_map(|line| line.strip_prefix(work)?.trim().parse::<u64>().ok())
            .unwrap_or_else(|| panic!("no count of {work} in guard.txt; {WRITE}=1 writes it"));
        // Fewer, too: what was gained would hide the next loss.
        assert!(
            count.abs_diff(before) * 100 <= before * margin,
            "{work} takes {count} instructions and took {before}: find out why, then write it down with {WRITE}=1"
        );
    }
}
