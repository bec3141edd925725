//! `sizing [DIRECTORY [SETTING VALUE]…]` measures what a hub costs, on private servers, and prints the tables of `docs/operations.md`.
//! Never judges a figure: it says what it saw, with which versions, on what machine.
//!
//! The workers are those in DIRECTORY, or else today's, built like this program; settings are Redis'. Nothing else
//! should run meanwhile: the load of the machine is printed first and last.

#![expect(clippy::print_stdout, reason = "a command line program")]

mod ground;
mod worker;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Context;
use futures::FutureExt;
use longhaul_activity_worker::ActivityWorker;
use longhaul_backends::metered::{MeteredBroker, PortMetrics};
use longhaul_examples::contracts::{HELLO_SEQUENCE, REMINDER, ReminderRequest, SAY_HELLO, SUM_OF_SQUARES};
use longhaul_orchestrator_worker::OrchestratorWorker;
use longhaul_sdk::{ActivityContext, ActivityRegistry, BoxError};
use longhaul_telemetry::prometheus;
use longhaul_tests::binaries::Binary;
use tokio_util::sync::CancellationToken;

use crate::ground::{Ground, Hub};

/// As many as an orchestrator worker keeps warm by default.
const TIMERS: u64 = 10_000;
const SEQUENCES: u64 = 2_000;
const FAN_OUTS: u64 = 200;
const WIDTH: u64 = 100;
/// Longer than this program runs.
const ASLEEP_MS: u64 = 24 * 3600 * 1000;
/// Over how long the processor time of an idle worker is measured.
const IDLE: Duration = Duration::from_secs(20);

fn main() -> anyhow::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (directory, settings) = match arguments.split_first() {
        Some((directory, settings)) => (Some(directory), settings),
        None => (None, &[][..]),
    };
    let programs = match directory {
        Some(directory) => PathBuf::from(directory),
        None => {
            let program = Binary::OrchestratorWorker.path()?;
            program
                .parent()
                .context("a program is in a directory")?
                .to_path_buf()
        }
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ground = Ground::new(programs, settings)?;
    println!("{}", ground.told()?);
    runtime.block_on(measure(&ground))?;
    println!("\nload of the machine at the end: {}", ground::load()?);
    Ok(())
}

async fn measure(ground: &Ground) -> anyhow::Result<()> {
    println!(
        "\n| Redis, bytes | memory an instance | append-only file an instance | history, memory an event |"
    );
    println!("|---|---|---|---|");
    let idle = waiting_for_timers(ground).await?;
    halfway(ground).await?;
    fan_out(ground).await?;
    let capacity = ended(ground).await?;
    println!("\n{idle}\n{capacity}");
    println!("\n| run alone, then at once | turns | commits | messages | script calls |");
    println!("|---|---|---|---|---|");
    counts(ground).await
}

/// Instances that sleep; also what an orchestrator worker needs for keeping them warm.
async fn waiting_for_timers(ground: &Ground) -> anyhow::Result<String> {
    let hub = ground.hub("timers").await?;
    let orchestrator = ground.worker(Binary::OrchestratorWorker, &hub)?;
    let activity = ground.worker(Binary::ActivityWorker, &hub)?;
    let (empty, empty_activity) = (orchestrator.memory()?, activity.memory()?);
    let idle = [
        orchestrator.processor(&hub, IDLE).await?,
        activity.processor(&hub, IDLE).await?,
    ];
    let before = ground.usage()?;
    hub.start(TIMERS, REMINDER, ReminderRequest { after_ms: ASLEEP_MS })
        .await?;
    hub.settles(TIMERS).await?;
    report(ground, &hub, "live, waits for a timer", TIMERS, before)?;
    let full = orchestrator.memory()?;
    let warm = orchestrator.processor(&hub, IDLE).await?;
    Ok(format!(
        "orchestrator worker: {} MiB without instances, {} MiB with {TIMERS} warm ones, {} bytes each\n\
         activity worker: {} MiB\n\
         open files and connections: orchestrator worker {}, activity worker {}\n\
         processor, percent of a core: orchestrator worker {:.2} without instances, {warm:.2} with {TIMERS} \
         sleeping ones; activity worker {:.2}",
        empty >> 20,
        full >> 20,
        full.saturating_sub(empty) / TIMERS,
        empty_activity >> 20,
        orchestrator.files()?,
        activity.files()?,
        idle[0],
        idle[1]
    ))
}

