//! Owns the judgement: what must hold at every commit, of every activity, and at the end of a run.
//! Never helps: it only looks, from outside, with knowledge that no process of the simulation has.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longhaul_shared::commit::{CommitOutcome, TurnCommit};
use longhaul_shared::history::EventKind;
use longhaul_shared::id::{CommitId, ExecutionId, InstanceId, LeaseToken, PartitionId, TaskId};
use longhaul_shared::port::{Created, StoreError};
use longhaul_shared::time::Timestamp;

use crate::executor::{Executor, Life};
use crate::faults::FaultCount;
use crate::store::Applied;

/// The judge of one run. Cheap to clone.
#[derive(Clone)]
pub struct Oracle(Arc<Mutex<Judge>>);

/// So many commits of an instance cannot conflict one after the other: whoever learns of a conflict loads the instance,
/// and only the owner of its partition writes to it.
const CONFLICTS_IN_A_ROW: usize = 5;

/// Names one task of one execution, or one inline step.
type TaskName = (InstanceId, ExecutionId, TaskId);

struct Judge {
    room: Executor,
    faults: FaultCount,
    /// Whether the store's clock never jumped, so that nothing can be dated after it.
    clock_is_one: bool,
    violations: Vec<String>,
    /// To whom a token was granted last.
    holders: BTreeMap<(PartitionId, String), Life>,
    /// What was done by commits that were applied.
    applied: BTreeSet<CommitId>,
    executions: BTreeMap<TaskName, Executions>,
    created: BTreeMap<InstanceId, u32>,
    /// Tasks that one attempt of an author's step saw, in order: tells the attempt of a retry.
    attempts: BTreeMap<(InstanceId, u64), BTreeSet<TaskId>>,
    /// Commits that conflicted since the last one of the instance that did not.
    conflicts: BTreeMap<InstanceId, BTreeSet<CommitId>>,
    /// The store has forgotten accepted changes: what it said before may be gone.
    amnesia: bool,
    commits: u64,
}

#[derive(Default)]
struct Executions {
    count: u64,
    /// How many faults there had been when the task was scheduled, as far as is known.
    faults_before: Option<u64>,
}

