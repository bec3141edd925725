//! Owns the simulated RabbitMQ: queues that lose and repeat, connections that break, and the port.
//! Never shares code with the real backends: it passes the same conformance suite instead.

mod port;
mod server;

pub use port::SimBroker;
pub use server::{BrokerFaults, BrokerServer};
