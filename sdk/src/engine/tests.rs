//! Owns the proof of the engine, on hand-made histories.

mod ending;
mod fan_out;
mod ids;
mod inline;
mod mismatch;
mod not_durable;
mod parts;
mod replaying;
mod retry;
mod sample;
