//! Owns the rules of the truth: what each change of the store checks and writes.
//! Never fails, waits or forgets: that is the server's part.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use longhaul_shared::commit::{CommitOutcome, Ready, TurnCommit};
use longhaul_shared::history::HistoryEvent;
use longhaul_shared::id::{
    CommitNumber, Epoch, EventSeq, ExecutionKey, FunctionName, InstanceId, LeaseToken, MessageId, ParkedId,
    PartitionId, QueueName, TaskId, WorkerId,
};
use longhaul_shared::instance::{InstanceRow, StartInstance, Status};
use longhaul_shared::limits;
use longhaul_shared::message::{Envelope, Publication};
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::port::{
    Attempted, Created, Era, HeldLease, HubInfo, HubSettings, LeaseOutcome, LeaseRenewal, LeaseWish, Posted,
    Pulse, Requeued, StoreError, StoreRun, WorkerRow,
};
use longhaul_shared::time::Timestamp;

use crate::mutant::Mutant;

/// The whole truth at one moment. Cheap to clone: clones share what did not change since.
#[derive(Clone, Default)]
pub(crate) struct State {
    pub(super) hub: Option<HubInfo>,
    pub(super) instances: BTreeMap<InstanceId, Arc<Instance>>,
    pub(super) partitions: BTreeMap<PartitionId, Arc<Partition>>,
    queues: BTreeSet<QueueName>,
    workers: BTreeMap<WorkerId, (Timestamp, Vec<FunctionName>)>,
    pub(super) parked: BTreeMap<(Timestamp, ParkedId), Arc<ParkedMessage>>,
    /// When each of them was parked.
    parked_at: BTreeMap<ParkedId, Timestamp>,
    pub(super) mutant: Option<Mutant>,
}

/// What is kept of an instance.
#[derive(Clone)]
pub(crate) struct Instance {
    pub(crate) row: InstanceRow,
    pub(crate) history: Vec<Arc<HistoryEvent>>,
    /// Where in the history each commit ended.
    pub(super) ends: Vec<u64>,
    pub(crate) inbox: BTreeMap<MessageId, Envelope>,
    pub(crate) ready: Option<Timestamp>,
    /// Under which token the last attempt was counted.
    counted: Option<LeaseToken>,
}

/// What is kept of a partition.
#[derive(Clone, Default)]
pub(crate) struct Partition {
    lease: Lease,
    pub(crate) outbox: BTreeMap<MessageId, Publication>,
    pub(super) timers: BTreeMap<(ExecutionKeyOrd, TaskId), Timestamp>,
    /// Counted attempts at pieces of work, and the name of the last.
    attempts: BTreeMap<MessageId, (u32, Option<u128>)>,
}

/// An execution key that can be ordered.
pub(super) type ExecutionKeyOrd = (InstanceId, longhaul_shared::id::ExecutionId);

pub(super) fn ordered(key: &ExecutionKey) -> ExecutionKeyOrd {
    (key.instance.clone(), key.execution)
}

#[derive(Clone, Default)]
struct Lease {
    owner: Option<WorkerId>,
    token: Option<LeaseToken>,
    expires: Timestamp,
    consuming: bool,
    acquisitions: u64,
    after_expiry: bool,
    rebuilt: Era,
}

impl Lease {
    fn is_held_under(&self, token: &LeaseToken) -> bool {
        self.owner.is_some() && self.token.as_ref() == Some(token)
    }

    fn may_be_taken_early(&self, wish: &LeaseWish) -> bool {
        self.consuming && wish.early.is_some() && wish.early == self.token
    }
}

/// What a commit did, for whoever watches.
pub(crate) struct Applied<'a> {
    pub(crate) commit: &'a TurnCommit,
    pub(crate) before: &'a Instance,
    /// Whether the committer held the partition.
    pub(crate) is_owner: bool,
    pub(crate) now: Timestamp,
}

fn missing() -> StoreError {
    StoreError::Incompatible {
        reason: "the hub does not exist yet".to_owned(),
    }
}

