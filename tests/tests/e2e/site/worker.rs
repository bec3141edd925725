//! Owns one running worker, a task of this process or a process of its own, and the two ways it ends.
//! Never decides which: the site does.

use std::path::Path;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use longhaul_activity_worker::ActivityWorker;
use longhaul_orchestrator_worker::OrchestratorWorker;
use longhaul_sdk::{ActivityRegistry, OrchestrationRegistry};
use longhaul_shared::id::{HubName, WorkerId};
use longhaul_shared::port::{Ports, TaskHandle};
use longhaul_tests::binaries::{Binary, READY, Running, Signal};
use tokio::task::block_in_place;
use tokio_util::sync::CancellationToken;

/// Longest wait until a worker has found its servers.
const READY_WITHIN: Duration = Duration::from_secs(30);
/// Longest time in which a worker that is told to leave does.
const DRAINED_WITHIN: Duration = Duration::from_secs(30);
/// Lines of a worker's log that are shown.
const LAST_LINES: usize = 60;

/// A running worker. Dropping it kills it.
pub(crate) enum Worker {
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
                process.says(READY, READY_WITHIN).unwrap();
                process.signal(Signal::Terminate).unwrap();
                let (status, said) = process.ends(DRAINED_WITHIN).unwrap();
                assert!(status.success(), "a worker left with {status}: {said}");
            }),
        }
    }

    /// Ends it at once, as a crash would.
    pub(crate) async fn kill(self) {
        match self {
            Self::Task { task, .. } => task.stop().await,
            Self::Process(mut process) => block_in_place(|| process.kill()),
        }
    }

    /// Waits until it has ended by itself; returns how, and everything it wrote to its log.
    pub(crate) fn ends(self, deadline: Duration) -> (ExitStatus, String) {
        match self {
            Self::Process(mut process) => block_in_place(|| process.ends(deadline)).unwrap(),
            Self::Task { .. } => panic!("a task of the test's own process does not end by itself"),
        }
    }

    /// Whether it has ended.
    pub(crate) fn has_ended(&mut self) -> bool {
        match self {
            Self::Process(process) => process.has_ended().unwrap(),
            Self::Task { .. } => false,
        }
    }

    /// Stops it where it is: it hangs, and its connections stay open.
    pub(crate) fn freeze(&self) {
        self.process().signal(Signal::Freeze).unwrap();
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) {
        self.process().signal(Signal::Thaw).unwrap();
    }

    /// Everything it has written to its log so far.
    pub(crate) fn said(&self) -> String {
        self.process().said()
    }

    fn process(&self) -> &Running {
        match self {
            Self::Process(process) => process,
            Self::Task { .. } => panic!("a task of the test's own process has no signals and no log"),
        }
    }

    /// Whether it is the orchestrator worker of this id: it says so when it starts.
    pub(super) fn is(&self, id: &WorkerId) -> bool {
        match self {
            Self::Task { .. } => false,
            Self::Process(process) => process.said().contains(&format!("worker={id}")),
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

/// A worker as a process of its own, with these variables in its environment.
pub(super) fn process(binary: Binary, arguments: &[String], environment: &[(&str, &str)]) -> Worker {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Worker::Process(block_in_place(|| binary.start_with(&arguments, environment)).unwrap())
}

/// The same, of the program that another build has put into this directory.
pub(super) fn process_of(binary: Binary, build: &Path, arguments: &[String]) -> Worker {
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Worker::Process(block_in_place(|| binary.start_of(build, &arguments)).unwrap())
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
