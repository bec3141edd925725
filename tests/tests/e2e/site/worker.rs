//! Owns one running worker, a task of this process or a process of its own, and the two ways it ends.
//! Never decides which: the site does.

use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use longhaul_activity_worker::ActivityWorker;
use longhaul_orchestrator_worker::OrchestratorWorker;
use longhaul_sdk::{ActivityRegistry, OrchestrationRegistry};
use longhaul_shared::id::HubName;
use longhaul_shared::port::{Ports, TaskHandle};
use longhaul_tests::binaries::{Binary, Running, Signal};
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

/// Longest wait until a worker has found its servers.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Longest time in which a worker that is told to leave does.
const DRAINED_WITHIN: Duration = Duration::from_secs(30);
/// Lines of a worker's log that are shown.
const LAST_LINES: usize = 60;

/// A running worker. Dropping it kills it.
pub(super) enum Worker {
    Task {
        stop: CancellationToken,
        task: TaskHandle,
    },
    Process(Running),
}

impl Worker {
    /// Ends it in good order.
    pub(super) async fn stop(self) {
        match self {
            Self::Task { stop, mut task } => {
                stop.cancel();
                task.join().await;
            }
            Self::Process(mut process) => block_in_place(|| {
                // Before it is ready it may not have learnt yet to end in good order.
                process.says("ready", READY_WITHIN).unwrap();
                process.signal(Signal::Terminate).unwrap();
                let (status, said) = process.ends(DRAINED_WITHIN).unwrap();
                assert!(status.success(), "a worker left with {status}: {said}");
            }),
        }
    }

    /// Ends it at once, as a crash would.
    pub(super) async fn kill(self) {
        match self {
            Self::Task { task, .. } => task.stop().await,
            Self::Process(mut process) => block_in_place(|| process.kill()),
        }
    }

    /// The end of its log, if it has one of its own.
    pub(super) fn last_words(&self) -> Option<String> {
        match self {
            Self::Task { .. } => None,
            Self::Process(process) => Some(last_lines(&process.said())),
        }
    }
}

/// A worker as a process of its own.
pub(super) fn process(binary: Binary, arguments: &[String]) -> Worker {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Worker::Process(block_in_place(|| binary.start(&arguments)).unwrap())
}

fn last_lines(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    let end = lines
        .get(lines.len().saturating_sub(LAST_LINES)..)
        .unwrap_or_default();
    end.join("\n")
}

/// An orchestrator worker as a task of this process.
pub(super) fn orchestrator(
    ports: Ports,
    hub: HubName,
    registry: OrchestrationRegistry,
    settings: longhaul_orchestrator_worker::Settings,
) -> Worker {
    let runtime = Arc::clone(&ports.runtime);
    let stop = CancellationToken::new();
    let worker = OrchestratorWorker::new(ports, hub, registry, settings).unwrap();
    let run = worker.run(stop.clone()).map(|ended| ended.unwrap());
    let task = runtime.spawn("orchestrator worker", run.boxed());
    Worker::Task { stop, task }
}

/// An activity worker as a task of this process.
pub(super) fn activity(
    ports: Ports,
    registry: ActivityRegistry,
    settings: longhaul_activity_worker::Settings,
) -> Worker {
    let runtime = Arc::clone(&ports.runtime);
    let stop = CancellationToken::new();
    let worker = ActivityWorker::new(ports, registry, settings);
    let task = runtime.spawn("activity worker", worker.run(stop.clone()).boxed());
    Worker::Task { stop, task }
}
