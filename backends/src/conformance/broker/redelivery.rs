//! Owns what holds for acknowledgements: what has none comes again, what has one does not.
//! Never expects a message to be delivered only once where an ack may have been lost.

use std::collections::BTreeSet;

use longhaul_shared::port::DeliveryTag;

use super::{BrokerHub, from_work, number, numbers, work};

/// What was handed out and not acknowledged comes again once the subscription is closed, marked as such; what
/// was not handed out comes as it was.
pub async fn what_is_not_acknowledged_comes_again(hub: BrokerHub) {
    hub.publish(&work(), 0..5).await;
    let mut first = hub.subscribe(from_work(), 3).await;
    let seen = numbers(&hub.take(&mut *first, 3).await);
    first.close().await;
    let mut second = hub.subscribe(from_work(), 10).await;
    let again = hub.take(&mut *second, 5).await;
    assert_eq!(numbers(&again), (0..5).collect());
    for delivery in &again {
        if seen.contains(&number(delivery)) {
            assert!(delivery.redelivered, "{} was delivered before", number(delivery));
        }
    }
}

/// A subscription that is dropped without being closed gives back what it had.
pub async fn what_is_dropped_comes_again(hub: BrokerHub) {
    hub.publish(&work(), 0..4).await;
    let mut first = hub.subscribe(from_work(), 10).await;
    let taken = hub.take(&mut *first, 4).await;
    first.acker().ack(taken[2].tag);
    let kept: BTreeSet<_> = [0, 1, 3]
        .into_iter()
        .map(|at: usize| number(&taken[at]))
        .collect();
    drop(first);
    let mut second = hub.subscribe(from_work(), 10).await;
    let mut again = BTreeSet::new();
    while !kept.is_subset(&again) {
        let delivery = hub.next(&mut *second).await;
        assert!(delivery.redelivered);
        again.insert(number(&delivery));
    }
}

/// An ack that was given before the close counts: its message does not come again.
pub async fn what_is_acknowledged_does_not(hub: BrokerHub) {
    hub.publish(&work(), 0..40).await;
    let mut first = hub.subscribe(from_work(), 100).await;
    let taken = hub.take(&mut *first, 40).await;
    let acker = first.acker();
    for delivery in taken
        .iter()
        .filter(|delivery| !number(delivery).is_multiple_of(4))
    {
        acker.ack(delivery.tag);
    }
    first.close().await;
    let mut second = hub.subscribe(from_work(), 100).await;
    let again = hub.take(&mut *second, 10).await;
    assert_eq!(numbers(&again), (0..40).step_by(4).collect());
    hub.assert_quiet(&mut *second, "all others were acknowledged")
        .await;
}

/// The acker of an ended subscription acknowledges nothing, least of all what another subscription was handed
/// under the same tag.
pub async fn a_stale_acker_has_no_effect(hub: BrokerHub) {
    hub.publish(&work(), 0..3).await;
    let mut first = hub.subscribe(from_work(), 10).await;
    let stale = first.acker();
    let mut tags: Vec<_> = hub.take(&mut *first, 3).await.iter().map(|d| d.tag).collect();
    first.close().await;
    let mut second = hub.subscribe(from_work(), 10).await;
    let taken = hub.take(&mut *second, 3).await;
    tags.extend(taken.iter().map(|delivery| delivery.tag));
    tags.extend((0..10).map(DeliveryTag));
    for tag in tags {
        stale.ack(tag);
    }
    hub.assert_quiet(&mut *second, "there were three").await;
    second.close().await;
    let mut third = hub.subscribe(from_work(), 10).await;
    let again = hub.take(&mut *third, 3).await;
    assert_eq!(numbers(&again), (0..3).collect(), "the stale acks had no effect");
}

/// Acks count in any order; one that names nothing, or the same again, does no harm.
pub async fn acks_in_any_order_count(hub: BrokerHub) {
    hub.publish(&work(), 0..6).await;
    let mut first = hub.subscribe(from_work(), 4).await;
    let acker = first.acker();
    let taken = hub.take(&mut *first, 4).await;
    for at in [3, 0, 3, 2, 0] {
        acker.ack(taken[at].tag);
    }
    let more = hub.take(&mut *first, 2).await;
    acker.ack(more[1].tag);
    let left = BTreeSet::from([number(&taken[1]), number(&more[0])]);
    first.close().await;
    let mut second = hub.subscribe(from_work(), 10).await;
    let again = hub.take(&mut *second, 2).await;
    assert_eq!(numbers(&again), left);
    hub.assert_quiet(&mut *second, "the others were acknowledged")
        .await;
}
