//! Owns a whole hub in this process: the embedded store and queues, both workers, a client.
//! Never needs a server; the functions are those of the examples.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context;
use longhaul_activity_worker::ActivityWorker;
use longhaul_backends::embedded::Embedded;
use longhaul_backends::runtime::TokioRuntime;
use longhaul_client::Client;
use longhaul_orchestrator_worker::OrchestratorWorker;
use longhaul_shared::id::HubName;
use longhaul_shared::limits;
use longhaul_shared::port::{HubSettings, Ports, Runtime, TaskHandle};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Where the hub is kept unless `--dir` says otherwise.
pub(crate) const DIRECTORY: &str = ".longhaul";

/// Where the hub keeps what must survive.
pub(crate) enum Place<'a> {
    /// In a directory, durably.
    Directory(&'a Path),
    /// Nowhere: it is gone when the process ends.
    Memory,
}

/// A hub in this process, running.
pub(crate) struct Local {
    pub(crate) client: Client,
    pub(crate) ports: Ports,
    shutdown: CancellationToken,
    orchestrator_worker: TaskHandle,
    activity_worker: TaskHandle,
    failed: oneshot::Receiver<anyhow::Error>,
}

impl Local {
    /// Opens the hub and starts a worker of each kind.
    ///
    /// # Errors
    /// When the directory cannot be used; the message says why.
    pub(crate) async fn start(place: Place<'_>) -> anyhow::Result<Self> {
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current());
        let embedded = match place {
            Place::Memory => Embedded::in_memory(Arc::clone(&runtime)),
            Place::Directory(dir) => Embedded::open(dir, Arc::clone(&runtime))?,
        };
        let ports = embedded.ports();
        let hub = HubName::default();
        ports
            .store
            .open_hub(HubSettings {
                partitions: limits::PARTITIONS_DEFAULT,
            })
            .await?;
        let client = Client::new(ports.clone(), hub.clone()).await?;

        let shutdown = CancellationToken::new();
        let settings = longhaul_orchestrator_worker::Settings::default();
        let worker =
            OrchestratorWorker::new(ports.clone(), hub, longhaul_examples::orchestrations(), settings)?;
        let (failure, failed) = oneshot::channel();
        let stop = shutdown.clone();
        let run = async move {
            if let Err(error) = worker.run(stop).await {
                // Whoever started the hub looks at this while it waits.
                let _ = failure.send(anyhow::Error::from(error));
            }
        };
        let orchestrator_worker = runtime.spawn("orchestrator worker", Box::pin(run));
        let settings = longhaul_activity_worker::Settings::default();
        let worker = ActivityWorker::new(ports.clone(), longhaul_examples::activities(), settings);
        let activity_worker = runtime.spawn("activity worker", Box::pin(worker.run(shutdown.clone())));
        Ok(Self {
            client,
            ports,
            shutdown,
            orchestrator_worker,
            activity_worker,
            failed,
        })
    }

    /// Does something with the hub until it is done, a worker fails, or somebody presses Ctrl-C (`None`).
    ///
    /// # Errors
    /// Those of the worker or of what was done.
    pub(crate) async fn until<T>(
        &mut self,
        done: impl Future<Output = anyhow::Result<T>>,
    ) -> anyhow::Result<Option<T>> {
        tokio::select! {
            biased;
            Ok(error) = &mut self.failed => Err(error.context("the orchestrator worker stopped")),
            interrupt = tokio::signal::ctrl_c() => {
                interrupt.context("Ctrl-C cannot be waited for")?;
                Ok(None)
            }
            done = done => done.map(Some),
        }
    }

    /// Lets both workers finish what they do, and closes the hub.
    pub(crate) async fn stop(self) {
        let Self {
            shutdown,
            mut orchestrator_worker,
            mut activity_worker,
            ..
        } = self;
        shutdown.cancel();
        activity_worker.join().await;
        orchestrator_worker.join().await;
    }
}