/// Sequences whose first step is done, and whose second one nobody does.
async fn halfway(ground: &Ground) -> anyhow::Result<()> {
    let hub = ground.hub("halfway").await?;
    let _orchestrator = ground.worker(Binary::OrchestratorWorker, &hub)?;
    let before = ground.usage()?;
    hub.start(SEQUENCES, HELLO_SEQUENCE, ()).await?;
    // All first steps are in the queue before any second one.
    hub.settles(SEQUENCES).await?;
    let done = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&done);
    let hello = move |_: ActivityContext, city: String| {
        let counted = Arc::clone(&counted);
        async move {
            if city != "Tokyo" {
                std::future::pending::<()>().await;
            }
            counted.fetch_add(1, Ordering::Relaxed);
            Ok::<_, BoxError>(format!("Hello, {city}!"))
        }
    };
    let registry = ActivityRegistry::new().register(SAY_HELLO, hello);
    let worker = ActivityWorker::new(hub.ports.clone(), registry, Default::default());
    let stop = CancellationToken::new();
    let _task = hub.ports.runtime.spawn("activities", worker.run(stop).boxed());
    hub.until(async || Ok(done.load(Ordering::Relaxed) == SEQUENCES))
        .await?;
    hub.settles(SEQUENCES).await?;
    report(ground, &hub, "live, second of three steps", SEQUENCES, before)
}

/// Fan-outs whose steps nobody does.
async fn fan_out(ground: &Ground) -> anyhow::Result<()> {
    let hub = ground.hub("fan-out").await?;
    let _orchestrator = ground.worker(Binary::OrchestratorWorker, &hub)?;
    let before = ground.usage()?;
    hub.start(FAN_OUTS, SUM_OF_SQUARES, WIDTH).await?;
    hub.settles(FAN_OUTS).await?;
    report(ground, &hub, "live, waits for 100 activities", FAN_OUTS, before)
}

/// Sequences that have ended, and how long they took.
async fn ended(ground: &Ground) -> anyhow::Result<String> {
    let hub = ground.hub("ended").await?;
    let _orchestrator = ground.worker(Binary::OrchestratorWorker, &hub)?;
    let _activity = ground.worker(Binary::ActivityWorker, &hub)?;
    let before = ground.usage()?;
    let begun = hub.ports.runtime.now();
    hub.start(SEQUENCES, HELLO_SEQUENCE, ()).await?;
    hub.end(SEQUENCES).await?;
    let took = hub.ports.runtime.now().since(begun).as_secs_f64();
    hub.settles(SEQUENCES).await?;
    report(ground, &hub, "ended, three steps", SEQUENCES, before)?;
    Ok(format!(
        "one worker of each kind, {SEQUENCES} sequences of three steps at once: {:.0} instances and {:.0} steps a second",
        SEQUENCES as f64 / took,
        3.0 * SEQUENCES as f64 / took
    ))
}

fn report(
    ground: &Ground,
    hub: &Hub,
    what: &str,
    instances: u64,
    before: ground::Usage,
) -> anyhow::Result<()> {
    let after = ground.usage()?;
    let (bytes, events) = ground.history(hub)?;
    println!(
        "| {what} | {} | {} | {} |",
        after.memory.saturating_sub(before.memory) / instances,
        after.file.saturating_sub(before.file) / instances,
        bytes / events.max(1)
    );
    Ok(())
}

