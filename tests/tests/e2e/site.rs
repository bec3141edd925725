//! Owns the place where a test happens: a hub of its own on one of the backends, with its workers and a client.
//! Never asserts anything of Longhaul; waiting in vain fails the test and names what was waited for.

mod worker;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use longhaul_backends::embedded::Embedded;
use longhaul_backends::rabbitmq::{QueueType, RabbitBroker, RabbitConfig, Role};
use longhaul_backends::redis::{RedisConfig, RedisStore};
use longhaul_backends::runtime::TokioRuntime;
use longhaul_client::{Client, Handle};
use longhaul_sdk::{ActivityRegistry, Orchestration, OrchestrationRegistry};
use longhaul_shared::codec;
use longhaul_shared::id::{HubName, InstanceId, PartitionId, QueueName, WorkerId};
use longhaul_shared::instance::{InstanceRow, Status, WaitingFor};
use longhaul_shared::message::Publication;
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::port::{
    HubSettings, InstanceSummary, LoadRequest, LoadedInstance, PageRequest, Ports, Query, Runtime, Step,
    StoreError,
};
use longhaul_shared::time::Timestamp;
use longhaul_tests::binaries::Binary;
use longhaul_tests::servers::Servers;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tempfile::TempDir;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

pub(crate) use self::worker::Worker;
use crate::oracle;

/// Longest wait for anything in a healthy hub on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Few, so that a fleet's queues are quickly made; more than one, so that partitions matter.
const PARTITIONS_USUAL: u16 = 4;

/// What a hub stands on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Backend {
    /// The embedded store in memory: one worker of each kind, in this process.
    Memory,
    /// The embedded store on disk: one worker of each kind, in this process.
    Disk,
    /// RabbitMQ and Redis: two workers of each kind, each a process of its own.
    Fleet,
}

/// How the workers of a site are set.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tuning {
    pub(crate) orchestrator: longhaul_orchestrator_worker::Settings,
    pub(crate) activity: longhaul_activity_worker::Settings,
    /// How many partitions the hub has, if not the usual few.
    pub(crate) partitions: Option<u16>,
}

/// A hub with its workers. Dropping it kills them; [`close`](Site::close) is how a test ends that went well.
pub(crate) struct Site {
    /// The client's own doors, for what a client does not do.
    pub(crate) ports: Ports,
    pub(crate) client: Client,
    pub(crate) hub: HubName,
    partitions: u16,
    ground: Ground,
    tuning: Tuning,
    orchestrators: Mutex<Vec<Worker>>,
    activities: Mutex<Vec<Worker>>,
    /// How often the broker has lost its data.
    losses: AtomicU64,
    directory: TempDir,
}

/// What the ports of a worker are opened on.
enum Ground {
    Embedded(Embedded),
    Servers { redis_url: String, amqp_url: String },
}

/// What a worker process is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Orchestrator,
    Activity,
}

impl Kind {
    fn binary(self) -> Binary {
        match self {
            Self::Orchestrator => Binary::OrchestratorWorker,
            Self::Activity => Binary::ActivityWorker,
        }
    }
}

impl Site {
    /// A hub on this backend with its usual workers.
    pub(crate) async fn start(backend: Backend) -> Self {
        Self::tuned(backend, Tuning::default()).await
    }

    /// The same, with workers set otherwise.
    pub(crate) async fn tuned(backend: Backend, tuning: Tuning) -> Self {
        tell_logs();
        let directory = tempfile::Builder::new()
            .prefix("longhaul-e2e-")
            .tempdir()
            .unwrap();
        let runtime = runtime();
        let ground = match backend {
            Backend::Memory => Ground::Embedded(Embedded::in_memory(runtime)),
            Backend::Disk => {
                Ground::Embedded(Embedded::open(&directory.path().join("hub"), runtime).unwrap())
            }
            Backend::Fleet => {
                let servers = Servers::shared().unwrap();
                Ground::Servers {
                    redis_url: servers.redis_url.to_owned(),
                    amqp_url: servers.amqp_url.to_owned(),
                }
            }
        };
        let site = Self::on(ground, directory, tuning).await;
        let count = if backend == Backend::Fleet { 2 } else { 1 };
        for _ in 0..count {
            site.add(Kind::Orchestrator).await;
            site.add(Kind::Activity).await;
        }
        site
    }

