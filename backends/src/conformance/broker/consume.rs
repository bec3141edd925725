//! Owns what holds for receiving: as much at once as was asked for, nothing lost, nobody left waiting.
//! Never looks at what becomes of a message that is not acknowledged: see `redelivery`.

use std::collections::BTreeSet;
use std::time::Duration;

use longhaul_shared::port::within;

use super::{BrokerHub, QUIET, from_work, number, numbers, work};
use crate::conformance::tasks::{run, soon};

/// No more than `prefetch` messages are handed out without an ack; each ack lets one more come.
pub async fn no_more_than_prefetch_is_handed_out(hub: BrokerHub) {
    hub.publish(&work(), 0..7).await;
    let mut subscription = hub.subscribe(from_work(), 3).await;
    let acker = subscription.acker();
    let mut taken = hub.take(&mut *subscription, 3).await;
    hub.assert_quiet(&mut *subscription, "three are not acknowledged")
        .await;
    acker.ack(taken[1].tag);
    taken.push(hub.next(&mut *subscription).await);
    hub.assert_quiet(&mut *subscription, "three are not acknowledged again")
        .await;
    for at in [0, 2, 3] {
        acker.ack(taken[at].tag);
    }
    taken.extend(hub.take(&mut *subscription, 3).await);
    assert_eq!(numbers(&taken), (0..7).collect());
}

/// Who waits with full hands is woken by an ack, from whatever task that is given.
pub async fn an_ack_wakes_who_waits(hub: BrokerHub) {
    hub.publish(&work(), 0..2).await;
    let mut subscription = hub.subscribe(from_work(), 1).await;
    let acker = subscription.acker();
    let first = hub.next(&mut *subscription).await;
    let mut waiting = Box::pin(subscription.next());
    if let Ok(next) = within(&hub.runtime, QUIET, waiting.as_mut()).await {
        panic!("one is not acknowledged: {next:?}");
    }
    acker.ack(first.tag);
    let second = soon(&hub.runtime, "an ack wakes who waits", waiting).await;
    let second = second.expect("the subscription goes on");
    assert_ne!(number(&first), number(&second));
}

/// A wait that is given up loses no message, however often and whenever that happens.
pub async fn a_dropped_wait_loses_nothing(hub: BrokerHub) {
    const MESSAGES: u64 = 60;
    let mut subscription = hub.subscribe(from_work(), 1_000).await;
    let publishing = run(&hub.runtime, {
        let (broker, runtime) = (
            std::sync::Arc::clone(&hub.broker),
            std::sync::Arc::clone(&hub.runtime),
        );
        async move {
            for number in 0..MESSAGES {
                let answers = broker.publish(vec![super::message(&work(), number)]).await;
                assert_eq!(answers, [Ok(())]);
                runtime.sleep(Duration::from_micros(700)).await;
            }
        }
    });
    let mut arrived = BTreeSet::new();
    let everything = async {
        let mut patience = (0..24).map(|step| Duration::from_micros(130 * step)).cycle();
        while (arrived.len() as u64) < MESSAGES {
            if let Ok(next) = within(
                &hub.runtime,
                patience.next().unwrap_or_default(),
                subscription.next(),
            )
            .await
            {
                arrived.insert(number(&next.expect("the subscription goes on")));
            }
        }
    };
    soon(&hub.runtime, "every message arrives", everything).await;
    publishing.answer("everything is published").await;
}

/// Who waits on an empty queue is woken by the first message, and by every later one.
pub async fn a_wait_ends_when_a_message_comes(hub: BrokerHub) {
    let mut subscription = hub.subscribe(from_work(), 1).await;
    let waiting = run(&hub.runtime, async move {
        let mut arrived = Vec::new();
        for _ in 0..20 {
            let delivery = subscription.next().await.expect("the subscription goes on");
            arrived.push(number(&delivery));
            subscription.acker().ack(delivery.tag);
        }
        arrived
    });
    for number in 0..20 {
        hub.publish(&work(), [number]).await;
    }
    let arrived: BTreeSet<_> = waiting.answer("the waiter is woken").await.into_iter().collect();
    assert_eq!(arrived, (0..20).collect());
}

/// Each message goes to one of the consumers of its queue, and none starves while others have their hands full.
pub async fn competing_consumers_share_the_work(hub: BrokerHub) {
    let mut one = hub.subscribe(from_work(), 5).await;
    let mut other = hub.subscribe(from_work(), 5).await;
    hub.publish(&work(), 0..10).await;
    let mut taken = hub.take(&mut *one, 5).await;
    taken.extend(hub.take(&mut *other, 5).await);
    assert_eq!(numbers(&taken), (0..10).collect());
    assert!(taken.iter().all(|delivery| !delivery.redelivered));
    hub.publish(&work(), [10]).await;
    hub.assert_quiet(&mut *one, "its hands are full").await;
    other.acker().ack(taken[7].tag);
    assert_eq!(number(&hub.next(&mut *other).await), 10);
}
