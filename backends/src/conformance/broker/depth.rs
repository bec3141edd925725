//! Owns what holds for looking at a queue and at the way to the broker: what waits, who consumes, whether it works.
//! Never expects a number at once: it may be behind while something changes.

use longhaul_shared::id::PartitionId;
use longhaul_shared::message::Destination;
use longhaul_shared::port::{Depth, Source};

use super::{BEYOND, BrokerHub, from_work, work};
use crate::conformance::tasks::{soon, until};

async fn depth(hub: &BrokerHub, queue: &Destination) -> Option<Depth> {
    let asked = soon(&hub.runtime, "a queue is counted", hub.broker.depth(queue)).await;
    asked.unwrap_or_else(|error| panic!("{queue:?} can be counted: {error}"))
}

/// Waits until a queue is as said: what has just changed may be counted as before for a moment.
async fn becomes(hub: &BrokerHub, queue: &Destination, ready: u64, consumers: u32) {
    let wanted = Depth { ready, consumers };
    until(&hub.runtime, &format!("{queue:?} shows {wanted:?}"), || async {
        (depth(hub, queue).await == Some(wanted)).then_some(())
    })
    .await;
}

/// Each queue counts its own consumers while they last, however they end.
pub async fn consumers_are_counted(hub: BrokerHub) {
    let (control, other) = (PartitionId(1), Destination::Control(PartitionId(2)));
    let (source, control) = (Source::Control(control), Destination::Control(control));
    for queue in [&control, &Destination::Intake, &work()] {
        assert_eq!(depth(&hub, queue).await, Some(Depth::default()), "{queue:?}");
    }
    let first = hub.subscribe(source.clone(), 1).await;
    becomes(&hub, &control, 0, 1).await;
    let second = hub.subscribe(source, 1).await;
    becomes(&hub, &control, 0, 2).await;
    assert_eq!(depth(&hub, &other).await, Some(Depth::default()));
    first.close().await;
    becomes(&hub, &control, 0, 1).await;
    drop(second);
    becomes(&hub, &control, 0, 0).await;
}

/// What waits is counted, what is handed out is not, until it goes back.
pub async fn waiting_messages_are_counted(hub: BrokerHub) {
    hub.publish(&work(), 0..5).await;
    hub.publish(&Destination::Intake, 5..7).await;
    becomes(&hub, &work(), 5, 0).await;
    becomes(&hub, &Destination::Intake, 2, 0).await;
    let mut subscription = hub.subscribe(from_work(), 2).await;
    let taken = hub.take(subscription.as_mut(), 2).await;
    becomes(&hub, &work(), 3, 1).await;
    subscription.acker().ack(taken[0].tag);
    hub.next(subscription.as_mut()).await;
    becomes(&hub, &work(), 2, 1).await;
    subscription.close().await;
    becomes(&hub, &work(), 4, 0).await;
}

/// A queue that does not exist has no depth, and asking does not make it. The dead queue has one.
pub async fn a_missing_queue_has_no_depth(hub: BrokerHub) {
    let beyond = Destination::Control(BEYOND);
    for _ in 0..2 {
        assert_eq!(depth(&hub, &beyond).await, None);
    }
    for queue in [work(), Destination::Dead] {
        let told = depth(&hub, &queue).await;
        assert_eq!(told, Some(Depth::default()), "{queue:?} is still counted");
    }
}

/// A broker that works says so, and that nothing is unconfirmed once everything was answered.
pub async fn a_broker_tells_how_it_stands(hub: BrokerHub) {
    hub.publish(&work(), 0..50).await;
    let condition = until(&hub.runtime, "nothing is unconfirmed", || async {
        let condition = hub.broker.condition();
        (condition.unconfirmed == 0).then_some(condition)
    })
    .await;
    assert!(!condition.kind.is_empty());
    assert!(condition.is_connected && !condition.is_blocked, "{condition:?}");
}
