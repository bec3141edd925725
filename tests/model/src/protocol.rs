//! Owns the steps of the protocol: which can be taken in a state, and what each does.
//! Never says what must hold: that is `promise`.
//!
//! One step is as much as nobody can look into: a script in the store, or what a worker does between two awaits.
//! ARCHITECTURE.md ("The model, step by step") names the function behind each.

use crate::bounds::{Bounds, Fault, Faults};
use crate::broker::Broker;
use crate::owner::{Owner, Raising, Sent};
use crate::rule::Broken;
use crate::store::{Commit, Store};
use crate::vocabulary::{Epoch, Input, Item, Message, Task, put, take};

/// The protocol within bounds, perhaps with one rule broken.
#[derive(Clone, Debug)]
pub struct Protocol {
    /// How far it is explored.
    pub bounds: Bounds,
    /// The rule that is not kept.
    pub broken: Option<Broken>,
}

/// One of the two orchestrator workers.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Worker {
    /// It owns the partition at first.
    A,
    /// The other.
    B,
}

/// A client's message for the store, with its wake-up.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Request {
    NotYet,
    /// It is in the store, its wake-up is not published.
    Written,
    Over,
}

/// An activity that runs, or has run.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Attempt {
    pub(crate) item: Item,
    /// An acknowledgement would reach the queue.
    pub(crate) tied: bool,
    /// The broker has the report; its confirm is on its way.
    pub(crate) reported: bool,
}

/// Everything there is at one moment.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct State {
    pub(crate) store: Store,
    pub(crate) broker: Broker,
    pub(crate) a: Owner,
    pub(crate) b: Owner,
    pub(crate) attempt: Option<Attempt>,
    pub(crate) start: Request,
    pub(crate) terminate: Request,
    /// Copies of commits on the network, whose answers nobody waits for.
    pub(crate) late: Vec<Commit>,
    /// What may still go wrong.
    pub(crate) faults: Faults,
    pub(crate) faults_left: u8,
    pub(crate) handovers: u8,
    /// Ghost: how often each task ran.
    pub(crate) executions: Vec<u8>,
}

/// A step.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[expect(missing_docs, reason = "ARCHITECTURE.md has a table of them")]
pub enum Action {
    Create,
    PostTerminate,
    PublishWake,
    LoseWake,
    Acquire(Worker),
    NoticeLoss(Worker),
    Leave(Worker),
    GiveBack(Worker),
    CheckEpoch(Worker),
    BeginRebuild(Worker),
    MarkRebuilt(Worker),
    Receive(Worker, Message),
    Look(Worker),
    Turn(Worker),
    Commit(Worker),
    LateCommit(usize),
    LoseLateCommit(usize),
    SearchOutbox(Worker),
    Publish(Worker, Item),
    Confirm(Worker, Item),
    Forget(Worker),
    Run(Item),
    Report,
    Acknowledge,
    // What may go wrong.
    Crash(Worker),
    CrashActivity,
    ExpireLease,
    Disconnect(Worker),
    Wipe { told: bool },
    CommitAnswerLate(Worker),
    LoseConfirm(Worker, Item),
    LoseReportConfirm,
    CutHandover(Worker),
    Refuse(Worker),
}

impl Protocol {
    /// Where everything begins.
    pub(crate) fn beginning(&self) -> State {
        let mut state = State {
            store: Store {
                epoch: Epoch::FIRST,
                ..Store::default()
            },
            broker: Broker {
                control: Some(Vec::new()),
                markers: vec![Epoch::FIRST],
                ..Broker::default()
            },
            a: Owner::started(Epoch::FIRST, true),
            b: Owner::started(Epoch::FIRST, true),
            attempt: None,
            start: Request::NotYet,
            terminate: if self.bounds.terminates {
                Request::NotYet
            } else {
                Request::Over
            },
            late: Vec::new(),
            faults: self.bounds.faults,
            faults_left: self.bounds.faults_in_all,
            handovers: self.bounds.handovers,
            executions: vec![0; usize::from(self.bounds.shape.tasks())],
        };
        // One of the two owns the partition; which does not matter.
        state.acquire(Worker::A, self.broken);
        state
    }

