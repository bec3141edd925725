//! Owns the host of activities: it receives work items, runs them, reports the results, and only then
//! acknowledges. Never touches history: a result is a message that an orchestrator worker may believe or not.
//!
//! Read `attempt` first: receive, vet, invoke, report, acknowledge, from top to bottom.

mod attempt;
mod invoker;
mod report;
mod run;
mod suspect;

mod counters;
mod settings;
mod worker;

pub use counters::{Counters, Snapshot};
pub use invoker::{Invoker, LocalInvoker};
pub use settings::Settings;
pub use worker::ActivityWorker;
