//! Owns what is measured: on which rows, which workloads, how many at once and for how long.
//! Never runs anything itself.

use std::time::Duration;

use crate::figures::{Figures, median};
use crate::fleet::{AMQP, Fleet, REDIS, Spent, load, server_url, settings};
use crate::floor::{self, Floor};
use crate::load::Plan;
use crate::peers::{Celery, Python};
use crate::place::Place;
use crate::rest::{Rest, rest};
use crate::workload::Workload;

/// How much time is spent.
#[derive(Clone)]
pub(crate) struct Effort {
    /// Only measurements are taken whose name contains this.
    pub(crate) only: String,
    /// Whether others are measured, too.
    has_peers: bool,
    pub(crate) name: &'static str,
    pub(crate) runs: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measure: Duration,
    pub(crate) at_once: &'static [usize],
    pub(crate) widths: &'static [u64],
}

pub(crate) const FULL: Effort = Effort {
    only: String::new(),
    has_peers: false,
    name: "full",
    runs: 3,
    warm_up: Duration::from_secs(2),
    measure: Duration::from_secs(8),
    at_once: &[1, 8, 32, 128, 512],
    widths: &[100, 1_000, 10_000],
};

pub(crate) const QUICK: Effort = Effort {
    only: String::new(),
    has_peers: false,
    name: "quick",
    runs: 1,
    warm_up: Duration::from_secs(1),
    measure: Duration::from_secs(4),
    at_once: &[1, 32, 512],
    widths: &[100, 1_000],
};

/// How many items share a message of the floor at most: none, and as many as pays.
pub(crate) const FLOORS: [(usize, &str); 2] = [(1, "floor"), (64, "floor, up to 64 items a message")];

/// What the others are called.
const CELERY: &str = "Celery";
const DBOS: &str = "DBOS, SQLite, in one process";

/// The first ports that the workers of a row show their metrics on.
const PORT: u16 = 19_470;
const PORT_AT_REST: u16 = PORT + 8;

/// One figure of the report.
pub(crate) struct Measured {
    pub(crate) row: String,
    pub(crate) workload: Workload,
    pub(crate) at_once: usize,
    pub(crate) figures: Figures,
    /// What the workers spent on an instance, where they are processes of their own.
    pub(crate) spent: Option<Spent>,
}

/// The same on both rows.
struct Row {
    name: &'static str,
    queue_type: &'static str,
}

const FLEETS: [Row; 2] = [
    Row {
        name: "fleet, quorum",
        queue_type: "quorum",
    },
    Row {
        name: "fleet, classic",
        queue_type: "classic",
    },
];

pub(crate) fn measure(effort: &Effort) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for (row, port) in FLEETS.iter().zip((PORT..).step_by(2)) {
        measured.extend(floors(effort, row)?);
        measured.extend(fleet(effort, row, port)?);
    }
    measured.extend(embedded(effort)?);
    if effort.has_peers {
        measured.extend(peers(effort)?);
    }
    Ok(measured)
}

/// A fleet of its own, all of whose instances wait.
pub(crate) fn at_rest() -> anyhow::Result<Rest> {
    let row = &FLEETS[0];
    let fleet = Fleet::start(settings(&hub("rest"), row.queue_type)?, PORT_AT_REST)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(rest(&fleet))
}

/// Others, by the same clock.
fn peers(effort: &Effort) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    let python = Python::ready()?;
    let servers = [REDIS, AMQP].map(server_url);
    let [redis, amqp] = servers;
    let celery = Celery::start(&python, &amqp?, &redis?)?;
    let (warm_up, measure) = (effort.warm_up, effort.measure);
    for (workload, at_once) in workloads(effort, CELERY) {
        let (kind, size) = match workload {
            Workload::Hello => ("hello", at_once),
            Workload::FanOut(width) => ("fan_out", usize::try_from(width)?),
            Workload::Inline => continue,
        };
        let runs = (0..effort.runs).map(|_| celery.load(kind, size, warm_up, measure));
        let runs = runs.collect::<anyhow::Result<_>>()?;
        measured.push(told(CELERY.to_owned(), workload, at_once, runs, None));
    }
    drop(celery);
    for (workload, at_once) in workloads(effort, DBOS) {
        if workload == Workload::Inline {
            let runs = (0..effort.runs).map(|_| python.dbos(at_once, warm_up, measure));
            let runs = runs.collect::<anyhow::Result<_>>()?;
            measured.push(told(DBOS.to_owned(), workload, at_once, runs, None));
        }
    }
    Ok(measured)
}

