//! Owns the [`Store`] port of the simulated Redis.
//! Never decides what goes wrong: the server does.

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
    LeaseWish, LoadRequest, LoadedInstance, OutboxPage, PageRequest, ParkedPage, Persistence, Posted, Pulse,
    Query, QueryPage, Requeued, Runtime, Store, StoreCondition, StoreError, StoreRole, WorkerRow,
};
use longhaul_shared::time::Timestamp;

use super::server::{StoreServer, WAIT_LOOKS_EVERY, unavailable};
use super::state::State;
use crate::executor::Life;
use crate::oracle::Oracle;

/// One process's door to the simulated Redis.
pub struct SimStore {
    server: StoreServer,
    oracle: Oracle,
    life: Life,
    runtime: Arc<dyn Runtime>,
}

impl SimStore {
    /// A door for a process with this runtime, watched by this oracle.
    #[must_use]
    pub fn new(server: StoreServer, oracle: Oracle, life: Life, runtime: Arc<dyn Runtime>) -> Self {
        Self {
            server,
            oracle,
            life,
            runtime,
        }
    }

    /// Sends a request and waits for its answer.
    async fn call<T: Send + 'static>(
        &self,
        writes: bool,
        request: impl FnOnce(&mut State, Timestamp) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.server.call(self.life, writes, request).await
    }
}

#[async_trait]
impl Store for SimStore {
    async fn open_hub(&self, settings: HubSettings) -> Result<HubInfo, StoreError> {
        let run = self.server.run();
        self.call(true, move |state, _| state.open_hub(run, settings))
            .await
    }

    async fn time(&self) -> Result<Timestamp, StoreError> {
        self.call(false, |_, now| Ok(now)).await
    }

    async fn pulse(&self) -> Result<Pulse, StoreError> {
        let run = self.server.run();
        self.call(false, move |state, now| state.pulse(now, run)).await
    }

    async fn note_queue(&self, queue: &QueueName) -> Result<bool, StoreError> {
        let queue = queue.clone();
        self.call(true, move |state, _| Ok(state.note_queue(queue))).await
    }

    async fn advance_epoch(&self, seen: Epoch, next: Epoch) -> Result<Epoch, StoreError> {
        let told = self.server.room();
        self.call(true, move |state, _| {
            let epoch = state.advance_epoch(seen, next);
            told.note(|| format!("store   epoch after {seen} -> {epoch:?}"));
            epoch
        })
        .await
    }

    async fn create(&self, start: StartInstance) -> Result<Created, StoreError> {
        let (full, oracle) = (self.server.is_full(), self.oracle.clone());
        self.call(true, move |state, now| {
            if full {
                return Err(out_of_memory());
            }
            let id = start.id.clone();
            let created = state.create(now, start)?;
            oracle.created(&id, &created);
            Ok(created)
        })
        .await
    }

    async fn post(&self, message: Envelope) -> Result<Posted, StoreError> {
        let full = self.server.is_full();
        self.call(true, move |state, now| match full {
            true => Err(out_of_memory()),
            false => state.post(now, &message),
        })
        .await
    }

    async fn load(&self, requests: Vec<LoadRequest>) -> Vec<Result<Option<LoadedInstance>, StoreError>> {
        let count = requests.len();
        let answer = self
            .call(false, move |state, _| {
                Ok(requests.iter().map(|request| state.load(request)).collect())
            })
            .await;
        spread(
            answer.map(|loaded: Vec<_>| loaded.into_iter().map(Ok).collect()),
            count,
        )
    }

    async fn history(
        &self,
        key: &ExecutionKey,
        after: EventSeq,
        limit: usize,
    ) -> Result<Vec<HistoryEvent>, StoreError> {
        let key = key.clone();
        self.call(false, move |state, _| Ok(state.history(&key, after, limit)))
            .await
    }

    async fn commit(&self, batch: Vec<TurnCommit>) -> Vec<Result<CommitOutcome, StoreError>> {
        let count = batch.len();
        let (oracle, life) = (self.oracle.clone(), self.life);
        // A connection that breaks in the middle of a pipeline: some are applied, of those some are heard of.
        let (applied, heard) = self.server.cut(count);
        let answer = self
            .call(true, move |state, now| {
                let mut outcomes = Vec::with_capacity(batch.len());
                for (place, commit) in batch.iter().enumerate() {
                    let outcome = if place < applied {
                        let outcome = state.commit(now, commit, &mut |applied| oracle.commit(life, applied));
                        oracle.committed(commit, &outcome);
                        outcome
                    } else {
                        Err(unavailable("the connection broke"))
                    };
                    outcomes.push(if place < heard {
                        outcome
                    } else {
                        Err(unavailable("the connection broke"))
                    });
                }
                Ok(outcomes)
            })
            .await;
        spread(answer, count)
    }