    /// What a step leads to; `None` if nothing changes.
    pub(crate) fn next(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        self.take(&mut next, action);
        (next != *last).then_some(next)
    }

    /// The steps that need nothing to go wrong. None is left only when all is done.
    pub(crate) fn steps(&self, state: &State, actions: &mut Vec<Action>) {
        let store = &state.store;
        match state.start {
            Request::NotYet => actions.push(Action::Create),
            Request::Written => actions.extend([Action::PublishWake, Action::LoseWake]),
            Request::Over => {}
        }
        if state.terminate == Request::NotYet && store.created && !store.is_ended() {
            actions.push(Action::PostTerminate);
        }
        if state.start == Request::Over && state.terminate == Request::Written {
            actions.extend([Action::PublishWake, Action::LoseWake]);
        }
        for worker in [Worker::A, Worker::B] {
            self.owner_steps(state, worker, actions);
        }
        let late = 0..state.late.len();
        actions.extend(late.flat_map(|at| [Action::LateCommit(at), Action::LoseLateCommit(at)]));
        match state.attempt {
            None => {
                let mut items = state.broker.work.clone();
                items.dedup();
                actions.extend(items.into_iter().map(Action::Run));
            }
            Some(attempt) if attempt.reported => actions.push(Action::Acknowledge),
            Some(_) if state.broker.control.is_some() => actions.push(Action::Report),
            Some(_) => {}
        }
        let is_believed = |token| {
            [&state.a, &state.b]
                .iter()
                .any(|owner| owner.token == Some(token))
        };
        if store.lease.is_some_and(|token| !is_believed(token)) && !store.expired {
            actions.push(Action::ExpireLease);
        }
    }

    fn owner_steps(&self, state: &State, worker: Worker, actions: &mut Vec<Action>) {
        let (store, owner) = (&state.store, state.owner(worker));
        if !owner.checked {
            actions.push(Action::CheckEpoch(worker));
        }
        let Some(token) = owner.token else {
            if store.lease.is_none() || store.expired {
                actions.push(Action::Acquire(worker));
            }
            return;
        };
        let is_owner = store.lease == Some(token);
        if !is_owner {
            actions.push(Action::NoticeLoss(worker));
        }
        if owner.turn.is_some() {
            actions.push(Action::Commit(worker));
        }
        for (item, sent) in &owner.relay {
            match sent {
                Sent::Unsent => actions.push(Action::Publish(worker, *item)),
                Sent::Arrived | Sent::Told => actions.push(Action::Confirm(worker, *item)),
                Sent::Confirmed => {}
            }
        }
        if is_owner && !self.forgettable(owner).is_empty() {
            actions.push(Action::Forget(worker));
        }
        if owner.leaving {
            if owner.turn.is_none() && (owner.relay.is_empty() || self.broken == Some(Broken::Drain)) {
                actions.push(Action::GiveBack(worker));
            }
            return;
        }
        if state.handovers > 0 {
            actions.push(Action::Leave(worker));
        }
        if owner.must_rebuild() && owner.can_tell_unsent(self.broken) {
            actions.push(Action::BeginRebuild(worker));
        }
        if is_owner && owner.rebuild.as_ref().is_some_and(|rebuild| rebuild.finished) {
            actions.push(Action::MarkRebuilt(worker));
        }
        if let Some(control) = &state.broker.control {
            let mut messages = control.clone();
            messages.dedup();
            actions.extend(
                messages
                    .into_iter()
                    .map(|message| Action::Receive(worker, message)),
            );
        }
        let is_busy = owner.turn.is_some() || !owner.inputs.is_empty();
        if store.ready && !is_busy && self.broken != Some(Broken::Sweep) {
            actions.push(Action::Look(worker));
        }
        if owner.turn.is_none() && !owner.inputs.is_empty() {
            actions.push(Action::Turn(worker));
        }
        let is_held = |item: &Item| owner.relay.iter().any(|(held, _)| held == item);
        if self.broken != Some(Broken::OutboxSearch) && !store.outbox.iter().all(is_held) {
            actions.push(Action::SearchOutbox(worker));
        }
    }