/// What a sequence of three steps and a fan-out cost in commits and messages, one at a time and many at once.
async fn counts(ground: &Ground) -> anyhow::Result<()> {
    let hub = ground.hub("counts").await?;
    let stop = CancellationToken::new();
    let orchestrations = longhaul_examples::orchestrations();
    let mut ports = hub.orchestrator_ports(ground).await?;
    let sent = PortMetrics::default();
    let (metered, _consumed) =
        MeteredBroker::new(ports.broker, Arc::clone(&ports.runtime), Arc::new(sent.clone()));
    ports.broker = Arc::new(metered);
    let orchestrator = OrchestratorWorker::new(ports, hub.name.clone(), orchestrations, Default::default())?;
    let activity = ActivityWorker::new(
        hub.ports.clone(),
        longhaul_examples::activities(),
        Default::default(),
    );
    let counted = Counters::of(&orchestrator, &activity, sent)?;
    let run = orchestrator.run(stop.clone()).map(drop).boxed();
    let _orchestrator = hub.ports.runtime.spawn("orchestrator", run);
    let _activity = hub.ports.runtime.spawn("activities", activity.run(stop).boxed());
    hub.start(1, HELLO_SEQUENCE, ()).await?;
    hub.end(1).await?;
    for (what, rounds, at_once) in [
        ("one sequence at a time", 20, 1),
        ("500 sequences at once", 1, 500),
    ] {
        let before = counted.now(ground)?;
        for _ in 0..rounds {
            hub.start(at_once, HELLO_SEQUENCE, ()).await?;
            hub.end(at_once).await?;
        }
        count(what, rounds * at_once, &before, &counted.now(ground)?);
    }
    for (what, rounds, at_once) in [
        ("one fan-out of 100 at a time", 5, 1),
        ("20 fan-outs of 100 at once", 1, 20),
    ] {
        let before = counted.now(ground)?;
        for _ in 0..rounds {
            hub.start(at_once, SUM_OF_SQUARES, WIDTH).await?;
            hub.end(at_once).await?;
        }
        count(what, rounds * at_once, &before, &counted.now(ground)?);
    }
    Ok(())
}

/// What the workers and the servers have counted.
struct Counted {
    turns: u64,
    commits: u64,
    sent: u64,
    reports: u64,
    scripts: u64,
}

/// Where it is read.
struct Counters(prometheus::Registry, prometheus::Registry);

impl Counters {
    fn of(
        orchestrator: &OrchestratorWorker,
        activity: &ActivityWorker,
        sent: PortMetrics,
    ) -> anyhow::Result<Self> {
        let registry = prometheus::Registry::new();
        orchestrator.metrics().register(&registry)?;
        // Both kinds of worker count some things under the same name.
        let other = prometheus::Registry::new();
        activity.metrics().register(&other)?;
        sent.register(&registry)?;
        Ok(Self(registry, other))
    }

    fn now(&self, ground: &Ground) -> anyhow::Result<Counted> {
        let sum = |registry: &prometheus::Registry, line: &str| -> anyhow::Result<u64> {
            let text = prometheus::TextEncoder::new().encode_to_string(&registry.gather())?;
            let values = text
                .lines()
                .filter(|said| said.starts_with(line))
                .filter_map(|said| said.rsplit_once(' ')?.1.parse::<u64>().ok());
            Ok(values.sum())
        };
        Ok(Counted {
            turns: sum(
                &self.0,
                "longhaul_turn_duration_seconds_count{outcome=\"settled\"",
            )?,
            commits: sum(&self.0, "longhaul_commits_total{outcome=\"applied\"")?,
            sent: sum(&self.0, "longhaul_amqp_publishes_total{result=\"ack\"")?,
            reports: sum(&self.1, "longhaul_activity_attempts_total{")?,
            scripts: ground.scripts()?,
        })
    }
}

/// Messages are the client's wake-up, what the relay had confirmed, and the reports of the activities.
fn count(what: &str, instances: u64, before: &Counted, after: &Counted) {
    let each = |after: u64, before: u64| (after - before) as f64 / instances as f64;
    println!(
        "| {what} | {:.2} | {:.2} | {:.2} | {:.1} |",
        each(after.turns, before.turns),
        each(after.commits, before.commits),
        1.0 + each(after.sent + after.reports, before.sent + before.reports),
        each(after.scripts, before.scripts)
    );
}