impl State {
    pub(crate) fn broken(mutant: Option<Mutant>) -> Self {
        Self {
            mutant,
            ..Self::default()
        }
    }

    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.mutant == Some(mutant)
    }

    pub(crate) fn instances(&self) -> impl Iterator<Item = (&InstanceId, &Instance)> {
        self.instances.iter().map(|(id, instance)| (id, &**instance))
    }

    pub(crate) fn partitions(&self) -> impl Iterator<Item = (&PartitionId, &Partition)> {
        self.partitions.iter().map(|(id, partition)| (id, &**partition))
    }

    pub(super) fn partition(&mut self, id: PartitionId) -> &mut Partition {
        Arc::make_mut(self.partitions.entry(id).or_default())
    }

    fn partition_of(&self, id: &InstanceId) -> Result<PartitionId, StoreError> {
        let hub = self.hub.as_ref().ok_or_else(missing)?;
        Ok(PartitionId::of(id, hub.partitions))
    }

    fn instance(&mut self, id: &InstanceId) -> Option<&mut Instance> {
        self.instances.get_mut(id).map(Arc::make_mut)
    }

    // --- the hub ---------------------------------------------------------------------------------------

    pub(super) fn open_hub(&mut self, run: StoreRun, settings: HubSettings) -> Result<HubInfo, StoreError> {
        let range = limits::PARTITIONS_MIN..=limits::PARTITIONS_MAX;
        if self.hub.is_none() && !range.contains(&settings.partitions) {
            let reason = format!("a hub does not have {} partitions", settings.partitions);
            return Err(StoreError::Incompatible { reason });
        }
        let made = HubInfo {
            partitions: settings.partitions,
            epoch: Epoch::default(),
            queue_type: String::new(),
            born: run,
        };
        Ok(self.hub.get_or_insert(made).clone())
    }

    pub(super) fn pulse(&self, now: Timestamp, run: StoreRun) -> Result<Pulse, StoreError> {
        let hub = self.hub.as_ref().ok_or_else(missing)?;
        let epoch = hub.epoch;
        Ok(Pulse {
            time: now,
            era: Era { epoch, run },
            queues: self.queues.iter().cloned().collect(),
        })
    }

    pub(super) fn note_queue(&mut self, queue: QueueName) -> bool {
        self.queues.insert(queue)
    }

    pub(super) fn advance_epoch(&mut self, seen: Epoch, next: Epoch) -> Result<Epoch, StoreError> {
        let hub = self.hub.as_mut().ok_or_else(missing)?;
        if hub.epoch == seen {
            hub.epoch = next;
        }
        Ok(hub.epoch)
    }

    // --- instances -------------------------------------------------------------------------------------

    pub(super) fn create(&mut self, now: Timestamp, start: StartInstance) -> Result<Created, StoreError> {
        self.partition_of(&start.id)?;
        if let Some(there) = self.instances.get(&start.id)
            && !self.is(Mutant::StartIdIgnored)
        {
            let status = there.row.status;
            return Ok(if there.row.start_id == start.start_id {
                Created::Repeated(status)
            } else {
                Created::Taken {
                    by: there.row.start_id.clone(),
                    status,
                }
            });
        }
        let row = InstanceRow {
            id: start.id.clone(),
            name: start.name,
            version: start.version,
            execution: start.execution,
            status: Status::Pending,
            commit_number: CommitNumber::default(),
            last_commit: None,
            last_seq: EventSeq::default(),
            start_id: start.start_id,
            created: now,
            changed: now,
            input: start.input,
            output: None,
            failure: None,
            waiting_for: None,
            attempts: 0,
            tags: start.tags,
            trace: start.trace,
        };
        let instance = Instance {
            row,
            history: Vec::new(),
            ends: Vec::new(),
            inbox: BTreeMap::new(),
            ready: Some(now),
            counted: None,
        };
        self.instances.insert(start.id, Arc::new(instance));
        Ok(Created::New)
    }

    pub(super) fn post(&mut self, now: Timestamp, message: &Envelope) -> Result<Posted, StoreError> {
        self.partition_of(&message.instance)?;
        let Some(instance) = self.instance(&message.instance) else {
            return Ok(Posted::Unknown);
        };
        if instance.row.status.is_terminal() {
            return Ok(Posted::Ended(instance.row.status));
        }
        if instance.inbox.contains_key(&message.id) {
            return Ok(Posted::Accepted);
        }
        if instance.inbox.len() >= limits::INBOX_MESSAGES_MAX {
            return Ok(Posted::Full);
        }
        instance.inbox.insert(message.id, message.clone());
        instance.ready = Some(instance.ready.map_or(now, |ready| ready.min(now)));
        Ok(Posted::Accepted)
    }

    pub(super) fn commit(
        &mut self,
        now: Timestamp,
        commit: &TurnCommit,
        watch: &mut dyn FnMut(&Applied<'_>),
    ) -> Result<CommitOutcome, StoreError> {
        let in_partition = self.partition_of(&commit.instance)? == commit.partition;
        let is_owner = self
            .partitions
            .get(&commit.partition)
            .is_some_and(|partition| partition.lease.is_held_under(&commit.token));
        if !is_owner && !self.is(Mutant::NoFence) {
            return Ok(CommitOutcome::Fenced);
        }
        let Some(before) = self.instances.get(&commit.instance).filter(|_| in_partition) else {
            return Ok(CommitOutcome::Conflict);
        };
        let row = &before.row;
        if row.last_commit == Some(commit.id) && !self.is(Mutant::CommitIdUnchecked) {
            return Ok(CommitOutcome::Duplicate);
        }
        let unchecked = self.is(Mutant::CommitNumberUnchecked) || self.is(Mutant::CommitIdUnchecked);
        let is_expected = row.commit_number == commit.expected && row.last_seq == commit.expected_seq;
        if row.execution != commit.execution || row.status.is_terminal() || !(is_expected || unchecked) {
            return Ok(CommitOutcome::Conflict);
        }
        watch(&Applied {
            commit,
            before,
            is_owner,
            now,
        });
        self.write(now, commit);
        Ok(CommitOutcome::Applied)
    }

    fn write(&mut self, now: Timestamp, commit: &TurnCommit) {
        let keeps_outbox = !self.is(Mutant::NoOutbox);
        let key = (commit.instance.clone(), commit.execution);
        let partition = self.partition(commit.partition);
        for task in &commit.timers_remove {
            partition.timers.remove(&(key.clone(), *task));
        }
        for timer in &commit.timers_add {
            partition.timers.insert((key.clone(), timer.task), timer.due);
        }
        for message in &commit.outbox_remove {
            partition.outbox.remove(message);
        }
        for message in commit.outbox_add.iter().filter(|_| keeps_outbox) {
            partition.outbox.insert(message.id, message.clone());
        }
        if let Some(instance) = self.instance(&commit.instance) {
            instance.write(now, commit);
        }
    }

    // --- leases and workers ----------------------------------------------------------------------------

    pub(super) fn heartbeat(&mut self, now: Timestamp, worker: WorkerRow, ttl: Duration) -> Vec<WorkerRow> {
        self.workers.retain(|_, (expires, _)| *expires > now);
        if ttl.is_zero() {
            self.workers.remove(&worker.id);
        } else {
            self.workers.insert(worker.id, (now.plus(ttl), worker.hosts));
        }
        self.living(now)
    }

    pub(super) fn living(&self, now: Timestamp) -> Vec<WorkerRow> {
        let living = self.workers.iter().filter(|(_, (expires, _))| *expires > now);
        let row = |(id, (_, hosts)): (&WorkerId, &(Timestamp, Vec<FunctionName>))| WorkerRow {
            id: id.clone(),
            hosts: hosts.clone(),
        };
        living.map(row).collect()
    }

    pub(super) fn acquire(
        &mut self,
        now: Timestamp,
        id: PartitionId,
        worker: &WorkerId,
        wish: &LeaseWish,
    ) -> LeaseOutcome {
        let counts_only = self.is(Mutant::CounterToken);
        let nonce = if counts_only { 0 } else { wish.nonce };
        let lease = &mut self.partition(id).lease;
        let again = !counts_only && lease.is_held_under(&LeaseToken::new(lease.acquisitions, nonce));
        match &lease.owner {
            Some(owner) if lease.expires > now && !again && !lease.may_be_taken_early(wish) => {
                return LeaseOutcome::Held {
                    owner: owner.clone(),
                    expires_in: lease.expires.since(now),
                };
            }
            _ => {}
        }
        if !again {
            lease.acquisitions += 1;
            lease.after_expiry = lease.owner.is_some();
            lease.owner = Some(worker.clone());
            lease.consuming = false;
        }
        lease.expires = now.plus(wish.ttl);
        let token = LeaseToken::new(lease.acquisitions, nonce);
        lease.token = Some(token.clone());
        LeaseOutcome::Granted {
            token,
            after_expiry: lease.after_expiry,
            rebuilt: lease.rebuilt.clone(),
        }
    }

    pub(super) fn holder(&self, now: Timestamp, id: PartitionId) -> Option<HeldLease> {
        let lease = &self.partitions.get(&id)?.lease;
        Some(HeldLease {
            owner: lease.owner.clone()?,
            token: lease.token.clone()?,
            consuming: lease.consuming,
            expires_in: lease.expires.since(now),
        })
    }

    pub(super) fn renew(&mut self, now: Timestamp, renewal: &LeaseRenewal, ttl: Duration) -> bool {
        let held = self.is_held(renewal.partition, &renewal.token);
        if held {
            let lease = &mut self.partition(renewal.partition).lease;
            lease.expires = now.plus(ttl);
            lease.consuming = renewal.consuming;
        }
        held
    }

    pub(super) fn is_held(&self, id: PartitionId, token: &LeaseToken) -> bool {
        let partition = self.partitions.get(&id);
        partition.is_some_and(|partition| partition.lease.is_held_under(token))
    }

    pub(super) fn mark_rebuilt(&mut self, id: PartitionId, token: &LeaseToken, era: Era) -> bool {
        let held = self.is_held(id, token);
        if held {
            let rebuilt = &mut self.partition(id).lease.rebuilt;
            let epoch = Epoch::new(rebuilt.epoch.number.max(era.epoch.number));
            *rebuilt = Era { epoch, ..era };
        }
        held
    }

    pub(super) fn release(&mut self, id: PartitionId, token: &LeaseToken) {
        if self.is_held(id, token) {
            let lease = &mut self.partition(id).lease;
            lease.owner = None;
            lease.consuming = false;
        }
    }

    // --- poison ----------------------------------------------------------------------------------------

    pub(super) fn count_attempt(
        &mut self,
        id: PartitionId,
        token: &LeaseToken,
        of: &InstanceId,
    ) -> Attempted {
        if !self.is_held(id, token) {
            return Attempted::Fenced;
        }
        match self.instance(of) {
            Some(instance) if !instance.row.status.is_terminal() => {
                if instance.counted.as_ref() != Some(token) {
                    instance.row.attempts += 1;
                    instance.counted = Some(token.clone());
                }
                Attempted::Counted(instance.row.attempts)
            }
            _ => Attempted::Gone,
        }
    }

    pub(super) fn requeue_instance(&mut self, now: Timestamp, id: &InstanceId) -> Requeued {
        match self.instance(id) {
            None => Requeued::Unknown,
            Some(instance) if instance.row.status.is_terminal() => Requeued::Ended(instance.row.status),
            Some(instance) => {
                instance.row.attempts = 0;
                instance.counted = None;
                instance.ready = Some(instance.ready.map_or(now, |ready| ready.min(now)));
                Requeued::Accepted
            }
        }
    }

    pub(super) fn work_attempts(&self, id: PartitionId, work: MessageId) -> u32 {
        let partition = self.partitions.get(&id);
        partition
            .and_then(|kept| kept.attempts.get(&work))
            .map_or(0, |(count, _)| *count)
    }

    pub(super) fn count_work_attempt(&mut self, id: PartitionId, work: MessageId, nonce: u128) -> u32 {
        let (count, last) = self.partition(id).attempts.entry(work).or_default();
        if *last != Some(nonce) {
            *count += 1;
            *last = Some(nonce);
        }
        *count
    }

    pub(super) fn forget_work_attempts(&mut self, id: PartitionId, work: MessageId) {
        self.partition(id).attempts.remove(&work);
    }

    // --- timers, outbox, parked ------------------------------------------------------------------------

    pub(super) fn drop_timers(
        &mut self,
        id: PartitionId,
        token: &LeaseToken,
        timers: &[(ExecutionKey, TaskId)],
    ) -> bool {
        let held = self.is_held(id, token);
        if held {
            for (key, task) in timers {
                self.partition(id).timers.remove(&(ordered(key), *task));
            }
        }
        held
    }

    pub(super) fn forget_confirmed(
        &mut self,
        id: PartitionId,
        token: &LeaseToken,
        messages: &[MessageId],
    ) -> bool {
        let held = self.is_held(id, token);
        if held {
            for message in messages {
                self.partition(id).outbox.remove(message);
            }
        }
        held
    }

    /// For a broken rule: a message leaves every outbox without anybody's word.
    pub(crate) fn forget_everywhere(&mut self, message: MessageId) {
        let ids: Vec<_> = self.partitions.keys().copied().collect();
        for id in ids {
            self.partition(id).outbox.remove(&message);
        }
    }

    pub(super) fn park(&mut self, message: ParkedMessage) -> Result<(), StoreError> {
        if self.parked_at.contains_key(&message.id) {
            return Ok(());
        }
        if self.parked.len() >= limits::PARKED_MESSAGES_MAX {
            let reason = format!("{} messages are parked", self.parked.len());
            return Err(StoreError::Full { reason });
        }
        self.parked_at.insert(message.id, message.time);
        self.parked.insert((message.time, message.id), Arc::new(message));
        Ok(())
    }

    pub(super) fn unpark(&mut self, id: ParkedId) -> bool {
        let Some(time) = self.parked_at.remove(&id) else {
            return false;
        };
        self.parked.remove(&(time, id)).is_some()
    }
}

