//! Owns the wrappers that measure: a store and a broker that behave as what they wrap, and report what they saw.
//! Never keeps a metric: whoever opens the ports hands in what counts.

mod broker;
mod consumption;
#[cfg(feature = "config")]
mod export;
mod meter;
mod store;

pub use broker::MeteredBroker;
pub use consumption::Consumption;
#[cfg(feature = "config")]
pub use export::{FAMILIES, PortMetrics};
pub use meter::{
    BrokerMeter, PublishResult, SourceKind, StoreErrorKind, StoreMeter, StoreOp, SubscriptionEnd,
};
pub use store::MeteredStore;
