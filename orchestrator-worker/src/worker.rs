//! Owns the worker as a whole: what it is built from, the order in which its loops start, and how they stop.
//! Never serves before the hub is open and the broker's epoch is settled.

use std::collections::BTreeMap;
use std::sync::Arc;

use longhaul_sdk::registry::OrchestrationRegistry;
use longhaul_shared::id::{HubName, InvalidId, PartitionId, WorkerId};
use longhaul_shared::port::{HubClock, HubSettings, Ports, Runtime, StoreError, TaskHandle, WorkerRow};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use crate::committer::Committer;
use crate::dispatch::{self, Dispatch};
use crate::early::Early;
use crate::era::{EraError, Eras};
use crate::executor::Executor;
use crate::intake::Intake;
use crate::local_executor::{LocalExecutor, Threads};
use crate::metrics::Metrics;
use crate::ownership::Ownership;
use crate::relay::Relay;
use crate::replay::Replays;
use crate::sampler::Sampler;
use crate::settings::Settings;
use crate::suspect::Company;
use crate::turn::Host;

/// A worker that hosts orchestrations: build it, then [`run`](Self::run) it.
pub struct OrchestratorWorker {
    ports: Ports,
    hub: HubName,
    hub_settings: HubSettings,
    settings: Settings,
    executor: Arc<dyn Executor>,
    metrics: Arc<Metrics>,
}

