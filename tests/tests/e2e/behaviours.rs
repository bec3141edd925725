//! The behaviours that every backend shows alike, a file a family.
//! Never asks which backend it is given.

pub(crate) mod bytes;
pub(crate) mod controlling;
pub(crate) mod copies;
pub(crate) mod explaining;
pub(crate) mod failing;
pub(crate) mod running;
pub(crate) mod waiting;

mod stalling;
