//! Owns what a turn reads of its instance: row, inbox and history, and single events of a history that is not held.
//! Never gives up: a store that does not answer is asked for as long as it takes.

use std::time::Duration;

use longhaul_shared::history::{EventKind, HistoryEvent, TaskScheduled};
use longhaul_shared::id::{EventSeq, ExecutionKey, InstanceId};
use longhaul_shared::port::{LoadRequest, LoadedInstance, Ports, StoreError};

/// Delays between attempts to read an instance while the store does not answer.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Reads an instance, waiting for the store as long as it takes.
pub(crate) async fn load(ports: &Ports, instance: &InstanceId, history: bool) -> Option<LoadedInstance> {
    let mut delay = RETRY_FIRST;
    loop {
        let request = LoadRequest {
            id: instance.clone(),
            history,
        };
        let answer = ports.store.load(vec![request]).await.into_iter().next();
        match answer.unwrap_or(Ok(None)) {
            Ok(loaded) => return loaded,
            Err(error) => {
                tell_unreadable(instance, &error, delay);
                ports.runtime.sleep(delay).await;
                delay = (delay * 2).min(RETRY_MAX);
            }
        }
    }
}

fn tell_unreadable(instance: &InstanceId, error: &StoreError, delay: Duration) {
    if error.is_retryable() {
        tracing::warn!(instance_id = %instance, %error, "the instance cannot be read now; tried again in {delay:?}");
    } else {
        tracing::error!(instance_id = %instance, %error, "the instance cannot be read; it rests until it can be");
    }
}

/// The scheduling events of the tasks to send again, with their places: read from the store one by one when the
/// session is warm and does not hold its past.
pub(crate) async fn scheduled_events(
    ports: &Ports,
    key: &ExecutionKey,
    wanted: Vec<EventSeq>,
    past: &[HistoryEvent],
) -> Vec<(EventSeq, TaskScheduled)> {
    let mut events = Vec::with_capacity(wanted.len());
    for seq in wanted {
        let position = usize::try_from(seq.0.saturating_sub(1)).unwrap_or(usize::MAX);
        let kind = match past.get(position) {
            Some(event) => Some(event.kind.clone()),
            None => read_event(ports, key, seq).await,
        };
        if let Some(EventKind::TaskScheduled(scheduled)) = kind {
            events.push((seq, scheduled));
        }
    }
    events
}

async fn read_event(ports: &Ports, key: &ExecutionKey, seq: EventSeq) -> Option<EventKind> {
    let before = EventSeq(seq.0.saturating_sub(1));
    let mut delay = RETRY_FIRST;
    loop {
        match ports.store.history(key, before, 1).await {
            Ok(events) => return events.into_iter().next().map(|event| event.kind),
            Err(error) => {
                tell_unreadable(&key.instance, &error, delay);
                ports.runtime.sleep(delay).await;
                delay = (delay * 2).min(RETRY_MAX);
            }
        }
    }
}