    /// A hub on these servers, without workers.
    pub(crate) async fn on_servers(redis_url: String, amqp_url: String, tuning: Tuning) -> Self {
        tell_logs();
        let directory = tempfile::Builder::new()
            .prefix("longhaul-e2e-")
            .tempdir()
            .unwrap();
        Self::on(Ground::Servers { redis_url, amqp_url }, directory, tuning).await
    }

    /// The hub on disk in this directory, without workers.
    pub(crate) async fn in_directory(directory: &Path) -> Self {
        tell_logs();
        let embedded = Embedded::open(&directory.join("hub"), runtime()).unwrap();
        let own = tempfile::Builder::new()
            .prefix("longhaul-e2e-")
            .tempdir()
            .unwrap();
        Self::on(Ground::Embedded(embedded), own, Tuning::default()).await
    }

    async fn on(ground: Ground, directory: TempDir, tuning: Tuning) -> Self {
        let hub = HubName::new(format!("e2e-{:032x}", runtime().random())).unwrap();
        let ports = ground.ports(&hub, Role::Client).await;
        let partitions = tuning.partitions.unwrap_or(PARTITIONS_USUAL);
        ports.store.open_hub(HubSettings { partitions }).await.unwrap();
        let client = Client::new(ports.clone(), hub.clone()).await.unwrap();
        Self {
            ports,
            client,
            hub,
            partitions,
            ground,
            tuning,
            orchestrators: Mutex::default(),
            activities: Mutex::default(),
            losses: AtomicU64::new(0),
            directory,
        }
    }

    /// Checks that every history is as it must be and that nothing is left behind, then stops the workers.
    pub(crate) async fn close(self) {
        oracle::check(&self).await;
        self.stop(Kind::Orchestrator).await;
        self.stop(Kind::Activity).await;
    }

    /// Notes that the test has made the broker lose its data: each time, and only then, the epoch rises.
    pub(crate) fn broker_was_wiped(&self) {
        self.losses.fetch_add(1, Ordering::Relaxed);
    }

    /// The number of the epoch that the hub must be in: that of its making, and one more for each loss.
    pub(crate) fn epoch_expected(&self) -> u64 {
        1 + self.losses.load(Ordering::Relaxed)
    }

    /// The number of the epoch that the hub is in.
    pub(crate) async fn epoch(&self) -> u64 {
        let settings = HubSettings {
            partitions: self.partitions,
        };
        self.ports.store.open_hub(settings).await.unwrap().epoch.number
    }

    /// A path of this name in the site's own directory, where nothing is yet.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    // --- workers ---------------------------------------------------------------------------------------

    /// Starts one more of the usual workers.
    pub(crate) async fn add(&self, kind: Kind) {
        let worker = match (&self.ground, kind) {
            (Ground::Servers { redis_url, amqp_url }, _) => self.process(kind, redis_url, amqp_url, &[]),
            (Ground::Embedded(_), Kind::Orchestrator) => {
                self.orchestrator_task(longhaul_examples::orchestrations()).await
            }
            (Ground::Embedded(_), Kind::Activity) => {
                self.activity_task(longhaul_examples::activities()).await
            }
        };
        self.workers(kind).lock().unwrap().push(worker);
    }

    /// Starts a worker that dies so long after it reached this step for the `times`-th time: what came there stands
    /// still meanwhile, everything else goes on. The site does not keep it.
    pub(crate) fn doomed(&self, kind: Kind, step: Step, times: u32, linger: Duration) -> Worker {
        let Ground::Servers { redis_url, amqp_url } = &self.ground else {
            panic!("a worker in the test's own process must not die");
        };
        let order = format!("{step}:{times}:{}", linger.as_millis());
        self.process(kind, redis_url, amqp_url, &[("LONGHAUL_CRASH_AT", &order)])
    }