    async fn wait_terminal(
        &self,
        id: &InstanceId,
        at_most: Duration,
    ) -> Result<Option<InstanceRow>, StoreError> {
        let until = self.runtime.now().plus(at_most);
        loop {
            let wanted = id.clone();
            let row = self
                .call(false, move |state, _| Ok(state.row(&wanted).cloned()))
                .await?;
            let left = until.since(self.runtime.now());
            match row {
                None => return Ok(None),
                Some(row) if row.status.is_terminal() || left.is_zero() => return Ok(Some(row)),
                Some(_) => self.runtime.sleep(left.min(WAIT_LOOKS_EVERY)).await,
            }
        }
    }

    async fn query(&self, query: Query) -> Result<QueryPage, StoreError> {
        self.call(false, move |state, _| state.query(&query)).await
    }

    async fn ready(
        &self,
        partition: PartitionId,
        older_than: Duration,
        limit: usize,
    ) -> Result<Vec<InstanceId>, StoreError> {
        self.call(false, move |state, now| {
            Ok(state.ready(now, partition, older_than, limit))
        })
        .await
    }

    async fn due_timers(&self, partition: PartitionId, limit: usize) -> Result<DueTimers, StoreError> {
        let told = self.server.room();
        self.call(false, move |state, now| {
            let timers = state.due_timers(now, partition, limit);
            told.note(|| format!("store   due timers of {partition} at {now}: {timers:?}"));
            Ok(timers)
        })
        .await
    }

    async fn drop_timers(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        timers: Vec<(ExecutionKey, TaskId)>,
    ) -> Result<bool, StoreError> {
        let token = token.clone();
        self.call(true, move |state, _| {
            Ok(state.drop_timers(partition, &token, &timers))
        })
        .await
    }

    async fn outbox(&self, partition: PartitionId, page: PageRequest) -> Result<OutboxPage, StoreError> {
        self.call(false, move |state, _| state.outbox(partition, &page))
            .await
    }

    async fn forget_confirmed(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        messages: Vec<MessageId>,
    ) -> Result<bool, StoreError> {
        let token = token.clone();
        self.call(true, move |state, _| {
            Ok(state.forget_confirmed(partition, &token, &messages))
        })
        .await
    }

    async fn open_instances(
        &self,
        partition: PartitionId,
        page: PageRequest,
    ) -> Result<(Vec<InstanceId>, Option<String>), StoreError> {
        if page.cursor.is_none() {
            self.server.rebuild_begins();
        }
        self.call(false, move |state, _| Ok(state.open_instances(partition, &page)))
            .await
    }

    async fn heartbeat(&self, worker: WorkerRow, ttl: Duration) -> Result<Vec<WorkerRow>, StoreError> {
        self.call(true, move |state, now| Ok(state.heartbeat(now, worker, ttl)))
            .await
    }

    async fn acquire_lease(
        &self,
        partition: PartitionId,
        worker: &WorkerId,
        wish: LeaseWish,
    ) -> Result<LeaseOutcome, StoreError> {
        let (worker, told) = (worker.clone(), self.server.room());
        let (oracle, life) = (self.oracle.clone(), self.life);
        self.call(true, move |state, now| {
            let outcome = state.acquire(now, partition, &worker, &wish);
            if let LeaseOutcome::Granted { token, .. } = &outcome {
                oracle.granted(partition, token, life);
                told.note(|| format!("store   lease of {partition} -> {outcome:?}"));
            }
            Ok(outcome)
        })
        .await
    }

    async fn leases(&self, partitions: Vec<PartitionId>) -> Result<Vec<Option<HeldLease>>, StoreError> {
        self.call(false, move |state, now| {
            Ok(partitions
                .iter()
                .map(|partition| state.holder(now, *partition))
                .collect())
        })
        .await
    }

