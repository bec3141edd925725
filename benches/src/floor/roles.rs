//! Owns what the three processes of the floor do with a message, in the product's order: commit, acknowledge, publish.
//! Never gathers for longer than it takes to send what is there.

use std::io::{Read, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, ensure};
use futures::StreamExt;
use futures::future::try_join_all;
use lapin::message::Delivery;
use lapin::options::BasicAckOptions;
use longhaul_backends::config::{Config, Sources};
use longhaul_backends::open::{Opened, Role, open};
use longhaul_backends::runtime::TokioRuntime;
use longhaul_shared::commit::CommitOutcome;
use longhaul_shared::id::{CommitId, InstanceId, LeaseToken, MessageId, PartitionId, QueueName, WorkerId};
use longhaul_shared::message::{Destination, Envelope, EnvelopeBody, Publication, WorkItem};
use longhaul_shared::port::{HubSettings, LeaseOutcome, LeaseWish, LoadRequest, Ports, Runtime};
use longhaul_shared::time::Timestamp;
use longhaul_shared::{codec, limits};
use longhaul_telemetry::prometheus::core::Collector;
use longhaul_telemetry::prometheus::process_collector::ProcessCollector;

use super::batcher::Batcher;
use super::part::{Plan, READY, Traffic};
use super::sequence;
use super::wire::Wire;
use crate::figures::{Figures, Window};

const PARTITIONS: u16 = limits::PARTITIONS_DEFAULT;
/// As the workers of the product are set by default.
const CONTROL_PREFETCH: u16 = 512;
const WORK_PREFETCH: u16 = 64;
/// Longer than anything is measured: nobody renews.
const LEASE_TTL: Duration = Duration::from_secs(600);
/// Most messages carried out of the outbox by one commit, as by the product's.
const REMOVED_MAX: usize = 256;
const WAIT: Duration = Duration::from_secs(30);

async fn connect(plan: &Plan) -> anyhow::Result<(Opened, Wire)> {
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current());
    let sources = Sources {
        env: plan.settings.clone(),
        ..Sources::default()
    };
    let opened = open(&Config::load(sources)?, Role::Client, runtime).await?;
    let setting = |name: &str| {
        let found = plan.settings.iter().find(|(key, _)| key == name);
        found
            .map(|(_, value)| value.as_str())
            .with_context(|| format!("{name} is not set"))
    };
    let wire = Wire::connect(
        setting("LONGHAUL_AMQP__URL")?,
        opened.hub.as_str(),
        setting("LONGHAUL_HUB__QUEUE_TYPE")?,
    );
    let wire = wire.await?;
    Ok((opened, wire))
}

fn work() -> Destination {
    Destination::Work(QueueName::default())
}

/// Says that work can come, and waits until standard input is closed; then says what was done.
async fn serve(wire: &Wire, commits: &AtomicU64) -> anyhow::Result<()> {
    let say = |line: &str| {
        let mut out = std::io::stdout();
        writeln!(out, "{line}").and_then(|()| out.flush())
    };
    say(READY)?;
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    let traffic = Traffic {
        messages: wire.published(),
        commits: commits.load(Ordering::Relaxed),
        cpu: processor_time()?,
    };
    say(&serde_json::to_string(&traffic)?)?;
    Ok(())
}

/// What this process has spent, in seconds.
fn processor_time() -> anyhow::Result<f64> {
    let collector = ProcessCollector::for_self();
    let families = collector.collect();
    let cpu = families
        .iter()
        .find(|family| family.name() == "process_cpu_seconds_total");
    let sample = cpu
        .and_then(|family| family.get_metric().first())
        .context("the processor time is not shown")?;
    Ok(sample.get_counter().get_value())
}

/// One item is the product's own message, several are a list, as there.
fn work_message(first: &WorkItem, others: &[WorkItem]) -> Publication {
    let message = codec::work_message(first, first.scheduled);
    if others.is_empty() {
        return message;
    }
    let all: Vec<_> = std::iter::once(first).chain(others).collect();
    Publication {
        body: codec::encode(&all),
        ..message
    }
}

