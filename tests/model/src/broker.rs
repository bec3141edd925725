//! Owns the model of the broker: the control queue, the work queue and the marker of the epoch.
//! Never keeps an order, which is more than RabbitMQ may do: any message of a queue may come next.
//!
//! A delivery that is not acknowledged lies in its consumer's memory, marked as tied to the queue that it goes
//! back to.

use crate::store::Store;
use crate::vocabulary::{Epoch, Event, Input, Item, Message, put};

/// What the broker holds.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Broker {
    /// The control queue; absent until declared.
    pub(crate) control: Option<Vec<Message>>,
    /// The work queue: whoever publishes to it declares it first.
    pub(crate) work: Vec<Item>,
    /// The epochs whose markers there are.
    pub(crate) markers: Vec<Epoch>,
    /// Ghost: a message was acknowledged that could still get lost.
    pub(crate) acked_early: bool,
    /// Ghost: a result was parked, since history did not know its task.
    pub(crate) parked: bool,
}

impl Broker {
    /// Declares the control queue; nothing changes if it is there.
    pub(crate) fn declare(&mut self) {
        self.control.get_or_insert_default();
    }

    /// Declares the marker of an epoch.
    pub(crate) fn declare_marker(&mut self, epoch: Epoch) {
        if !self.markers.contains(&epoch) {
            self.markers.push(epoch);
        }
    }

    /// Publishes to the control queue, or gives an unacknowledged delivery back to it. What goes to a queue that is
    /// gone is gone with it.
    pub(crate) fn put_control(&mut self, message: Message) {
        if let Some(queue) = self.control.as_mut() {
            put(queue, message);
        }
    }

    /// Inputs are acknowledged: what they say has to be committed, known, or in the inbox.
    pub(crate) fn acknowledged(&mut self, store: &Store, inputs: &[Input]) {
        let is_safe = |message: &Message| match message {
            Message::Done(task) => {
                store.is_ended()
                    || store.history.contains(&Event::Completed(*task))
                    || store.inbox.contains(message)
                    || self.parked
            }
            Message::Wake | Message::Terminate => {
                !store.created || store.ready || !store.history.is_empty() && store.inbox.is_empty()
            }
        };
        self.acked_early |= inputs.iter().any(|input| match input {
            Input::Message { message, .. } => !is_safe(message),
            Input::Look | Input::Resend => false,
        });
    }
}