impl Effort {
    /// What is asked for on the command line; `None` if that cannot be made out.
    pub(crate) fn from_options(options: &[&str]) -> Option<Self> {
        let is_quick = options.contains(&"--quick");
        let mut effort = if is_quick { QUICK } else { FULL };
        let mut options = options.iter();
        while let Some(option) = options.next() {
            match *option {
                "--quick" => {}
                "--peers" => effort.has_peers = true,
                "--only" => effort.only = (*options.next()?).to_owned(),
                _ => return None,
            }
        }
        Some(effort)
    }

    fn wants(&self, row: &str, workload: Workload, at_once: usize) -> bool {
        named(row, workload, at_once).contains(&self.only)
    }
}

/// What a measurement is called.
fn named(row: &str, workload: Workload, at_once: usize) -> String {
    format!("{row}: {workload:?} at {at_once}")
}

/// Names of hubs do not meet, should the servers be kept.
fn hub(what: &str) -> String {
    format!("bench-{what}-{}", std::process::id())
}

fn floors(effort: &Effort, row: &Row) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for (items, name) in FLOORS {
        let name = format!("{}: {name}", row.name);
        let wanted = |at_once: &&usize| effort.wants(&name, Workload::Hello, **at_once);
        for at_once in effort.at_once.iter().filter(wanted) {
            let hub = hub(&format!("floor-{}-{items}-{at_once}", row.queue_type));
            let floor = Floor::start(&floor::Plan {
                part: floor::Part::Load,
                settings: settings(&hub, row.queue_type)?,
                items,
                at_once: *at_once,
                warm_up: effort.warm_up,
                measure: effort.measure,
            })?;
            let runs = (0..effort.runs).map(|_| floor.load(*at_once));
            let runs = runs.collect::<anyhow::Result<Vec<_>>>()?;
            let ran: usize = runs.iter().map(|run| run.ran).sum();
            let spent = floor.stop()?.each(ran);
            measured.push(told(name.clone(), Workload::Hello, *at_once, runs, Some(spent)));
        }
    }
    Ok(measured)
}

fn fleet(effort: &Effort, row: &Row, port: u16) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    let wanted: Vec<_> = workloads(effort, row.name);
    if wanted.is_empty() {
        return Ok(measured);
    }
    let fleet = Fleet::start(settings(&hub(row.queue_type), row.queue_type)?, port)?;
    for (workload, at_once) in wanted {
        let before = fleet.effort()?;
        let runs = repeated(effort, &fleet.place, workload, at_once)?;
        let ran: usize = runs.iter().map(|run| run.ran).sum();
        let spent = fleet.effort()?.since(before).each(ran);
        measured.push(told(row.name.to_owned(), workload, at_once, runs, Some(spent)));
    }
    Ok(measured)
}

fn embedded(effort: &Effort) -> anyhow::Result<Vec<Measured>> {
    let mut measured = Vec::new();
    for row in ["embedded, on disk", "embedded, in memory"] {
        for (workload, at_once) in workloads(effort, row) {
            let directory = tempfile::tempdir()?;
            let place = match row {
                "embedded, on disk" => Place::Disk(directory.path().join("hub")),
                _ => Place::Memory,
            };
            let runs = repeated(effort, &place, workload, at_once)?;
            measured.push(told(row.to_owned(), workload, at_once, runs, None));
        }
    }
    Ok(measured)
}

/// What is run on a row, and how many at once.
fn workloads(effort: &Effort, row: &str) -> Vec<(Workload, usize)> {
    let hello = effort.at_once.iter().map(|at_once| (Workload::Hello, *at_once));
    let inline = effort.at_once.iter().map(|at_once| (Workload::Inline, *at_once));
    let wide = effort.widths.iter().map(|width| (Workload::FanOut(*width), 1));
    let all = hello.chain(inline).chain(wide);
    all.filter(|(workload, at_once)| effort.wants(row, *workload, *at_once))
        .collect()
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
    row: String,
    workload: Workload,
    at_once: usize,
    runs: Vec<Figures>,
    spent: Option<Spent>,
) -> Measured {
    let figures = median(runs);
    println!(
        "{}: {:.0}/s, p50 {:.2} ms, p99 {:.2} ms",
        named(&row, workload, at_once),
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