/// What every message of the orchestrator is dealt with by.
struct Owner {
    ports: Ports,
    tokens: Vec<LeaseToken>,
    /// Confirmed, and to leave the outbox with the partition's next commit.
    confirmed: Vec<Mutex<Vec<MessageId>>>,
    work: Batcher<(), WorkItem>,
    commits: AtomicU64,
}

pub(super) async fn orchestrator(plan: Plan) -> anyhow::Result<()> {
    let (opened, wire) = connect(&plan).await?;
    let ports = opened.ports.clone();
    ports
        .store
        .open_hub(HubSettings {
            partitions: PARTITIONS,
        })
        .await?;
    let (mut tokens, mut consumers) = (Vec::new(), Vec::new());
    wire.declare(&work()).await?;
    for partition in PartitionId::all(PARTITIONS) {
        let wish = LeaseWish::new(ports.runtime.random(), LEASE_TTL);
        let worker = WorkerId::new("floor")?;
        match ports.store.acquire_lease(partition, &worker, wish).await? {
            LeaseOutcome::Granted { token, .. } => tokens.push(token),
            other => anyhow::bail!("the lease of {partition} is not free: {other:?}"),
        }
        let control = Destination::Control(partition);
        wire.declare(&control).await?;
        consumers.push(wire.consume(&control, CONTROL_PREFETCH).await?);
    }
    let owner = Arc::new(Owner {
        confirmed: tokens.iter().map(|_| Mutex::default()).collect(),
        tokens,
        work: Batcher::new(wire.clone(), plan.items, |(), first, others| {
            work_message(&first, &others)
        }),
        commits: AtomicU64::default(),
        ports,
    });
    let all = futures::stream::select_all(consumers);
    let dealing = Arc::clone(&owner);
    tokio::spawn(all.for_each_concurrent(None, move |delivery| {
        let owner = Arc::clone(&dealing);
        async move {
            let dealt = tokio::spawn(async move { owner.deal(delivery?).await });
            report(dealt.await);
        }
    }));
    serve(&wire, &owner.commits).await?;
    opened.shutdown().await;
    Ok(())
}

/// A floor with an error in it measures nothing: the load would wait for ever, and says so.
fn report(dealt: Result<anyhow::Result<()>, tokio::task::JoinError>) {
    if let Ok(Err(error)) = dealt {
        eprintln!("the floor: {error:#}");
    }
}

impl Owner {
    async fn deal(&self, delivery: Delivery) -> anyhow::Result<()> {
        let envelopes = codec::decode_control(&delivery.data)?;
        let publications = try_join_all(envelopes.into_iter().map(|envelope| self.turn(envelope))).await?;
        delivery.ack(BasicAckOptions::default()).await?;
        let sending = publications
            .into_iter()
            .flatten()
            .map(|(partition, publication)| async move {
                let id = publication.id;
                self.work
                    .send((), codec::decode_work_item(&publication.body)?)
                    .await?;
                self.confirmed_of(partition)?.push(id);
                anyhow::Ok(())
            });
        try_join_all(sending).await?;
        Ok(())
    }

