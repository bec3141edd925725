//! Owns patience with a store that is out of reach: how long apart to ask again, and how often.
//! Never repeats what the store has answered.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use longhaul_shared::port::{Delays, Runtime, StoreError};

/// Delays between attempts.
const DELAY_FIRST: Duration = Duration::from_millis(100);
const DELAY_MAX: Duration = Duration::from_secs(5);

/// How often a change is tried before its caller is told that the outcome is unknown.
const ATTEMPTS_MAX: usize = 3;

/// Growing delays, each shortened by chance, so that many clients do not come back at the same moment.
pub(crate) struct Backoff {
    runtime: Arc<dyn Runtime>,
    delays: Delays,
}

impl Backoff {
    pub(crate) fn new(runtime: &Arc<dyn Runtime>) -> Self {
        Self {
            runtime: Arc::clone(runtime),
            delays: Delays::new(DELAY_FIRST, DELAY_MAX),
        }
    }

    /// Waits for the next delay, but not longer than `at_most`.
    pub(crate) async fn pause(&mut self, at_most: Duration) {
        // Between half of the delay and all of it.
        let chance = u32::try_from(self.runtime.random() & 0xff).unwrap_or(0);
        let half = self.delays.next_delay() / 2;
        let delay = half + half * chance / 0xff;
        self.runtime.sleep(delay.min(at_most)).await;
    }

    /// The store has answered: the next trouble is a new one.
    pub(crate) fn reset(&mut self) {
        self.delays.reset();
    }
}

/// Makes a change, and makes it again while no answer comes: repeating settles whether it took place.
///
/// # Errors
/// What the store said last; [`StoreError::Unavailable`] then still leaves the outcome open.
pub(crate) async fn settled<T, F>(
    runtime: &Arc<dyn Runtime>,
    mut attempt: impl FnMut() -> F,
) -> Result<T, StoreError>
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut backoff = Backoff::new(runtime);
    for _ in 1..ATTEMPTS_MAX {
        match attempt().await {
            Err(StoreError::Unavailable { .. }) => backoff.pause(Duration::MAX).await,
            answer => return answer,
        }
    }
    attempt().await
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use longhaul_backends::runtime::TokioRuntime;

    use super::*;
    use crate::sample::unavailable;

    async fn attempts(error: StoreError, failures: usize) -> (Result<(), StoreError>, usize) {
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current());
        let attempts = Cell::new(0);
        let attempt = || {
            attempts.set(attempts.get() + 1);
            let is_failing = attempts.get() <= failures;
            std::future::ready(if is_failing { Err(error.clone()) } else { Ok(()) })
        };
        (settled(&runtime, attempt).await, attempts.get())
    }

    #[tokio::test(start_paused = true)]
    async fn an_unknown_outcome_is_settled_by_repeating_a_few_times() {
        assert_eq!(attempts(unavailable(), 2).await, (Ok(()), 3));
        assert_eq!(
            attempts(unavailable(), 9).await,
            (Err(unavailable()), ATTEMPTS_MAX)
        );
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_not_asked_for_twice() {
        let full = StoreError::Full {
            reason: "no room".to_owned(),
        };
        assert_eq!(attempts(full.clone(), 9).await, (Err(full), 1));
    }
}
