//! What only the Redis store promises: which servers it takes, what its keys hold, what it survives.
//! What every store promises is in the conformance suite.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of these tests may fail them"
)]

mod bench;
mod keys;
mod reading;
mod refusals;
mod survival;
