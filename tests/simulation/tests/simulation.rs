//! Runs the simulation as part of the tests: a fixed set of seeds, the same seed twice, and every rule broken once.
//! Never chooses seeds anew: what passes here passes everywhere. Campaigns are `cargo xtask simulate`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    clippy::print_stdout,
    reason = "a test fails by panicking, and says of which seed"
)]

use std::ops::Range;

use clap::ValueEnum;
use longhaul_simulation::campaign::{first_to_notice, run_all};
use longhaul_simulation::mutant::Mutant;
use longhaul_simulation::plan::{DISASTERS_MIN, INSTANCES_MIN};
use longhaul_simulation::run::{Case, Report, run};
use longhaul_simulation::trace::Trace;

/// The seeds that every change has to pass.
const FIXED: Range<u64> = 0..500;
/// The same, in a world whose store forgets what it had accepted.
const FORGETFUL: Range<u64> = 0..150;

fn is_clean(seeds: Range<u64>, case: Case) {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let summary = run_all(seeds.clone(), case, threads, &|report: &Report| {
        for violation in &report.violations {
            eprintln!("seed {}: {violation}", report.seed);
        }
    });
    let again = "again: cargo xtask simulate --trace --seed";
    assert!(
        summary.failed.is_empty(),
        "{case:?}, {again} {:?}",
        summary.failed
    );
    assert_eq!(summary.seeds, seeds.end - seeds.start);
    assert!(summary.instances_min >= INSTANCES_MIN);
    assert!(summary.faults_min >= DISASTERS_MIN);
}

#[test]
fn nothing_is_lost_whatever_the_fixed_seeds_do() {
    is_clean(FIXED, Case::default());
}

#[test]
fn nothing_is_stuck_doubled_or_gapped_when_the_store_forgets() {
    let case = Case {
        is_forgetful: true,
        ..Case::default()
    };
    is_clean(FORGETFUL, case);
}

#[test]
fn a_seed_run_twice_leaves_the_same_trace() {
    for seed in [0, 1, 2, 16, 42, 49] {
        let once = run(seed, Case::default(), Trace::kept());
        let again = run(seed, Case::default(), Trace::kept());
        assert!(!once.trace.is_empty());
        assert!(once.trace == again.trace, "the traces of seed {seed} differ");
        assert_eq!(once.steps, again.steps);
    }
}

#[test]
fn a_trace_changes_nothing() {
    for seed in [3, 5, 38] {
        let kept = run(seed, Case::default(), Trace::kept());
        let blind = run(seed, Case::default(), Trace::default());
        assert_eq!(
            (kept.steps, kept.commits, kept.faults),
            (blind.steps, blind.commits, blind.faults)
        );
    }
}

/// Each rule, broken, is noticed by one of these seeds.
macro_rules! noticed {
    ($($name:ident: $mutant:ident within $seeds:expr,)*) => {
        $(#[test]
        fn $name() {
            let seeds: Range<u64> = $seeds;
            let noticed = first_to_notice(Mutant::$mutant, seeds.clone());
            let (seed, violation) = noticed.unwrap_or_else(|| panic!("no seed of {seeds:?} notices it"));
            println!("seed {seed} notices: {}", violation.lines().next().unwrap_or_default());
        })*

        #[test]
        fn every_rule_that_can_be_broken_is_broken_here() {
            let broken = [$(Mutant::$mutant,)*];
            for mutant in Mutant::value_variants() {
                assert!(broken.contains(mutant), "{mutant:?} is never tried");
            }
        }
    };
}

noticed! {
    an_ack_before_the_commit_is_noticed: AckBeforeCommit within 0..20,
    a_missing_fence_is_noticed: NoFence within 0..150,
    a_token_that_is_only_a_number_is_noticed: CounterToken within 0..50,
    a_missing_outbox_is_noticed: NoOutbox within 0..100,
    a_missing_dedupe_is_noticed: NoDedupe within 0..20,
    two_turns_at_once_are_noticed: TwoTurnsAtOnce within 0..100,
    an_unchecked_commit_number_is_noticed: CommitNumberUnchecked within 0..50,
    an_unchecked_commit_id_is_noticed: CommitIdUnchecked within 0..50,
    an_ignored_start_id_is_noticed: StartIdIgnored within 0..100,
    a_loss_that_nobody_notices_is_noticed: LossUnnoticed within 0..50,
    an_outbox_emptied_before_the_confirm_is_noticed: OutboxRemovedBeforeConfirm within 0..100,
    a_confirm_that_nobody_awaits_is_noticed: ConfirmNotAwaited within 0..20,
    a_timer_removed_before_its_event_is_noticed: TimerRemovedEarly within 0..100,
    a_missing_sweep_is_noticed: SweepOff within 0..50,
    an_outbox_that_nobody_searches_is_noticed: OutboxNotSearched within 0..50,
    a_result_matched_by_its_task_alone_is_noticed: ResultMatchedByTaskOnly within 0..50,
    a_session_kept_after_a_conflict_is_noticed: SessionKeptAfterConflict within 0..20,
    a_timer_that_fires_early_is_noticed: TimerEarly within 0..20,
}
