//! Owns what holds for publishing: what is confirmed is in its queue, as it was sent.
//! Never counts on the order of messages, only on that of answers.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use longhaul_shared::id::PartitionId;
use longhaul_shared::limits::INTAKE_BYTES_MAX;
use longhaul_shared::message::{Destination, Incoming, Publication};
use longhaul_shared::port::{PublishError, Source};
use longhaul_shared::trace::TraceContext;

use super::{BEYOND, BrokerHub, from_work, message, number, work};
use crate::conformance::sample;
use crate::conformance::tasks::{run, soon};

fn expected(sent: &Publication) -> Incoming {
    Incoming {
        message_id: Some(sent.id.to_string()),
        kind: Some(sent.kind.clone()),
        content_type: Some(sent.content_type.clone()),
        trace: sent.trace.clone(),
        body: sent.body.clone(),
    }
}

/// Id, type, content type, trace and body of a message arrive as they were sent, by every queue that is read.
pub async fn everything_about_a_message_arrives(hub: BrokerHub) {
    let sources = [
        Source::Control(PartitionId(3)),
        Source::Work(sample::queue("gpu")),
        Source::Intake,
    ];
    for (source, first) in sources.into_iter().zip([0, 10, 20]) {
        let full = message(&source.destination(), first);
        let plain = Publication {
            correlation: None,
            trace: TraceContext::default(),
            content_type: "application/json".to_owned(),
            kind: "control".to_owned(),
            ..message(&source.destination(), first + 1)
        };
        let mut subscription = hub.subscribe(source, 10).await;
        for sent in [full, plain] {
            let answers = hub.broker.publish(vec![sent.clone()]).await;
            assert_eq!(answers, [Ok(())]);
            let delivery = hub.next(&mut *subscription).await;
            assert_eq!(delivery.message, expected(&sent));
            assert!(!delivery.redelivered, "it was never delivered before");
            subscription.acker().ack(delivery.tag);
        }
    }
}

/// A body may be empty, hold any byte, and be as large as the intake allows.
pub async fn any_body_arrives(hub: BrokerHub) {
    let large: Vec<u8> = (0..=u8::MAX).cycle().take(INTAKE_BYTES_MAX).collect();
    let bodies = [Bytes::new(), Bytes::from_static(b"\0"), Bytes::from(large)];
    let mut subscription = hub.subscribe(from_work(), 1).await;
    for body in bodies {
        let sent = Publication {
            body: body.clone(),
            ..message(&work(), 1)
        };
        let answers = soon(
            &hub.runtime,
            "the broker confirms",
            hub.broker.publish(vec![sent]),
        )
        .await;
        assert_eq!(answers, [Ok(())]);
        let delivery = hub.next(&mut *subscription).await;
        assert!(
            delivery.message.body == body,
            "{} bytes arrive as they were",
            body.len()
        );
        subscription.acker().ack(delivery.tag);
    }
}

/// The answers of a batch stand in its order; a message that cannot be routed takes no other with it.
pub async fn answers_stand_in_the_order_of_the_batch(hub: BrokerHub) {
    let somewhere = work();
    let nowhere = Destination::Control(BEYOND);
    let unroutable = PublishError::Unroutable {
        destination: nowhere.clone(),
    };
    let batch: Vec<_> = (0..40)
        .map(|number| message(if number % 3 == 1 { &nowhere } else { &somewhere }, number))
        .collect();
    let answers = soon(&hub.runtime, "the broker confirms", hub.broker.publish(batch)).await;
    for (answer, number) in answers.iter().zip(0..40) {
        let expected = if number % 3 == 1 {
            Err(unroutable.clone())
        } else {
            Ok(())
        };
        assert_eq!(*answer, expected, "message {number}");
    }
    assert_eq!(answers.len(), 40);
    let mut subscription = hub.subscribe(from_work(), 100).await;
    let arrived = super::numbers(&hub.take(&mut *subscription, 27).await);
    let routable: BTreeSet<_> = (0..40).filter(|number| number % 3 != 1).collect();
    assert_eq!(arrived, routable);
    assert_eq!(
        hub.broker.publish(Vec::new()).await,
        [],
        "an empty batch has no answers"
    );
}

/// Many publishers at once, single messages and batches, with consumers reading meanwhile: every message
/// arrives.
pub async fn many_publishers_lose_nothing(hub: BrokerHub) {
    const PUBLISHERS: u64 = 16;
    const EACH: u64 = 60;
    let publishing: Vec<_> = (0..PUBLISHERS)
        .map(|publisher| {
            let broker = Arc::clone(&hub.broker);
            let numbers = publisher * EACH..(publisher + 1) * EACH;
            let size = if publisher % 2 == 0 { 1 } else { 20 };
            run(&hub.runtime, async move {
                for batch in numbers.collect::<Vec<_>>().chunks(size) {
                    let batch: Vec<_> = batch.iter().map(|number| message(&work(), *number)).collect();
                    let answers = broker.publish(batch).await;
                    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
                }
            })
        })
        .collect();
    let mut subscription = hub.subscribe(from_work(), 32).await;
    let acker = subscription.acker();
    let mut arrived = BTreeSet::new();
    while (arrived.len() as u64) < PUBLISHERS * EACH {
        let delivery = hub.next(&mut *subscription).await;
        arrived.insert(number(&delivery));
        acker.ack(delivery.tag);
    }
    for publisher in publishing {
        publisher.answer("a publisher comes to its end").await;
    }
    assert_eq!(arrived, (0..PUBLISHERS * EACH).collect());
}
