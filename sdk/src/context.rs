//! Owns what authors call: the two contexts, the calls they build, and combinations of calls.
//! Never decides anything: a call asks the engine's steps, an activity context is filled by its host.

mod activity;
mod call;
mod combine;
mod misuse;
mod orchestration;
mod run;
mod timer;

pub use activity::{ActivityContext, ActivityInfo, Cancellation, Canceller, StateMap, StateMissing};
pub use call::ActivityCall;
pub use combine::{
    Either, FutureExt, FuturesOrdered, FuturesUnordered, StreamExt, TryFutureExt, TryStreamExt, join,
    join_all, select, select_all, select_ok, try_join, try_join_all,
};
pub use orchestration::OrchestrationContext;
pub use run::RunCall;
pub use timer::Timer;