    /// Starts one more of the workers that another build has put into this directory, with only what every version
    /// knows said to it.
    pub(crate) fn add_of(&self, kind: Kind, build: &Path) {
        let Ground::Servers { redis_url, amqp_url } = &self.ground else {
            panic!("an embedded hub has no worker processes");
        };
        let arguments = self.place(redis_url, amqp_url);
        let worker = worker::process_of(kind.binary(), build, &arguments);
        self.workers(kind).lock().unwrap().push(worker);
    }

    /// Starts one more orchestrator worker that reaches RabbitMQ at another port, say a proxy's.
    pub(crate) fn add_orchestrator_through(&self, amqp_port: u16) {
        let Ground::Servers { redis_url, .. } = &self.ground else {
            panic!("an embedded hub has no servers to reach");
        };
        let amqp_url = format!("amqp://guest:guest@127.0.0.1:{amqp_port}/%2f");
        let worker = self.process(Kind::Orchestrator, redis_url, &amqp_url, &[]);
        self.orchestrators.lock().unwrap().push(worker);
    }

    /// Starts an orchestrator worker that hosts these, in this process on any backend.
    pub(crate) async fn orchestrate(&self, registry: OrchestrationRegistry) {
        let worker = self.orchestrator_task(registry).await;
        self.orchestrators.lock().unwrap().push(worker);
    }

    /// Starts an activity worker that hosts these, in this process on any backend.
    pub(crate) async fn act(&self, registry: ActivityRegistry) {
        let worker = self.activity_task(registry).await;
        self.activities.lock().unwrap().push(worker);
    }

    /// The same, for these queues only.
    pub(crate) async fn act_on(&self, queues: Vec<QueueName>, registry: ActivityRegistry) {
        let ports = self.ground.ports(&self.hub, Role::Client).await;
        let settings = longhaul_activity_worker::Settings {
            queues,
            ..self.tuning.activity.clone()
        };
        let worker = worker::activity(ports, registry, settings);
        self.activities.lock().unwrap().push(worker);
    }

    /// Stops all workers of a kind in good order, one after the other.
    pub(crate) async fn stop(&self, kind: Kind) {
        let workers = std::mem::take(&mut *self.workers(kind).lock().unwrap());
        for worker in workers {
            worker.stop().await;
        }
    }

    /// Stops the oldest worker of a kind in good order.
    pub(crate) async fn stop_one(&self, kind: Kind) {
        let worker = self.workers(kind).lock().unwrap().remove(0);
        worker.stop().await;
    }

    /// Kills the oldest worker of a kind at once, as a crash would.
    pub(crate) async fn kill_one(&self, kind: Kind) {
        let worker = self.workers(kind).lock().unwrap().remove(0);
        worker.kill().await;
    }

    /// Takes the orchestrator worker of this id out of the site, to do to it what the test wants.
    pub(crate) fn take(&self, id: &WorkerId) -> Worker {
        let position = self.position(id);
        self.orchestrators.lock().unwrap().remove(position)
    }

    /// Which of the site's orchestrator workers has this id, in the order in which they were added.
    pub(crate) fn position(&self, id: &WorkerId) -> usize {
        self.find(id)
            .unwrap_or_else(|| panic!("no process is the worker {id}"))
    }

    /// The same, if there is one.
    pub(crate) fn find(&self, id: &WorkerId) -> Option<usize> {
        let workers = self.orchestrators.lock().unwrap();
        workers.iter().position(|worker| worker.is(id))
    }

    /// Puts a worker back that was taken out.
    pub(crate) fn put_back(&self, orchestrator: Worker) {
        self.orchestrators.lock().unwrap().push(orchestrator);
    }

