//! Owns what an operator may say about Redis: where it is, what it must promise, how long to wait for it.
//! Never reads a file or an environment variable: the hosts do.

use std::fmt;
use std::time::Duration;

use longhaul_shared::id::HubName;

use crate::tls::Tls;

/// How to reach Redis and what to demand of it.
#[derive(Clone)]
pub struct RedisConfig {
    /// `redis://[user[:password]@]host[:port][/db]`, or `rediss`. Never logged.
    pub url: String,
    /// Whom to trust, and what to show, where the URL says `rediss`.
    pub tls: Tls,
    /// Which hub.
    pub hub: HubName,
    /// When a change counts as accepted.
    pub durability: Durability,
    /// Whether to go on, with a warning, on a server that may lose or evict what it accepted.
    pub allow_unsafe: bool,
    /// The hub's queue type, written down when the hub is made; an existing hub must have been made with it.
    pub queue_type: String,
    /// How long to wait for what.
    pub timeouts: RedisTimeouts,
}

impl RedisConfig {
    /// The usual settings for a hub on the server at `url`: `single`, safe, quorum queues.
    #[must_use]
    pub fn new(url: impl Into<String>, hub: HubName) -> Self {
        Self {
            url: url.into(),
            tls: Tls::default(),
            hub,
            durability: Durability::Single,
            allow_unsafe: false,
            queue_type: "quorum".to_owned(),
            timeouts: RedisTimeouts::default(),
        }
    }
}

impl fmt::Debug for RedisConfig {
    /// Without the url, which may hold a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisConfig")
            .field("hub", &self.hub)
            .field("durability", &self.durability)
            .field("allow_unsafe", &self.allow_unsafe)
            .field("queue_type", &self.queue_type)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
    }
}

/// When a change counts as accepted. Fixed when a hub is made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Durability {
    /// The one server has it on disk: `appendfsync always`.
    #[default]
    Single,
    /// At least one replica has it as well: creates, commits and messages end with `WAIT 1`.
    Replicated,
}

impl Durability {
    /// The stored name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Single => "single",
            Self::Replicated => "replicated",
        }
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How long to wait for Redis.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RedisTimeouts {
    /// For a connection; 3 s by default.
    pub connect: Duration,
    /// For an answer; 5 s by default, redis-rs' own 500 ms would take a slow disk for a dead server.
    pub response: Duration,
    /// For a replica, under [`Durability::Replicated`]; 1 s by default. Must be well below `response`.
    pub replicate: Duration,
}

impl Default for RedisTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(3),
            response: Duration::from_secs(5),
            replicate: Duration::from_secs(1),
        }
    }
}
