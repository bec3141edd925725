//! Owns one look at a hub: everything that the checks compare, read within a moment.
//! Never judges, and never changes anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt;
use longhaul_shared::id::{MessageId, PartitionId, QueueName};
use longhaul_shared::message::Destination;
use longhaul_shared::port::{
    BrokerCondition, BrokerError, Census, Depth, HeldLease, HubInfo, PageRequest, Ports, StoreCondition,
    StoreError, WorkerRow,
};
use longhaul_shared::time::Timestamp;

/// From which age on an instance of the ready set counts as overdue: owners look every second.
pub(super) const OVERDUE_AFTER: Duration = Duration::from_secs(5);
/// How often the store is asked for the time, to see how long it takes.
const ANSWERS: usize = 5;
/// How many queues are asked at a time.
const ASKED_AT_ONCE: usize = 16;
/// How many messages of a partition's outbox are remembered.
const OUTBOX_PAGE: usize = 200;

/// Why there is no look.
#[derive(Debug, thiserror::Error)]
pub(super) enum LookError {
    /// There is no hub.
    #[error("{0}")]
    NoHub(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

/// What was seen in one look.
#[derive(Clone, Debug)]
pub(super) struct Look {
    /// The store's clock.
    pub(super) now: Timestamp,
    /// This machine's clock, at the same moment.
    pub(super) here: Timestamp,
    /// How long the store takes for an answer, the median of some.
    pub(super) store_takes: Duration,
    /// How long the broker takes for an answer.
    pub(super) broker_takes: Duration,
    pub(super) store: StoreCondition,
    pub(super) broker: BrokerCondition,
    pub(super) has_epoch: bool,
    pub(super) workers: Vec<WorkerRow>,
    /// Of each partition.
    pub(super) leases: Vec<Option<HeldLease>>,
    pub(super) census: Vec<Census>,
    pub(super) control: Vec<Option<Depth>>,
    pub(super) intake: Option<Depth>,
    pub(super) dead: Option<Depth>,
    pub(super) tasks: BTreeMap<QueueName, Option<Depth>>,
    /// Messages in outboxes that were committed a while ago.
    pub(super) unsent: BTreeSet<MessageId>,
    pub(super) parked: u64,
}

/// Looks once.
///
/// # Errors
/// [`LookError`]: a server did not answer.
pub(super) async fn look(
    ports: &Ports,
    hub: &HubInfo,
    clock: impl Fn() -> Timestamp,
) -> Result<Look, LookError> {
    let store = &ports.store;
    let partitions: Vec<PartitionId> = PartitionId::all(hub.partitions).collect();
    let (now, here, store_takes) = times(ports, clock).await?;
    let pulse = store.pulse().await?;
    let names = pulse.queues.into_iter().chain([QueueName::default()]);
    let names: BTreeSet<QueueName> = names.collect();

    let begun = ports.runtime.now();
    let intake = ports.broker.depth(&Destination::Intake).await?;
    let broker_takes = ports.runtime.now().since(begun);
    let controls = partitions.iter().copied().map(Destination::Control);
    let control = depths(ports, controls.collect()).await?;
    let works = names.iter().cloned().map(Destination::Work);
    let works = depths(ports, works.collect()).await?;

    let census = store.census(partitions.clone(), OVERDUE_AFTER).await?;
    let filled = partitions.iter().zip(&census);
    let filled = filled.filter(|(_, census)| census.outbox > 0);
    let mut unsent = BTreeSet::new();
    for (partition, _) in filled {
        let request = PageRequest {
            cursor: None,
            limit: OUTBOX_PAGE,
        };
        let page = store.outbox(*partition, request).await?;
        let old = page
            .messages
            .iter()
            .filter(|message| now.since(message.time) >= OVERDUE_AFTER);
        unsent.extend(old.map(|message| message.id));
    }
    let first_page = PageRequest {
        cursor: None,
        limit: 1,
    };
    Ok(Look {
        now,
        here,
        store_takes,
        broker_takes,
        store: store.condition().await?,
        broker: ports.broker.condition(),
        has_epoch: ports.broker.has_epoch(pulse.era.epoch).await?,
        workers: store.workers().await?,
        leases: store.leases(partitions).await?,
        census,
        control,
        intake,
        dead: ports.broker.depth(&Destination::Dead).await?,
        tasks: names.into_iter().zip(works).collect(),
        unsent,
        parked: store.parked(first_page).await?.total,
    })
}

/// The store's clock and this machine's at the same moment, and how long an answer takes.
async fn times(
    ports: &Ports,
    clock: impl Fn() -> Timestamp,
) -> Result<(Timestamp, Timestamp, Duration), StoreError> {
    let mut answers = Vec::with_capacity(ANSWERS);
    for _ in 0..ANSWERS {
        let begun = ports.runtime.now();
        let now = ports.store.time().await?;
        let here = clock();
        answers.push((ports.runtime.now().since(begun), now, here));
    }
    answers.sort_by_key(|(takes, ..)| *takes);
    let median = answers
        .get(ANSWERS / 2)
        .map_or(Duration::ZERO, |(takes, ..)| *takes);
    // The quickest answer says most about the clocks: its moment is known to half the time that it took.
    let (takes, now, here) = answers.first().copied().unwrap_or_default();
    Ok((now.plus(takes / 2), here, median))
}

async fn depths(ports: &Ports, queues: Vec<Destination>) -> Result<Vec<Option<Depth>>, BrokerError> {
    let asked = futures::stream::iter(queues).map(|queue| async move { ports.broker.depth(&queue).await });
    let answers: Vec<_> = asked.buffered(ASKED_AT_ONCE).collect().await;
    answers.into_iter().collect()
}
