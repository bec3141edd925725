//! Owns the door to time, tasks and chance. Loops use nothing else, so that a simulation can own all three.
//! Never tells the date: that is the store's clock, one for the whole hub.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Either, FutureExt, select};

use super::step::Step;

/// A reading of a clock that never goes back; only differences mean anything.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Monotonic(pub Duration);

impl Monotonic {
    /// The reading `span` later.
    #[must_use]
    pub fn plus(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }

    /// How long after `earlier` this is; zero when it is not.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        self.0.saturating_sub(earlier.0)
    }
}

/// Time, tasks and chance.
pub trait Runtime: Send + Sync + 'static {
    /// The clock's reading now. MUST never go back.
    fn now(&self) -> Monotonic;

    /// Completes no sooner than `span` from now. Dropping it MUST be free of effects.
    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()>;

    /// Runs a future as a task of its own under this name. The task MUST be aborted when its handle is dropped.
    fn spawn(&self, name: &'static str, task: BoxFuture<'static, ()>) -> TaskHandle;

    /// 128 bits that nobody can foresee, or that a simulation's seed decides.
    fn random(&self) -> u128;

    /// A loop has come to this step of the protocol. For simulations and crash tests, which may end the process
    /// there; otherwise it has no effect.
    fn reached(&self, _step: Step) {}
}

/// The delays between attempts: each twice the one before, up to a bound.
#[derive(Clone, Debug)]
pub struct Delays {
    first: Duration,
    next: Duration,
    max: Duration,
}

impl Delays {
    /// Delays from `first` to `max`.
    #[must_use]
    pub const fn new(first: Duration, max: Duration) -> Self {
        Self {
            first,
            next: first,
            max,
        }
    }

    /// How long to wait next.
    #[must_use]
    pub const fn upcoming(&self) -> Duration {
        self.next
    }

    /// How long to wait now; the time after that it is longer.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.next;
        self.next = (delay * 2).min(self.max);
        delay
    }

    /// An attempt has succeeded: the next trouble is a new one.
    pub const fn reset(&mut self) {
        self.next = self.first;
    }
}

/// Owns a spawned task: dropping the handle aborts it, so nothing is spawned and forgotten.
pub struct TaskHandle {
    abort: Option<Box<dyn FnOnce() + Send + Sync>>,
    done: futures::future::Shared<BoxFuture<'static, ()>>,
}

impl TaskHandle {
    /// The handle of a task that `abort` stops and whose end `done` tells, aborted or not.
    #[must_use]
    pub fn new(abort: impl FnOnce() + Send + Sync + 'static, done: BoxFuture<'static, ()>) -> Self {
        Self {
            abort: Some(Box::new(abort)),
            done: done.shared(),
        }
    }

    /// Waits until the task has ended, by itself or aborted.
    ///
    /// # Cancel safety
    /// Dropping the returned future leaves the task running under this handle.
    pub async fn join(&mut self) {
        self.done.clone().await;
    }

    /// Stops the task at its next await and waits until it is gone.
    pub async fn stop(mut self) {
        if let Some(abort) = self.abort.take() {
            abort();
        }
        self.done.clone().await;
    }
}

impl Drop for TaskHandle {
    fn drop(&mut self) {
        if let Some(abort) = self.abort.take() {
            abort();
        }
    }
}

impl fmt::Debug for TaskHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TaskHandle")
    }
}

/// A future did not finish in time; what it began may still take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not finished within {limit:?}")]
pub struct Elapsed {
    /// The time it had.
    pub limit: Duration,
}

/// Waits for a future for at most `limit`, by the runtime's clock.
///
/// # Errors
/// [`Elapsed`] when the time is over; the future is dropped then.
pub async fn within<F: Future>(
    runtime: &Arc<dyn Runtime>,
    limit: Duration,
    future: F,
) -> Result<F::Output, Elapsed> {
    let future = std::pin::pin!(future);
    match select(future, runtime.sleep(limit)).await {
        Either::Left((output, _)) => Ok(output),
        Either::Right(((), _)) => Err(Elapsed { limit }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_their_bound_and_start_anew() {
        let seconds = Duration::from_secs;
        let mut delays = Delays::new(seconds(1), seconds(3));
        assert_eq!([(); 3].map(|()| delays.next_delay()), [1, 2, 3].map(seconds));
        assert_eq!(delays.upcoming(), seconds(3));
        delays.reset();
        assert_eq!(delays.next_delay(), seconds(1));
    }
}
