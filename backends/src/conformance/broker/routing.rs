//! Owns what holds for queues: which exist, and what lands in which.
//! Never expects that a task queue is missing for publishers: a backend may make it for them.

use longhaul_shared::id::{PartitionId, QueueName};
use longhaul_shared::message::Destination;
use longhaul_shared::port::{BrokerError, PublishError, Source};

use super::{BEYOND, BrokerHub, PARTITIONS, from_work, message, number, work};
use crate::conformance::sample;

/// A message to a queue that does not exist is never reported as published.
pub async fn what_cannot_be_routed_says_so(hub: BrokerHub) {
    let destination = Destination::Control(BEYOND);
    for _ in 0..2 {
        let answers = hub.broker.publish(vec![message(&destination, 1)]).await;
        let unroutable = PublishError::Unroutable {
            destination: destination.clone(),
        };
        assert_eq!(answers, [Err(unroutable)]);
    }
    let all = [
        Destination::Control(PartitionId(PARTITIONS - 1)),
        work(),
        Destination::Intake,
        Destination::Dead,
    ];
    for destination in all {
        hub.publish(&destination, [1]).await;
    }
}

/// A subscription to a queue that nobody declared says that the queue is missing, and does not make it.
pub async fn a_missing_queue_says_so(hub: BrokerHub) {
    let late = sample::queue("late");
    for source in [Source::Control(BEYOND), Source::Work(late.clone())] {
        for _ in 0..2 {
            match hub.broker.subscribe(source.clone(), 1).await {
                Err(BrokerError::Missing { .. }) => {}
                Err(other) => panic!("{source:?} is missing, not: {other}"),
                Ok(_) => panic!("{source:?} was never declared"),
            }
        }
    }
    hub.broker
        .declare(PARTITIONS, std::slice::from_ref(&late))
        .await
        .expect("a queue can be declared later");
    let mut subscription = hub.subscribe(Source::Work(late.clone()), 1).await;
    hub.publish(&Destination::Work(late), [5]).await;
    assert_eq!(number(&hub.next(&mut *subscription).await), 5);
}

/// Declaring what exists changes nothing: messages stay, subscriptions go on.
pub async fn declaring_twice_keeps_the_messages(hub: BrokerHub) {
    hub.publish(&work(), [1]).await;
    let mut subscription = hub.subscribe(from_work(), 1).await;
    for _ in 0..2 {
        hub.broker
            .declare(PARTITIONS, &[QueueName::default()])
            .await
            .expect("declaring again is no error");
    }
    let delivery = hub.next(&mut *subscription).await;
    assert_eq!(number(&delivery), 1);
    subscription.acker().ack(delivery.tag);
    hub.publish(&work(), [2]).await;
    assert_eq!(number(&hub.next(&mut *subscription).await), 2);
}

/// What goes to one queue is read from that queue only.
pub async fn each_source_gets_its_own(hub: BrokerHub) {
    let sources: Vec<_> = PartitionId::all(PARTITIONS)
        .map(Source::Control)
        .chain([from_work(), Source::Work(sample::queue("gpu")), Source::Intake])
        .collect();
    for (source, number) in sources.iter().zip(1..) {
        hub.publish(&source.destination(), [number]).await;
    }
    hub.publish(&Destination::Dead, [99]).await;
    let mut subscriptions = Vec::new();
    for (source, expected) in sources.iter().zip(1..) {
        let mut subscription = hub.subscribe(source.clone(), 10).await;
        let delivery = hub.next(&mut *subscription).await;
        assert_eq!(number(&delivery), expected, "{source:?}");
        subscriptions.push(subscription);
    }
    for (subscription, source) in subscriptions.iter_mut().zip(&sources) {
        hub.assert_quiet(&mut **subscription, &format!("{source:?} holds one message"))
            .await;
    }
}
