//! Owns the waker of an orchestration's future, and the knowledge of whose poll this thread is in.
//! Never queues anything: a wake during a poll or a feed means "poll again", any other is from outside.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

thread_local! {
    /// The address of the signal whose session this thread is inside of; 0 = none.
    static INSIDE: Cell<usize> = const { Cell::new(0) };
}

/// What wakes a session: it remembers that it was woken, and from where.
#[derive(Default)]
pub(super) struct Signal {
    woken: AtomicBool,
    foreign: AtomicBool,
}

impl Signal {
    pub(super) fn waker(self: &Arc<Self>) -> Waker {
        Waker::from(Arc::clone(self))
    }

    /// Marks this thread as inside the session until the guard is dropped.
    pub(super) fn enter(self: &Arc<Self>) -> Inside {
        Inside {
            outer: INSIDE.replace(self.address()),
        }
    }

    /// Whether this thread is inside the session: feeding it or polling its future.
    pub(super) fn is_inside(self: &Arc<Self>) -> bool {
        INSIDE.get() == self.address()
    }

    /// Whether it was woken since it was last asked.
    pub(super) fn take_woken(&self) -> bool {
        self.woken.swap(false, Ordering::AcqRel)
    }

    /// Whether anything outside the session ever woke it.
    pub(super) fn is_foreign(&self) -> bool {
        self.foreign.load(Ordering::Acquire)
    }

    /// Asks for a poll.
    pub(super) fn set_woken(&self) {
        self.woken.store(true, Ordering::Release);
    }

    fn address(self: &Arc<Self>) -> usize {
        Arc::as_ptr(self).addr()
    }
}

impl Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.is_inside() {
            self.set_woken();
        } else {
            self.foreign.store(true, Ordering::Release);
        }
    }
}

/// See [`Signal::enter`]. Sessions may nest: the outer one is inside again afterwards.
pub(super) struct Inside {
    outer: usize,
}

impl Drop for Inside {
    fn drop(&mut self) {
        INSIDE.set(self.outer);
    }
}
