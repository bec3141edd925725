//! Owns what is done with parked messages: list them, read one, send it again.
//! Never forgets one that the broker has not confirmed.

use longhaul_shared::codec;
use longhaul_shared::id::{InstanceId, ParkedId};
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::port::{PageRequest, ParkedPage, PublishError, Requeued, StoreError};

use crate::client::Client;
use crate::repeat::settled;

/// Why a parked message was not sent again, or is still listed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum RequeueError {
    /// No such message is parked; it may have been sent again already.
    #[error("there is no parked message {id}; it may have been requeued already")]
    Unknown {
        /// The id asked for.
        id: ParkedId,
    },
    /// There is no such instance.
    #[error("[LH1201] there is no instance {id}")]
    NoInstance {
        /// The id asked for.
        id: InstanceId,
    },
    /// The broker did not take it; it stays parked.
    #[error("[LH1401] the parked message {id} was not requeued and stays parked")]
    Publish {
        /// The message.
        id: ParkedId,
        /// What the broker said.
        source: PublishError,
    },
    /// The store does not serve. The message may have been sent and still be listed; requeueing it again is
    /// harmless, since its copies have one id.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Client {
    /// Lists parked messages, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn parked(&self, page: PageRequest) -> Result<ParkedPage, StoreError> {
        self.ports().store.parked(page).await
    }

    /// Reads one parked message.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn parked_message(&self, id: ParkedId) -> Result<Option<ParkedMessage>, StoreError> {
        self.ports().store.parked_message(id).await
    }

    /// Sends a parked message to where it came from and takes it off the list. It is parked again if nothing has
    /// changed about why it was. Attempts that were counted are forgotten: it is tried as often as if it were new.
    /// A message that stands for an instance is not sent; see [`Self::requeue_instance`].
    ///
    /// # Errors
    /// [`RequeueError`].
    ///
    /// # Cancel safety
    /// Safe: it stays listed until the broker has confirmed it, and sending it twice is harmless.
    pub async fn requeue(&self, id: ParkedId) -> Result<(), RequeueError> {
        let ports = self.ports();
        let message = ports.store.parked_message(id).await?;
        let message = message.ok_or(RequeueError::Unknown { id })?;
        if let Some(instance) = codec::instance_parked_as(&message) {
            return self.requeue_instance(&instance).await;
        }
        if let Some(item) = codec::work_item_parked_as(&message) {
            let work = item.identity.attempts_id();
            ports.store.forget_work_attempts(item.reply_to, work).await?;
        }
        let again = codec::requeued_message(&message, self.about_now());
        let outcome = ports.broker.publish(vec![again]).await.into_iter().next();
        if let Some(Err(source)) = outcome {
            return Err(RequeueError::Publish { id, source });
        }
        ports.store.unpark(id).await?;
        Ok(())
    }

    /// Has an instance tried again that was parked because whoever ran it died, with no attempt counted any more.
    /// One that has ended is only taken off the list, one that was not parked is looked at.
    ///
    /// # Errors
    /// [`RequeueError`].
    ///
    /// # Cancel safety
    /// Safe: doing it twice is harmless.
    pub async fn requeue_instance(&self, id: &InstanceId) -> Result<(), RequeueError> {
        let ports = self.ports();
        let requeued = settled(&ports.runtime, || ports.store.requeue_instance(id)).await?;
        ports.store.unpark(codec::parked_instance_id(id)).await?;
        match requeued {
            Requeued::Accepted => self.wake(id).await,
            Requeued::Ended(_) => {}
            Requeued::Unknown => return Err(RequeueError::NoInstance { id: id.clone() }),
        }
        Ok(())
    }
}
