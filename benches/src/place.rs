//! Owns where a hub is: on servers, with workers in processes of their own, or in the process of the load.
//! Never starts a server or a worker process: the driver does.

use std::path::PathBuf;
use std::sync::Arc;

use longhaul_activity_worker::ActivityWorker;
use longhaul_backends::config::{Config, Sources};
use longhaul_backends::embedded::Embedded;
use longhaul_backends::open::{Opened, Role, open};
use longhaul_backends::runtime::TokioRuntime;
use longhaul_client::Client;
use longhaul_orchestrator_worker::OrchestratorWorker;
use longhaul_shared::id::HubName;
use longhaul_shared::limits;
use longhaul_shared::port::{HubSettings, Runtime, TaskHandle};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

/// Where a hub is.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Place {
    /// On RabbitMQ and Redis: the settings that client and workers share, as environment variables.
    Fleet(Vec<(String, String)>),
    /// In the process of the load, kept in a directory.
    Disk(PathBuf),
    /// In the process of the load, kept nowhere.
    Memory,
}

/// A hub to start instances in.
pub(crate) struct Hub {
    pub(crate) client: Client,
    behind: Behind,
}

enum Behind {
    Fleet(Opened),
    Here {
        shutdown: CancellationToken,
        workers: [TaskHandle; 2],
    },
}

impl Hub {
    pub(crate) async fn open(place: &Place) -> anyhow::Result<Self> {
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current());
        match place {
            Place::Fleet(settings) => {
                let sources = Sources {
                    env: settings.clone(),
                    ..Sources::default()
                };
                let opened = open(&Config::load(sources)?, Role::Client, runtime).await?;
                let client = Client::new(opened.ports.clone(), opened.hub.clone()).await?;
                let behind = Behind::Fleet(opened);
                Ok(Self { client, behind })
            }
            Place::Disk(directory) => {
                Self::here(Embedded::open(directory, Arc::clone(&runtime))?, &runtime).await
            }
            Place::Memory => Self::here(Embedded::in_memory(Arc::clone(&runtime)), &runtime).await,
        }
    }

    /// A hub in this process, with a worker of each kind.
    async fn here(embedded: Embedded, runtime: &Arc<dyn Runtime>) -> anyhow::Result<Self> {
        let (ports, hub) = (embedded.ports(), HubName::default());
        let partitions = limits::PARTITIONS_DEFAULT;
        ports.store.open_hub(HubSettings { partitions }).await?;
        let client = Client::new(ports.clone(), hub.clone()).await?;
        let shutdown = CancellationToken::new();
        let settings = longhaul_orchestrator_worker::Settings::default();
        let orchestrations = longhaul_examples::orchestrations();
        let worker = OrchestratorWorker::new(ports.clone(), hub, orchestrations, settings)?;
        let stop = shutdown.clone();
        let run = async move {
            // What goes wrong shows in instances that do not end.
            let _ended = worker.run(stop).await;
        };
        let orchestrator = runtime.spawn("orchestrator worker", Box::pin(run));
        let settings = longhaul_activity_worker::Settings::default();
        let worker = ActivityWorker::new(ports, longhaul_examples::activities(), settings);
        let activity = runtime.spawn("activity worker", Box::pin(worker.run(shutdown.clone())));
        let workers = [orchestrator, activity];
        let behind = Behind::Here { shutdown, workers };
        Ok(Self { client, behind })
    }

    pub(crate) async fn close(self) {
        match self.behind {
            Behind::Fleet(opened) => opened.shutdown().await,
            Behind::Here { shutdown, workers } => {
                shutdown.cancel();
                for mut worker in workers {
                    worker.join().await;
                }
            }
        }
    }
}
