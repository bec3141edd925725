//! Owns what holds for the hub itself: its settings, its epoch, its clock.
//! Never restarts the store: that is each backend's own test.

use std::sync::Arc;

use longhaul_shared::id::{Epoch, QueueName};
use longhaul_shared::port::HubSettings;

use super::{PARTITIONS, StoreHub};
use crate::conformance::tasks::at_once;

/// Opening a hub that exists tells its settings and changes nothing.
pub async fn an_existing_hub_keeps_its_settings(hub: StoreHub) {
    let before = hub
        .store
        .advance_epoch(Epoch::new(0), Epoch::new(1))
        .await
        .expect("the epoch rises");
    let info = hub
        .store
        .open_hub(HubSettings {
            partitions: PARTITIONS + 1,
        })
        .await
        .expect("an existing hub opens");
    assert_eq!(info.partitions, PARTITIONS, "a hub keeps its partitions");
    assert_eq!(info.epoch, before, "a hub keeps its epoch");
}

/// A pulse tells clock, epoch and noted queues as they are, and the run in which a new hub was born.
pub async fn a_pulse_tells_how_the_hub_stands(hub: StoreHub) {
    let settings = HubSettings {
        partitions: PARTITIONS,
    };
    let info = hub.store.open_hub(settings).await.expect("an existing hub opens");
    let before = hub.store.time().await.expect("the store has a clock");
    hub.store
        .advance_epoch(Epoch::new(0), Epoch::new(1))
        .await
        .expect("the epoch rises");
    let pulse = hub.store.pulse().await.expect("the hub has a pulse");
    assert!(pulse.time >= before);
    assert_eq!(pulse.era.epoch, Epoch::new(1));
    assert_eq!(pulse.era.run, info.born, "nothing was restarted since");
    assert_eq!(pulse.queues, []);
}

/// A queue that is noted is news once, and told with every pulse.
pub async fn a_noted_queue_is_news_once(hub: StoreHub) {
    let name = |text: &str| QueueName::new(text).expect("a valid queue name");
    for (queue, is_news) in [("gpu", true), ("gpu", false), ("mail", true), ("gpu", false)] {
        assert_eq!(hub.store.note_queue(&name(queue)).await, Ok(is_news), "{queue}");
    }
    let mut noted = hub.store.pulse().await.expect("the hub has a pulse").queues;
    noted.sort();
    assert_eq!(noted, [name("gpu"), name("mail")]);
}

/// However many open a hub at once, all are told the same settings.
pub async fn one_of_many_makes_the_hub(hub: StoreHub) {
    let opened = at_once(
        &hub.runtime,
        (1..=16).map(|partitions| {
            let store = Arc::clone(&hub.store);
            async move { store.open_hub(HubSettings { partitions }).await }
        }),
    )
    .await;
    for info in opened {
        let info = info.expect("an existing hub opens");
        assert_eq!((info.partitions, info.epoch), (PARTITIONS, Epoch::new(0)));
    }
}

/// The epoch becomes the next one only from the very one seen, nonce included.
pub async fn the_epoch_rises_only_from_the_one_seen(hub: StoreHub) {
    let epoch = |number, nonce| Epoch { number, nonce };
    let steps = [
        (epoch(0, 0), epoch(1, 7), epoch(1, 7)),
        (epoch(0, 0), epoch(1, 7), epoch(1, 7)),
        (epoch(0, 0), epoch(1, 8), epoch(1, 7)),
        (epoch(1, 8), epoch(2, 9), epoch(1, 7)),
        (epoch(1, 7), epoch(5, u64::MAX), epoch(5, u64::MAX)),
        (epoch(5, 0), epoch(6, 0), epoch(5, u64::MAX)),
    ];
    for (seen, next, afterwards) in steps {
        let is = hub.store.advance_epoch(seen, next).await;
        assert_eq!(is, Ok(afterwards), "to {next} after {seen} was seen");
    }
}

/// However many saw the same epoch, it rises once.
pub async fn one_of_many_raises_the_epoch(hub: StoreHub) {
    let raised = at_once(
        &hub.runtime,
        (0..32).map(|_| {
            let store = Arc::clone(&hub.store);
            async move { store.advance_epoch(Epoch::new(0), Epoch::new(1)).await }
        }),
    )
    .await;
    assert!(
        raised.iter().all(|epoch| *epoch == Ok(Epoch::new(1))),
        "{raised:?}"
    );
}

/// No reading of the hub's clock lies before one that was finished earlier, whoever read it.
pub async fn time_never_goes_back(hub: StoreHub) {
    let read = at_once(
        &hub.runtime,
        (0..4).map(|_| {
            let store = Arc::clone(&hub.store);
            async move {
                let mut readings = Vec::new();
                for _ in 0..100 {
                    readings.push(store.time().await.expect("the store tells the time"));
                }
                readings
            }
        }),
    )
    .await;
    assert!(read.iter().all(|readings| readings.is_sorted()), "{read:?}");
    let newest = read.iter().flatten().max().copied();
    assert!(Some(hub.now().await) >= newest, "a later reading of another task");
}
