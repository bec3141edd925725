//! Owns the model of an orchestrator worker's memory of one partition: what it believes, holds, and is about to do.
//! Never touches the store or the broker but through what it is handed.

use crate::broker::Broker;
use crate::rule::Broken;
use crate::store::{Commit, CommitId, Outcome, Store};
use crate::vocabulary::{Epoch, Event, Input, Item, Message, Shape, Task, Token, open_tasks, put};

/// A worker's memory. A crash leaves the default, but for the epoch that the next start reads.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Owner {
    /// The lease that it believes in.
    pub(crate) token: Option<Token>,
    /// It is giving the partition back.
    pub(crate) leaving: bool,
    /// The epoch that it knows, and whether it has looked for its marker on this connection.
    pub(crate) epoch: Epoch,
    pub(crate) checked: bool,
    /// How far it has come with raising it.
    pub(crate) raising: Raising,
    pub(crate) session: Option<Session>,
    pub(crate) inputs: Vec<Input>,
    pub(crate) turn: Option<Turn>,
    /// The relay: what it knows of the outbox.
    pub(crate) relay: Vec<(Item, Sent)>,
    /// Up to which epoch it knows the partition to be rebuilt.
    pub(crate) rebuilt: u8,
    pub(crate) rebuild: Option<Rebuild>,
}

/// How far a worker has come that misses the marker.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) enum Raising {
    /// It does not.
    #[default]
    No,
    /// The store has told it that nobody has raised the epoch since.
    Told,
    /// It has declared the queues and the next marker, and is about to raise the number.
    Declared,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Session {
    pub(crate) history: Vec<Event>,
    pub(crate) number: u8,
}

/// A turn that waits for the answer to its commit.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Turn {
    pub(crate) inputs: Vec<Input>,
    pub(crate) commit: Commit,
    /// The session afterwards, if it is kept.
    after: Option<Session>,
    is_first_of_rebuild: bool,
}

/// How far a message of the outbox has come.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Sent {
    /// To be published.
    Unsent,
    /// The broker has it; the confirm is on its way.
    Arrived,
    /// The broker is gone; its confirm is in the worker, not yet taken up.
    Told,
    /// Confirmed; to be taken out of the outbox.
    Confirmed,
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Rebuild {
    epoch: u8,
    /// Tasks that the relay sends anyway.
    unsent: Vec<Task>,
    /// The instance has had its first turn.
    begun: bool,
    /// That turn is committed, or there is no instance to give one to.
    pub(crate) finished: bool,
}

/// What the inputs amount to.
#[derive(Default)]
struct Admitted {
    inbound: Vec<Event>,
    answers: Vec<Message>,
    inbox_remove: Vec<Message>,
    terminate: bool,
    strays: bool,
}

impl Owner {
    /// A worker that has just started, and read the epoch.
    pub(crate) fn started(epoch: Epoch, checked: bool) -> Self {
        Self {
            epoch,
            checked,
            ..Self::default()
        }
    }

    /// `turn.rs`: everything up to the commit. With `refuses`, the author's code cannot go on.
    pub(crate) fn begin_turn(
        &mut self,
        store: &Store,
        broker: &mut Broker,
        shape: Shape,
        refuses: bool,
        broken: Option<Broken>,
    ) {
        let Some(token) = self.token else { return };
        let mut inputs = std::mem::take(&mut self.inputs);
        if broken == Some(Broken::AckAfterCommit) {
            broker.acknowledged(store, &inputs);
            untie(&mut inputs);
        }
        let Some((session, admitted)) = self.load_and_admit(store, &inputs, broken) else {
            self.settle(&inputs, store, broker);
            return;
        };
        broker.parked |= admitted.strays;
        let (resend, is_first_of_rebuild) = self.resend(&session, &admitted, broken);
        let commit = self.decide(token, &session, &admitted, &resend, shape, refuses);
        let is_refused = commit.look_again;
        let has_effects =
            !(commit.events.is_empty() && commit.inbox_remove.is_empty() && commit.outbox_add.is_empty());
        if !has_effects && !is_refused {
            self.session = Some(session);
            self.settle(&inputs, store, broker);
            return;
        }
        let mut history = session.history;
        history.extend(&commit.events);
        let number = commit.number + 1;
        let is_kept = !history.contains(&Event::Ended) && !is_refused;
        self.turn = Some(Turn {
            inputs,
            commit,
            after: is_kept.then_some(Session { history, number }),
            is_first_of_rebuild,
        });
    }

    /// `turn.rs`, `open` and `attempt`: the session if it may be used, and what of the inputs is news. `None`: there
    /// is no instance, or it has ended.
    fn load_and_admit(
        &mut self,
        store: &Store,
        inputs: &[Input],
        broken: Option<Broken>,
    ) -> Option<(Session, Admitted)> {
        let must_look = inputs.iter().any(|input| {
            let wake = Message::Wake;
            matches!(input, Input::Look)
                || matches!(input, Input::Message { message, .. } if *message == wake)
        });
        let is_current = |session: &Session| session.number == store.number && !store.is_ended();
        let warm = self
            .session
            .take()
            .filter(|session| !must_look || is_current(session));
        if let Some(session) = warm {
            let inbox = if must_look { store.inbox.as_slice() } else { &[] };
            let admitted = admit(&session, inputs, inbox, broken);
            if !admitted.strays {
                return Some((session, admitted));
            }
        }
        if !store.created || store.is_ended() {
            return None;
        }
        let session = Session {
            history: store.history.clone(),
            number: store.number,
        };
        let admitted = admit(&session, inputs, &store.inbox, broken);
        Some((session, admitted))
    }

