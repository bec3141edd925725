//! Owns the worker as a whole: a loop a task queue, and how they stop.
//! Never runs more at once than it has slots for, and never fetches more messages than that.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::{BoxFuture, join_all};
use futures::stream::FuturesUnordered;
use longhaul_sdk::registry::ActivityRegistry;
use longhaul_shared::id::QueueName;
use longhaul_shared::port::{Acker, BrokerError, Delays, Delivery, Ports, Source, Subscription, within};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::attempt::{Host, attempt, park, receive};
use crate::clock::AskedClock;
use crate::invoker::{Invoker, LocalInvoker};
use crate::metrics::Metrics;
use crate::report::Reporter;
use crate::settings::Settings;
use crate::suspect::Suspects;

/// Longest time for telling the store that what runs has killed nobody, when its deliveries are lost.
const SURVIVED_WITHIN: Duration = Duration::from_secs(1);
/// Delays between attempts to subscribe.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// A worker that hosts activities: build it, then [`run`](Self::run) it.
pub struct ActivityWorker {
    ports: Ports,
    settings: Settings,
    invoker: Arc<dyn Invoker>,
    metrics: Arc<Metrics>,
}

impl ActivityWorker {
    /// A worker for the activities of a registry.
    #[must_use]
    pub fn new(ports: Ports, registry: ActivityRegistry, settings: Settings) -> Self {
        Self::with_invoker(ports, Arc::new(LocalInvoker::new(registry)), settings)
    }

    /// A worker whose activities an invoker of your own runs.
    #[must_use]
    pub fn with_invoker(ports: Ports, invoker: Arc<dyn Invoker>, settings: Settings) -> Self {
        Self {
            ports,
            settings,
            invoker,
            metrics: Arc::default(),
        }
    }

    /// What the worker measures, to be registered where it is to be seen.
    #[must_use]
    pub fn metrics(&self) -> Arc<Metrics> {
        Arc::clone(&self.metrics)
    }

    /// Runs until `shutdown`: then it finishes what runs, reports it, and returns. It outlasts every failure of
    /// the broker.
    ///
    /// # Cancel safety
    /// Dropping the future is like killing the process: what runs is run again elsewhere.
    pub async fn run(self, shutdown: CancellationToken) {
        let Self {
            ports,
            settings,
            invoker,
            metrics,
        } = self;
        tracing::info!(queues = ?settings.queues, concurrency = settings.concurrency, hosts = ?invoker.hosts(), "activity worker starts");
        let slots = settings.queues.len() * usize::from(settings.concurrency);
        metrics.may_run(slots);
        let clock = AskedClock::default();
        let asking = clock.clone().keep(ports.clone(), settings.sample_every);
        let setting =
            (!settings.sample_every.is_zero()).then(|| ports.runtime.spawn("clock", Box::pin(asking)));
        let (reporter, reporting) = Reporter::new(ports.clone());
        let mut reporting = ports.runtime.spawn("reporter", Box::pin(reporting));
        let host = Arc::new(Host {
            ports: ports.clone(),
            invoker,
            reporter,
            metrics,
            clock,
            suspects: Suspects::default(),
            attempt_max: settings.attempt_max,
        });
        let queues = settings.queues.iter().map(|queue| {
            let serving = Serving {
                host: Arc::clone(&host),
                queue: queue.clone(),
                slots: Arc::new(Semaphore::new(usize::from(settings.concurrency))),
                settings: settings.clone(),
                shutdown: shutdown.clone(),
            };
            serving.run()
        });
        join_all(queues.collect::<Vec<_>>()).await;
        if within(&ports.runtime, settings.drain_max, host.suspects.give_up(&ports))
            .await
            .is_err()
        {
            tracing::debug!("what was counted stays so for now");
        }
        drop(host);
        drop(setting);
        if within(&ports.runtime, settings.drain_max, reporting.join())
            .await
            .is_err()
        {
            tracing::warn!("not every result was confirmed; their activities run again");
        }
        tracing::info!("activity worker has stopped");
    }
}

