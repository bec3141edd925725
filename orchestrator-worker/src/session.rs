//! Owns sessions: what the worker keeps of an execution between its turns, and how many of them.
//! Never outlives its truth: a session is dropped at the first sign that the store knows more.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_shared::commit::RowChange;
use longhaul_shared::history::{ExecutionStarted, HistoryEvent};
use longhaul_shared::id::{
    CommitId, CommitNumber, ExecutionKey, FunctionName, InstanceId, PartitionId, TaskId,
};
use longhaul_shared::instance::{InstanceRow, Status, WaitingFor};
use longhaul_shared::time::Timestamp;
use longhaul_shared::trace::TraceContext;

use crate::executor::Warm;
use crate::ledger::Ledger;
use crate::replay::Replay;
use crate::tenure::Tenure;

/// What is known of an execution, as of its last commit.
pub(crate) struct Session {
    pub(crate) key: ExecutionKey,
    pub(crate) partition: PartitionId,
    pub(crate) name: FunctionName,
    pub(crate) status: Status,
    pub(crate) commit_number: CommitNumber,
    /// Which commit that was: a store that has forgotten may have had another one since.
    pub(crate) last_commit: Option<CommitId>,
    pub(crate) waiting_for: Option<WaitingFor>,
    pub(crate) trace: TraceContext,
    /// What the first event will say; gone once it is committed.
    pub(crate) start: Option<ExecutionStarted>,
    pub(crate) ledger: Ledger,
    /// The executor's own memory. Absent after a load, until the next turn has replayed [`Self::past`].
    pub(crate) warm: Option<Warm>,
    /// The committed events, from a load until they have been replayed.
    pub(crate) past: Vec<HistoryEvent>,
    /// What admitted them, for as long as they are held.
    pub(crate) replay: Option<Replay>,
    /// Activities that nobody works on: how often they came back as not hosted, and what is waited for.
    pub(crate) not_hosted: BTreeMap<TaskId, (u32, WaitingFor)>,
    /// Inline steps that run now.
    pub(crate) inline_running: BTreeSet<TaskId>,
    /// How often in a row the execution could not go on.
    pub(crate) times_blocked: u32,
    /// Attempts at it that were counted since its last commit.
    pub(crate) attempts: u32,
    /// Whether the next attempt is to be counted.
    pub(crate) suspect: bool,
    /// When the instance was accepted.
    pub(crate) created: Timestamp,
    /// When its row last changed: no later turn is of an earlier time, whatever this worker's clock shows.
    pub(crate) not_before: Timestamp,
}

impl Session {
    /// The session of an instance as it was just read, history included, under this lease.
    pub(crate) fn load(
        partition: PartitionId,
        tenure: &Tenure,
        row: InstanceRow,
        past: Vec<HistoryEvent>,
    ) -> Self {
        let mut ledger = Ledger::default();
        ledger.record(&past);
        // The last sign of life: commits without events may have been made without running its code.
        let suspect = tenure.suspects(ledger.last_time().max(row.created));
        let not_here = parked_task(&ledger, row.waiting_for.as_ref());
        let start = (!ledger.is_started()).then(|| ExecutionStarted {
            name: row.name.clone(),
            version: row.version,
            input: row.input,
            start_id: row.start_id,
            tags: row.tags,
            trace: row.trace.clone(),
        });
        Self {
            key: ExecutionKey {
                instance: row.id,
                execution: row.execution,
            },
            partition,
            name: row.name,
            status: row.status,
            commit_number: row.commit_number,
            last_commit: row.last_commit,
            waiting_for: row.waiting_for,
            trace: row.trace,
            start,
            ledger,
            warm: None,
            past,
            replay: None,
            not_hosted: not_here.into_iter().collect(),
            inline_running: BTreeSet::new(),
            times_blocked: 0,
            attempts: row.attempts,
            suspect,
            created: row.created,
            not_before: row.changed,
        }
    }

    /// Takes in what a commit has changed.
    pub(crate) fn committed(
        &mut self,
        number: CommitNumber,
        id: CommitId,
        events: &[HistoryEvent],
        row: &RowChange,
    ) {
        self.commit_number = number;
        self.last_commit = Some(id);
        self.ledger.record(events);
        self.status = row.status;
        self.waiting_for.clone_from(&row.waiting_for);
        self.not_before = self.not_before.max(row.changed);
        if self.ledger.is_started() {
            self.start = None;
        }
    }

    /// Takes in that the code ran and the worker lives.
    pub(crate) fn survived(&mut self) {
        self.attempts = 0;
        self.suspect = false;
    }

    /// Whether it is what this row says: of the same execution, after the same commit, and not ended.
    pub(crate) fn is_of(&self, row: &InstanceRow) -> bool {
        row.execution == self.key.execution
            && row.commit_number == self.commit_number
            && row.last_commit == self.last_commit
            && !row.status.is_terminal()
    }

