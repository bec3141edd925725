//! Owns what callers of orchestrations use: start them, wait for them, look at them, end them.
//! Never runs one: that is the workers' part; a client may live in any program that reaches the store.
//!
//! ```
//! use longhaul_client::Client;
//! use longhaul_sdk::Orchestration;
//!
//! // The contract that the orchestrator workers register too.
//! pub const BACKUP: Orchestration<String, u64> = Orchestration::new("backup");
//!
//! async fn nightly(client: &Client) -> Result<u64, Box<dyn std::error::Error>> {
//!     let handle = client.start(BACKUP, "/home".to_owned()).id("nightly").await?;
//!     Ok(handle.wait().await?)
//! }
//! ```
//!
//! A start is written to the store first: once [`start`](Client::start) has answered, the instance will run,
//! whatever dies next. Repeating a start with the same start id never starts a second one.

mod client;
mod handle;

mod start;

mod wait;

mod control;
mod query;
mod why;

mod parked;

mod repeat;
mod value;

#[cfg(test)]
mod sample;

pub use client::Client;
pub use control::TerminateError;
pub use handle::Handle;
pub use parked::RequeueError;
pub use query::LookError;
pub use start::{StartCall, StartError};
pub use wait::WaitError;
pub use why::{Evidence, OpenStep, Owner, QueueStand, Reason, StepKind, Wait, Why, explain};

pub use longhaul_shared::history::{EventKind, HistoryEvent};
pub use longhaul_shared::id::{FunctionName, HubName, InstanceId, InvalidId, ParkedId, StartId};
pub use longhaul_shared::instance::{InstanceRow, Status, WaitingFor};
pub use longhaul_shared::parked::ParkedMessage;
pub use longhaul_shared::port::{
    HubSettings, InstanceSummary, PageRequest, ParkedPage, Ports, Query, QueryPage, StoreError,
};
pub use longhaul_shared::trace::TraceContext;
