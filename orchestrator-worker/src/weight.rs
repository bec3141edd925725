//! Owns how many bytes an event takes, about: what splits a large turn and what bounds replays go by the same.
//! Never looks into a payload.

use longhaul_shared::history::{EventKind, HistoryEvent};

/// What an event takes besides its payload: envelope, names and ids.
pub(crate) const EVENT_OVERHEAD: usize = 256;

/// The bytes of an event's payloads.
pub(crate) fn payload_bytes(kind: &EventKind) -> usize {
    match kind {
        EventKind::ExecutionStarted(started) => started.input.len(),
        EventKind::ExecutionCompleted(ended) => ended.output.as_ref().map_or(0, |output| output.len()),
        EventKind::TaskScheduled(task) => task.input.as_ref().map_or(0, |input| input.len()),
        EventKind::TaskCompleted(answer) => answer.output.len(),
        _ => 0,
    }
}

/// About how many bytes a history takes in memory.
pub(crate) fn history_bytes(events: &[HistoryEvent]) -> usize {
    events
        .iter()
        .map(|event| EVENT_OVERHEAD + payload_bytes(&event.kind))
        .sum()
}
