//! Owns the simulated Redis: the store's rules in plain maps, a server that fails as Redis does, and the port.
//! Never shares code with the real backends: it passes the same conformance suite instead.

mod port;
mod server;
mod state;
mod views;

pub use port::SimStore;
pub use server::{Failover, StoreFaults, StoreServer};
pub(crate) use state::{Applied, Instance};
