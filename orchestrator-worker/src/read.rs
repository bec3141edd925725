//! Owns what a turn reads of its instance: row, inbox and history, and single events of a history that is not held.
//! Never gives up a store that does not answer: it is asked for as long as it takes. What it answers and nobody can
//! read is told to the turn, which makes way for its neighbours.

use std::time::Duration;

use longhaul_shared::history::{EventKind, HistoryEvent, TaskScheduled};
use longhaul_shared::id::{EventSeq, ExecutionKey, InstanceId};
use longhaul_shared::port::{Delays, LoadRequest, LoadedInstance, Ports, StoreError};

/// Delays between attempts to read an instance while the store does not answer.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// The store answers, and the answer is of no use: to try again at once would not help.
pub(crate) struct Unreadable;

/// Reads an instance, waiting for the store as long as it takes; `None` if there is no such instance.
pub(crate) async fn load(
    ports: &Ports,
    instance: &InstanceId,
    history: bool,
) -> Result<Option<LoadedInstance>, Unreadable> {
    let mut delays = Delays::new(RETRY_FIRST, RETRY_MAX);
    loop {
        let request = LoadRequest {
            id: instance.clone(),
            history,
        };
        let answer = ports.store.load(vec![request]).await.into_iter().next();
        match answer.unwrap_or(Ok(None)) {
            Ok(loaded) => return Ok(loaded),
            Err(error) => {
                let delay = delays.next_delay();
                check_retryable(instance, &error, delay)?;
                ports.runtime.sleep(delay).await;
            }
        }
    }
}

fn check_retryable(instance: &InstanceId, error: &StoreError, delay: Duration) -> Result<(), Unreadable> {
    if error.is_retryable() {
        tracing::warn!(instance_id = %instance, %error, "the instance cannot be read now; tried again in {delay:?}");
        Ok(())
    } else {
        tracing::error!(instance_id = %instance, %error, "the instance cannot be read; it rests until it can be");
        Err(Unreadable)
    }
}

/// The scheduling events of the tasks to send again, with their places: read from the store one by one when the
/// session is warm and does not hold its past.
pub(crate) async fn scheduled_events(
    ports: &Ports,
    key: &ExecutionKey,
    wanted: Vec<EventSeq>,
    past: &[HistoryEvent],
) -> Result<Vec<(EventSeq, TaskScheduled)>, Unreadable> {
    let mut events = Vec::with_capacity(wanted.len());
    for seq in wanted {
        let position = usize::try_from(seq.0.saturating_sub(1)).unwrap_or(usize::MAX);
        let kind = match past.get(position) {
            Some(event) => Some(event.kind.clone()),
            None => read_event(ports, key, seq).await?,
        };
        if let Some(EventKind::TaskScheduled(scheduled)) = kind {
            events.push((seq, scheduled));
        }
    }
    Ok(events)
}

async fn read_event(
    ports: &Ports,
    key: &ExecutionKey,
    seq: EventSeq,
) -> Result<Option<EventKind>, Unreadable> {
    let before = EventSeq(seq.0.saturating_sub(1));
    let mut delays = Delays::new(RETRY_FIRST, RETRY_MAX);
    loop {
        match ports.store.history(key, before, 1).await {
            Ok(events) => return Ok(events.into_iter().next().map(|event| event.kind)),
            Err(error) => {
                let delay = delays.next_delay();
                check_retryable(&key.instance, &error, delay)?;
                ports.runtime.sleep(delay).await;
            }
        }
    }
}
