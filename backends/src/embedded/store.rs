//! Owns the [`Store`] port over an engine: each method is one look at the state, or one step that changes it.
//! Never decides anything itself: the modules beside it do, as plain functions of the state.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::{Either, select};
use longhaul_shared::commit::{CommitOutcome, TurnCommit};
use longhaul_shared::history::HistoryEvent;
use longhaul_shared::id::{
    Epoch, EventSeq, ExecutionKey, InstanceId, LeaseToken, MessageId, ParkedId, PartitionId, QueueName,
    TaskId, WorkerId,
};
use longhaul_shared::instance::{InstanceRow, StartInstance};
use longhaul_shared::message::Envelope;
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::port::{
    Attempted, Census, Created, DueTimers, Era, HeldLease, HubInfo, HubSettings, LeaseOutcome, LeaseRenewal,
    LeaseWish, LoadRequest, LoadedInstance, OutboxPage, PageRequest, ParkedPage, Persistence, Posted, Pulse,
    Query, QueryPage, Requeued, Runtime, Store, StoreCondition, StoreError, StoreRole, WorkerRow,
};
use longhaul_shared::time::Timestamp;

use super::clock::HubClock;
use super::engine::{Answer, Batch, Engine, Step, View, answered, step};
use super::wait::Waiters;
use super::{attempts, census, commit, duties, hub, instance, lease, parked, query};

/// A hub's truth in this process.
pub(super) struct EmbeddedStore {
    engine: Arc<dyn Engine>,
    clock: Arc<HubClock>,
    runtime: Arc<dyn Runtime>,
    waiters: Waiters,
    /// How many partitions the hub has, once that is known. It never changes.
    partitions: OnceLock<u16>,
    /// Whether this process has opened the hub: whoever held a lease before is gone, since only one process at a
    /// time has the state.
    opened: AtomicBool,
    place: Place,
}

/// Where the state is.
pub(super) enum Place {
    /// In this process.
    Memory,
    /// In this directory.
    Directory(String),
}

impl Place {
    /// What errors call it.
    fn address(&self) -> &str {
        match self {
            Self::Memory => "memory",
            Self::Directory(dir) => dir,
        }
    }

    /// What a condition calls it.
    const fn kind(&self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Directory(_) => "embedded",
        }
    }
}

impl EmbeddedStore {
    /// A store over a state that holds no hub yet, or that [`Self::recognize`] shall look at first.
    pub(super) fn new(
        engine: Arc<dyn Engine>,
        clock: Arc<HubClock>,
        runtime: Arc<dyn Runtime>,
        place: Place,
    ) -> Self {
        Self {
            engine,
            clock,
            runtime,
            waiters: Waiters::default(),
            partitions: OnceLock::new(),
            opened: AtomicBool::new(false),
            place,
        }
    }

    /// Reads which hub is in the state, if one is.
    ///
    /// # Errors
    /// [`StoreError::Incompatible`] when another version wrote it.
    pub(super) fn recognize(&self) -> Result<(), StoreError> {
        if let Some(hub) = self.read(hub::existing)? {
            self.partitions.get_or_init(|| hub.partitions);
        }
        Ok(())
    }

    fn partitions(&self) -> Result<u16, StoreError> {
        self.partitions.get().copied().ok_or_else(hub::missing)
    }

    /// Reads on one moment's state.
    fn read<T>(&self, read: impl FnOnce(&dyn View) -> Result<T, StoreError>) -> Result<T, StoreError> {
        read(&*self.engine.view()?)
    }

    /// Changes the state and waits until the change is durable.
    async fn change<T: Send + 'static>(
        &self,
        decide: impl FnOnce(&dyn View, Timestamp) -> Result<(Batch, T), StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (step, answer) = step(decide, |_| ());
        self.engine.apply(vec![step]).await;
        answered(answer, self.place.address()).await
    }

    fn commit_step(&self, partitions: u16, commit: TurnCommit) -> (Step, Answer<CommitOutcome>) {
        let waiters = self.waiters.clone();
        let ends = commit.row.status.is_terminal().then(|| commit.instance.clone());
        step(
            move |view, now| commit::apply(view, now, partitions, &commit),
            move |outcome| {
                if let (CommitOutcome::Applied, Some(id)) = (outcome, ends) {
                    waiters.ended(&id);
                }
            },
        )
    }
}