    /// What may go wrong, as far as the bounds allow.
    pub(crate) fn mishaps(&self, state: &State, actions: &mut Vec<Action>) {
        if state.faults_left == 0 {
            return;
        }
        let mut left = state.faults;
        let mut may = |fault: Fault| *fault(&mut left) > 0;
        for worker in [Worker::A, Worker::B] {
            let owner = state.owner(worker);
            if (owner.token.is_some() || owner.raising != Raising::No) && may(|faults| &mut faults.crashes) {
                actions.push(Action::Crash(worker));
            }
            if owner.token.is_some() && may(|faults| &mut faults.disconnects) {
                actions.push(Action::Disconnect(worker));
            }
            if owner.turn.is_some() && may(|faults| &mut faults.late_commits) {
                actions.push(Action::CommitAnswerLate(worker));
            }
            if owner.leaving && may(|faults| &mut faults.cut_handovers) {
                actions.push(Action::CutHandover(worker));
            }
            if owner.turn.is_none()
                && !owner.leaving
                && !owner.inputs.is_empty()
                && may(|faults| &mut faults.refusals)
            {
                actions.push(Action::Refuse(worker));
            }
            if may(|faults| &mut faults.lost_confirms) {
                let arrived = owner.relay_items(|sent| sent == Sent::Arrived);
                actions.extend(arrived.into_iter().map(|item| Action::LoseConfirm(worker, item)));
            }
        }
        if let Some(attempt) = state.attempt {
            if may(|faults| &mut faults.activity_crashes) {
                actions.push(Action::CrashActivity);
            }
            if attempt.reported && may(|faults| &mut faults.lost_confirms) {
                actions.push(Action::LoseReportConfirm);
            }
        }
        if state.store.lease.is_some() && !state.store.expired && may(|faults| &mut faults.expiries) {
            actions.push(Action::ExpireLease);
        }
        if may(|faults| &mut faults.wipes) {
            actions.extend([Action::Wipe { told: false }, Action::Wipe { told: true }]);
        }
    }

    fn take(&self, state: &mut State, action: Action) {
        match action {
            Action::Create => {
                state.store.create();
                state.start = Request::Written;
            }
            Action::PostTerminate => {
                state.store.post(Message::Terminate);
                state.terminate = Request::Written;
            }
            Action::PublishWake => {
                // To a queue that is gone it comes back, and the client leaves it at that.
                state.broker.put_control(Message::Wake);
                state.woken();
            }
            Action::LoseWake => state.woken(),
            Action::LateCommit(at) => {
                if let Some(commit) = state.late.get(at).cloned() {
                    state.late.remove(at);
                    state.store.commit(&commit, self.broken);
                }
            }
            Action::LoseLateCommit(at) => {
                if at < state.late.len() {
                    state.late.remove(at);
                }
            }
            Action::ExpireLease => {
                let is_believed = [&state.a, &state.b]
                    .iter()
                    .any(|owner| owner.token.is_some() && owner.token == state.store.lease);
                if is_believed {
                    state.fault(|faults| &mut faults.expiries);
                }
                state.store.expired = true;
            }
            Action::Run(_)
            | Action::Report
            | Action::Acknowledge
            | Action::CrashActivity
            | Action::LoseReportConfirm => {
                self.take_activity(state, action);
            }
            Action::Wipe { told } => state.wipe(told),
            Action::Acquire(worker) => state.acquire(worker, self.broken),
            Action::CheckEpoch(worker) => state.check_epoch(worker, self.broken),
            Action::Receive(worker, message) => state.receive(worker, message),
            _ => self.take_owner(state, action),
        }
    }

