//! Owns the slot in which a step's answer waits for its future, or the future's waker for the answer.
//! Never polls or wakes: it hands wakers out, for its caller to use when no lock is held.

use std::task::{Poll, Waker};

use futures::future::BoxFuture;
use longhaul_shared::failure::Failure;
use longhaul_shared::payload::Payload;

/// What an inline step runs.
pub(crate) type InlineBody = BoxFuture<'static, Result<Payload, Failure>>;

/// Where the answer to a step goes.
pub(crate) enum Slot<A> {
    Waiting(Waker),
    Answered(A),
    Abandoned,
    Closed,
}

impl<A> Slot<A> {
    pub(super) fn answer(&mut self, answer: A) -> Option<Waker> {
        match std::mem::replace(self, Self::Closed) {
            Self::Waiting(waker) => {
                *self = Self::Answered(answer);
                Some(waker)
            }
            Self::Answered(first) => {
                *self = Self::Answered(first);
                None
            }
            Self::Abandoned | Self::Closed => None,
        }
    }

    /// Takes the answer, or waits with this waker; the waker no longer needed comes back.
    pub(super) fn poll(&mut self, waker: Waker) -> (Poll<A>, Option<Waker>) {
        match std::mem::replace(self, Self::Closed) {
            Self::Answered(answer) => (Poll::Ready(answer), Some(waker)),
            Self::Waiting(earlier) => {
                *self = Self::Waiting(waker);
                (Poll::Pending, Some(earlier))
            }
            ended @ (Self::Abandoned | Self::Closed) => {
                *self = ended;
                (Poll::Pending, Some(waker))
            }
        }
    }

    pub(super) fn abandon(&mut self) -> Option<Waker> {
        match std::mem::replace(self, Self::Closed) {
            Self::Waiting(waker) => {
                *self = Self::Abandoned;
                Some(waker)
            }
            Self::Abandoned => {
                *self = Self::Abandoned;
                None
            }
            Self::Answered(_) | Self::Closed => None,
        }
    }

    pub(super) fn is_waiting(&self) -> bool {
        matches!(self, Self::Waiting(_))
    }
}

/// What is left over when a step no longer needs it. Dropping it may run an author's code: do so without a lock.
#[derive(Default)]
pub(crate) struct Leftovers {
    pub(crate) waker: Option<Waker>,
    pub(crate) body: Option<InlineBody>,
}

/// The answer in an event is not one that this step can take.
pub(crate) struct WrongKind;