    /// Whether every worker of a kind has written this to its log.
    pub(crate) fn all_say(&self, kind: Kind, text: &str) -> bool {
        let workers = self.workers(kind).lock().unwrap();
        workers.iter().all(|worker| worker.said().contains(text))
    }

    fn workers(&self, kind: Kind) -> &Mutex<Vec<Worker>> {
        match kind {
            Kind::Orchestrator => &self.orchestrators,
            Kind::Activity => &self.activities,
        }
    }

    fn process(&self, kind: Kind, redis_url: &str, amqp_url: &str, environment: &[(&str, &str)]) -> Worker {
        let mut arguments = self.place(redis_url, amqp_url);
        if kind == Kind::Orchestrator {
            let settings = &self.tuning.orchestrator;
            let tuned = [
                ("lease_ttl", settings.lease_ttl),
                ("lease_renew", settings.lease_renew),
                ("early_connected", settings.early_connected),
                ("stall_after", settings.stall_after),
            ];
            arguments.extend(tuned.map(|(key, span)| format!("--orchestrator.{key}={}ms", span.as_millis())));
        }
        worker::process(kind.binary(), &arguments, environment)
    }

    /// What every worker is told: where its hub is.
    fn place(&self, redis_url: &str, amqp_url: &str) -> Vec<String> {
        vec![
            format!("--hub.name={}", self.hub),
            format!("--redis.url={redis_url}"),
            format!("--amqp.url={amqp_url}"),
        ]
    }

    async fn orchestrator_task(&self, registry: OrchestrationRegistry) -> Worker {
        let ports = self.ground.ports(&self.hub, Role::Orchestrator).await;
        worker::orchestrator(
            ports,
            self.hub.clone(),
            registry,
            self.tuning.orchestrator.clone(),
        )
    }

    async fn activity_task(&self, registry: ActivityRegistry) -> Worker {
        let ports = self.ground.ports(&self.hub, Role::Client).await;
        worker::activity(ports, registry, self.tuning.activity.clone())
    }

    // --- what a client does ----------------------------------------------------------------------------

    /// Starts an instance that must be new, under a start id of the same text.
    pub(crate) async fn start_new<I, O>(&self, contract: Orchestration<I, O>, id: &str, input: I) -> Handle<O>
    where
        I: Serialize + 'static,
        O: 'static,
    {
        let handle = self
            .client
            .start(contract, input)
            .id(id)
            .start_id(id)
            .await
            .unwrap();
        assert_eq!(handle.repeated(), None, "{id}");
        handle
    }

    /// Sends a wake-up. One that gets lost costs a second.
    pub(crate) async fn wake(&self, id: &str) {
        let id = instance(id);
        let wake = codec::wake_message(self.partition(&id), id, Timestamp::default());
        self.ports.broker.publish(vec![wake]).await;
    }

    /// Publishes a message until the broker has it.
    pub(crate) async fn publish(&self, message: Publication) {
        self.wait_until("the broker takes a message", DEADLINE, async || {
            let answers = self.ports.broker.publish(vec![message.clone()]).await;
            answers.into_iter().all(|answer| answer.is_ok()).then_some(())
        })
        .await;
    }

    /// Asks for the end of an instance.
    pub(crate) async fn terminate(&self, id: &str, reason: &str) {
        self.client.terminate(&instance(id), reason).await.unwrap();
    }

    /// Waits until an instance has ended and returns its row.
    pub(crate) async fn ended(&self, id: &str) -> InstanceRow {
        self.ended_within(id, DEADLINE).await
    }