    /// The steps of an owner that need no more than its memory, the store and the broker.
    fn take_owner(&self, state: &mut State, action: Action) {
        let broken = self.broken;
        let shape = self.bounds.shape;
        let fault: Option<Fault> = match action {
            Action::Crash(_) => Some(|faults| &mut faults.crashes),
            Action::Disconnect(_) => Some(|faults| &mut faults.disconnects),
            Action::CommitAnswerLate(_) => Some(|faults| &mut faults.late_commits),
            Action::LoseConfirm(..) => Some(|faults| &mut faults.lost_confirms),
            Action::CutHandover(_) => Some(|faults| &mut faults.cut_handovers),
            Action::Refuse(_) => Some(|faults| &mut faults.refusals),
            _ => None,
        };
        if let Some(fault) = fault {
            state.fault(fault);
        }
        let Some(worker) = action.worker() else { return };
        if matches!(action, Action::Leave(_)) {
            state.handovers -= 1;
        }
        let (owner, store, broker, late) = state.parts(worker);
        match action {
            Action::NoticeLoss(_) => late.extend(owner.lose(broker)),
            Action::Leave(_) => owner.leaving = true,
            Action::GiveBack(_) | Action::CutHandover(_) => {
                let token = owner.token;
                late.extend(owner.lose(broker));
                if let Some(token) = token {
                    store.release(token);
                }
            }
            Action::BeginRebuild(_) => owner.begin_rebuild(store, broken),
            Action::MarkRebuilt(_) => owner.mark_rebuilt(store),
            Action::Look(_) => put(&mut owner.inputs, Input::Look),
            Action::Turn(_) => owner.begin_turn(store, broker, shape, false, broken),
            Action::Refuse(_) => owner.begin_turn(store, broker, shape, true, broken),
            Action::Commit(_) => {
                if let Some(turn) = &owner.turn {
                    let outcome = store.commit(&turn.commit.clone(), broken);
                    owner.answered(outcome, store, broker, self.broken);
                }
            }
            Action::CommitAnswerLate(_) => late.extend(owner.turn.as_ref().map(|turn| turn.commit.clone())),
            Action::SearchOutbox(_) => owner.search(store),
            Action::Publish(_, item) => {
                put(&mut broker.work, item);
                owner.move_on(item, Sent::Arrived);
            }
            Action::Confirm(_, item) => owner.move_on(item, Sent::Confirmed),
            Action::LoseConfirm(_, item) => owner.move_on(item, Sent::Unsent),
            Action::Forget(_) => {
                let items = self.forgettable(owner);
                if let Some(token) = owner.token {
                    store.forget(token, &items);
                }
                owner.relay.retain(|(_, sent)| *sent != Sent::Confirmed);
            }
            Action::Crash(_) => {
                late.extend(owner.lose(broker));
                *owner = Owner::started(store.epoch, false);
            }
            Action::Disconnect(_) => {
                let inputs = owner
                    .turn
                    .iter()
                    .flat_map(|turn| &turn.inputs)
                    .chain(&owner.inputs);
                for input in inputs {
                    if let Input::Message { message, tied: true } = input {
                        broker.put_control(*message);
                    }
                }
                owner.disconnected(false);
            }
            _ => {}
        }
        late.sort_unstable();
    }

    /// `attempt.rs` and `report.rs`
    fn take_activity(&self, state: &mut State, action: Action) {
        match (action, state.attempt) {
            (Action::Run(item), None) if take(&mut state.broker.work, &item) => {
                state.ran(item.task);
                let tied = self.broken != Some(Broken::AckAfterReport);
                state.attempt = Some(Attempt {
                    item,
                    tied,
                    reported: false,
                });
            }
            (Action::Report, Some(attempt)) => {
                state.broker.put_control(Message::Done(attempt.item.task));
                state.attempt = Some(Attempt {
                    reported: true,
                    ..attempt
                });
            }
            (Action::Acknowledge, Some(_)) => state.attempt = None,
            (Action::LoseReportConfirm, Some(attempt)) => {
                state.fault(|faults| &mut faults.lost_confirms);
                state.attempt = Some(Attempt {
                    reported: false,
                    ..attempt
                });
            }
            (Action::CrashActivity, Some(attempt)) => {
                state.fault(|faults| &mut faults.activity_crashes);
                if attempt.tied {
                    put(&mut state.broker.work, attempt.item);
                }
                state.attempt = None;
            }
            _ => {}
        }
    }

    fn forgettable(&self, owner: &Owner) -> Vec<Item> {
        let early = self.broken == Some(Broken::ForgetAfterConfirm);
        owner.relay_items(|sent| sent == Sent::Confirmed || early)
    }
}

