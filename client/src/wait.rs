//! Owns waiting for an instance to end.
//! Never polls: the store tells when it has ended, and is asked again only because no wait may last for ever.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use longhaul_sdk::{Failure, Payload};
use longhaul_shared::failure::FailureKind;
use longhaul_shared::id::{HubName, InstanceId};
use longhaul_shared::instance::{InstanceRow, Status, WaitingFor};
use longhaul_shared::payload::DecodeError;
use longhaul_shared::port::{Runtime, StoreError};
use serde::de::DeserializeOwned;

use crate::handle::Handle;
use crate::repeat::Backoff;
use crate::value::from_payload;

/// How long the store is asked to wait at a time.
const SLICE: Duration = Duration::from_secs(30);

/// Why waiting for an instance brought no output.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WaitError {
    /// It failed.
    #[error("instance {id} failed: {failure}")]
    Failed {
        /// The instance.
        id: InstanceId,
        /// Why.
        failure: Box<Failure>,
    },
    /// Somebody ended it.
    #[error("instance {id} was terminated{}", because(reason))]
    Terminated {
        /// The instance.
        id: InstanceId,
        /// Why, as given by whoever ended it; may be empty.
        reason: String,
    },
    /// There is no such instance.
    #[error("[LH1201] there is no instance {id} in hub {hub}")]
    Unknown {
        /// The id asked for.
        id: InstanceId,
        /// The hub it was looked for in.
        hub: HubName,
    },
    /// It has not ended in the time given; it goes on.
    #[error("instance {id} has not ended within {limit:?}: it is {status}{}", and_waits_for(waiting_for.as_deref()))]
    TimedOut {
        /// The instance.
        id: InstanceId,
        /// The time given.
        limit: Duration,
        /// Where it stands.
        status: Status,
        /// Whose move it is, when it is not its own and not a timer's or a running activity's.
        waiting_for: Option<Box<WaitingFor>>,
    },
    /// It completed, but its output is not what the contract says.
    #[error("instance {id} completed, but its output cannot be read")]
    Undecodable {
        /// The instance.
        id: InstanceId,
        /// What does not fit.
        source: DecodeError,
    },
    /// The store does not serve.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn and_waits_for(waiting_for: Option<&WaitingFor>) -> String {
    waiting_for.map_or(String::new(), |waiting_for| {
        format!(" (waiting for: {waiting_for})")
    })
}

fn because(reason: &str) -> String {
    if reason.is_empty() {
        String::new()
    } else {
        format!(": {reason}")
    }
}

impl<O: DeserializeOwned + 'static> Handle<O> {
    /// Waits until the instance has ended, however long that takes, and returns its output. A store that is out
    /// of reach meanwhile is waited for.
    ///
    /// # Errors
    /// [`WaitError`] when it ended otherwise than by completing, or cannot be waited for. Never
    /// [`WaitError::TimedOut`].
    ///
    /// # Cancel safety
    /// Safe: waiting changes nothing.
    pub async fn wait(&self) -> Result<O, WaitError> {
        self.output(None).await
    }

    /// As [`Self::wait`], but not longer than `limit`.
    ///
    /// # Errors
    /// As [`Self::wait`]; [`WaitError::TimedOut`] when the time is over, or [`WaitError::Store`] if the store is out of
    /// reach then.
    ///
    /// # Cancel safety
    /// Safe: waiting changes nothing.
    pub async fn wait_for(&self, limit: Duration) -> Result<O, WaitError> {
        self.output(Some(limit)).await
    }

    async fn output(&self, limit: Option<Duration>) -> Result<O, WaitError> {
        let row = self.ended(limit).await?;
        let id = row.id;
        match row.status {
            Status::Failed => {
                let failure = Box::new(row.failure.unwrap_or_else(unsaid));
                Err(WaitError::Failed { id, failure })
            }
            Status::Terminated => {
                let reason = row.failure.map(|failure| failure.message).unwrap_or_default();
                Err(WaitError::Terminated { id, reason })
            }
            Status::Completed | Status::Pending | Status::Running => {
                let output = row.output.unwrap_or_else(Payload::unit);
                from_payload(output).map_err(|source| WaitError::Undecodable { id, source })
            }
        }
    }

    /// The instance's row once it is terminal.
    async fn ended(&self, limit: Option<Duration>) -> Result<InstanceRow, WaitError> {
        let ports = self.client().ports();
        let ask = |slice| ports.store.wait_terminal(self.id(), slice);
        let ended = until_ended(&ports.runtime, limit, ask).await;
        ended.map_err(|unended| match (unended, limit) {
            (Unended::Open(status, waiting_for), Some(limit)) => WaitError::TimedOut {
                id: self.id().clone(),
                limit,
                status,
                waiting_for: waiting_for.map(Box::new),
            },
            (Unended::Unknown | Unended::Open(..), _) => WaitError::Unknown {
                id: self.id().clone(),
                hub: self.client().hub().clone(),
            },
            (Unended::Store(error), _) => WaitError::Store(error),
        })
    }
}

