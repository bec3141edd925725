//! Owns the wrappers that measure: a store and a broker that behave as what they wrap, and report what they saw.
//! Never keeps a metric: whoever opens the ports hands in what counts.

mod broker;
mod consumption;
mod meter;
mod store;

pub use broker::MeteredBroker;
pub use consumption::Consumption;
pub use meter::{
    BrokerMeter, Meters, PublishResult, SourceKind, StoreErrorKind, StoreMeter, StoreOp, SubscriptionEnd,
};
pub use store::MeteredStore;
