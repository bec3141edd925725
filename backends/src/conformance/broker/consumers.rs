//! Owns what holds for counting who receives from a source: one's own and others' consumers, at this moment.
//! Never expects a count of a queue that does not exist.

use longhaul_shared::id::PartitionId;
use longhaul_shared::port::Source;

use super::{BEYOND, BrokerHub, from_work};
use crate::conformance::tasks::{soon, until};

async fn count(hub: &BrokerHub, source: &Source) -> Option<u32> {
    let counted = soon(
        &hub.runtime,
        "consumers are counted",
        hub.broker.consumers(source),
    )
    .await;
    counted.unwrap_or_else(|error| panic!("the consumers of {source:?} are counted: {error}"))
}

/// Waits for a count: a consumer that has just gone may be counted for a moment longer.
async fn is_counted(hub: &BrokerHub, source: &Source, wanted: u32) {
    until(&hub.runtime, &format!("{wanted} consume {source:?}"), || async {
        (count(hub, source).await == Some(wanted)).then_some(())
    })
    .await;
}

/// Each source counts its own consumers while they last, however they end.
pub async fn consumers_are_counted(hub: BrokerHub) {
    let control = Source::Control(PartitionId(1));
    for source in [&control, &Source::Intake, &from_work()] {
        assert_eq!(count(&hub, source).await, Some(0), "{source:?}");
    }
    let first = hub.subscribe(control.clone(), 1).await;
    assert_eq!(count(&hub, &control).await, Some(1));
    let second = hub.subscribe(control.clone(), 1).await;
    assert_eq!(count(&hub, &control).await, Some(2));
    assert_eq!(count(&hub, &Source::Control(PartitionId(2))).await, Some(0));
    first.close().await;
    is_counted(&hub, &control, 1).await;
    drop(second);
    is_counted(&hub, &control, 0).await;
}

/// A queue that does not exist has no count, and counting does not make it.
pub async fn a_missing_queue_has_no_consumers_to_count(hub: BrokerHub) {
    let beyond = Source::Control(BEYOND);
    for _ in 0..2 {
        assert_eq!(count(&hub, &beyond).await, None);
    }
    assert_eq!(
        count(&hub, &from_work()).await,
        Some(0),
        "others are still counted"
    );
}
