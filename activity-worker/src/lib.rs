//! Owns the host of activities: it receives work items, runs them, reports the results, and only then
//! acknowledges. Never touches history: a result is a message that an orchestrator worker may believe or not.
//!
//! Read `attempt` first: receive, vet, invoke, report, acknowledge, from top to bottom.

mod attempt;
mod clock;
mod invoker;
mod report;
mod run;
mod suspect;

mod metrics;
mod settings;
mod trace;
mod worker;

pub use invoker::{Invoker, LocalInvoker};
pub use metrics::Metrics;
pub use settings::Settings;
pub use worker::ActivityWorker;