    /// Whether the executor has its memory of this execution.
    pub(crate) fn is_warm(&self) -> bool {
        self.warm.is_some()
    }
}

/// The parked task that the row tells of, if it is still open.
fn parked_task(ledger: &Ledger, waiting_for: Option<&WaitingFor>) -> Option<(TaskId, (u32, WaitingFor))> {
    match waiting_for {
        Some(parked @ WaitingFor::ParkedTask { task, .. }) => {
            ledger.open_task(*task).map(|_| (*task, (0, parked.clone())))
        }
        _ => None,
    }
}

/// The warm sessions, bounded; the least recently used go first.
pub(crate) struct Sessions {
    most: usize,
    clock: u64,
    by_instance: BTreeMap<InstanceId, (u64, Session)>,
    by_use: BTreeMap<u64, InstanceId>,
}

impl Sessions {
    /// Room for `most` sessions.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            most,
            clock: 0,
            by_instance: BTreeMap::new(),
            by_use: BTreeMap::new(),
        }
    }

    /// Takes a session out, for its turn.
    pub(crate) fn take(&mut self, instance: &InstanceId) -> Option<Session> {
        let (used, session) = self.by_instance.remove(instance)?;
        self.by_use.remove(&used);
        Some(session)
    }

    /// Puts a session back; whether another had to go. One whose inline steps run is kept whatever the bound, since
    /// their code is in it.
    pub(crate) fn put(&mut self, session: Session) -> bool {
        let instance = session.key.instance.clone();
        self.clock += 1;
        self.by_use.insert(self.clock, instance.clone());
        self.by_instance.insert(instance, (self.clock, session));
        self.by_instance.len() > self.most && self.evict_one()
    }

    fn evict_one(&mut self) -> bool {
        let evictable = self.by_use.iter().find_map(|(used, instance)| {
            let (_, session) = self.by_instance.get(instance)?;
            session
                .inline_running
                .is_empty()
                .then(|| (*used, instance.clone()))
        });
        let Some((used, instance)) = evictable else {
            return false;
        };
        self.by_use.remove(&used);
        self.by_instance.remove(&instance);
        true
    }

    /// Whether an inline step of this instance runs now, so that there is no need to look at it.
    pub(crate) fn runs_inline(&self, instance: &InstanceId) -> bool {
        self.by_instance
            .get(instance)
            .is_some_and(|(_, session)| !session.inline_running.is_empty())
    }

    /// Drops all sessions of a partition.
    pub(crate) fn drop_partition(&mut self, partition: PartitionId) {
        self.by_instance
            .retain(|_, (_, session)| session.partition != partition);
        let kept = &self.by_instance;
        self.by_use.retain(|_, instance| kept.contains_key(instance));
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.by_instance.len()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn session(text: &str) -> Session {
        let tenure = Tenure {
            token: longhaul_shared::id::LeaseToken::new(1, 1),
            unclean_since: None,
        };
        Session::load(PartitionId(0), &tenure, sample_row(text), Vec::new())
    }

    fn sample_row(text: &str) -> InstanceRow {
        use longhaul_shared::id::{EventSeq, ExecutionId, StartId};
        use longhaul_shared::payload::Payload;
        use longhaul_shared::time::Timestamp;

        InstanceRow {
            id: InstanceId::new(text).unwrap(),
            name: FunctionName::new("f").unwrap(),
            version: None,
            execution: ExecutionId::from_bits(1),
            status: Status::Pending,
            commit_number: CommitNumber(0),
            last_commit: None,
            last_seq: EventSeq(0),
            start_id: StartId::new("s").unwrap(),
            created: Timestamp::default(),
            changed: Timestamp::default(),
            input: Payload::unit(),
            output: None,
            failure: None,
            waiting_for: None,
            attempts: 0,
            tags: BTreeMap::new(),
            trace: TraceContext::default(),
        }
    }

    #[test]
    fn the_least_recently_used_session_goes_first() {
        let mut sessions = Sessions::new(2);
        sessions.put(session("a"));
        sessions.put(session("b"));
        let a = sessions.take(&InstanceId::new("a").unwrap()).unwrap();
        sessions.put(a);
        sessions.put(session("c"));
        assert_eq!(sessions.len(), 2);
        assert!(sessions.take(&InstanceId::new("b").unwrap()).is_none());
    }

    #[test]
    fn a_session_whose_inline_step_runs_is_kept() {
        let mut sessions = Sessions::new(1);
        let mut busy = session("a");
        busy.inline_running.insert(TaskId(1));
        sessions.put(busy);
        sessions.put(session("b"));
        sessions.put(session("c"));
        assert!(sessions.runs_inline(&InstanceId::new("a").unwrap()));
        assert!(sessions.len() <= 2);
    }
}
