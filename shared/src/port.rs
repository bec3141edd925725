//! Owns the three doors to the outside: [`Store`], [`Broker`] and [`Runtime`], with their contracts.
//! Never opens one: `backends` implements them, a simulation may too.

mod broker;
mod runtime;
mod store;

pub use broker::{Acker, Broker, BrokerError, Delivery, DeliveryTag, PublishError, Source, Subscription};
pub use runtime::{Elapsed, Monotonic, Runtime, TaskHandle, within};
pub use store::{
    Created, DueTimer, DueTimers, HubInfo, HubSettings, InstanceSummary, LeaseOutcome, LeaseRenewal,
    LoadRequest, LoadedInstance, OutboxPage, PageRequest, ParkedPage, Posted, Query, QueryPage, Store,
    StoreError, WorkerRow,
};

use std::sync::Arc;

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