#[async_trait]
impl Store for EmbeddedStore {
    async fn open_hub(&self, settings: HubSettings) -> Result<HubInfo, StoreError> {
        let is_first = !self.opened.swap(true, Ordering::AcqRel);
        let open = move |view: &dyn View, _now| {
            let (mut batch, info) = hub::open(view, settings)?;
            if is_first {
                lease::forget_predecessors(view, &mut batch, info.partitions)?;
            }
            Ok((batch, info))
        };
        let info = self.change(open).await?;
        self.partitions.get_or_init(|| info.partitions);
        Ok(info)
    }

    async fn time(&self) -> Result<Timestamp, StoreError> {
        Ok(self.clock.now())
    }

    async fn pulse(&self) -> Result<Pulse, StoreError> {
        let now = self.clock.now();
        self.read(|view| hub::pulse(view, now))
    }

    async fn note_queue(&self, queue: &QueueName) -> Result<bool, StoreError> {
        let queue = queue.clone();
        self.change(move |view, _now| hub::note_queue(view, queue)).await
    }

    async fn advance_epoch(&self, seen: Epoch, next: Epoch) -> Result<Epoch, StoreError> {
        self.change(move |view, _now| hub::advance_epoch(view, seen, next))
            .await
    }

    async fn create(&self, start: StartInstance) -> Result<Created, StoreError> {
        let partitions = self.partitions()?;
        self.change(move |view, now| instance::create(view, now, partitions, start))
            .await
    }

    async fn post(&self, message: Envelope) -> Result<Posted, StoreError> {
        let partitions = self.partitions()?;
        self.change(move |view, now| instance::post(view, now, partitions, &message))
            .await
    }

    async fn load(&self, requests: Vec<LoadRequest>) -> Vec<Result<Option<LoadedInstance>, StoreError>> {
        requests
            .iter()
            .map(|request| self.read(|view| instance::load(view, request)))
            .collect()
    }

    async fn history(
        &self,
        key: &ExecutionKey,
        after: EventSeq,
        limit: usize,
    ) -> Result<Vec<HistoryEvent>, StoreError> {
        self.read(|view| instance::history(view, key, after, limit))
    }

    async fn commit(&self, batch: Vec<TurnCommit>) -> Vec<Result<CommitOutcome, StoreError>> {
        let partitions = match self.partitions() {
            Ok(partitions) => partitions,
            Err(error) => return batch.iter().map(|_| Err(error.clone())).collect(),
        };
        let (steps, answers): (Vec<_>, Vec<_>) = batch
            .into_iter()
            .map(|commit| self.commit_step(partitions, commit))
            .unzip();
        self.engine.apply(steps).await;
        let mut outcomes = Vec::with_capacity(answers.len());
        for answer in answers {
            outcomes.push(answered(answer, self.place.address()).await);
        }
        outcomes
    }

    async fn wait_terminal(
        &self,
        id: &InstanceId,
        at_most: Duration,
    ) -> Result<Option<InstanceRow>, StoreError> {
        let seat = self.waiters.sit(id);
        let mut time_is_up = self.runtime.sleep(at_most);
        loop {
            // The bell comes first, so that an end between the look and the wait is heard.
            let bell = std::pin::pin!(seat.bell());
            match self.read(|view| instance::terminal_row(view, id))? {
                None => return Ok(None),
                Some(Some(row)) => return Ok(Some(row)),
                Some(None) => {}
            }
            if let Either::Right(((), _)) = select(bell, &mut time_is_up).await {
                return self.read(|view| instance::row(view, id));
            }
        }
    }

    async fn query(&self, query: Query) -> Result<QueryPage, StoreError> {
        self.read(|view| query::run(view, &query))
    }

    async fn ready(
        &self,
        partition: PartitionId,
        older_than: Duration,
        limit: usize,
    ) -> Result<Vec<InstanceId>, StoreError> {
        let now = self.clock.now();
        self.read(|view| duties::ready(view, now, partition, older_than, limit))
    }

    async fn due_timers(&self, partition: PartitionId, limit: usize) -> Result<DueTimers, StoreError> {
        let now = self.clock.now();
        self.read(|view| duties::due_timers(view, now, partition, limit))
    }

    async fn drop_timers(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        timers: Vec<(ExecutionKey, TaskId)>,
    ) -> Result<bool, StoreError> {
        let token = token.clone();
        self.change(move |view, _now| duties::drop_timers(view, partition, &token, &timers))
            .await
    }

    async fn outbox(&self, partition: PartitionId, page: PageRequest) -> Result<OutboxPage, StoreError> {
        self.read(|view| duties::outbox(view, partition, &page))
    }

    async fn forget_confirmed(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        messages: Vec<MessageId>,
    ) -> Result<bool, StoreError> {
        let token = token.clone();
        self.change(move |view, _now| duties::forget_confirmed(view, partition, &token, &messages))
            .await
    }

