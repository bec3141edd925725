//! Owns the two registries: which function stands behind which name, on a worker.
//! Never calls one: the engine and the activity host do.

mod activity;
mod orchestration;

pub use activity::{ActivityFunction, ActivityRegistry};
pub use orchestration::OrchestrationRegistry;

pub use crate::engine::OrchestrationFunction;

use longhaul_shared::id::{FunctionName, InvalidId};

/// Why a function could not be registered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The name is taken.
    #[error("the {what} {name:?} is registered twice: give one of them another name")]
    Duplicate {
        /// `activity` or `orchestration`.
        what: &'static str,
        /// The name.
        name: FunctionName,
    },
    /// The name breaks the grammar of names.
    #[error("the {what} name {name:?} is not valid")]
    InvalidName {
        /// `activity` or `orchestration`.
        what: &'static str,
        /// The text.
        name: String,
        /// Which rule it breaks.
        source: InvalidId,
    },
}

fn checked_name(what: &'static str, name: &str) -> Result<FunctionName, RegisterError> {
    FunctionName::new(name).map_err(|source| RegisterError::InvalidName {
        what,
        name: name.to_owned(),
        source,
    })
}

/// A worker that cannot tell what it hosts must not start.
#[expect(
    clippy::panic,
    reason = "documented: builder style panics at start-up, try_register does not"
)]
#[track_caller]
fn refuse(error: &RegisterError) -> ! {
    panic!("{error}")
}
