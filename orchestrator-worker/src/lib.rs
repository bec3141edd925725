//! Owns the host of orchestrations: it owns partitions, runs turns, commits them, and relays what they send.
//! Never names a backend and never runs an activity: it is given the three ports and an executor.
//!
//! Read `turn` first: load, execute, decide, commit, ack, relay, from top to bottom. The other
//! modules feed it (`gather`, `timer_pump`, `rebuild`, `intake`), carry what it says (`committer`, `relay`), give it its
//! moment (`dispatch`), or decide which partitions are this worker's (`ownership`, `rank`, `early`).

mod turn;

mod admit;
mod decide;
mod gather;
mod ledger;
mod leftovers;
mod read;
mod session;
mod suspect;
mod tenure;

mod executor;
mod local_executor;

mod committer;
mod relay;

mod consumer;
mod dispatch;
mod early;
mod era;
mod intake;
mod ownership;
mod pace;
mod rank;
mod rebuild;
mod replay;
mod sampler;
mod timer_pump;
mod weight;

pub mod mutant;

mod metrics;
mod settings;
mod trace;
mod worker;

pub use executor::{Executed, Execution, Executor, Refused, Warm};
pub use local_executor::{LocalExecutor, Threads};
pub use metrics::Metrics;
pub use settings::Settings;
pub use worker::{OrchestratorWorker, WorkerError};

#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub use intake::check_intake;

#[cfg(feature = "guard")]
#[doc(hidden)]
pub mod guard;
