//! Owns campaigns: many seeds on every core, and what is said of them.
//! Never lets a run that panics pass for a clean one.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use longhaul_shared::failure::panic_text;

use crate::mutant::Mutant;
use crate::run::{Case, Report, run};
use crate::trace::Trace;

/// What came out of many runs.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// How many seeds ran.
    pub seeds: u64,
    /// The seeds with violations, and the first violation of each.
    pub failed: Vec<(u64, String)>,
    /// Steps of each run.
    pub steps: Vec<u64>,
    /// Commits in all.
    pub commits: u64,
    /// Instances in all.
    pub instances: u64,
    /// Faults in all.
    pub faults: u64,
    /// Fewest faults of a run.
    pub faults_min: u64,
    /// Fewest instances of a run.
    pub instances_min: u64,
}

impl Summary {
    /// The median of steps of a run.
    #[must_use]
    pub fn steps_median(&self) -> u64 {
        let mut steps = self.steps.clone();
        steps.sort_unstable();
        steps.get(steps.len() / 2).copied().unwrap_or(0)
    }

    fn take(&mut self, report: &Report) {
        self.faults_min = if self.seeds == 0 {
            report.faults
        } else {
            self.faults_min.min(report.faults)
        };
        self.instances_min = if self.seeds == 0 {
            report.instances
        } else {
            self.instances_min.min(report.instances)
        };
        self.seeds += 1;
        self.steps.push(report.steps);
        self.commits += report.commits;
        self.instances += report.instances;
        self.faults += report.faults;
        if let Some(violation) = report.violations.first() {
            self.failed.push((report.seed, violation.clone()));
        }
    }
}

/// Runs one seed; a panic within is a violation.
#[must_use]
pub fn run_caught(seed: u64, case: Case, trace: &Trace) -> Report {
    let caught = catch_unwind(AssertUnwindSafe(|| run(seed, case, trace.clone())));
    caught.unwrap_or_else(|panic| {
        let said = panic_text(&*panic).unwrap_or("a panic");
        Report {
            seed,
            steps: 0,
            commits: 0,
            instances: 0,
            faults: 0,
            simulated: 0,
            violations: vec![format!("panic: {said}")],
            trace: trace.text(),
        }
    })
}

/// Runs these seeds on so many threads; `told` hears of each report.
#[must_use]
pub fn run_all(
    seeds: std::ops::Range<u64>,
    case: Case,
    threads: usize,
    told: &(dyn Fn(&Report) + Sync),
) -> Summary {
    let next = AtomicU64::new(seeds.start);
    let summary = Mutex::new(Summary::default());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    let report = run_caught(seed, case, &Trace::default());
                    told(&report);
                    summary
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .take(&report);
                }
            });
        }
    });
    let mut summary = summary.into_inner().unwrap_or_else(PoisonError::into_inner);
    summary.failed.sort();
    summary
}

/// The first seed of a range that notices a broken rule, and what it notices.
#[must_use]
pub fn first_to_notice(broken: Mutant, seeds: std::ops::Range<u64>) -> Option<(u64, String)> {
    seeds.into_iter().find_map(|seed| {
        let report = run_caught(seed, Case::breaking(broken), &Trace::default());
        Some((seed, report.violations.first()?.clone()))
    })
}
