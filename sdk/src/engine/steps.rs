//! Owns the steps of one execution: their ids, their machines, and what is pending. Session and context share it.
//! Never runs an author's code, a waker or a destructor while its lock is held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use longhaul_shared::history::EventKind;
use longhaul_shared::id::{ExecutionKey, TaskId};
use longhaul_shared::limits;
use longhaul_shared::time::Timestamp;
use uuid::Uuid;

use super::action::Action;
use super::machine::Machine;
use super::machine::activity::{ActivityMachine, TaskAnswer, TaskPlan};
use super::machine::run::{RunMachine, RunPlan};
use super::machine::slot::{InlineBody, Leftovers};
use super::machine::timer::{TimerMachine, TimerPlan};
use super::refusal::{Attempted, LastStep, Site};
use super::wake::Signal;

/// The steps of one execution: what an author's context and the session that drives it share. Cheap to clone;
/// opaque outside this crate.
#[derive(Clone)]
pub struct Steps {
    shared: Arc<Shared>,
}

struct Shared {
    key: ExecutionKey,
    signal: Arc<Signal>,
    sequence: Mutex<Sequence>,
}

#[derive(Default)]
struct Sequence {
    now: Timestamp,
    replaying: bool,
    last_id: TaskId,
    uuids: u64,
    machines: BTreeMap<TaskId, Machine>,
    /// Steps that history has not recorded.
    pending: BTreeSet<TaskId>,
    /// How many steps a future waits for.
    waiting: usize,
    /// How many steps were begun, ever and in this turn.
    begun: u64,
    begun_in_turn: usize,
    over_limit: bool,
    last_step: Option<LastStep>,
}

/// What an event found when it answered a step.
pub(super) enum Answered {
    /// The step took it, or no longer cares.
    Taken,
    /// The code took no such step, or one that cannot be answered so.
    Unmet,
}

impl Steps {
    pub(super) fn new(key: ExecutionKey) -> Self {
        Self {
            shared: Arc::new(Shared {
                key,
                signal: Arc::default(),
                sequence: Mutex::default(),
            }),
        }
    }

    pub(crate) fn key(&self) -> &ExecutionKey {
        &self.shared.key
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.lock().now
    }

    pub(crate) fn is_replaying(&self) -> bool {
        self.lock().replaying
    }

    /// Whether this thread is polling the orchestration. Only then may steps be built and polled: anywhere else,
    /// their order would be chance.
    pub(crate) fn is_inside(&self) -> bool {
        self.shared.signal.is_inside()
    }

    /// The next step's id; none outside the orchestration's own poll.
    pub(crate) fn take_id(&self) -> Option<TaskId> {
        if !self.is_inside() {
            return None;
        }
        let mut sequence = self.lock();
        sequence.last_id = sequence.last_id.next();
        Some(sequence.last_id)
    }

    /// The next UUID; none outside the orchestration's own poll.
    pub(crate) fn take_uuid(&self) -> Option<Uuid> {
        if !self.is_inside() {
            return None;
        }
        let counter = {
            let mut sequence = self.lock();
            sequence.uuids += 1;
            sequence.uuids
        };
        let ExecutionKey { instance, execution } = self.key();
        let name = format!("{instance}:{counter}");
        Some(Uuid::new_v5(&Uuid::from_u128(execution.bits()), name.as_bytes()))
    }

    pub(crate) fn begin_activity(&self, task: TaskId, plan: TaskPlan, cx: &Context<'_>) {
        let (site, waker) = (plan.site, cx.waker().clone());
        self.begin(task, site, Machine::Activity(ActivityMachine::begin(plan, waker)));
    }

    pub(crate) fn begin_timer(&self, task: TaskId, plan: TimerPlan, cx: &Context<'_>) {
        let (site, waker) = (plan.site, cx.waker().clone());
        self.begin(task, site, Machine::Timer(TimerMachine::begin(plan, waker)));
    }

    pub(crate) fn begin_run(&self, task: TaskId, plan: RunPlan, body: InlineBody, cx: &Context<'_>) {
        let (site, waker) = (plan.site, cx.waker().clone());
        self.begin(task, site, Machine::Run(RunMachine::begin(plan, body, waker)));
    }

    /// Built -> pending. Beyond the turn's limit nothing is kept: the turn will be refused.
    fn begin(&self, task: TaskId, site: Site, machine: Machine) {
        let mut sequence = self.lock();
        if !sequence.replaying && sequence.begun_in_turn >= limits::TURN_ACTIONS_MAX {
            sequence.over_limit = true;
            drop(sequence);
            drop(machine);
            return;
        }
        sequence.begun += 1;
        sequence.begun_in_turn += 1;
        sequence.waiting += 1;
        sequence.last_step = Some(LastStep { task, site });
        sequence.pending.insert(task);
        sequence.machines.insert(task, machine);
    }

    pub(crate) fn poll_task(&self, task: TaskId, cx: &Context<'_>) -> Poll<TaskAnswer> {
        self.poll_with(cx, |sequence, waker| match sequence.machines.get_mut(&task) {
            Some(Machine::Activity(machine)) => machine.poll(waker),
            Some(Machine::Run(machine)) => machine.poll(waker),
            _ => (Poll::Pending, Some(waker)),
        })
    }

