//! Owns the engine: history + new events -> actions, nothing else.
//! Never asks for time, chance, I/O or a runtime: the same events give the same actions, today and in ten years.
//!
//! [`Session`] feeds events one at a time to the author's future and polls it until it is quiet. The future's
//! steps live in [`Steps`], each a machine of its own; a step takes its id when it is built and becomes an
//! action at its first poll. What goes wrong is a [`Refusal`]: the instance is paused, nothing is committed.

mod action;
mod function;
pub(crate) mod machine;
mod mute;
mod refusal;
mod session;
mod steps;
mod wake;

pub use action::Action;
pub use function::OrchestrationFunction;
pub use refusal::{
    Attempted, EventName, LastStep, Mismatch, NotDurable, Recorded, RecordedKind, Refusal, StepKind,
};
pub use session::Session;
pub use steps::Steps;

pub(crate) use refusal::Site;

#[cfg(test)]
mod tests;