    async fn renew_leases(
        &self,
        renewals: Vec<LeaseRenewal>,
        ttl: Duration,
    ) -> Result<Vec<bool>, StoreError> {
        self.call(true, move |state, now| {
            let renewed = renewals.iter().map(|renewal| state.renew(now, renewal, ttl));
            Ok(renewed.collect())
        })
        .await
    }

    async fn mark_rebuilt(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        era: &Era,
    ) -> Result<bool, StoreError> {
        let (token, era) = (token.clone(), era.clone());
        self.call(true, move |state, _| {
            Ok(state.mark_rebuilt(partition, &token, era))
        })
        .await
    }

    async fn release_lease(&self, partition: PartitionId, token: &LeaseToken) -> Result<(), StoreError> {
        let token = token.clone();
        self.call(true, move |state, _| {
            state.release(partition, &token);
            Ok(())
        })
        .await
    }

    async fn count_attempt(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        instance: &InstanceId,
    ) -> Result<Attempted, StoreError> {
        let (token, instance) = (token.clone(), instance.clone());
        self.call(true, move |state, _| {
            Ok(state.count_attempt(partition, &token, &instance))
        })
        .await
    }

    async fn requeue_instance(&self, id: &InstanceId) -> Result<Requeued, StoreError> {
        let id = id.clone();
        self.call(true, move |state, now| Ok(state.requeue_instance(now, &id)))
            .await
    }

    async fn work_attempts(&self, partition: PartitionId, work: MessageId) -> Result<u32, StoreError> {
        self.call(false, move |state, _| Ok(state.work_attempts(partition, work)))
            .await
    }

    async fn count_work_attempt(
        &self,
        partition: PartitionId,
        work: MessageId,
        nonce: u128,
    ) -> Result<u32, StoreError> {
        self.call(true, move |state, _| {
            Ok(state.count_work_attempt(partition, work, nonce))
        })
        .await
    }

    async fn forget_work_attempts(&self, partition: PartitionId, work: MessageId) -> Result<(), StoreError> {
        self.call(true, move |state, _| {
            state.forget_work_attempts(partition, work);
            Ok(())
        })
        .await
    }

    async fn park(&self, message: ParkedMessage) -> Result<(), StoreError> {
        let full = self.server.is_full();
        self.call(true, move |state, _| match full {
            true => Err(out_of_memory()),
            false => state.park(message),
        })
        .await
    }

    async fn parked(&self, page: PageRequest) -> Result<ParkedPage, StoreError> {
        self.call(false, move |state, _| state.parked_page(&page)).await
    }

    async fn parked_message(&self, id: ParkedId) -> Result<Option<ParkedMessage>, StoreError> {
        self.call(false, move |state, _| Ok(state.parked_message(id)))
            .await
    }

    async fn unpark(&self, id: ParkedId) -> Result<bool, StoreError> {
        self.call(true, move |state, _| Ok(state.unpark(id))).await
    }

    async fn workers(&self) -> Result<Vec<WorkerRow>, StoreError> {
        self.call(false, move |state, now| Ok(state.living(now))).await
    }

    async fn census(
        &self,
        partitions: Vec<PartitionId>,
        older_than: Duration,
    ) -> Result<Vec<Census>, StoreError> {
        self.call(false, move |state, now| {
            Ok(partitions
                .iter()
                .map(|partition| state.census(now, *partition, older_than))
                .collect())
        })
        .await
    }

    async fn condition(&self) -> Result<StoreCondition, StoreError> {
        let run = self.server.run();
        self.call(false, move |_, _| {
            Ok(StoreCondition {
                kind: "simulated",
                version: None,
                run,
                memory_used_bytes: None,
                memory_max_bytes: None,
                role: Some(StoreRole::Primary),
                replicas: 0,
                persistence: Persistence::default(),
                is_last_write_ok: None,
            })
        })
        .await
    }
}

/// What Redis says to a script that is not allowed beyond its memory.
fn out_of_memory() -> StoreError {
    StoreError::Full {
        reason: "OOM command not allowed when used memory > 'maxmemory'".to_owned(),
    }
}

/// One answer for a whole batch that had none.
fn spread<T>(
    answer: Result<Vec<Result<T, StoreError>>, StoreError>,
    count: usize,
) -> Vec<Result<T, StoreError>> {
    answer.unwrap_or_else(|error| (0..count).map(|_| Err(error.clone())).collect())
}
