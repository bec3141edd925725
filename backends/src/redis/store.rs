//! Owns the store that the hosts are given: the port, each method answered by the file that owns its subject.
//! Never holds state beside connections and waiters: the truth is in Redis.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
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
    LeaseWish, LoadRequest, LoadedInstance, OutboxPage, PageRequest, ParkedPage, Posted, Pulse, Query,
    QueryPage, Requeued, Runtime, Store, StoreCondition, StoreError, WorkerRow,
};
use longhaul_shared::time::Timestamp;

use super::config::RedisConfig;
use super::hub::Hub;
use super::script::Lua;
use super::wait::Waiting;
use super::{attempts, commit, create, forget, hub, inbox, lease, parked, ready, timers, workers};

/// Every script there is, made known to the server with the first connection.
static SCRIPTS: [&Lua; 19] = [
    &hub::OPEN_HUB,
    &hub::NOTE_QUEUE,
    &hub::ADVANCE_EPOCH,
    &create::CREATE,
    &inbox::POST,
    &commit::COMMIT,
    &ready::READY,
    &timers::DUE_TIMERS,
    &forget::FORGET,
    &workers::HEARTBEAT,
    &lease::ACQUIRE,
    &lease::HOLDER,
    &lease::RENEW,
    &lease::RELEASE,
    &lease::MARK_REBUILT,
    &attempts::COUNT_ATTEMPT,
    &attempts::REQUEUE,
    &attempts::COUNT_WORK,
    &parked::PARK,
];

/// The truth of one hub, on Redis.
pub struct RedisStore {
    hub: Arc<Hub>,
    waiting: Waiting,
}

impl RedisStore {
    /// Connects to Redis and checks that it keeps what it accepts.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when nothing answers there; [`StoreError::Refused`] when the url is not valid,
    /// the server does not take the credentials, or it could lose or evict what it accepts (LH1502) and that is
    /// not allowed. Each is one sentence with the address, never with the credentials.
    pub async fn connect(config: RedisConfig, runtime: Arc<dyn Runtime>) -> Result<Arc<Self>, StoreError> {
        let hub = Arc::new(Hub::connect(config, runtime, &SCRIPTS).await?);
        let waiting = Waiting::new(hub.clone());
        Ok(Arc::new(Self { hub, waiting }))
    }
}

