//! Owns what an author is told who uses a step wrongly: out of its place, after its end, under a bad name.
//! Never for what goes wrong in a step itself.

use longhaul_shared::failure::{Failure, FailureKind};
use longhaul_shared::id::FunctionName;

/// A step was asked for where its place among the others would be chance.
#[expect(
    clippy::panic,
    reason = "there is no value to go on with; in an inline step the host records the panic as its failure"
)]
#[track_caller]
pub(super) fn outside(what: &str) -> ! {
    panic!(
        "{what} works only inside its orchestration: not in an inline step, a spawned task or another thread"
    )
}

/// A future was polled after it had resolved.
#[expect(clippy::panic, reason = "as every future of std does")]
pub(super) fn polled_after_completion(what: &str) -> ! {
    panic!("{what} was polled after it had resolved")
}

/// The name of a step, or why it is none.
pub(super) fn step_name(name: &str) -> Result<FunctionName, Box<Failure>> {
    FunctionName::new(name).map_err(|error| refused(&error))
}

/// Why an option of a step cannot be used: never worth another attempt.
pub(super) fn refused(error: &(dyn std::error::Error + 'static)) -> Box<Failure> {
    Box::new(Failure::from_error(FailureKind::Application, error).not_retriable())
}
