//! What may die at any moment, a file a kind: whatever it was, everything accepted comes to its end, once.
//! Never counts on luck: each kill waits until work is in flight.

mod crash_points;
mod disk;
mod early;
pub(crate) mod load;
pub(crate) mod owners;
mod servers;
mod unreadable;
mod workers;
