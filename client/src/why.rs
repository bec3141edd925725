//! Owns the answer to "why does this instance not move": what it waits for, since when, and what would unblock it.
//! Never changes anything, and never guesses where the records say nothing.
//!
//! The way from records to answer is pure, so that every case stands in a test as data.

mod evidence;
mod explain;
mod gather;
mod reason;
mod step;

#[cfg(test)]
mod tests;

pub use evidence::{Evidence, QueueStand};
pub use explain::explain;
pub use reason::{Owner, Reason, Wait, Why};
pub use step::{OpenStep, StepKind};