/// Serves one task queue.
struct Serving {
    host: Arc<Host>,
    queue: QueueName,
    /// One for each activity that may run: a message may bring more work items than there are left.
    slots: Arc<Semaphore>,
    settings: Settings,
    shutdown: CancellationToken,
}

type Running = FuturesUnordered<BoxFuture<'static, ()>>;

impl Serving {
    async fn run(self) {
        let runtime = Arc::clone(&self.host.ports.runtime);
        let mut delays = Delays::new(RETRY_FIRST, RETRY_MAX);
        // What runs outlasts the subscription that brought it: its result is reported all the same.
        let mut running = Running::new();
        loop {
            let source = Source::Work(self.queue.clone());
            match self
                .host
                .ports
                .broker
                .subscribe(source, self.settings.concurrency)
                .await
            {
                Ok(subscription) => {
                    delays.reset();
                    let Some(error) = self.receive(subscription, &mut running).await else {
                        return;
                    };
                    tracing::warn!(queue = %self.queue, %error, "work items do not come any more; subscribing again");
                    // What runs comes again, perhaps to another worker. It was lost to a connection, not to a death.
                    let survived = self.host.suspects.give_up(&self.host.ports);
                    if within(&runtime, SURVIVED_WITHIN, survived).await.is_err() {
                        tracing::debug!("what runs stays counted as suspect for now");
                    }
                }
                Err(BrokerError::Missing { queue }) => {
                    tracing::debug!(%queue, "the queue does not exist yet; an orchestrator worker makes it with its first task");
                }
                Err(error) => {
                    tracing::warn!(queue = %self.queue, %error, "work items do not come; tried again in {:?}", delays.upcoming())
                }
            }
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => return self.drain(&mut running).await,
                () = runtime.sleep(delays.next_delay()) => {}
            }
        }
    }

    /// Receives and runs until the shutdown (`None`) or the end of the subscription.
    async fn receive(
        &self,
        mut subscription: Box<dyn Subscription>,
        running: &mut Running,
    ) -> Option<BrokerError> {
        let acker = subscription.acker();
        loop {
            tokio::select! {
                biased;
                () = self.shutdown.cancelled() => break,
                Some(()) = running.next() => {}
                received = subscription.next() => match received {
                    Ok(delivery) => self.begin(delivery, &acker, running),
                    Err(error) => return Some(error),
                }
            }
        }
        self.drain(running).await;
        subscription.close().await;
        None
    }

    /// Begins all that came in a delivery.
    fn begin(&self, delivery: Delivery, acker: &Arc<dyn Acker>, running: &mut Running) {
        let (host, queue) = (&self.host, &self.queue);
        let spawn = |run: BoxFuture<'static, ()>| {
            let mut task = host.ports.runtime.spawn("attempt", run);
            running.push(Box::pin(async move { task.join().await }));
        };
        match receive(&delivery, acker) {
            Ok(all) => {
                for received in all {
                    let slots = Arc::clone(&self.slots);
                    let attempt = attempt(Arc::clone(host), queue.clone(), received, slots);
                    spawn(Box::pin(attempt));
                }
            }
            Err(error) => {
                let park = park(
                    Arc::clone(host),
                    queue.clone(),
                    delivery,
                    error,
                    Arc::clone(acker),
                );
                spawn(Box::pin(park));
            }
        }
    }

    /// Lets what runs come to its end: reported and acknowledged.
    async fn drain(&self, running: &mut Running) {
        let rest = async { while running.next().await.is_some() {} };
        let drain_max = self.settings.drain_max;
        if within(&self.host.ports.runtime, drain_max, rest).await.is_err() {
            tracing::warn!(queue = %self.queue, "activities still run after {drain_max:?}; they are run again elsewhere");
        }
    }
}
