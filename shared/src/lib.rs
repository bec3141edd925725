//! Owns Longhaul's vocabulary and its ports: what every other crate must agree on.
//! Never does I/O, never reads a clock, and knows no other crate of the workspace.
//!
//! Read in the order of the modules below: bounds, names, what can go wrong, what is stored
//! ([`history`], [`instance`]), what is sent ([`message`]), how state changes ([`commit`]), and the
//! doors to the outside ([`port`]).

pub mod limits;

pub mod id;
pub mod time;

pub mod failure;
pub mod payload;
pub mod retry;
pub mod trace;

pub mod commit;
pub mod history;
pub mod instance;
pub mod message;
pub mod parked;

pub mod code;
pub mod codec;

pub mod port;
