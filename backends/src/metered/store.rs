//! Owns the store that measures: how long each call took, and what kind of error it ended with.
//! Never changes a call on its way to the store or an answer on its way back.

use std::fmt;
use std::future::Future;
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

use super::meter::{StoreErrorKind, StoreMeter, StoreOp};

/// A store that reports to a meter.
pub struct MeteredStore {
    store: Arc<dyn Store>,
    runtime: Arc<dyn Runtime>,
    meter: Arc<dyn StoreMeter>,
}

impl MeteredStore {
    /// Wraps a store; times are the runtime's.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, runtime: Arc<dyn Runtime>, meter: Arc<dyn StoreMeter>) -> Self {
        Self {
            store,
            runtime,
            meter,
        }
    }

    /// Waits for an answer and reports it.
    async fn one<T>(
        &self,
        op: StoreOp,
        call: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<T, StoreError> {
        let began = self.runtime.now();
        let answer = call.await;
        let error = answer.as_ref().err().map(StoreErrorKind::from);
        self.meter.answered(op, self.runtime.now().since(began), error);
        answer
    }

    /// Waits for the answers of a batch and reports them as one.
    async fn batch<T>(
        &self,
        op: StoreOp,
        call: impl Future<Output = Vec<Result<T, StoreError>>> + Send,
    ) -> Vec<Result<T, StoreError>> {
        let began = self.runtime.now();
        let answers = call.await;
        let error = answers.iter().find_map(|answer| answer.as_ref().err());
        let error = error.map(StoreErrorKind::from);
        self.meter.answered(op, self.runtime.now().since(began), error);
        answers
    }
}

impl fmt::Debug for MeteredStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MeteredStore").finish_non_exhaustive()
    }
}

#[async_trait]
impl Store for MeteredStore {
    async fn open_hub(&self, settings: HubSettings) -> Result<HubInfo, StoreError> {
        self.one(StoreOp::OpenHub, self.store.open_hub(settings)).await
    }

    async fn time(&self) -> Result<Timestamp, StoreError> {
        self.one(StoreOp::Time, self.store.time()).await
    }

    async fn pulse(&self) -> Result<Pulse, StoreError> {
        self.one(StoreOp::Pulse, self.store.pulse()).await
    }

    async fn note_queue(&self, queue: &QueueName) -> Result<bool, StoreError> {
        self.one(StoreOp::NoteQueue, self.store.note_queue(queue)).await
    }

    async fn advance_epoch(&self, seen: Epoch, next: Epoch) -> Result<Epoch, StoreError> {
        self.one(StoreOp::AdvanceEpoch, self.store.advance_epoch(seen, next))
            .await
    }

    async fn create(&self, start: StartInstance) -> Result<Created, StoreError> {
        self.one(StoreOp::Create, self.store.create(start)).await
    }

    async fn post(&self, message: Envelope) -> Result<Posted, StoreError> {
        self.one(StoreOp::Post, self.store.post(message)).await
    }

    async fn load(&self, requests: Vec<LoadRequest>) -> Vec<Result<Option<LoadedInstance>, StoreError>> {
        self.batch(StoreOp::Load, self.store.load(requests)).await
    }

    async fn history(
        &self,
        key: &ExecutionKey,
        after: EventSeq,
        limit: usize,
    ) -> Result<Vec<HistoryEvent>, StoreError> {
        self.one(StoreOp::History, self.store.history(key, after, limit))
            .await
    }

    async fn commit(&self, batch: Vec<TurnCommit>) -> Vec<Result<CommitOutcome, StoreError>> {
        self.batch(StoreOp::Commit, self.store.commit(batch)).await
    }

    async fn wait_terminal(
        &self,
        id: &InstanceId,
        at_most: Duration,
    ) -> Result<Option<InstanceRow>, StoreError> {
        self.one(StoreOp::WaitTerminal, self.store.wait_terminal(id, at_most))
            .await
    }

    async fn query(&self, query: Query) -> Result<QueryPage, StoreError> {
        self.one(StoreOp::Query, self.store.query(query)).await
    }

    async fn ready(
        &self,
        partition: PartitionId,
        older_than: Duration,
        limit: usize,
    ) -> Result<Vec<InstanceId>, StoreError> {
        self.one(StoreOp::Ready, self.store.ready(partition, older_than, limit))
            .await
    }

    async fn due_timers(&self, partition: PartitionId, limit: usize) -> Result<DueTimers, StoreError> {
        self.one(StoreOp::DueTimers, self.store.due_timers(partition, limit))
            .await
    }

    async fn drop_timers(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        timers: Vec<(ExecutionKey, TaskId)>,
    ) -> Result<bool, StoreError> {
        self.one(
            StoreOp::DropTimers,
            self.store.drop_timers(partition, token, timers),
        )
        .await
    }