    /// `admit.rs`, `resend_open`: the open tasks to send again, in the first turn of a rebuild.
    fn resend(
        &mut self,
        session: &Session,
        admitted: &Admitted,
        broken: Option<Broken>,
    ) -> (Vec<Task>, bool) {
        let is_open = |task: &Task| !admitted.inbound.contains(&Event::Completed(*task));
        let mut open = open_tasks(&session.history);
        open.retain(is_open);
        match self.rebuild.as_mut().filter(|rebuild| !rebuild.begun) {
            Some(rebuild) => {
                rebuild.begun = true;
                open.retain(|task| !rebuild.unsent.contains(task));
                (open, true)
            }
            None if broken == Some(Broken::ResendOnEvidence) => (open, false),
            None => (Vec::new(), false),
        }
    }

    /// `decide.rs`
    fn decide(
        &self,
        token: Token,
        session: &Session,
        admitted: &Admitted,
        resend: &[Task],
        shape: Shape,
        refuses: bool,
    ) -> Commit {
        let mut events = Vec::new();
        if session.history.is_empty() {
            events.push(Event::Started);
        }
        events.extend(&admitted.inbound);
        let number = session.number;
        let mut commit = Commit {
            id: CommitId { token, number },
            number,
            length: session.history.len(),
            events: Vec::new(),
            inbox_remove: Vec::new(),
            inbox_add: Vec::new(),
            outbox_remove: self.relay_items(|sent| sent == Sent::Confirmed),
            outbox_add: Vec::new(),
            look_again: false,
        };
        let mut sends = resend.to_vec();
        if refuses && !admitted.terminate && !events.is_empty() {
            commit.inbox_add.clone_from(&admitted.answers);
            commit.look_again = true;
        } else {
            if admitted.terminate {
                events.extend([Event::Terminated, Event::Ended]);
            } else if !events.is_empty() {
                let mut seen = session.history.clone();
                seen.extend(&events);
                events.extend(shape.act(&seen));
            }
            sends.extend(events.iter().filter_map(|event| match event {
                Event::Scheduled(task) => Some(*task),
                _ => None,
            }));
            commit.events = events;
            commit.inbox_remove.clone_from(&admitted.inbox_remove);
        }
        let dispatch = number + 1;
        commit.outbox_add = sends.into_iter().map(|task| Item { task, dispatch }).collect();
        commit
    }

    /// `turn.rs`, `commit_and_relay` and what follows it: the commit has been answered.
    pub(crate) fn answered(
        &mut self,
        outcome: Outcome,
        store: &Store,
        broker: &mut Broker,
        broken: Option<Broken>,
    ) {
        let Some(turn) = self.turn.take() else { return };
        match outcome {
            Outcome::Applied | Outcome::Duplicate => {
                if outcome == Outcome::Applied || broken == Some(Broken::SearchAfterRepeat) {
                    for item in turn.commit.outbox_add {
                        self.enqueue(item);
                    }
                } else {
                    self.search(store);
                }
                self.relay
                    .retain(|(item, _)| !turn.commit.outbox_remove.contains(item));
                self.session = turn.after;
                self.settle(&turn.inputs, store, broker);
            }
            Outcome::Conflict => {
                self.search(store);
                for input in turn.inputs {
                    put(&mut self.inputs, input);
                }
                if let Some(rebuild) = self.rebuild.as_mut().filter(|_| turn.is_first_of_rebuild) {
                    rebuild.begun = false;
                }
            }
            Outcome::Fenced => {
                self.turn = Some(turn);
                self.lose(broker);
            }
        }
    }

    /// `turn.rs`, `settle`: the inputs are acknowledged by being forgotten.
    fn settle(&mut self, inputs: &[Input], store: &Store, broker: &mut Broker) {
        broker.acknowledged(store, inputs);
        if let Some(rebuild) = self.rebuild.as_mut().filter(|_| inputs.contains(&Input::Resend)) {
            rebuild.finished = true;
        }
    }

    /// `dispatch.rs` and `ownership.rs`, `lost`: everything is dropped, the channel closes, nothing is acknowledged.
    /// Returns the commit that may still be on its way.
    pub(crate) fn lose(&mut self, broker: &mut Broker) -> Option<Commit> {
        let lost = std::mem::take(self);
        self.epoch = lost.epoch;
        self.checked = lost.checked;
        self.raising = lost.raising;
        let turn = lost.turn;
        let inputs = turn.iter().flat_map(|turn| &turn.inputs).chain(&lost.inputs);
        for input in inputs {
            if let Input::Message { message, tied: true } = input {
                broker.put_control(*message);
            }
        }
        turn.map(|turn| turn.commit)
    }