impl Partition {
    /// How many timers are set.
    pub(crate) fn timers(&self) -> usize {
        self.timers.len()
    }
}

impl Instance {
    fn write(&mut self, now: Timestamp, commit: &TurnCommit) {
        if !commit.events.is_empty() {
            self.history.extend(commit.events.iter().cloned().map(Arc::new));
            self.ends.push(self.history.len() as u64);
        }
        let is_over = commit.row.status.is_terminal();
        for message in &commit.inbox_remove {
            self.inbox.remove(message);
        }
        for envelope in &commit.inbox_add {
            self.inbox.insert(envelope.id, envelope.clone());
        }
        if is_over {
            self.inbox.clear();
        }
        self.ready = match commit.ready {
            _ if is_over => None,
            Ready::At(time) => Some(time),
            Ready::Rest => None,
            Ready::Settle if self.inbox.is_empty() => None,
            Ready::Settle => Some(self.ready.map_or(now, |ready| ready.min(now))),
        };
        if commit.survived {
            self.row.attempts = 0;
            self.counted = None;
        }
        let row = &mut self.row;
        row.status = commit.row.status;
        row.commit_number = commit.expected.next();
        row.last_commit = Some(commit.id);
        row.last_seq = commit.last_seq();
        row.changed = commit.row.changed;
        row.waiting_for.clone_from(&commit.row.waiting_for);
        row.output.clone_from(&commit.row.output);
        row.failure.clone_from(&commit.row.failure);
    }
}