    async fn outbox(&self, partition: PartitionId, page: PageRequest) -> Result<OutboxPage, StoreError> {
        self.one(StoreOp::Outbox, self.store.outbox(partition, page))
            .await
    }

    async fn forget_confirmed(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        messages: Vec<MessageId>,
    ) -> Result<bool, StoreError> {
        self.one(
            StoreOp::ForgetConfirmed,
            self.store.forget_confirmed(partition, token, messages),
        )
        .await
    }

    async fn open_instances(
        &self,
        partition: PartitionId,
        page: PageRequest,
    ) -> Result<(Vec<InstanceId>, Option<String>), StoreError> {
        self.one(StoreOp::OpenInstances, self.store.open_instances(partition, page))
            .await
    }

    async fn heartbeat(&self, worker: WorkerRow, ttl: Duration) -> Result<Vec<WorkerRow>, StoreError> {
        self.one(StoreOp::Heartbeat, self.store.heartbeat(worker, ttl))
            .await
    }

    async fn workers(&self) -> Result<Vec<WorkerRow>, StoreError> {
        self.one(StoreOp::Workers, self.store.workers()).await
    }

    async fn acquire_lease(
        &self,
        partition: PartitionId,
        worker: &WorkerId,
        wish: LeaseWish,
    ) -> Result<LeaseOutcome, StoreError> {
        self.one(
            StoreOp::AcquireLease,
            self.store.acquire_lease(partition, worker, wish),
        )
        .await
    }

    async fn leases(&self, partitions: Vec<PartitionId>) -> Result<Vec<Option<HeldLease>>, StoreError> {
        self.one(StoreOp::Leases, self.store.leases(partitions)).await
    }

    async fn renew_leases(
        &self,
        renewals: Vec<LeaseRenewal>,
        ttl: Duration,
    ) -> Result<Vec<bool>, StoreError> {
        self.one(StoreOp::RenewLeases, self.store.renew_leases(renewals, ttl))
            .await
    }

    async fn mark_rebuilt(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        era: &Era,
    ) -> Result<bool, StoreError> {
        self.one(
            StoreOp::MarkRebuilt,
            self.store.mark_rebuilt(partition, token, era),
        )
        .await
    }

    async fn release_lease(&self, partition: PartitionId, token: &LeaseToken) -> Result<(), StoreError> {
        self.one(StoreOp::ReleaseLease, self.store.release_lease(partition, token))
            .await
    }

    async fn count_attempt(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        instance: &InstanceId,
    ) -> Result<Attempted, StoreError> {
        self.one(
            StoreOp::CountAttempt,
            self.store.count_attempt(partition, token, instance),
        )
        .await
    }

    async fn requeue_instance(&self, id: &InstanceId) -> Result<Requeued, StoreError> {
        self.one(StoreOp::RequeueInstance, self.store.requeue_instance(id))
            .await
    }

    async fn work_attempts(&self, partition: PartitionId, work: MessageId) -> Result<u32, StoreError> {
        self.one(StoreOp::WorkAttempts, self.store.work_attempts(partition, work))
            .await
    }

    async fn count_work_attempt(
        &self,
        partition: PartitionId,
        work: MessageId,
        nonce: u128,
    ) -> Result<u32, StoreError> {
        self.one(
            StoreOp::CountWorkAttempt,
            self.store.count_work_attempt(partition, work, nonce),
        )
        .await
    }

    async fn forget_work_attempts(&self, partition: PartitionId, work: MessageId) -> Result<(), StoreError> {
        self.one(
            StoreOp::ForgetWorkAttempts,
            self.store.forget_work_attempts(partition, work),
        )
        .await
    }

    async fn park(&self, message: ParkedMessage) -> Result<(), StoreError> {
        self.one(StoreOp::Park, self.store.park(message)).await
    }

    async fn parked(&self, page: PageRequest) -> Result<ParkedPage, StoreError> {
        self.one(StoreOp::Parked, self.store.parked(page)).await
    }

    async fn parked_message(&self, id: ParkedId) -> Result<Option<ParkedMessage>, StoreError> {
        self.one(StoreOp::ParkedMessage, self.store.parked_message(id))
            .await
    }

    async fn unpark(&self, id: ParkedId) -> Result<bool, StoreError> {
        self.one(StoreOp::Unpark, self.store.unpark(id)).await
    }

    async fn census(
        &self,
        partitions: Vec<PartitionId>,
        older_than: Duration,
    ) -> Result<Vec<Census>, StoreError> {
        self.one(StoreOp::Census, self.store.census(partitions, older_than))
            .await
    }

    async fn condition(&self) -> Result<StoreCondition, StoreError> {
        self.one(StoreOp::Condition, self.store.condition()).await
    }
}