    /// The same, with a deadline.
    pub(crate) async fn ended_within(&self, id: &str, deadline: Duration) -> InstanceRow {
        let id = instance(id);
        let begun = self.ports.runtime.now();
        loop {
            let left = deadline.saturating_sub(self.ports.runtime.now().since(begun));
            match self.ports.store.wait_terminal(&id, left).await {
                Ok(Some(row)) if row.status.is_terminal() => return row,
                Err(error) if error.is_retryable() && !left.is_zero() => {
                    self.ports.runtime.sleep(LOOK_EVERY).await;
                }
                Ok(Some(row)) => panic!(
                    "{id} ({}) has not ended within {deadline:?}: {}, {} events, waits for {:?}",
                    row.name, row.status, row.last_seq, row.waiting_for
                ),
                other => panic!("{id}: {other:?}"),
            }
        }
    }

    /// Waits until an instance has completed and returns its output.
    pub(crate) async fn output<O: DeserializeOwned + 'static>(&self, handle: &Handle<O>) -> O {
        self.output_within(handle, DEADLINE).await
    }

    /// The same, with a deadline.
    pub(crate) async fn output_within<O: DeserializeOwned + 'static>(
        &self,
        handle: &Handle<O>,
        deadline: Duration,
    ) -> O {
        match handle.wait_for(deadline).await {
            Ok(output) => output,
            Err(error) => {
                let row = self.client.get(handle.id()).await.unwrap().unwrap();
                panic!(
                    "{error}; {} has {} events and waits for {:?}",
                    row.name, row.last_seq, row.waiting_for
                );
            }
        }
    }

    /// An instance with its history.
    pub(crate) async fn load(&self, id: &str) -> LoadedInstance {
        let loaded = self.insist("the store answers", async || {
            let request = LoadRequest {
                id: instance(id),
                history: true,
            };
            self.ports.store.load(vec![request]).await.remove(0)
        });
        loaded
            .await
            .unwrap_or_else(|| panic!("there is no instance {id}"))
    }

    /// Waits until there is an instance of this id.
    pub(crate) async fn exists(&self, id: &str) {
        let what = format!("there is an instance {id}");
        self.wait_until(&what, DEADLINE, async || {
            self.client.get(&instance(id)).await.ok()?.map(drop)
        })
        .await;
    }

    /// All instances of the hub, as a list shows them.
    pub(crate) async fn list(&self) -> Vec<InstanceSummary> {
        let mut instances = Vec::new();
        let mut cursor = None;
        loop {
            let query = Query {
                page: PageRequest { cursor, limit: 100 },
                ..Query::default()
            };
            let page = self.insist("the store lists", async || self.client.list(query.clone()).await);
            let page = page.await;
            instances.extend(page.instances);
            cursor = page.next;
            if cursor.is_none() {
                return instances;
            }
        }
    }

    /// Waits until the list shows what an instance waits for.
    pub(crate) async fn shown_waiting(&self, id: &str) -> (Status, WaitingFor) {
        self.wait_until(
            &format!("the list shows what {id} waits for"),
            DEADLINE,
            async || {
                let shown = self
                    .list()
                    .await
                    .into_iter()
                    .find(|shown| shown.id.as_str() == id)?;
                Some((shown.status, shown.waiting_for?))
            },
        )
        .await
    }

    /// Waits until the list shows that an instance is parked. Meanwhile whoever runs it may have to die.
    pub(crate) async fn shown_stuck(&self, id: &str) -> (Status, WaitingFor) {
        self.wait_until(
            &format!("the list shows that {id} is stuck"),
            DEADLINE,
            async || {
                let shown = self
                    .list()
                    .await
                    .into_iter()
                    .find(|shown| shown.id.as_str() == id)?;
                let waiting_for = shown.waiting_for?;
                matches!(waiting_for, WaitingFor::Stuck { .. }).then_some((shown.status, waiting_for))
            },
        )
        .await
    }

    /// Waits until so many messages are parked and returns them.
    pub(crate) async fn parked(&self, count: usize) -> Vec<ParkedMessage> {
        self.wait_until(&format!("{count} messages are parked"), DEADLINE, async || {
            let page = PageRequest {
                cursor: None,
                limit: 1_000,
            };
            let parked = self.client.parked(page).await.unwrap();
            (parked.messages.len() >= count).then_some(parked.messages)
        })
        .await
    }

    /// The partition of an instance.
    pub(crate) fn partition(&self, id: &InstanceId) -> PartitionId {
        PartitionId::of(id, self.partitions)
    }

    /// All partitions of the hub.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = PartitionId> {
        PartitionId::all(self.partitions)
    }

    /// An id in this partition that begins so.
    pub(crate) fn id_in(&self, partition: PartitionId, begins: &str) -> String {
        let mut ids = (0..).map(|n| format!("{begins}-{n}"));
        ids.find(|id| self.partition(&instance(id)) == partition).unwrap()
    }

    /// Another id in the partition of this one.
    pub(crate) fn neighbour_of(&self, id: &str) -> String {
        self.id_in(self.partition(&instance(id)), &format!("neighbour-of-{id}"))
    }

    // --- waiting ---------------------------------------------------------------------------------------

    /// Looks until `look` finds something, and returns it.
    pub(crate) async fn wait_until<T>(
        &self,
        what: &str,
        deadline: Duration,
        mut look: impl AsyncFnMut() -> Option<T>,
    ) -> T {
        let begun = self.ports.runtime.now();
        loop {
            if let Some(found) = look().await {
                return found;
            }
            let waited = self.ports.runtime.now().since(begun);
            assert!(
                waited < deadline,
                "gave up after {deadline:?} waiting until {what}"
            );
            self.ports.runtime.sleep(LOOK_EVERY).await;
        }
    }

    /// Asks a store that may be away for a while until it answers.
    pub(crate) async fn insist<T>(
        &self,
        what: &str,
        mut ask: impl AsyncFnMut() -> Result<T, StoreError>,
    ) -> T {
        self.wait_until(what, DEADLINE, async || match ask().await {
            Ok(answer) => Some(answer),
            Err(error) if error.is_retryable() => None,
            Err(error) => panic!("{what}: {error}"),
        })
        .await
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for kind in [Kind::Orchestrator, Kind::Activity] {
                let Ok(workers) = self.workers(kind).lock() else {
                    continue;
                };
                let words = workers.iter().filter_map(Worker::last_words);
                words.for_each(|words| eprintln!("--- the end of the log of a worker ({kind:?}):\n{words}"));
            }
        }
    }
}

