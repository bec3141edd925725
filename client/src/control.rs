//! Owns what is done to a running instance from outside: so far, ending it.
//! Never changes an instance itself: the wish goes into its inbox, and its next turn obeys.

use longhaul_shared::id::{HubName, InstanceId, MessageId};
use longhaul_shared::instance::Status;
use longhaul_shared::limits;
use longhaul_shared::message::Envelope;
use longhaul_shared::port::{Posted, StoreError};

use crate::client::Client;
use crate::handle::Handle;
use crate::repeat::settled;

/// Why the wish to end an instance was not accepted.
#[derive(Debug, Clone, thiserror::Error)]
pub enum TerminateError {
    /// There is no such instance.
    #[error("[LH1201] there is no instance {id} in hub {hub}")]
    Unknown {
        /// The id asked for.
        id: InstanceId,
        /// The hub it was looked for in.
        hub: HubName,
    },
    /// It has ended already.
    #[error("[LH1202] instance {id} has already ended: it is {status}")]
    Ended {
        /// The instance.
        id: InstanceId,
        /// How it ended.
        status: Status,
    },
    /// Its inbox takes no more.
    #[error(
        "[LH1203] the inbox of instance {id} is full: {} messages wait there (INBOX_MESSAGES_MAX)",
        limits::INBOX_MESSAGES_MAX
    )]
    Full {
        /// The instance.
        id: InstanceId,
    },
    /// The reason is longer than a history keeps.
    #[error(
        "the reason has {bytes} bytes and at most {} are allowed (FAILURE_MESSAGE_BYTES_MAX)",
        limits::FAILURE_MESSAGE_BYTES_MAX
    )]
    ReasonTooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The store does not serve. After [`StoreError::Unavailable`] the wish may have been accepted; another one is
    /// harmless.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Client {
    /// Asks for the end of an instance. Accepted means that its next turn ends it; wait for that with
    /// [`Handle::wait`]. What its activities are doing at that moment goes on, unheard.
    ///
    /// # Errors
    /// [`TerminateError`].
    ///
    /// # Cancel safety
    /// Dropping the future leaves open whether the wish was accepted; another one is harmless.
    pub async fn terminate(&self, id: &InstanceId, reason: impl Into<String>) -> Result<(), TerminateError> {
        let reason = reason.into();
        if reason.len() > limits::FAILURE_MESSAGE_BYTES_MAX {
            let bytes = reason.len();
            return Err(TerminateError::ReasonTooLong { bytes });
        }
        let ports = self.ports();
        let message = MessageId::from_bits(ports.runtime.random());
        let envelope = Envelope::terminate(message, id.clone(), reason);
        let id = id.clone();
        match settled(&ports.runtime, || ports.store.post(envelope.clone())).await? {
            Posted::Accepted => {
                self.wake(&id).await;
                Ok(())
            }
            Posted::Ended(status) => Err(TerminateError::Ended { id, status }),
            Posted::Unknown => {
                let hub = self.hub().clone();
                Err(TerminateError::Unknown { id, hub })
            }
            Posted::Full => Err(TerminateError::Full { id }),
        }
    }
}

impl<O> Handle<O> {
    /// As [`Client::terminate`].
    ///
    /// # Errors
    /// [`TerminateError`].
    ///
    /// # Cancel safety
    /// As [`Client::terminate`].
    pub async fn terminate(&self, reason: impl Into<String>) -> Result<(), TerminateError> {
        self.client().terminate(self.id(), reason).await
    }
}
