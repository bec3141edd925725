//! Owns the deterministic simulation: Longhaul's real loops over simulated RabbitMQ and Redis, whose faults a seed
//! decides, watched by an oracle.
//! Never touches a real clock, thread, socket or file: one seed is one run, to the byte.
//!
//! Read [`run`] first: a seed becomes a [`plan`], a [`world`] of processes on one [`executor`], and a verdict.
//! [`store`] and [`broker`] are the servers, [`workload`] is what the processes do, [`oracle`] and [`verdict`] say
//! what must hold. [`mutant`] lists the rules that can be broken to see the oracle notice.

pub mod chance;
pub mod executor;
pub mod faults;
pub mod runtime;
pub mod trace;

pub mod broker;
pub mod store;

pub mod plan;
pub mod workload;

mod client;
mod stage;
pub mod world;

pub mod mutant;

pub mod history;
pub mod oracle;
pub mod verdict;

pub mod campaign;
pub mod run;
