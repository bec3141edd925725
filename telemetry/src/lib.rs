//! Owns how Longhaul's programs are watched: what a metric is and how it is described, what healthy means, and the
//! endpoint that shows both.
//! Never knows what is measured: the crate that does it says so, in its `metrics`.

mod buckets;
mod family;
mod instruments;
mod names;

mod health;
pub mod traces;

#[cfg(feature = "endpoint")]
mod endpoint;
#[cfg(feature = "endpoint")]
mod probe;
#[cfg(feature = "endpoint")]
mod process;
#[cfg(feature = "endpoint")]
mod program;

pub use buckets::{BYTES, COUNTS, EVENTS, SECONDS};
pub use family::{Family, Kind, reference};
pub use instruments::{Instrument, made};
pub use names::Names;

pub use health::{Check, Health};

#[cfg(feature = "endpoint")]
pub use endpoint::{Endpoint, Pages};
#[cfg(feature = "endpoint")]
pub use probe::{ProbeError, probe, probe_blocking};
#[cfg(feature = "endpoint")]
pub use process::Process;
#[cfg(feature = "endpoint")]
pub use program::Program;

/// The `prometheus` crate, of which registries and instruments are made.
pub use prometheus;