    fn confirmed_of(
        &self,
        partition: PartitionId,
    ) -> anyhow::Result<std::sync::MutexGuard<'_, Vec<MessageId>>> {
        let confirmed = self
            .confirmed
            .get(usize::from(partition.0))
            .context("a partition")?;
        Ok(confirmed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What the next commit of a partition carries out of the outbox.
    fn to_remove(&self, partition: PartitionId) -> anyhow::Result<Vec<MessageId>> {
        let mut confirmed = self.confirmed_of(partition)?;
        let count = confirmed.len().min(REMOVED_MAX);
        Ok(confirmed.drain(..count).collect())
    }

    /// Commits; what is to be published then.
    async fn turn(&self, envelope: Envelope) -> anyhow::Result<Option<(PartitionId, Publication)>> {
        let store = &self.ports.store;
        let number = match &envelope.body {
            EnvelopeBody::TaskDone(done) => u64::from(done.identity.task.0),
            _ => {
                let request = LoadRequest {
                    id: envelope.instance.clone(),
                    history: true,
                };
                let loaded = store.load(vec![request]).await.pop().context("an answer")??;
                ensure!(loaded.is_some(), "{} is not there", envelope.instance);
                0
            }
        };
        let partition = PartitionId::of(&envelope.instance, PARTITIONS);
        let commit = sequence::Commit {
            number,
            instance: envelope.instance,
            partition,
            token: self.tokens.get(usize::from(partition.0)).context("a token")?,
            now: Timestamp::from_micros(1_700_000_000_000_000),
            id: CommitId::from_bits(self.ports.runtime.random()),
            confirmed: self.to_remove(partition)?,
        };
        let commit = commit.write()?;
        let sends = commit.outbox_add.first().cloned();
        let outcome = store.commit(vec![commit]).await.pop().context("an answer")??;
        ensure!(
            outcome == CommitOutcome::Applied,
            "a commit of the floor: {outcome:?}"
        );
        self.commits.fetch_add(1, Ordering::Relaxed);
        Ok(sends.map(|publication| (partition, publication)))
    }
}

pub(super) async fn activity(plan: Plan) -> anyhow::Result<()> {
    let (opened, wire) = connect(&plan).await?;
    let results = Batcher::new(wire.clone(), plan.items, |partition, first, others| {
        let envelopes: Vec<Envelope> = std::iter::once(first).chain(others).collect();
        codec::control_message(partition, codec::encode(&envelopes), Timestamp::default())
    });
    let results = Arc::new(results);
    let items = wire.consume(&work(), WORK_PREFETCH).await?;
    tokio::spawn(items.for_each_concurrent(None, move |delivery| {
        let results = Arc::clone(&results);
        async move {
            report(tokio::spawn(async move { answer(&results, delivery?).await }).await);
        }
    }));
    serve(&wire, &AtomicU64::default()).await?;
    opened.shutdown().await;
    Ok(())
}

async fn answer(results: &Batcher<PartitionId, Envelope>, delivery: Delivery) -> anyhow::Result<()> {
    let items = match codec::decode_work_item(&delivery.data) {
        Ok(item) => vec![item],
        Err(_) => codec::decode("work items", &delivery.data)?,
    };
    let answers = items.iter().map(|item| async move {
        let envelope = sequence::answer(item)?;
        results.send(item.reply_to, envelope).await
    });
    try_join_all(answers).await?;
    delivery.ack(BasicAckOptions::default()).await?;
    Ok(())
}

pub(super) async fn load(plan: Plan) -> anyhow::Result<()> {
    let (opened, wire) = connect(&plan).await?;
    let window = Window::after(plan.warm_up, plan.measure);
    let client = async || window.fill(async || sequence(&opened.ports, &wire).await).await;
    let seen = try_join_all((0..plan.at_once).map(|_| client())).await?;
    serde_json::to_writer(std::io::stdout(), &Figures::of(seen, plan.measure))?;
    opened.shutdown().await;
    Ok(())
}

/// One start, and the wait for its end.
async fn sequence(ports: &Ports, wire: &Wire) -> anyhow::Result<()> {
    let random = ports.runtime.random();
    // As long as a default id.
    let instance = InstanceId::new(format!("{random:036x}"))?;
    let partition = PartitionId::of(&instance, PARTITIONS);
    let start = sequence::start(instance.clone(), random)?;
    ports.store.create(start).await?;
    let wake = codec::wake_message(partition, instance.clone(), Timestamp::default());
    wire.publish(wake).await?;
    let row = ports.store.wait_terminal(&instance, WAIT).await?;
    ensure!(
        row.is_some_and(|row| row.status.is_terminal()),
        "{instance} does not end"
    );
    Ok(())
}