impl Action {
    const fn worker(self) -> Option<Worker> {
        match self {
            Self::Acquire(worker)
            | Self::NoticeLoss(worker)
            | Self::Leave(worker)
            | Self::GiveBack(worker)
            | Self::CheckEpoch(worker)
            | Self::BeginRebuild(worker)
            | Self::MarkRebuilt(worker)
            | Self::Receive(worker, _)
            | Self::Look(worker)
            | Self::Turn(worker)
            | Self::Commit(worker)
            | Self::SearchOutbox(worker)
            | Self::Publish(worker, _)
            | Self::Confirm(worker, _)
            | Self::Forget(worker)
            | Self::Crash(worker)
            | Self::Disconnect(worker)
            | Self::CommitAnswerLate(worker)
            | Self::LoseConfirm(worker, _)
            | Self::CutHandover(worker)
            | Self::Refuse(worker) => Some(worker),
            _ => None,
        }
    }
}

impl State {
    pub(crate) const fn owner(&self, worker: Worker) -> &Owner {
        match worker {
            Worker::A => &self.a,
            Worker::B => &self.b,
        }
    }

    const fn parts(&mut self, worker: Worker) -> (&mut Owner, &mut Store, &mut Broker, &mut Vec<Commit>) {
        let owner = match worker {
            Worker::A => &mut self.a,
            Worker::B => &mut self.b,
        };
        (owner, &mut self.store, &mut self.broker, &mut self.late)
    }

    fn fault(&mut self, fault: Fault) {
        *fault(&mut self.faults) -= 1;
        self.faults_left -= 1;
    }

    fn woken(&mut self) {
        if self.start == Request::Written {
            self.start = Request::Over;
        } else {
            self.terminate = Request::Over;
        }
    }

    fn ran(&mut self, task: Task) {
        if let Some(executions) = self.executions.get_mut(usize::from(task)) {
            *executions += 1;
        }
    }

    /// `ownership.rs`, `try_acquire` and `acquired`
    fn acquire(&mut self, worker: Worker, broken: Option<Broken>) {
        let (owner, store, _, _) = self.parts(worker);
        owner.token = Some(store.acquire());
        owner.rebuilt = store.rebuilt;
        // Before the partition takes its first turn.
        if owner.must_rebuild() {
            owner.begin_rebuild(store, broken);
        }
    }

    /// `era.rs`, `settle_now` and `raise`, one await after the other
    fn check_epoch(&mut self, worker: Worker, broken: Option<Broken>) {
        let (owner, store, broker, _) = self.parts(worker);
        let nonce = match (broken, worker) {
            (Some(Broken::MarkerNonce), _) => 0,
            (_, Worker::A) => 1,
            (_, Worker::B) => 2,
        };
        let next = owner.epoch.next(nonce);
        match owner.raising {
            Raising::No if broker.markers.contains(&owner.epoch) || broken == Some(Broken::EpochCheck) => {
                broker.declare();
                owner.checked = true;
            }
            // Another has raised it: what it has declared is looked for next.
            Raising::No if store.epoch.number > owner.epoch.number => owner.epoch = store.epoch,
            Raising::No => owner.raising = Raising::Told,
            Raising::Told => {
                broker.declare();
                broker.declare_marker(next);
                owner.raising = Raising::Declared;
            }
            Raising::Declared => {
                owner.epoch = store.advance_epoch(owner.epoch, next);
                owner.raising = Raising::No;
            }
        }
    }

    fn receive(&mut self, worker: Worker, message: Message) {
        let (owner, _, broker, _) = self.parts(worker);
        if broker.control.as_mut().is_some_and(|queue| take(queue, &message)) {
            put(&mut owner.inputs, Input::Message { message, tied: true });
        }
    }

    /// The broker loses its queues, and every connection to it ends.
    fn wipe(&mut self, told: bool) {
        self.fault(|faults| &mut faults.wipes);
        let Broker {
            acked_early, parked, ..
        } = self.broker;
        self.broker = Broker {
            acked_early,
            parked,
            ..Broker::default()
        };
        self.a.disconnected(told);
        self.b.disconnected(told);
        if let Some(attempt) = self.attempt.as_mut() {
            attempt.tied = false;
            attempt.reported &= told;
        }
    }
}