    pub(crate) fn poll_timer(&self, task: TaskId, cx: &Context<'_>) -> Poll<()> {
        self.poll_with(cx, |sequence, waker| match sequence.machines.get_mut(&task) {
            Some(Machine::Timer(machine)) => machine.poll(waker),
            _ => (Poll::Pending, Some(waker)),
        })
    }

    /// Wakers are cloned before the lock is taken and dropped after it is released: they may be an author's.
    fn poll_with<A>(
        &self,
        cx: &Context<'_>,
        poll: impl FnOnce(&mut Sequence, Waker) -> (Poll<A>, Option<Waker>),
    ) -> Poll<A> {
        let waker = cx.waker().clone();
        let (answer, _unneeded) = poll(&mut self.lock(), waker);
        answer
    }

    /// The author dropped the future of a step.
    pub(crate) fn abandon(&self, task: TaskId) {
        let _leftovers = {
            let mut sequence = self.lock();
            sequence.change(task, Machine::abandon)
        };
    }

    pub(super) fn signal(&self) -> &Arc<Signal> {
        &self.shared.signal
    }

    pub(super) fn begin_turn(&self, time: Timestamp) {
        let mut sequence = self.lock();
        sequence.now = sequence.now.max(time);
        sequence.begun_in_turn = 0;
    }

    pub(super) fn set_replaying(&self, replaying: bool) {
        self.lock().replaying = replaying;
    }

    /// Hands an answer to its step and wakes whoever waits for it.
    pub(super) fn answer(&self, task: TaskId, event: &EventKind) -> Answered {
        let answered = {
            let mut sequence = self.lock();
            sequence.change(task, |machine| machine.answer(event))
        };
        match answered {
            None | Some(Err(_)) => Answered::Unmet,
            Some(Ok(Leftovers { waker, body })) => {
                if let Some(waker) = waker {
                    waker.wake();
                }
                drop(body);
                Answered::Taken
            }
        }
    }

    /// Lets a recorded event meet the pending step of its id.
    ///
    /// # Errors
    /// What the code attempted instead: under this id, or else first of all that is pending.
    pub(super) fn meet(&self, task: TaskId, event: &EventKind) -> Result<(), Option<Attempted>> {
        let mut sequence = self.lock();
        let met = sequence.pending.contains(&task)
            && sequence
                .machines
                .get(&task)
                .is_some_and(|machine| machine.is_recorded_by(event));
        if !met {
            return Err(sequence.attempted(task).or_else(|| sequence.first_pending()));
        }
        sequence.pending.remove(&task);
        // Its action is the event itself.
        let _recorded = sequence.machines.get_mut(&task).and_then(|m| m.record(task));
        Ok(())
    }

    /// The first step that history has not recorded.
    pub(super) fn first_pending(&self) -> Option<Attempted> {
        self.lock().first_pending()
    }

    /// What the code attempted under this id, unless it was recorded.
    pub(super) fn attempted(&self, task: TaskId) -> Option<Attempted> {
        self.lock().attempted(task)
    }

    /// Every action that history has not recorded, by id. From now on they count as recorded.
    pub(super) fn take_actions(&self) -> Vec<Action> {
        let mut sequence = self.lock();
        let Sequence {
            pending, machines, ..
        } = &mut *sequence;
        std::mem::take(pending)
            .into_iter()
            .filter_map(|task| machines.get_mut(&task)?.record(task))
            .collect()
    }

    pub(super) fn take_inline(&self, task: TaskId) -> Option<InlineBody> {
        match self.lock().machines.get_mut(&task) {
            Some(Machine::Run(machine)) => machine.take_body(),
            _ => None,
        }
    }

    /// Whether any future waits for a step.
    pub(super) fn is_waiting(&self) -> bool {
        self.lock().waiting > 0
    }

    /// How many steps were begun: it rises when a poll achieved something.
    pub(super) fn begun(&self) -> u64 {
        self.lock().begun
    }

    pub(super) fn is_over_limit(&self) -> bool {
        self.lock().over_limit
    }

    pub(super) fn last_step(&self) -> Option<LastStep> {
        self.lock().last_step
    }

    /// Forgets every step: the execution has ended, or its session is dead. Inline steps hold what their authors
    /// captured, perhaps these very steps.
    pub(super) fn clear(&self) {
        let _machines = {
            let mut sequence = self.lock();
            sequence.pending.clear();
            sequence.waiting = 0;
            std::mem::take(&mut sequence.machines)
        };
    }

    fn lock(&self) -> MutexGuard<'_, Sequence> {
        // Nothing that holds the lock can panic half-way through a change.
        self.shared
            .sequence
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sequence {
    /// A transition of one machine, kept in step with the count of waiting ones.
    fn change<R>(&mut self, task: TaskId, transition: impl FnOnce(&mut Machine) -> R) -> Option<R> {
        let machine = self.machines.get_mut(&task)?;
        let was_waiting = machine.is_waiting();
        let result = transition(machine);
        if was_waiting && !machine.is_waiting() {
            self.waiting -= 1;
        }
        Some(result)
    }

    fn attempted(&self, task: TaskId) -> Option<Attempted> {
        self.machines.get(&task)?.attempted(task)
    }

    fn first_pending(&self) -> Option<Attempted> {
        self.pending.first().and_then(|task| self.attempted(*task))
    }
}
