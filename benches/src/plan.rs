//! Owns what is measured: on which rows, which workloads, how many at once and for how long.
//! Never runs anything itself.

use std::time::Duration;

use crate::figures::{Figures, median};
use crate::fleet::{Fleet, Spent, load};
use crate::load::Plan;
use crate::place::Place;
use crate::workload::Workload;

/// How much time is spent.
pub(crate) struct Effort {
    pub(crate) name: &'static str,
    pub(crate) runs: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measure: Duration,
    pub(crate) at_once: &'static [usize],
    pub(crate) widths: &'static [u64],
}

pub(crate) const FULL: Effort = Effort {
    name: "full",
    runs: 3,
    warm_up: Duration::from_secs(2),
    measure: Duration::from_secs(8),
    at_once: &[1, 8, 32, 128, 512],
    widths: &[100, 1_000, 10_000],
};

pub(crate) const QUICK: Effort = Effort {
    name: "quick",
    runs: 1,
    warm_up: Duration::from_secs(1),
    measure: Duration::from_secs(4),
    at_once: &[1, 32, 512],
    widths: &[100, 1_000],
};

/// The first ports that the workers of a row show their metrics on.
const PORT: u16 = 19_470;

/// One figure of the report.
pub(crate) struct Measured {
    pub(crate) row: &'static str,
    pub(crate) workload: Workload,
    pub(crate) at_once: usize,
    pub(crate) figures: Figures,
    /// What both workers spent on an instance, where they are processes of their own.
    pub(crate) spent: Option<Spent>,
}

pub(crate) fn measure(effort: &Effort) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    let own = std::process::id();
    for (row, queue_type, port) in [
        ("fleet, quorum", "quorum", PORT),
        ("fleet, classic", "classic", PORT + 2),
    ] {
        let fleet = Fleet::start(&format!("bench-{queue_type}-{own}"), queue_type, port)?;
        for (workload, at_once) in workloads(effort) {
            let before = fleet.effort()?;
            let runs = repeated(effort, &fleet.place, workload, at_once)?;
            let after = fleet.effort()?;
            // What warms up costs as much: all that ran, by rate, is what the time went into.
            let share = effort.measure.as_secs_f64() / (effort.warm_up + effort.measure).as_secs_f64();
            let ran: usize = runs.iter().map(|run| run.count).sum();
            let each = |spent: f64| spent * share / ran as f64;
            let spent = (ran > 0).then(|| Spent {
                cpu: each(after.cpu - before.cpu),
                records: each(after.records - before.records),
            });
            measured.push(told(row, workload, at_once, runs, spent));
        }
    }
    for row in ["embedded, on disk", "embedded, in memory"] {
        for (workload, at_once) in workloads(effort) {
            let directory = tempfile::tempdir()?;
            let place = match row {
                "embedded, on disk" => Place::Disk(directory.path().join("hub")),
                _ => Place::Memory,
            };
            let runs = repeated(effort, &place, workload, at_once)?;
            measured.push(told(row, workload, at_once, runs, None));
        }
    }
    Ok(measured)
}

/// What is run, and how many at once.
fn workloads(effort: &Effort) -> Vec<(Workload, usize)> {
    let hello = effort.at_once.iter().map(|at_once| (Workload::Hello, *at_once));
    let inline = effort.at_once.iter().map(|at_once| (Workload::Inline, *at_once));
    let wide = effort.widths.iter().map(|width| (Workload::FanOut(*width), 1));
    hello.chain(inline).chain(wide).collect()
}

fn repeated(
    effort: &Effort,
    place: &Place,
    workload: Workload,
    at_once: usize,
) -> anyhow::Result<Vec<Figures>> {
    let plan = Plan {
        place: place.clone(),
        workload,
        at_once,
        warm_up: effort.warm_up,
        measure: effort.measure,
    };
    (0..effort.runs).map(|_| load(&plan)).collect()
}

fn told(
    row: &'static str,
    workload: Workload,
    at_once: usize,
    runs: Vec<Figures>,
    spent: Option<Spent>,
) -> Measured {
    let figures = median(runs);
    println!(
        "{row}: {workload:?} at {at_once}: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms",
        figures.rate(),
        figures.p50,
        figures.p99
    );
    Measured {
        row,
        workload,
        at_once,
        figures,
        spent,
    }
}
