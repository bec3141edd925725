//! Owns waiting for an instance to end.
//! Never polls: the store tells when it has ended, and is asked again only because no wait may last for ever.

use std::time::Duration;

use longhaul_sdk::{Failure, Payload};
use longhaul_shared::id::InstanceId;
use longhaul_shared::instance::{InstanceRow, Status};
use longhaul_shared::payload::DecodeError;
use longhaul_shared::port::{Monotonic, StoreError};
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
    #[error("[LH1201] there is no instance {id}")]
    Unknown {
        /// The id asked for.
        id: InstanceId,
    },
    /// It has not ended in the time given; it goes on.
    #[error("instance {id} has not ended within {limit:?}: it is {status}")]
    TimedOut {
        /// The instance.
        id: InstanceId,
        /// The time given.
        limit: Duration,
        /// Where it stands.
        status: Status,
    },
    /// It completed, but its output is not what the contract says.
    #[error("the output of instance {id} cannot be read: {source}")]
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
                let failure = Box::new(row.failure.unwrap_or_else(|| unsaid("it does not say why")));
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
        let until = limit.map(|limit| ports.runtime.now().plus(limit));
        let left = |until: Option<Monotonic>| match until {
            Some(until) => until.since(ports.runtime.now()),
            None => Duration::MAX,
        };
        let mut backoff = Backoff::new(&ports.runtime);
        loop {
            let answer = ports.store.wait_terminal(self.id(), left(until).min(SLICE)).await;
            let is_over = left(until).is_zero();
            match answer {
                Ok(None) => return Err(WaitError::Unknown { id: self.id().clone() }),
                Ok(Some(row)) if row.status.is_terminal() => return Ok(row),
                Ok(Some(row)) => match limit.filter(|_| is_over) {
                    Some(limit) => {
                        let (id, status) = (row.id, row.status);
                        return Err(WaitError::TimedOut { id, limit, status });
                    }
                    None => backoff.reset(),
                },
                Err(error) if error.is_retryable() && !is_over => {
                    tracing::debug!(instance_id = %self.id(), %error, "waiting for the store to wait for an instance");
                    backoff.pause(left(until)).await;
                }
                Err(error) => return Err(WaitError::Store(error)),
            }
        }
    }
}

fn unsaid(message: &str) -> Failure {
    Failure::new(longhaul_shared::failure::FailureKind::Other(String::new()), message)
}
