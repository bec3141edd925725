//! Owns the admission of replays: after a takeover thousands of instances may want theirs at once.
//! Never looks into a history, and never lets one wait that has been read: only what is not begun waits.
//!
//! How large a history is shows when it has been read. So it counts from then on, until it has been replayed; while
//! as much is held as may be, no further one is read. What is held can exceed the bound by those that were being read
//! when it was reached, at most [`READS_MAX`].

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

/// Most histories being read at once, whose size is not known yet.
pub(crate) const READS_MAX: usize = 16;

/// What admits the replays of a worker.
pub(crate) struct Replays {
    replays: Arc<Semaphore>,
    reads: Arc<Semaphore>,
    /// The bytes of the histories that were read and are not replayed yet.
    held: Arc<watch::Sender<usize>>,
    most: usize,
    bytes_max: usize,
}

/// The right to read one history.
pub(crate) struct Admission {
    // Nobody closes the semaphores; if somebody did, nothing would be bounded any more, and nothing would stop.
    replay: Option<OwnedSemaphorePermit>,
    _read: Option<OwnedSemaphorePermit>,
    held: Arc<watch::Sender<usize>>,
}

/// A history that was read; dropped once it is replayed.
pub(crate) struct Replay {
    _replay: Option<OwnedSemaphorePermit>,
    held: Arc<watch::Sender<usize>>,
    bytes: usize,
}

impl Replays {
    pub(crate) fn new(replays_max: usize, bytes_max: usize) -> Self {
        Self {
            replays: Arc::new(Semaphore::new(replays_max)),
            reads: Arc::new(Semaphore::new(READS_MAX)),
            held: Arc::new(watch::Sender::new(0)),
            most: replays_max,
            bytes_max,
        }
    }

    /// How many histories are being read or replayed now.
    pub(crate) fn running(&self) -> usize {
        self.most.saturating_sub(self.replays.available_permits())
    }

    /// Waits until one more history may be read. A history of any size is read sooner or later: nothing is held for
    /// ever, and one is read whenever less is held than may be.
    ///
    /// # Cancel safety
    /// Safe: a wait that is given up holds nothing.
    pub(crate) async fn admit(&self) -> Admission {
        let replay = Arc::clone(&self.replays).acquire_owned().await.ok();
        let read = Arc::clone(&self.reads).acquire_owned().await.ok();
        // The sender lives in this very struct, so the wait ends with its condition.
        let _ = self
            .held
            .subscribe()
            .wait_for(|bytes| *bytes < self.bytes_max)
            .await;
        Admission {
            replay,
            _read: read,
            held: Arc::clone(&self.held),
        }
    }
}

impl Admission {
    /// The history was read and takes so many bytes.
    pub(crate) fn read(self, bytes: usize) -> Replay {
        self.held.send_modify(|held| *held += bytes);
        Replay {
            _replay: self.replay,
            held: self.held,
            bytes,
        }
    }
}

impl Drop for Replay {
    fn drop(&mut self) {
        self.held.send_modify(|held| *held -= self.bytes);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use futures::future::join_all;

    use super::*;

    const CAP: usize = 1_000;

    #[test]
    fn nothing_is_read_while_as_much_is_held_as_may_be() {
        let replays = Replays::new(64, CAP);
        let admit = || replays.admit().now_or_never();
        let small = admit().unwrap().read(CAP - 1);
        let large = admit().unwrap().read(50 * CAP);
        assert!(admit().is_none());
        drop(large);
        let other = admit().unwrap().read(1);
        assert!(admit().is_none());
        drop(small);
        assert!(admit().is_some());
        drop(other);
        assert_eq!(*replays.held.borrow(), 0);
    }

    #[test]
    fn a_history_larger_than_the_bound_is_read_alone() {
        let replays = Replays::new(64, CAP);
        for _ in 0..3 {
            let large = replays.admit().now_or_never().unwrap().read(50 * CAP);
            assert!(replays.admit().now_or_never().is_none());
            drop(large);
        }
    }

    #[test]
    fn a_wait_that_is_given_up_holds_nothing() {
        let replays = Replays::new(1, CAP);
        let held = replays.admit().now_or_never().unwrap().read(1);
        assert!(replays.admit().now_or_never().is_none(), "one at a time");
        drop(held);
        drop(replays.admit().now_or_never().unwrap());
        assert!(replays.admit().now_or_never().is_some());
    }

    #[tokio::test]
    async fn many_replays_at_once_stay_within_both_bounds_and_all_end() {
        const EACH: usize = 300;
        let replays = Replays::new(40, CAP);
        let most = watch::Sender::new(0);
        let all = (0..500).map(async |_| {
            let admission = replays.admit().await;
            tokio::task::yield_now().await;
            let replay = admission.read(EACH);
            let held = *replays.held.borrow();
            most.send_modify(|most: &mut usize| *most = held.max(*most));
            tokio::task::yield_now().await;
            drop(replay);
        });
        join_all(all).await;
        let most = *most.borrow();
        assert!((CAP..CAP + READS_MAX * EACH).contains(&most), "{most}");
        assert_eq!(*replays.held.borrow(), 0);
    }
}