impl Oracle {
    /// A judge who has seen nothing yet.
    #[must_use]
    pub fn new(room: &Executor, faults: FaultCount) -> Self {
        Self(Arc::new(Mutex::new(Judge {
            room: room.clone(),
            faults,
            clock_is_one: true,
            violations: Vec::new(),
            holders: BTreeMap::new(),
            applied: BTreeSet::new(),
            executions: BTreeMap::new(),
            created: BTreeMap::new(),
            attempts: BTreeMap::new(),
            conflicts: BTreeMap::new(),
            amnesia: false,
            commits: 0,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Judge> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was found wrong.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        self.lock().violations.clone()
    }

    /// Whether anything was found wrong.
    #[must_use]
    pub fn is_content(&self) -> bool {
        self.lock().violations.is_empty()
    }

    /// Finds something wrong.
    pub fn accuse(&self, what: String) {
        self.lock().accuse(what);
    }

    /// Another store has taken over: changes that nobody knows to be accepted may come again, its clock is another.
    pub fn failed_over(&self) {
        let mut judge = self.lock();
        judge.clock_is_one = false;
        judge.applied.clear();
        judge.created.clear();
    }

    /// From now on the store may have forgotten what it had accepted.
    pub fn amnesia(&self) {
        self.failed_over();
        self.lock().amnesia = true;
    }

    /// Whether it ever may have.
    #[must_use]
    pub fn has_amnesia(&self) -> bool {
        self.lock().amnesia
    }

    /// How many commits were applied.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.lock().commits
    }

    // --- the store -------------------------------------------------------------------------------------

    /// A start was answered by the store.
    pub(crate) fn created(&self, id: &InstanceId, created: &Created) {
        let mut judge = self.lock();
        if matches!(created, Created::New) {
            let count = judge.created.entry(id.clone()).or_default();
            *count += 1;
            if *count > 1 && !judge.amnesia {
                judge.accuse(format!("instance {id} was created twice"));
            }
        }
    }

    /// A process was granted a lease under this token.
    pub(crate) fn granted(&self, partition: PartitionId, token: &LeaseToken, life: Life) {
        self.lock()
            .holders
            .insert((partition, token.as_str().to_owned()), life);
    }

    /// A process's commit is about to be applied.
    pub(crate) fn commit(&self, life: Life, applied: &Applied<'_>) {
        let mut judge = self.lock();
        if let Err(violation) = judge.check(life, applied) {
            let id = &applied.commit.instance;
            judge.accuse(format!("commit of {id}: {violation}"));
        }
    }

    /// A commit was judged by the store.
    pub(crate) fn committed(&self, commit: &TurnCommit, outcome: &Result<CommitOutcome, StoreError>) {
        let mut judge = self.lock();
        judge.room.note(|| {
            let kinds: Vec<_> = commit.events.iter().map(|event| event.kind.name()).collect();
            format!(
                "store   commit {} #{} {:?} {} -> {outcome:?}",
                commit.instance,
                commit.expected.0,
                kinds,
                commit.row.status.name()
            )
        });
        let is_in = judge.applied.contains(&commit.id);
        let conflicts = judge.conflicts.entry(commit.instance.clone()).or_default();
        match outcome {
            // A late copy of one that is in, sent before its answer was known: nobody hears of this conflict.
            Ok(CommitOutcome::Conflict) if is_in => false,
            // The same one again is a repetition of its message.
            Ok(CommitOutcome::Conflict) => conflicts.insert(commit.id),
            Ok(_) => {
                conflicts.clear();
                false
            }
            Err(_) => false,
        };
        if conflicts.len() >= CONFLICTS_IN_A_ROW {
            conflicts.clear();
            let instance = &commit.instance;
            judge.accuse(format!(
                "commit of {instance}: {CONFLICTS_IN_A_ROW} conflicts in a row, and each is followed by a look at the store"
            ));
        }
    }

    // --- authors' code ---------------------------------------------------------------------------------

    /// An activity or an inline step begins to run; returns which attempt of the author's step it is, from 1.
    pub fn executes(&self, instance: &InstanceId, execution: ExecutionId, task: TaskId, step: u64) -> u64 {
        let mut judge = self.lock();
        judge
            .room
            .note(|| format!("author  {instance} executes task {task}, step {step}"));
        let name = (instance.clone(), execution, task);
        judge.executions.entry(name).or_default().count += 1;
        let attempts = judge.attempts.entry((instance.clone(), step)).or_default();
        attempts.insert(task);
        attempts
            .iter()
            .position(|known| *known == task)
            .map_or(0, |place| place as u64)
            + 1
    }

    /// An inline step begins to run.
    pub fn runs_inline(&self, instance: &InstanceId, step: u64) {
        self.lock()
            .room
            .note(|| format!("author  {instance} runs inline step {step}"));
    }

    /// Every task that ran, how often, and how many faults there had been before.
    #[must_use]
    pub fn executions(&self) -> Vec<(InstanceId, TaskId, u64, u64)> {
        let judge = self.lock();
        let told = judge.executions.iter().map(|((instance, _, task), executions)| {
            (
                instance.clone(),
                *task,
                executions.count,
                executions.faults_before.unwrap_or(0),
            )
        });
        told.collect()
    }
}

impl Judge {
    fn accuse(&mut self, what: String) {
        self.room.note(|| format!("WRONG   {what}"));
        self.violations.push(what);
    }

    fn check(&mut self, life: Life, applied: &Applied<'_>) -> Result<(), String> {
        let Applied {
            commit,
            before,
            is_owner,
            now,
        } = applied;
        self.commits += 1;
        if !is_owner {
            return Err("the committer does not own the partition".to_owned());
        }
        let holder = (commit.partition, commit.token.as_str().to_owned());
        if self.holders.get(&holder) != Some(&life) {
            return Err("the token of the committer was granted to another since".to_owned());
        }
        if !self.applied.insert(commit.id) && !self.amnesia {
            return Err("it is applied a second time".to_owned());
        }
        if before.row.status.is_terminal() {
            return Err(format!("the instance is {}", before.row.status));
        }
        let length = before.history.len() as u64;
        if commit.expected_seq.0 != length || before.row.last_seq.0 != length {
            let expected = commit.expected_seq.0;
            return Err(format!(
                "its events follow event {expected}, the history has {length}"
            ));
        }
        if commit.expected != before.row.commit_number {
            return Err(format!(
                "it follows commit {}, the last one was {}",
                commit.expected.0, before.row.commit_number.0
            ));
        }
        if let Some(late) = commit.events.iter().find(|event| event.time > *now)
            && self.clock_is_one
        {
            let kind = late.kind.name();
            return Err(format!(
                "{kind} is dated {}, the store's clock shows {now}",
                late.time
            ));
        }
        for event in &commit.events {
            if let EventKind::TaskScheduled(task) = &event.kind {
                let name = (commit.instance.clone(), commit.execution, task.task);
                let known = self.executions.entry(name).or_default();
                known.faults_before.get_or_insert(self.faults.get());
            }
        }
        check_tasks(applied)
    }
}

/// Each task is scheduled once and answered at most once, by what is open; no timer early.
fn check_tasks(applied: &Applied<'_>) -> Result<(), String> {
    let mut open: BTreeMap<TaskId, Option<Timestamp>> = BTreeMap::new();
    let mut seen: BTreeSet<TaskId> = BTreeSet::new();
    let old = applied.before.history.iter().map(|event| (&**event, false));
    let new = applied.commit.events.iter().map(|event| (event, true));
    for (event, is_new) in old.chain(new) {
        let Some(task) = event.kind.task() else { continue };
        match &event.kind {
            EventKind::TaskScheduled(_) => {
                if !seen.insert(task) && is_new {
                    return Err(format!("task {task} is scheduled twice"));
                }
                open.insert(task, None);
            }
            EventKind::TimerCreated(timer) => {
                if !seen.insert(task) && is_new {
                    return Err(format!("timer {task} is created twice"));
                }
                open.insert(task, Some(timer.due));
            }
            kind => {
                let was_open = open.remove(&task);
                if !is_new {
                    continue;
                }
                match was_open {
                    None => return Err(format!("{} of task {task}, which is not open", kind.name())),
                    Some(Some(due)) if event.time < due => {
                        return Err(format!("timer {task} fires at {}, due at {due}", event.time));
                    }
                    Some(_) => {}
                }
            }
        }
    }
    Ok(())
}