/// The failure of an instance that does not say why; no turn of ours writes such a row.
fn unsaid() -> Failure {
    Failure::new(FailureKind::Other("unsaid".to_owned()), "it does not say why")
}

/// Why there is no terminal row.
#[derive(Debug)]
enum Unended {
    /// There is no such instance.
    Unknown,
    /// The time is over, and it stands there, waiting for that.
    Open(Status, Option<WaitingFor>),
    /// The store does not serve, and the time for more attempts is over or they are of no use.
    Store(StoreError),
}

/// Asks again and again, each time for a slice of the time that is left, through whatever outages there are.
async fn until_ended<F>(
    runtime: &Arc<dyn Runtime>,
    limit: Option<Duration>,
    mut ask: impl FnMut(Duration) -> F,
) -> Result<InstanceRow, Unended>
where
    F: Future<Output = Result<Option<InstanceRow>, StoreError>>,
{
    let until = limit.map(|limit| runtime.now().plus(limit));
    let left = || until.map_or(Duration::MAX, |until| until.since(runtime.now()));
    let mut backoff = Backoff::new(runtime);
    loop {
        let answer = ask(left().min(SLICE)).await;
        let is_over = left().is_zero();
        match answer {
            Ok(None) => return Err(Unended::Unknown),
            Ok(Some(row)) if row.status.is_terminal() => return Ok(row),
            Ok(Some(row)) if is_over => return Err(Unended::Open(row.status, row.waiting_for)),
            Ok(Some(_)) => backoff.reset(),
            Err(error) if error.is_retryable() && !is_over => {
                tracing::debug!(%error, "the store does not answer a wait; asking again");
                backoff.pause(left()).await;
            }
            Err(error) => return Err(Unended::Store(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::collections::VecDeque;

    use longhaul_backends::runtime::TokioRuntime;

    use super::*;
    use crate::sample::{row, unavailable};

    type Answer = Result<Option<InstanceRow>, StoreError>;

    /// Waits through these answers, each of which takes as long as it was asked to if it is not the end.
    async fn waited(
        limit: Option<Duration>,
        answers: Vec<Answer>,
    ) -> (Result<Status, String>, Vec<Duration>) {
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current());
        let answers = RefCell::new(VecDeque::from(answers));
        let asked = RefCell::new(Vec::new());
        let ask = |slice| {
            asked.borrow_mut().push(slice);
            let answer = answers.borrow_mut().pop_front().unwrap();
            let takes = match &answer {
                Ok(Some(row)) if !row.status.is_terminal() => slice,
                _ => Duration::ZERO,
            };
            let sleep = runtime.sleep(takes);
            async move {
                sleep.await;
                answer
            }
        };
        let ended = until_ended(&runtime, limit, ask).await;
        let told = ended
            .map(|row| row.status)
            .map_err(|unended| format!("{unended:?}"));
        (told, asked.into_inner())
    }

    #[tokio::test(start_paused = true)]
    async fn an_outage_is_waited_out() {
        let mut answers: Vec<Answer> = (0..50).map(|_| Err(unavailable())).collect();
        answers.push(Ok(Some(row(Status::Running))));
        answers.push(Ok(Some(row(Status::Completed))));
        let (ended, asked) = waited(None, answers).await;
        assert_eq!(ended, Ok(Status::Completed));
        assert_eq!(asked, [SLICE; 52]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_is_kept_whatever_the_store_does() {
        let limit = Some(SLICE + Duration::from_secs(1));
        let running = || Ok(Some(row(Status::Running)));
        let (ended, asked) = waited(limit, vec![running(), running()]).await;
        assert_eq!(ended, Err("Open(Running, None)".to_owned()));
        assert_eq!(asked, [SLICE, Duration::from_secs(1)]);

        let out = (0..1_000).map(|_| Err(unavailable())).collect();
        let (ended, _) = waited(limit, out).await;
        assert!(ended.unwrap_err().starts_with("Store(Unavailable"));
    }

    #[tokio::test(start_paused = true)]
    async fn what_will_not_change_is_told_at_once() {
        let refused = StoreError::Refused {
            reason: "no".to_owned(),
        };
        let (ended, asked) = waited(None, vec![Err(refused)]).await;
        assert!(ended.unwrap_err().starts_with("Store(Refused"));
        assert_eq!(asked.len(), 1);
        assert_eq!(waited(None, vec![Ok(None)]).await.0, Err("Unknown".to_owned()));
    }
}
