//! Owns the way from a configuration to open ports: the one place that knows every adapter.
//! Never waits for a server that is not there: whoever starts the program is told at once, and may try again.

mod connect;
mod error;
mod health;
mod show;

pub use connect::{Opened, open, unreachable};
pub use error::OpenError;
pub use show::{ListenError, show};

pub use crate::rabbitmq::Role;
