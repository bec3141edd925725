//! Owns the three doors to the outside: [`Store`], [`Broker`] and [`Runtime`], with their contracts.
//! Never opens one: `backends` implements them, a simulation may too.

mod broker;
mod clock;
mod era;
mod insight;
mod receipt;
mod runtime;
mod step;
mod store;

pub use broker::{Acker, Broker, BrokerError, Delivery, DeliveryTag, PublishError, Source, Subscription};
pub use clock::HubClock;
pub use era::{Era, StoreRun};
pub use insight::{BrokerCondition, Census, Depth, Persistence, StatusCounts, StoreCondition, StoreRole};
pub use receipt::Receipt;
pub use runtime::{Delays, Elapsed, Monotonic, Runtime, TaskHandle, within};
pub use step::Step;
pub use store::{
    Attempted, Created, DueTimer, DueTimers, HeldLease, HubInfo, HubSettings, InstanceSummary, LeaseOutcome,
    LeaseRenewal, LeaseWish, LoadRequest, LoadedInstance, OutboxPage, PageRequest, ParkedPage, Posted, Pulse,
    Query, QueryPage, Requeued, Store, StoreError, WorkerRow,
};

use std::sync::Arc;
use std::time::Duration;

use crate::codec;
use crate::parked::ParkedMessage;

/// Delays between attempts to park while the store takes nothing.
const PARK_RETRY_FIRST: Duration = Duration::from_millis(100);
const PARK_RETRY_MAX: Duration = Duration::from_secs(10);

/// The three doors, as every host and client is given them. Cheap to clone.
#[derive(Clone)]
pub struct Ports {
    /// The truth.
    pub store: Arc<dyn Store>,
    /// The distribution of work.
    pub broker: Arc<dyn Broker>,
    /// Time, tasks and chance.
    pub runtime: Arc<dyn Runtime>,
}

impl Ports {
    /// Sets a message aside, waiting for the store as long as it takes: kept there first, then a copy goes to the
    /// broker's dead queue. The copy is a courtesy to the broker's own tools: if it cannot be published, the
    /// store's record is all there is, and enough. The original may be acknowledged afterwards.
    ///
    /// # Cancel safety
    /// Safe: parking the same message again keeps one record.
    pub async fn park(&self, message: ParkedMessage) {
        let mut delays = Delays::new(PARK_RETRY_FIRST, PARK_RETRY_MAX);
        while let Err(error) = self.store.park(message.clone()).await {
            let delay = delays.next_delay();
            tracing::error!(parked_id = %message.id, %error, "a message cannot be parked; tried again in {delay:?}");
            self.runtime.sleep(delay).await;
        }
        let copy = codec::dead_message(&message);
        if let Some(Err(error)) = self.broker.publish(vec![copy]).await.into_iter().next() {
            tracing::warn!(parked_id = %message.id, %error, "no copy of a parked message went to the dead queue");
        }
    }
}
