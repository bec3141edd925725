//! Owns what must hold in every state that can be reached, and with it what the checker is given.
//! Never says what a step does.

use stateright::{Model, Property};

use crate::bounds::Bounds;
use crate::owner::Owner;
use crate::protocol::{Action, Protocol, State};
use crate::vocabulary::{Epoch, Event, Input, Message, Task, open_tasks};

/// History is what the author's code can have, each result in it once.
pub const HISTORY: &str = "history is legal";
/// Each commit raises the number by one.
pub const NUMBER: &str = "the commit number counts the commits";
/// Whoever commits owns the partition.
pub const ONE_OWNER: &str = "only the owner commits";
/// Nothing is acknowledged that could still get lost.
pub const ACK: &str = "acknowledged is safe";
/// No result comes for a task that history does not know.
pub const PARKED: &str = "no result is a stranger";
/// A task runs once, and once more for each fault.
pub const EXECUTIONS: &str = "a task runs at most once and once for each fault";
/// Whatever is open is on its way, in a place that a crash leaves as it is.
pub const CARRIED: &str = "everything open is carried";
/// Where nothing is left to do, everything is done.
pub const REST: &str = "nothing rests before the end";
/// Every run ends, and the instance with it.
pub const ENDS: &str = "the instance ends";

/// What has to come about somewhere, or the model says less than it seems to.
pub const WITNESSES: [&str; 4] = [
    "a former owner commits",
    "a commit comes when a later one is there",
    "a result comes twice",
    "all is done by the other worker",
];

impl Model for Protocol {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![self.beginning()]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.steps(state, actions);
        self.mishaps(state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        self.next(last, action)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        promises()
    }
}

fn promises() -> Vec<Property<Protocol>> {
    let mut properties = vec![
        Property::always(HISTORY, |protocol: &Protocol, state: &State| {
            protocol.bounds.shape.allows(&state.store.history)
        }),
        Property::always(NUMBER, |_, state: &State| {
            state.store.number == state.store.applied
        }),
        Property::always(ONE_OWNER, |_, state: &State| !state.store.foreign),
        Property::always(ACK, |_, state: &State| !state.broker.acked_early),
        Property::always(PARKED, |_, state: &State| !state.broker.parked),
        Property::always(EXECUTIONS, |protocol: &Protocol, state: &State| {
            let most = state.executions_allowed(&protocol.bounds);
            state.executions.iter().all(|executions| *executions <= most)
        }),
        Property::always(CARRIED, |_, state: &State| state.is_carried()),
        Property::always(REST, |protocol: &Protocol, state: &State| {
            state.is_done() || protocol.has_steps(state)
        }),
        // Sound although runs join: an instance that has ended stays so, and each run ends (`rounds`).
        Property::eventually(ENDS, |_, state: &State| state.store.is_ended()),
    ];
    properties.extend(witnesses());
    properties
}

fn witnesses() -> [Property<Protocol>; 4] {
    let [former, late, twice, other] = WITNESSES;
    [
        Property::sometimes(former, |_, state: &State| {
            state
                .owners()
                .any(|owner| owner.turn.is_some() && owner.token != state.store.lease)
        }),
        Property::sometimes(late, |_, state: &State| {
            state.late.iter().any(|commit| commit.number < state.store.number)
        }),
        Property::sometimes(twice, |_, state: &State| {
            let is_known = |input: &Input| match input {
                Input::Message {
                    message: Message::Done(task),
                    ..
                } => state.store.history.contains(&Event::Completed(*task)),
                _ => false,
            };
            state
                .owners()
                .any(|owner| owner.turn.is_none() && owner.inputs.iter().any(is_known))
        }),
        Property::sometimes(other, |_, state: &State| {
            state.is_done() && state.b.token.is_some()
        }),
    ]
}

impl Protocol {
    /// Whether there is a step that needs nothing to go wrong.
    fn has_steps(&self, state: &State) -> bool {
        let mut actions = Vec::new();
        self.steps(state, &mut actions);
        actions
            .into_iter()
            .any(|action| self.next(state, action).is_some())
    }
}

impl State {
    /// One, and one for each fault. After a loss of the broker, one more for what the relay published between the
    /// loss and the rebuild, and one for each handover, since it may interrupt the rebuild.
    const fn executions_allowed(&self, bounds: &Bounds) -> u8 {
        let faults = bounds.faults_in_all - self.faults_left;
        let wipes = bounds.faults.wipes - self.faults.wipes;
        let handovers = if wipes > 0 {
            bounds.handovers - self.handovers
        } else {
            0
        };
        1 + faults + wipes + handovers
    }

    fn owners(&self) -> impl Iterator<Item = &Owner> {
        [&self.a, &self.b].into_iter()
    }

    /// The instance has ended, and nothing of it is left anywhere.
    fn is_done(&self) -> bool {
        let control_is_empty = self.broker.control.as_ref().is_none_or(Vec::is_empty);
        self.store.is_ended()
            && self.store.outbox.is_empty()
            && self.store.inbox.is_empty()
            && !self.store.ready
            && control_is_empty
            && self.broker.work.is_empty()
            && self.attempt.is_none()
            && self
                .owners()
                .all(|owner| owner.turn.is_none() && owner.inputs.is_empty())
    }

    /// Whether everything that the instance waits for is in a place from where it comes without anybody's memory.
    fn is_carried(&self) -> bool {
        let store = &self.store;
        if !store.created || store.is_ended() {
            return true;
        }
        let has_begun = !store.history.is_empty();
        let is_looked_at = store.inbox.is_empty() || store.ready;
        let is_rebuilt_later = !self.broker.markers.contains(&store.epoch)
            || store.rebuilt.max(Epoch::FIRST.number) < store.epoch.number;
        let open = open_tasks(&store.history);
        (has_begun || store.ready)
            && is_looked_at
            && (is_rebuilt_later || open.into_iter().all(|task| self.carries(task)))
    }

    fn carries(&self, task: Task) -> bool {
        let done = Message::Done(task);
        let control = self.broker.control.iter().flatten();
        let unacknowledged = self.owners().flat_map(|owner| {
            owner
                .turn
                .iter()
                .flat_map(|turn| &turn.inputs)
                .chain(&owner.inputs)
        });
        self.store.outbox.iter().any(|item| item.task == task)
            || self.store.inbox.contains(&done)
            || self.broker.work.iter().any(|item| item.task == task)
            || self
                .attempt
                .is_some_and(|attempt| attempt.tied && attempt.item.task == task)
            || control.into_iter().any(|message| *message == done)
            || unacknowledged.into_iter().any(|input| {
                *input
                    == Input::Message {
                        message: done,
                        tied: true,
                    }
            })
    }
}