    async fn open_instances(
        &self,
        partition: PartitionId,
        page: PageRequest,
    ) -> Result<(Vec<InstanceId>, Option<String>), StoreError> {
        self.read(|view| duties::open_instances(view, partition, &page))
    }

    async fn heartbeat(&self, worker: WorkerRow, ttl: Duration) -> Result<Vec<WorkerRow>, StoreError> {
        self.change(move |view, now| lease::heartbeat(view, now, worker, ttl))
            .await
    }

    async fn acquire_lease(
        &self,
        partition: PartitionId,
        worker: &WorkerId,
        wish: LeaseWish,
    ) -> Result<LeaseOutcome, StoreError> {
        let worker = worker.clone();
        self.change(move |view, now| lease::acquire(view, now, partition, worker, &wish))
            .await
    }

    async fn leases(&self, partitions: Vec<PartitionId>) -> Result<Vec<Option<HeldLease>>, StoreError> {
        let now = self.clock.now();
        self.read(|view| {
            let holders = partitions
                .iter()
                .map(|partition| lease::holder(view, now, *partition));
            holders.collect()
        })
    }

    async fn renew_leases(
        &self,
        renewals: Vec<LeaseRenewal>,
        ttl: Duration,
    ) -> Result<Vec<bool>, StoreError> {
        self.change(move |view, now| lease::renew(view, now, &renewals, ttl))
            .await
    }

    async fn mark_rebuilt(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        era: &Era,
    ) -> Result<bool, StoreError> {
        let (token, era) = (token.clone(), era.clone());
        self.change(move |view, _now| lease::mark_rebuilt(view, partition, &token, &era))
            .await
    }

    async fn release_lease(&self, partition: PartitionId, token: &LeaseToken) -> Result<(), StoreError> {
        let token = token.clone();
        self.change(move |view, _now| lease::release(view, partition, &token))
            .await
    }

    async fn count_attempt(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        instance: &InstanceId,
    ) -> Result<Attempted, StoreError> {
        let (token, instance) = (token.clone(), instance.clone());
        self.change(move |view, _now| attempts::count(view, partition, &token, &instance))
            .await
    }

    async fn requeue_instance(&self, id: &InstanceId) -> Result<Requeued, StoreError> {
        let partitions = self.partitions()?;
        let id = id.clone();
        self.change(move |view, now| attempts::requeue(view, now, partitions, &id))
            .await
    }

    async fn work_attempts(&self, partition: PartitionId, work: MessageId) -> Result<u32, StoreError> {
        let now = self.clock.now();
        self.read(|view| attempts::of_work(view, now, partition, work))
    }

    async fn count_work_attempt(
        &self,
        partition: PartitionId,
        work: MessageId,
        nonce: u128,
    ) -> Result<u32, StoreError> {
        self.change(move |view, now| attempts::count_work(view, now, partition, work, nonce))
            .await
    }

    async fn forget_work_attempts(&self, partition: PartitionId, work: MessageId) -> Result<(), StoreError> {
        self.change(move |_view, _now| Ok((attempts::forget_work(partition, work), ())))
            .await
    }

    async fn park(&self, message: ParkedMessage) -> Result<(), StoreError> {
        self.change(move |view, _now| parked::park(view, &message)).await
    }

    async fn parked(&self, page: PageRequest) -> Result<ParkedPage, StoreError> {
        self.read(|view| parked::list(view, &page))
    }

    async fn parked_message(&self, id: ParkedId) -> Result<Option<ParkedMessage>, StoreError> {
        self.read(|view| parked::get(view, id))
    }

    async fn unpark(&self, id: ParkedId) -> Result<bool, StoreError> {
        self.change(move |view, _now| parked::unpark(view, id)).await
    }

    async fn workers(&self) -> Result<Vec<WorkerRow>, StoreError> {
        let now = self.clock.now();
        self.read(|view| lease::workers(view, now))
    }

    async fn census(
        &self,
        partitions: Vec<PartitionId>,
        older_than: Duration,
    ) -> Result<Vec<Census>, StoreError> {
        let (now, all) = (self.clock.now(), self.partitions()?);
        self.read(|view| census::run(view, now, all, &partitions, older_than))
    }

    async fn condition(&self) -> Result<StoreCondition, StoreError> {
        Ok(StoreCondition {
            kind: self.place.kind(),
            version: Some(env!("CARGO_PKG_VERSION").to_owned()),
            run: hub::run(),
            memory_used_bytes: None,
            memory_max_bytes: None,
            role: Some(StoreRole::Primary),
            replicas: 0,
            persistence: Persistence::default(),
            is_last_write_ok: None,
        })
    }
}
