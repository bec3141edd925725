//! Owns the program `activity-worker`: from its command line to a running worker that hosts the samples.
//! Never decides when an activity runs: orchestrations do.
//!
//! Exit codes: 0 after a drain, 1 if it cannot start, 2 if the configuration is not valid. A second signal ends it
//! at once, with 128 and the signal's number.

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures::future::FutureExt;
use longhaul_activity_worker::{ActivityWorker, Settings};
use longhaul_backends::config::{ActivitySection, CommandLine, Config, ConfigError, Sources, help};
use longhaul_backends::open::{Role, open, show};
use longhaul_backends::runtime::TokioRuntime;
use longhaul_shared::port::{Runtime, Source};
use longhaul_telemetry::{Health, Program, probe_blocking};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

const PROGRAM: &str = env!("CARGO_BIN_NAME");
const VERSION: &str = env!("CARGO_PKG_VERSION");
/// What traces call it, unless `OTEL_SERVICE_NAME` says otherwise.
const SERVICE: &str = concat!("longhaul-", env!("CARGO_BIN_NAME"));
const ABOUT: &str = "Hosts activities: receives work items, runs them and reports their results.";
const SECTIONS: [&str; 6] = ["hub", "amqp", "redis", "store", "activity", "log"];

/// Fewest threads that run activities: one that an activity keeps for itself is not the last.
const THREADS_MIN: usize = 4;

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
    let cores = std::thread::available_parallelism().map_or(THREADS_MIN, usize::from);
    let tokio = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.max(THREADS_MIN))
        .enable_all()
        .build()?;
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
        opened = open(config, Role::Client, Arc::clone(&runtime)) => opened?,
    };
    let settings = settings(&config.activity);
    let queues: Vec<_> = settings.queues.iter().cloned().map(Source::Work).collect();
    let consuming = opened.consuming(queues.clone());
    let worker = ActivityWorker::new(opened.ports.clone(), longhaul_examples::activities(), settings);
    let checks = opened.checks(queues);
    let stopping = shutdown.clone();
    let program = Program::new(
        "activity",
        VERSION,
        move || Health { checks: checks() },
        move || stopping.is_cancelled(),
    )?;
    worker.metrics().register(program.registry())?;
    opened.register(program.registry())?;
    let _watched = show(
        &program,
        config,
        "activity.listen",
        config.activity.listen,
        &runtime,
    )
    .await?;
    let _ready = runtime.spawn(
        "ready",
        async move {
            consuming.await;
            tracing::info!("ready");
        }
        .boxed(),
    );
    worker.run(shutdown).await;
    opened.shutdown().await;
    Ok(())
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

fn settings(section: &ActivitySection) -> Settings {
    Settings {
        queues: section.queues.clone(),
        concurrency: section.concurrency,
        attempt_max: section.attempt_max,
        drain_max: section.drain_max,
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
        let table = settings(&config.activity);
        assert_eq!(format!("{table:?}"), format!("{:?}", Settings::default()));
    }
}
