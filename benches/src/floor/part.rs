//! Owns what the driver and the processes of the floor tell each other.
//! Never does any of it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What a process of the floor says once it can be given work.
pub(super) const READY: &str = "ready";

/// One part of the floor.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum Part {
    Orchestrator,
    Activity,
    Load,
}

/// What a process of the floor does.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) part: Part,
    /// The settings of the hub, as environment variables.
    pub(crate) settings: Vec<(String, String)>,
    /// Most items that travel in one message.
    pub(crate) items: usize,
    pub(crate) at_once: usize,
    pub(crate) warm_up: Duration,
    pub(crate) measure: Duration,
}

/// What a part has done and spent.
#[derive(Clone, Copy, Default, Debug, Serialize, Deserialize)]
pub(super) struct Traffic {
    pub(super) messages: u64,
    pub(super) commits: u64,
    /// Seconds of processor time.
    pub(super) cpu: f64,
}
