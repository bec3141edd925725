//! Owns the program `orchestrator-worker`: from its command line to a running worker that hosts the samples.
//! Never decides anything about an orchestration: the library does.
//!
//! Exit codes: 0 after a drain, 1 if it cannot start, 2 if the configuration is not valid. A second signal ends it
//! at once, with 128 and the signal's number.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::future::FutureExt;
use longhaul_backends::config::{CommandLine, Config, ConfigError, OrchestratorSection, Sources, help};
use longhaul_backends::metered::{Consumption, SourceKind};
use longhaul_backends::open::{Role, open, show};
use longhaul_backends::runtime::TokioRuntime;
use longhaul_orchestrator_worker::{OrchestratorWorker, Settings};
use longhaul_shared::port::{Runtime, Source};
use longhaul_telemetry::{Check, Health, Program, probe_blocking};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

const PROGRAM: &str = env!("CARGO_BIN_NAME");
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What traces call it, unless `OTEL_SERVICE_NAME` says otherwise.
const SERVICE: &str = concat!("longhaul-", env!("CARGO_BIN_NAME"));
const ABOUT: &str =
    "Hosts orchestrations: owns partitions of a hub, runs turns, commits them and sends what they want.";
const SECTIONS: [&str; 6] = ["hub", "amqp", "redis", "store", "orchestrator", "log"];

/// How long what is still running after the drain may keep the process alive.
const LEAVE_WITHIN: Duration = Duration::from_secs(1);

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = std::env::args_os().skip(1);
    let arguments = arguments.map(|argument| argument.to_string_lossy().into_owned());
    let flags = match CommandLine::parse(arguments) {
        Ok(CommandLine::Run(flags)) => flags,
        Ok(CommandLine::Help) => return answer(&help(PROGRAM, ABOUT, &SECTIONS)),
        Ok(CommandLine::Version) => return answer(&format!("{PROGRAM} {VERSION}\n")),
        Ok(CommandLine::Probe(url)) => {
            return probe_blocking(&url).map_or_else(|no| failed(&no), |page| answer(&page));
        }
        Err(error) => return misconfigured(&error),
    };
    let config = match Sources::of_process(flags).and_then(Config::load) {
        Ok(config) => config,
        Err(error) => return misconfigured(&error),
    };
    let _log = match config.start_logging(SERVICE, VERSION) {
        Ok(log) => log,
        Err(error) => return misconfigured(&error),
    };
    match host(&config) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Runs the worker on a tokio runtime of its own.
fn host(config: &Config) -> anyhow::Result<()> {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::new(tokio.handle().clone()));
    let hosted = tokio.block_on(async {
        let shutdown = CancellationToken::new();
        let drain = drain_on_signal(shutdown.clone())?;
        let _signals = runtime.spawn("signals", drain.boxed());
        run(config, Arc::clone(&runtime), shutdown).await
    });
    tokio.shutdown_timeout(LEAVE_WITHIN);
    hosted
}

/// Opens the hub, works until `shutdown`, and closes it again.
async fn run(config: &Config, runtime: Arc<dyn Runtime>, shutdown: CancellationToken) -> anyhow::Result<()> {
    let opened = tokio::select! {
        biased;
        () = shutdown.cancelled() => return Ok(()),
        opened = open(config, Role::Orchestrator, Arc::clone(&runtime)) => opened?,
    };
    let worker = OrchestratorWorker::new(
        opened.ports.clone(),
        opened.hub.clone(),
        longhaul_examples::orchestrations(),
        settings(&config.orchestrator),
    )?
    .hub_settings(opened.hub_settings);
    let metrics = worker.metrics();
    let checks = opened.checks(vec![Source::Intake]);
    let (consumption, owned) = (opened.consumption(), Arc::clone(&metrics));
    let ready = move || {
        let mut checks = checks();
        checks.push(hears_its_partitions(owned.partitions_owned(), &consumption));
        Health { checks }
    };
    let stopping = shutdown.clone();
    let program = Program::new("orchestrator", VERSION, ready, move || stopping.is_cancelled())?;
    metrics.register(program.registry())?;
    opened.register(program.registry())?;
    let _watched = show(
        &program,
        config,
        "orchestrator.listen",
        config.orchestrator.listen,
        &runtime,
    )
    .await?;
    let consuming = opened.consuming(vec![Source::Intake]);
    let _ready = runtime.spawn(
        "ready",
        async move {
            consuming.await;
            tracing::info!("ready");
        }
        .boxed(),
    );
    worker.run(shutdown).await?;
    opened.shutdown().await;
    Ok(())
}

/// A worker that owns none yet is ready to; one that owns some has to hear from each.
fn hears_its_partitions(owned: usize, consumption: &Consumption) -> Check {
    let heard = consumption.open(SourceKind::Control);
    let wrong =
        format!("{owned} partitions are this worker's, and it receives from the control queues of {heard}");
    Check::that("partitions", heard >= owned, wrong)
}

/// Cancels `shutdown` at the first SIGTERM or SIGINT; whoever sends a second one does not want to wait.
fn drain_on_signal(shutdown: CancellationToken) -> io::Result<impl Future<Output = ()> + Send> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        loop {
            let kind = tokio::select! {
                Some(()) = terminate.recv() => SignalKind::terminate(),
                Some(()) = interrupt.recv() => SignalKind::interrupt(),
                else => return,
            };
            if shutdown.is_cancelled() {
                std::process::exit(128 + kind.as_raw_value());
            }
            tracing::info!("draining; a second signal ends the program at once");
            shutdown.cancel();
        }
    })
}

fn settings(section: &OrchestratorSection) -> Settings {
    Settings {
        lease_ttl: section.lease_ttl,
        lease_renew: section.lease_renew,
        acquire_poll: section.acquire_poll,
        early_connected: section.early_connected,
        early_looks: section.early_looks,
        drain_max: section.drain_max,
        turns_max: section.turns_max,
        replays_max: section.replays_max,
        replay_bytes_max: usize::try_from(section.replay_bytes_max.0).unwrap_or(usize::MAX),
        sessions_max: section.sessions_max,
        control_prefetch: section.control_prefetch,
        intake_prefetch: section.intake_prefetch,
        work_items_max: section.work_items_max,
        work_per_message: section.work_per_message,
        quick_after_runs: section.quick_after_runs,
        sweep_every: section.sweep_every,
        sweep_age: section.sweep_age,
        outbox_every: section.outbox_every,
        forget_after: section.forget_after,
        stall_after: section.stall_after,
        retry_first: section.retry_first,
        retry_max: section.retry_max,
        sample_every: section.sample_every,
    }
}

/// Whoever closed the other end does not want to read it.
fn answer(text: &str) -> ExitCode {
    let _unread = io::stdout().write_all(text.as_bytes());
    ExitCode::SUCCESS
}

fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    last_words(error);
    ExitCode::FAILURE
}

fn misconfigured(error: &ConfigError) -> ExitCode {
    last_words(error);
    ExitCode::from(2)
}

/// One line, for a person, whatever the format of the log.
fn last_words(error: &dyn std::fmt::Display) {
    let _unread = writeln!(io::stderr(), "{PROGRAM}: {error}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_keys_has_the_defaults_of_the_library() {
        let config = Config::load(Sources::default()).unwrap();
        let table = settings(&config.orchestrator);
        assert_eq!(format!("{table:?}"), format!("{:?}", Settings::default()));
    }
}
