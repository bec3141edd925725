//! Runs the simulation as part of the tests: a fixed set of seeds, the same seed twice, and every rule broken once.
//! Never chooses seeds anew: what passes here passes everywhere. Campaigns are `cargo xtask simulate`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::ops::Range;

use clap::ValueEnum;
use longhaul_simulation::campaign::{first_to_notice, run_all};
use longhaul_simulation::mutant::Mutant;
use longhaul_simulation::plan::{DISASTERS_MIN, INSTANCES_MIN};
use longhaul_simulation::run::{Report, run};
use longhaul_simulation::trace::Trace;

/// The seeds that every change has to pass.
const FIXED: Range<u64> = 0..600;

#[test]
fn nothing_is_lost_whatever_the_fixed_seeds_do() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let summary = run_all(FIXED, None, threads, &|report: &Report| {
        for violation in &report.violations {
            eprintln!("seed {}: {violation}", report.seed);
        }
    });
    let again = "again: cargo xtask simulate --trace --seed";
    assert!(summary.failed.is_empty(), "{again} {:?}", summary.failed);
    assert_eq!(summary.seeds, FIXED.end - FIXED.start);
    assert!(summary.instances_min >= INSTANCES_MIN);
    assert!(summary.faults_min >= DISASTERS_MIN);
}

#[test]
fn a_seed_run_twice_leaves_the_same_trace() {
    for seed in [0, 1, 2, 16, 42, 49] {
        let once = run(seed, None, Trace::kept());
        let again = run(seed, None, Trace::kept());
        assert!(!once.trace.is_empty());
        assert!(once.trace == again.trace, "the traces of seed {seed} differ");
        assert_eq!(once.steps, again.steps);
    }
}

#[test]
fn a_trace_changes_nothing() {
    for seed in [3, 5, 38] {
        let kept = run(seed, None, Trace::kept());
        let blind = run(seed, None, Trace::default());
        assert_eq!(
            (kept.steps, kept.commits, kept.faults),
            (blind.steps, blind.commits, blind.faults)
        );
    }
}