impl fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStore")
            .field("address", &self.hub.server.address())
            .field("config", &self.hub.config)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for RedisStore {
    async fn open_hub(&self, settings: HubSettings) -> Result<HubInfo, StoreError> {
        self.hub.open(settings).await
    }

    async fn time(&self) -> Result<Timestamp, StoreError> {
        self.hub.time().await
    }

    async fn pulse(&self) -> Result<Pulse, StoreError> {
        self.hub.pulse().await
    }

    async fn note_queue(&self, queue: &QueueName) -> Result<bool, StoreError> {
        self.hub.note_queue(queue).await
    }

    async fn advance_epoch(&self, seen: Epoch, next: Epoch) -> Result<Epoch, StoreError> {
        self.hub.advance_epoch(seen, next).await
    }

    async fn create(&self, start: StartInstance) -> Result<Created, StoreError> {
        self.hub.create(&start).await
    }

    async fn post(&self, message: Envelope) -> Result<Posted, StoreError> {
        self.hub.post(&message).await
    }

    async fn load(&self, requests: Vec<LoadRequest>) -> Vec<Result<Option<LoadedInstance>, StoreError>> {
        self.hub.load(requests).await
    }

    async fn history(
        &self,
        key: &ExecutionKey,
        after: EventSeq,
        limit: usize,
    ) -> Result<Vec<HistoryEvent>, StoreError> {
        self.hub.history(key, after, limit).await
    }

    async fn commit(&self, batch: Vec<TurnCommit>) -> Vec<Result<CommitOutcome, StoreError>> {
        self.hub.commit(&batch).await
    }

    async fn wait_terminal(
        &self,
        id: &InstanceId,
        at_most: Duration,
    ) -> Result<Option<InstanceRow>, StoreError> {
        self.waiting.wait_terminal(id, at_most).await
    }

    async fn query(&self, query: Query) -> Result<QueryPage, StoreError> {
        self.hub.query(&query).await
    }

    async fn ready(
        &self,
        partition: PartitionId,
        older_than: Duration,
        limit: usize,
    ) -> Result<Vec<InstanceId>, StoreError> {
        self.hub.ready(partition, older_than, limit).await
    }

    async fn due_timers(&self, partition: PartitionId, limit: usize) -> Result<DueTimers, StoreError> {
        self.hub.due_timers(partition, limit).await
    }

    async fn drop_timers(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        timers: Vec<(ExecutionKey, TaskId)>,
    ) -> Result<bool, StoreError> {
        self.hub.drop_timers(partition, token, &timers).await
    }

    async fn outbox(&self, partition: PartitionId, page: PageRequest) -> Result<OutboxPage, StoreError> {
        self.hub.outbox(partition, &page).await
    }

    async fn forget_confirmed(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        messages: Vec<MessageId>,
    ) -> Result<bool, StoreError> {
        self.hub.forget_confirmed(partition, token, &messages).await
    }

    async fn open_instances(
        &self,
        partition: PartitionId,
        page: PageRequest,
    ) -> Result<(Vec<InstanceId>, Option<String>), StoreError> {
        self.hub.open_instances(partition, &page).await
    }

    async fn heartbeat(&self, worker: WorkerRow, ttl: Duration) -> Result<Vec<WorkerRow>, StoreError> {
        self.hub.heartbeat(&worker, ttl).await
    }

    async fn acquire_lease(
        &self,
        partition: PartitionId,
        worker: &WorkerId,
        wish: LeaseWish,
    ) -> Result<LeaseOutcome, StoreError> {
        self.hub.acquire_lease(partition, worker, &wish).await
    }

    async fn leases(&self, partitions: Vec<PartitionId>) -> Result<Vec<Option<HeldLease>>, StoreError> {
        self.hub.leases(&partitions).await
    }

    async fn renew_leases(
        &self,
        renewals: Vec<LeaseRenewal>,
        ttl: Duration,
    ) -> Result<Vec<bool>, StoreError> {
        self.hub.renew_leases(&renewals, ttl).await
    }

    async fn mark_rebuilt(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        era: &Era,
    ) -> Result<bool, StoreError> {
        self.hub.mark_rebuilt(partition, token, era).await
    }

    async fn release_lease(&self, partition: PartitionId, token: &LeaseToken) -> Result<(), StoreError> {
        self.hub.release_lease(partition, token).await
    }

    async fn count_attempt(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        instance: &InstanceId,
    ) -> Result<Attempted, StoreError> {
        self.hub.count_attempt(partition, token, instance).await
    }

    async fn requeue_instance(&self, id: &InstanceId) -> Result<Requeued, StoreError> {
        self.hub.requeue_instance(id).await
    }

    async fn work_attempts(&self, partition: PartitionId, work: MessageId) -> Result<u32, StoreError> {
        self.hub.work_attempts(partition, work).await
    }

    async fn count_work_attempt(
        &self,
        partition: PartitionId,
        work: MessageId,
        nonce: u128,
    ) -> Result<u32, StoreError> {
        self.hub.count_work_attempt(partition, work, nonce).await
    }

    async fn forget_work_attempts(&self, partition: PartitionId, work: MessageId) -> Result<(), StoreError> {
        self.hub.forget_work_attempts(partition, work).await
    }

    async fn park(&self, message: ParkedMessage) -> Result<(), StoreError> {
        self.hub.park(&message).await
    }

    async fn parked(&self, page: PageRequest) -> Result<ParkedPage, StoreError> {
        self.hub.parked(&page).await
    }

    async fn parked_message(&self, id: ParkedId) -> Result<Option<ParkedMessage>, StoreError> {
        self.hub.parked_message(id).await
    }

    async fn unpark(&self, id: ParkedId) -> Result<bool, StoreError> {
        self.hub.unpark(id).await
    }

    async fn workers(&self) -> Result<Vec<WorkerRow>, StoreError> {
        self.hub.workers().await
    }

    async fn census(
        &self,
        partitions: Vec<PartitionId>,
        older_than: Duration,
    ) -> Result<Vec<Census>, StoreError> {
        self.hub.census(&partitions, older_than).await
    }

    async fn condition(&self) -> Result<StoreCondition, StoreError> {
        self.hub.condition().await
    }
}
