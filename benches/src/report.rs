//! Owns the page that the figures stand on, with what they were taken on.
//! Never leaves a figure out because it is poor.

use std::fmt::Write;
use std::process::Command;
use std::time::Duration;

use crate::engine::Taken;
use crate::fleet::Spent;
use crate::plan::{Effort, FLOORS, Measured};
use crate::rest::{Rest, WAITING};
use crate::workload::Workload;

/// What a measurement was taken on.
pub(crate) struct Conditions {
    date: String,
    cores: usize,
    load: String,
    commit: String,
}

impl Conditions {
    pub(crate) fn now() -> anyhow::Result<Self> {
        Ok(Self {
            date: said("date", &["--utc", "+%Y-%m-%d"]),
            cores: std::thread::available_parallelism()?.get(),
            load: std::fs::read_to_string("/proc/loadavg").unwrap_or_default(),
            commit: said("git", &["rev-parse", "--short", "HEAD"]),
        })
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_default()
}

/// What was measured within this process.
pub(crate) struct Alone {
    pub(crate) rest: Option<Rest>,
    pub(crate) replays: Vec<Taken>,
    pub(crate) turns: Vec<Taken>,
    pub(crate) record: Duration,
}

pub(crate) fn write(effort: &Effort, on: &Conditions, measured: &[Measured], alone: &Alone) -> String {
    let mut text = String::from(
        "# Performance\n\nWritten by `cargo xtask bench`: do not edit. Load, workers, RabbitMQ and Redis share the cores of one machine, and \
         nothing is switched off for a figure: Redis syncs every write (`appendfsync always`), messages are persistent and confirmed, the embedded store \
         syncs every commit. A figure is the median of its runs; compare figures of one page, not of two machines.\n\n",
    );
    let load = on.load.split(' ').next().unwrap_or_default();
    let _in_memory = writeln!(
        text,
        "{}, commit {}, {} cores, load average before {load}; {} runs of {} s each ({}).\n",
        on.date,
        on.commit,
        on.cores,
        effort.runs,
        effort.measure.as_secs(),
        effort.name
    );
    for (title, is_of) in SECTIONS {
        let _in_memory = writeln!(
            text,
            "## {title}\n\n| | at once | instances a second | p50, ms | p99, ms | workers' processor time for one, ms | their commits | their messages |\n|---|---|---|---|---|---|---|---|"
        );
        for one in measured.iter().filter(|one| is_of(one.workload)) {
            let what = match one.workload {
                Workload::FanOut(width) => format!("{}, {width} wide", one.row),
                _ => one.row.clone(),
            };
            let spent = |of: fn(&Spent) -> f64| {
                one.spent
                    .as_ref()
                    .map_or_else(|| "–".to_owned(), |spent| format!("{:.2}", of(spent)))
            };
            let cpu = spent(|spent| spent.cpu * 1_000.0);
            let (commits, messages) = (spent(|spent| spent.commits), spent(|spent| spent.messages));
            let figures = &one.figures;
            let _in_memory = writeln!(
                text,
                "| {what} | {} | {:.0} | {:.2} | {:.2} | {cpu} | {commits} | {messages} |",
                one.at_once,
                figures.rate(),
                figures.p50,
                figures.p99
            );
        }
        text.push('\n');
    }
    against_the_floor(&mut text, measured);
    engine(&mut text, alone);
    if let Some(rest) = &alone.rest {
        at_rest(&mut text, rest);
    }
    metrics(&mut text, measured, alone.record);
    text
}

fn engine(text: &mut String, alone: &Alone) {
    text.push_str(
        "## The engine by itself\n\nAn orchestration that calls one activity after the other. A replay brings a new \
         session to the end of its history, without reading that from a store; a turn feeds one more result to a \
         session that is warm.\n\n| | events | took, µs |\n|---|---|---|\n",
    );
    let replays = alone.replays.iter().map(|taken| ("replay", taken));
    let turns = alone.turns.iter().map(|taken| ("a turn behind", taken));
    for (what, taken) in replays.chain(turns) {
        let micros = taken.took.as_secs_f64() * 1e6;
        let _in_memory = writeln!(text, "| {what} | {} | {micros:.1} |", taken.events);
    }
    text.push('\n');
}

fn at_rest(text: &mut String, rest: &Rest) {
    const MB: f64 = 1e6;
    let [one, other] = rest.resident_before.map(|bytes| bytes / MB);
    let [one_now, other_now] = rest.resident.map(|bytes| bytes / MB);
    let [cpu, other_cpu] = rest.cpu_percent;
    let _in_memory = writeln!(
        text,
        "## At rest\n\n{WAITING} instances on quorum queues that wait for timers; a session of each is warm.\n\n| | memory before, MB | \
         while they wait, MB | of a core, % |\n|---|---|---|---|\n| orchestrator worker | {one:.1} | {one_now:.1} | {cpu:.2} |\n| activity \
         worker | {other:.1} | {other_now:.1} | {other_cpu:.2} |\n\nRedis uses {:.0} bytes for each.\n",
        rest.redis_bytes
    );
}

fn metrics(text: &mut String, measured: &[Measured], record: Duration) {
    text.push_str("## What metrics cost\n\n");
    let nanos = record.as_nanos() as f64;
    let _in_memory = writeln!(
        text,
        "A record of the dearest kind, a histogram found by two labels, takes {nanos:.0} ns here.\n\n| three activities | at once | \
         records for one instance | of the workers' processor time, % at most |\n|---|---|---|---|"
    );
    for one in measured.iter().filter(|one| one.workload == Workload::Hello) {
        if let Some(spent) = one.spent.filter(|spent| spent.records > 0.0) {
            let share = spent.records * nanos * 1e-9 / spent.cpu * 100.0;
            let _in_memory = writeln!(
                text,
                "| {} | {} | {:.0} | {share:.2} |",
                one.row, one.at_once, spent.records
            );
        }
    }
}

/// What the engine adds to what the servers ask of anybody.
fn against_the_floor(text: &mut String, measured: &[Measured]) {
    text.push_str(
        "## Against the floor\n\nThe floor is the same sequence on the same scripts, queues and messages without an engine \
         (`benches/src/floor.rs`), in processes of its own: with one item a message, results too, and with up to 64 of \
         both. The product lets quick work items, and results for one partition, share a message where they are there \
         together.\n\n| | at once | of the floor's rate | p50 of its p50 | of the sharing floor's rate | p50 of its p50 | commits for \
         one | of the floor | messages for one | of the floor |\n|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for one in measured.iter().filter(|one| one.workload == Workload::Hello) {
        let floor = |suffix: &str| {
            let is_its = |other: &&Measured| {
                other.row.strip_suffix(suffix) == Some(one.row.as_str()) && other.at_once == one.at_once
            };
            measured.iter().find(is_its)
        };
        let floors = FLOORS.map(|(_, name)| floor(&format!(": {name}")));
        let (Some(spent), [Some(alone), Some(sharing)]) = (one.spent, floors) else {
            continue;
        };
        let rate = |floor: &Measured| one.figures.rate() / floor.figures.rate() * 100.0;
        let p50 = |floor: &Measured| one.figures.p50 / floor.figures.p50;
        let least = alone.spent.unwrap_or_default();
        let _in_memory = writeln!(
            text,
            "| {} | {} | {:.0} % | {:.2} | {:.0} % | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} |",
            one.row,
            one.at_once,
            rate(alone),
            p50(alone),
            rate(sharing),
            p50(sharing),
            spent.commits,
            least.commits,
            spent.messages,
            least.messages
        );
    }
    text.push('\n');
}

type IsOf = fn(Workload) -> bool;

const SECTIONS: [(&str, IsOf); 3] = [
    ("Three activities, one after the other", |workload| {
        workload == Workload::Hello
    }),
    ("Three inline steps, one after the other", |workload| {
        workload == Workload::Inline
    }),
    ("Fan-out and fan-in", |workload| {
        matches!(workload, Workload::FanOut(_))
    }),
];