impl Ground {
    async fn ports(&self, hub: &HubName, role: Role) -> Ports {
        let (redis_url, amqp_url) = match self {
            Self::Embedded(embedded) => return embedded.ports(),
            Self::Servers { redis_url, amqp_url } => (redis_url, amqp_url),
        };
        fleet_ports(redis_url, amqp_url, hub, role).await
    }
}

/// The ports of a hub on servers.
pub(crate) async fn fleet_ports(redis_url: &str, amqp_url: &str, hub: &HubName, role: Role) -> Ports {
    let runtime = runtime();
    let redis = RedisConfig::new(redis_url, hub.clone());
    let rabbit = RabbitConfig::new(amqp_url, hub.clone(), QueueType::Quorum, role);
    Ports {
        store: RedisStore::connect(redis, Arc::clone(&runtime)).await.unwrap(),
        broker: RabbitBroker::connect(rabbit, Arc::clone(&runtime)).await.unwrap(),
        runtime,
    }
}

/// A checked instance id.
pub(crate) fn instance(id: &str) -> InstanceId {
    InstanceId::new(id).unwrap()
}

fn runtime() -> Arc<dyn Runtime> {
    Arc::new(TokioRuntime::current())
}

/// Workers in this process log to where the test's own output goes, which is shown when it fails.
pub(crate) fn tell_logs() {
    let said = std::env::var("RUST_LOG").ok();
    let filter: Targets = said.as_deref().unwrap_or("info,lapin=off").parse().unwrap();
    let lines = fmt::layer().with_ansi(false).with_test_writer();
    // Only the first site of a process has something to do here.
    let _ = tracing_subscriber::registry()
        .with(lines.with_filter(filter))
        .try_init();
}