    /// The connection is gone: what was delivered on it cannot be acknowledged, what was sent on it is unsure. With
    /// `told`, the confirms had come, and nobody has taken them up yet.
    pub(crate) fn disconnected(&mut self, told: bool) {
        self.checked = false;
        untie(&mut self.inputs);
        if let Some(turn) = self.turn.as_mut() {
            untie(&mut turn.inputs);
        }
        for (_, sent) in &mut self.relay {
            if *sent == Sent::Arrived {
                *sent = if told { Sent::Told } else { Sent::Unsent };
            }
        }
        self.relay.sort_unstable();
    }

    // --- relay -------------------------------------------------------------------------------------------

    pub(crate) fn relay_items(&self, wanted: impl Fn(Sent) -> bool) -> Vec<Item> {
        let items = self.relay.iter().filter(|(_, sent)| wanted(*sent));
        items.map(|(item, _)| *item).collect()
    }

    fn enqueue(&mut self, item: Item) {
        if !self.relay.iter().any(|(held, _)| *held == item) {
            put(&mut self.relay, (item, Sent::Unsent));
        }
    }

    /// `relay.rs`, `begin_search`
    pub(crate) fn search(&mut self, store: &Store) {
        for item in &store.outbox {
            self.enqueue(*item);
        }
    }

    pub(crate) fn move_on(&mut self, item: Item, to: Sent) {
        for (held, sent) in &mut self.relay {
            if *held == item {
                *sent = to;
            }
        }
        self.relay.sort_unstable();
    }

    // --- rebuild -----------------------------------------------------------------------------------------

    /// `era.rs`, `to_rebuild`
    pub(crate) fn must_rebuild(&self) -> bool {
        let in_hand = self.rebuild.as_ref().map_or(0, |rebuild| rebuild.epoch);
        self.rebuilt.max(in_hand).max(Epoch::FIRST.number) < self.epoch.number
    }

    /// `relay.rs`, `unsent`: nothing can be said of what waits for the broker's answer.
    pub(crate) fn can_tell_unsent(&self, broken: Option<Broken>) -> bool {
        broken == Some(Broken::UnsentAfterAnswers)
            || self
                .relay_items(|sent| matches!(sent, Sent::Arrived | Sent::Told))
                .is_empty()
    }

    /// `ownership.rs`, `rebuild_where_needed`, and `rebuild.rs`, `run`
    pub(crate) fn begin_rebuild(&mut self, store: &Store, broken: Option<Broken>) {
        self.search(store);
        let is_open = store.created && !store.is_ended();
        let unsent = self.relay_items(|sent| sent != Sent::Confirmed);
        let mut unsent: Vec<_> = unsent.into_iter().map(|item| item.task).collect();
        unsent.dedup();
        self.rebuild = Some(Rebuild {
            epoch: self.epoch.number,
            unsent,
            begun: false,
            finished: !is_open || broken == Some(Broken::MarkAfterResend),
        });
        if is_open && !self.inputs.contains(&Input::Resend) {
            put(&mut self.inputs, Input::Resend);
        }
    }

    /// `rebuild.rs`, the end of `run`
    pub(crate) fn mark_rebuilt(&mut self, store: &mut Store) {
        if let (Some(token), Some(rebuild)) = (self.token, self.rebuild.take()) {
            store.mark_rebuilt(token, rebuild.epoch);
            self.rebuilt = self.rebuilt.max(rebuild.epoch);
        }
    }
}

fn untie(inputs: &mut [Input]) {
    for input in inputs.iter_mut() {
        if let Input::Message { tied, .. } = input {
            *tied = false;
        }
    }
    inputs.sort_unstable();
}

/// `admit.rs`: what of the inputs and the inbox is news.
fn admit(session: &Session, inputs: &[Input], inbox: &[Message], broken: Option<Broken>) -> Admitted {
    let mut admitted = Admitted::default();
    for message in inbox {
        if admitted.message(session, *message, broken) {
            admitted.inbox_remove.push(*message);
        }
    }
    for input in inputs {
        if let Input::Message { message, .. } = input {
            let is_dealt_with = admitted.message(session, *message, broken);
            if is_dealt_with && matches!(message, Message::Done(_)) && !admitted.answers.contains(message) {
                admitted.answers.push(*message);
            }
        }
    }
    admitted
}

impl Admitted {
    /// Takes a message in; `false` if it is a stray.
    fn message(&mut self, session: &Session, message: Message, broken: Option<Broken>) -> bool {
        let Message::Done(task) = message else {
            self.terminate |= message == Message::Terminate;
            return true;
        };
        if !session.history.contains(&Event::Scheduled(task)) {
            self.strays = true;
            return false;
        }
        let is_known = session.history.contains(&Event::Completed(task))
            || self.inbound.contains(&Event::Completed(task));
        if !is_known || broken == Some(Broken::Dedupe) {
            self.inbound.push(Event::Completed(task));
        }
        true
    }
}
