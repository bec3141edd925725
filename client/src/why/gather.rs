//! Owns the questions to store and broker whose answers an explanation is made from.
//! Never fails because the broker does not answer: then that much is not known.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use longhaul_shared::codec;
use longhaul_shared::id::{ExecutionKey, InstanceId, PartitionId, QueueName, TaskId};
use longhaul_shared::message::{Destination, Publication, TaskIdentity};
use longhaul_shared::port::{PageRequest, StoreError, within};

use super::evidence::{Evidence, QueueStand};
use super::explain::explain;
use super::reason::Why;
use super::step::{OpenStep, StepKind, open_steps};
use crate::client::Client;
use crate::query::LookError;

/// The kind of the broker whose queues are gone with the process that had them.
const IN_THIS_PROCESS: &str = "embedded";
/// How long the broker may take for an answer.
const BROKER_WITHIN: Duration = Duration::from_secs(5);
/// How far the two looks lie apart that must find a control queue without consumers.
const LOOKS_APART: Duration = Duration::from_millis(500);
/// How much of an outbox is looked through; it is nearly empty unless something is wrong.
const OUTBOX_PAGE: usize = 500;
const OUTBOX_PAGES_MAX: usize = 20;
/// Of how many open tasks it is asked how often they were begun.
const ATTEMPTS_ASKED_MAX: usize = 32;

impl Client {
    /// Says what an instance waits for, since when, and what would unblock it.
    ///
    /// # Errors
    /// [`LookError`].
    pub async fn why(&self, id: &InstanceId) -> Result<Why, LookError> {
        Ok(explain(&self.evidence(id).await?))
    }

    async fn evidence(&self, id: &InstanceId) -> Result<Evidence, LookError> {
        let ports = self.ports();
        let partition = PartitionId::of(id, self.partitions());
        let loaded = self.loaded(id, true).await?.ok_or_else(|| self.unknown(id))?;
        let mut leases = ports.store.leases(vec![partition]).await?;
        let workers = ports.store.workers().await?;
        let mut evidence = Evidence {
            now: ports.store.time().await?,
            partition,
            is_at_rest: workers.is_empty() && ports.broker.condition().kind == IN_THIS_PROCESS,
            lease: leases.pop().flatten(),
            workers,
            control: QueueStand::Unknown,
            queues: BTreeMap::new(),
            unsent: BTreeSet::new(),
            attempts: BTreeMap::new(),
            unread: loaded.inbox.len(),
            row: loaded.row,
            history: loaded.history,
        };
        if evidence.row.status.is_terminal() {
            return Ok(evidence);
        }
        let steps = open_steps(&evidence.history);
        if evidence.is_at_rest {
            return Ok(evidence);
        }
        evidence.control = self.stand(Destination::Control(partition)).await;
        if evidence.control.is_deserted() {
            // RabbitMQ may say so of a queue that it is too busy to count: one answer proves nothing.
            ports.runtime.sleep(LOOKS_APART).await;
            evidence.control = self.stand(Destination::Control(partition)).await;
        }
        for queue in queues(&steps) {
            let stand = self.stand(Destination::Work(queue.clone())).await;
            evidence.queues.insert(queue, stand);
        }
        let is_handed_out = |step: &OpenStep| matches!(step.kind, StepKind::Activity { .. });
        if steps.iter().any(is_handed_out) {
            evidence.unsent = self.unsent(partition, id).await?;
        }
        evidence.attempts = self.attempts(&evidence, &steps).await?;
        Ok(evidence)
    }

    async fn stand(&self, destination: Destination) -> QueueStand {
        let ports = self.ports();
        let asked = ports.broker.depth(&destination);
        match within(&ports.runtime, BROKER_WITHIN, asked).await {
            Ok(Ok(Some(depth))) => QueueStand::There(depth),
            Ok(Ok(None)) => QueueStand::Missing,
            Ok(Err(error)) => {
                tracing::debug!(?destination, %error, "a queue cannot be asked");
                QueueStand::Unknown
            }
            Err(elapsed) => {
                tracing::debug!(?destination, %elapsed, "a queue does not answer");
                QueueStand::Unknown
            }
        }
    }

    /// The instance's tasks whose work items are in the outbox.
    async fn unsent(&self, partition: PartitionId, id: &InstanceId) -> Result<BTreeSet<TaskId>, StoreError> {
        let mut unsent = BTreeSet::new();
        let mut cursor = None;
        for _ in 0..OUTBOX_PAGES_MAX {
            let request = PageRequest {
                cursor,
                limit: OUTBOX_PAGE,
            };
            let page = self.ports().store.outbox(partition, request).await?;
            unsent.extend(page.messages.iter().filter_map(|message| task_in(message, id)));
            cursor = page.next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(unsent)
    }

    async fn attempts(
        &self,
        evidence: &Evidence,
        steps: &[OpenStep],
    ) -> Result<BTreeMap<TaskId, u32>, StoreError> {
        let mut attempts = BTreeMap::new();
        let key = ExecutionKey {
            instance: evidence.row.id.clone(),
            execution: evidence.row.execution,
        };
        for step in steps.iter().take(ATTEMPTS_ASKED_MAX) {
            let StepKind::Activity { fingerprint, .. } = &step.kind else {
                continue;
            };
            let identity = TaskIdentity {
                key: key.clone(),
                task: step.task,
                scheduled_seq: step.seq,
                fingerprint: *fingerprint,
            };
            let store = &self.ports().store;
            let counted = store
                .work_attempts(evidence.partition, identity.attempts_id())
                .await?;
            if counted > 0 {
                attempts.insert(step.task, counted);
            }
        }
        Ok(attempts)
    }
}

fn queues(steps: &[OpenStep]) -> BTreeSet<QueueName> {
    let queue = |step: &OpenStep| match &step.kind {
        StepKind::Activity { queue, .. } => Some(queue.clone()),
        _ => None,
    };
    steps.iter().filter_map(queue).collect()
}

/// The task of this instance that a message of the outbox asks for.
fn task_in(message: &Publication, id: &InstanceId) -> Option<TaskId> {
    match &message.destination {
        Destination::Work(_) => {}
        _ => return None,
    }
    let item = codec::decode_work_item(&message.body).ok()?;
    (item.identity.key.instance == *id).then_some(item.identity.task)
}