/// Why a worker could not start.
#[derive(Debug, thiserror::Error)]
pub enum WorkerError {
    /// The store did not open the hub.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The broker could not be prepared.
    #[error("the broker's queues could not be prepared: {0}")]
    Broker(String),
    /// The operating system gave no threads for the turns.
    #[error("no threads for the turns: {0}")]
    Threads(#[from] std::io::Error),
    /// The worker's own id is not valid.
    #[error(transparent)]
    Id(#[from] InvalidId),
}

impl From<EraError> for WorkerError {
    fn from(error: EraError) -> Self {
        match error {
            EraError::Store(error) => Self::Store(error),
            EraError::Broker(error) => Self::Broker(error.to_string()),
        }
    }
}

impl OrchestratorWorker {
    /// A worker of this hub for the orchestrations of a registry.
    ///
    /// # Errors
    /// [`WorkerError::Threads`].
    pub fn new(
        ports: Ports,
        hub: HubName,
        registry: OrchestrationRegistry,
        settings: Settings,
    ) -> Result<Self, WorkerError> {
        let count = std::thread::available_parallelism().map_or(2, usize::from).max(2);
        let threads = Threads::Own {
            count,
            stall_after: settings.stall_after,
        };
        let executor = LocalExecutor::new(registry, Arc::clone(&ports.runtime), threads)?;
        Ok(Self::with_executor(ports, hub, Arc::new(executor), settings))
    }

    /// A worker of this hub whose orchestrations an executor of your own runs.
    #[must_use]
    pub fn with_executor(
        ports: Ports,
        hub: HubName,
        executor: Arc<dyn Executor>,
        settings: Settings,
    ) -> Self {
        let hub_settings = HubSettings {
            partitions: longhaul_shared::limits::PARTITIONS_DEFAULT,
        };
        Self {
            ports,
            hub,
            hub_settings,
            settings,
            executor,
            metrics: Arc::default(),
        }
    }

    /// The same worker, which makes the hub with these settings if there is none yet.
    #[must_use]
    pub fn hub_settings(mut self, hub_settings: HubSettings) -> Self {
        self.hub_settings = hub_settings;
        self
    }

    /// What the worker measures, to be registered where it is to be seen.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Runs until `shutdown`: then it finishes its turns, hands its partitions over and returns.
    ///
    /// # Errors
    /// [`WorkerError`] if it could not start; once it runs it outlasts every failure of store and broker.
    ///
    /// # Cancel safety
    /// Dropping the future is like killing the process: nothing is lost, the leases expire.
    pub async fn run(self, shutdown: CancellationToken) -> Result<(), WorkerError> {
        let Self {
            ports,
            hub,
            hub_settings,
            settings,
            executor,
            metrics,
        } = self;
        let runtime = Arc::clone(&ports.runtime);
        let info = ports.store.open_hub(hub_settings).await?;
        let partitions = info.partitions;
        let (eras, losses, missing) = Eras::settle(ports.clone(), info).await?;
        let clock = Arc::new(HubClock::new(Arc::clone(&runtime), ports.store.time().await?));
        let worker = row(&*runtime, &*executor)?;
        tracing::info!(%hub, worker = %worker.id, partitions, epoch = %losses.era().epoch, hosts = ?worker.hosts, "orchestrator worker starts");

        let (committer, committing) =
            Committer::new(ports.clone(), Arc::clone(&metrics), settings.forget_after);
        let (relay, relaying) = Relay::new(ports.clone(), missing.clone(), committer.clone(), &settings);
        let looking = eras.run(Arc::clone(&clock), settings.lease_renew);
        let looking = runtime.spawn("losses", Box::pin(looking));
        let committing = runtime.spawn("committer", Box::pin(committing));
        let relaying = runtime.spawn("relay", Box::pin(relaying));

        let intake = Intake {
            ports: ports.clone(),
            hub,
            partitions,
            prefetch: settings.intake_prefetch,
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
        };
        let mut intake = runtime.spawn("intake", Box::pin(intake.run(shutdown.clone())));

        let (sampled, owned) = watch::channel(Vec::new());
        let sampling = sample(&ports, &metrics, &relay, &settings, owned, partitions);

        let (events, event_source) = mpsc::channel(dispatch::EVENTS_MAX);
        let (fenced, fenced_source) = mpsc::unbounded_channel();
        let host = Arc::new(Host {
            ports: ports.clone(),
            executor,
            committer: committer.clone(),
            relay: relay.clone(),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            settings: settings.clone(),
            replays: Replays::new(settings.replays_max, settings.replay_bytes_max),
            company: Company::default(),
        });
        let stop = CancellationToken::new();
        let dispatch = Dispatch::new(host, partitions, event_source, events.clone(), fenced);
        let dispatching = runtime.spawn("dispatch", Box::pin(dispatch.run(stop.clone())));

        let ownership = Ownership {
            early: Early::new(worker.id.clone(), partitions, &settings),
            relay,
            committer,
            ports,
            worker,
            partitions,
            settings,
            events,
            fenced: fenced_source,
            metrics,
            owned: BTreeMap::new(),
            sampled,
            live: Vec::new(),
            losses,
            missing,
        };
        ownership.run(shutdown).await;
        intake.join().await;
        drop(sampling);
        stop.cancel();
        wind_down(dispatching, relaying, committing, looking).await;
        tracing::info!("orchestrator worker has stopped");
        Ok(())
    }
}

/// Looks at what no loop sees as it happens, for as long as the handle is held; `None` if nobody wants to know.
fn sample(
    ports: &Ports,
    metrics: &Arc<Metrics>,
    relay: &Relay,
    settings: &Settings,
    owned: watch::Receiver<Vec<PartitionId>>,
    partitions: u16,
) -> Option<TaskHandle> {
    if settings.sample_every.is_zero() {
        return None;
    }
    let sampler = Sampler {
        ports: ports.clone(),
        metrics: Arc::clone(metrics),
        relay: relay.clone(),
        owned,
        partitions,
        every: settings.sample_every,
        overdue: settings.sweep_age + settings.sweep_every,
    };
    Some(ports.runtime.spawn("sampler", Box::pin(sampler.run())))
}

/// Waits for the loops that end when those before them have. Their handles are gone with the loop that used them, so
/// each ends once what it holds is done.
async fn wind_down(
    mut dispatching: TaskHandle,
    relaying: TaskHandle,
    mut committing: TaskHandle,
    looking: TaskHandle,
) {
    dispatching.join().await;
    relaying.stop().await;
    committing.join().await;
    looking.stop().await;
}

/// A new worker's entry in the list of the living.
fn row(runtime: &dyn Runtime, executor: &dyn Executor) -> Result<WorkerRow, InvalidId> {
    Ok(WorkerRow {
        id: WorkerId::new(format!("{:032x}", runtime.random()))?,
        hosts: executor.hosts(),
    })
}
