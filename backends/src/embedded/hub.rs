//! Owns the hub's own record: partitions, schema, broker epoch.
//! Never changes a hub to fit a program: what does not fit is refused.

use longhaul_shared::id::{Epoch, QueueName};
use longhaul_shared::limits::{PARTITIONS_MAX, PARTITIONS_MIN};
use longhaul_shared::port::{Era, HubInfo, HubSettings, Pulse, StoreError, StoreRun};
use longhaul_shared::time::Timestamp;

use super::engine::{Batch, View};
use super::keys;
use super::record::{self, HubRecord, SCHEMA, read_hub};

/// The hub as it is, made with these settings if it is not there.
pub(super) fn open(view: &dyn View, settings: HubSettings) -> Result<(Batch, HubInfo), StoreError> {
    let mut batch = Batch::default();
    let hub = match existing(view)? {
        Some(hub) => hub,
        None => {
            let hub = make(settings)?;
            batch.put(keys::HUB.to_vec(), record::bytes(&hub));
            hub
        }
    };
    let info = HubInfo {
        partitions: hub.partitions,
        epoch: hub.epoch(),
        queue_type: String::new(),
        born: run(),
    };
    Ok((batch, info))
}

/// The hub, if there is one that this program reads.
pub(super) fn existing(view: &dyn View) -> Result<Option<HubRecord>, StoreError> {
    match read_hub(view)? {
        Some(hub) if hub.schema > SCHEMA => Err(StoreError::Incompatible {
            reason: format!(
                "the hub was written with schema {}, this program reads up to {SCHEMA}: use a newer program",
                hub.schema
            ),
        }),
        hub => Ok(hub),
    }
}

/// The only run that an embedded store has: what it accepted is in the file, whoever opens it.
pub(super) fn run() -> StoreRun {
    StoreRun("embedded".to_owned())
}

/// What an owner asks at regular intervals.
pub(super) fn pulse(view: &dyn View, now: Timestamp) -> Result<Pulse, StoreError> {
    let hub = existing(view)?.ok_or_else(missing)?;
    let era = Era {
        epoch: hub.epoch(),
        run: run(),
    };
    Ok(Pulse {
        time: now,
        era,
        queues: hub.queues,
    })
}

/// Notes a task queue, once.
pub(super) fn note_queue(view: &dyn View, queue: QueueName) -> Result<(Batch, bool), StoreError> {
    let mut hub = existing(view)?.ok_or_else(missing)?;
    let mut batch = Batch::default();
    let is_news = !hub.queues.contains(&queue);
    if is_news {
        hub.queues.push(queue);
        batch.put(keys::HUB.to_vec(), record::bytes(&hub));
    }
    Ok((batch, is_news))
}

/// Sets the epoch if it is the one seen.
pub(super) fn advance_epoch(view: &dyn View, seen: Epoch, next: Epoch) -> Result<(Batch, Epoch), StoreError> {
    let mut hub = existing(view)?.ok_or_else(missing)?;
    let mut batch = Batch::default();
    if hub.epoch() == seen {
        hub.epoch = next.number;
        hub.epoch_nonce = next.nonce;
        batch.put(keys::HUB.to_vec(), record::bytes(&hub));
    }
    Ok((batch, hub.epoch()))
}

/// What is told to those who come before the hub was made.
pub(super) fn missing() -> StoreError {
    StoreError::Incompatible {
        reason: "the hub does not exist yet: an orchestrator worker makes it with open_hub".to_owned(),
    }
}

fn make(settings: HubSettings) -> Result<HubRecord, StoreError> {
    if !(PARTITIONS_MIN..=PARTITIONS_MAX).contains(&settings.partitions) {
        return Err(StoreError::Incompatible {
            reason: format!(
                "a hub has {PARTITIONS_MIN} to {PARTITIONS_MAX} partitions, not {}",
                settings.partitions
            ),
        });
    }
    Ok(HubRecord {
        schema: SCHEMA,
        partitions: settings.partitions,
        epoch: 0,
        epoch_nonce: 0,
        queues: Vec::new(),
    })
}
