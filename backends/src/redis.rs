//! Owns the truth on Redis: the [`Store`](longhaul_shared::port::Store) port over one primary.
//! Never decides anything about an orchestration: a script applies what it is given, or says why it may not.
//!
//! Every key of a partition carries one hash tag, so each change is one script in one slot; `keys` documents
//! every key, `row` every field of an instance. Scripts check everything before their first write, since Lua
//! has no rollback, and each may run twice with the same arguments, since a call that timed out still ran.

mod config;
mod keys;

mod connection;
mod error;
mod script;

mod hub;
mod safety;

mod row;

mod attempts;
mod census;
mod commit;
mod condition;
mod create;
mod forget;
mod history;
mod inbox;
mod lease;
mod load;
mod outbox;
mod parked;
mod query;
mod ready;
mod timers;
mod wait;
mod walk;
mod workers;

mod store;

pub use config::{Durability, RedisConfig, RedisTimeouts};
pub use store::RedisStore;
