//! Owns what authors of orchestrations and activities import, and the pure engine that replays them.
//! Never does I/O: workers host these functions, a client starts them.

pub mod contract;

pub mod error;
mod value;

pub mod engine;

pub mod context;
pub mod registry;

pub use contract::{Activity, Orchestration};

pub use context::{ActivityContext, OrchestrationContext};
pub use error::{ActivityError, BoxError, NonRetriable, OrchestrationError, TaskError};
pub use registry::{ActivityRegistry, OrchestrationRegistry};

pub use longhaul_shared::failure::Failure;
pub use longhaul_shared::payload::Payload;
pub use longhaul_shared::retry::RetryPolicy;
pub use longhaul_shared::time::Timestamp;
