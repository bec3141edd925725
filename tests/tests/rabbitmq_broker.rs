//! The broker adapter against a real RabbitMQ: what it reports, what it keeps, and what it does when the broker
//! is slow, frozen, killed or emptied.
//! Never waits for time to pass: every wait is for something to happen, and has a deadline.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "the helpers of tests fail a test as its own lines do"
)]

#[path = "rabbitmq_broker/foreign.rs"]
mod foreign;
#[path = "rabbitmq_broker/hub.rs"]
mod hub;

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;

use futures::future::{join, join_all};
use lapin::options::{BasicGetOptions, QueueDeclareOptions, QueueDeleteOptions};
use lapin::types::FieldTable;
use longhaul_backends::rabbitmq::{QueueType, RabbitBroker, RabbitConfig, Role};
use longhaul_shared::id::{Epoch, MessageId, QueueName};
use longhaul_shared::message::{Destination, Publication};
use longhaul_shared::port::{Broker, BrokerError, DeliveryTag, PublishError, Source};
use longhaul_shared::trace::TraceContext;
use longhaul_tests::servers::RabbitServer;

use self::foreign::{authority, publish_latin1, raw};
use self::hub::{
    CONTROL, DEADLINE, Hub, NOWHERE, PARTITIONS, connect, message, numbered, run, shared_rabbit,
};

type Outcome = Result<(), PublishError>;

#[test]
fn a_message_arrives_with_its_properties() {
    run(async |clock| {
        let hub = Hub::declared(clock, QueueType::Quorum).await;
        let trace = TraceContext::from_headers(
            Some("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
            Some("a=1"),
        );
        let sent = Publication {
            correlation: Some("ü".repeat(200)),
            trace: trace.clone(),
            ..message(0xfeed, Destination::Control(CONTROL))
        };
        hub.publish_all(vec![sent.clone()]).await;

        let mut subscription = hub.subscribe(Source::Control(CONTROL), 10).await;
        let delivery = hub.receive(&mut *subscription).await;
        assert_eq!(delivery.tag, DeliveryTag(1));
        assert!(!delivery.redelivered);
        let received = delivery.message;
        assert_eq!(
            received.message_id.as_deref(),
            Some("0000000000000000000000000000feed")
        );
        assert_eq!(received.kind.as_deref(), Some("work"));
        assert_eq!(received.content_type.as_deref(), Some("application/msgpack"));
        assert_eq!(received.trace, trace);
        assert_eq!(received.body, sent.body);
        subscription.close().await;

        // What the port does not show, as any other AMQP client sees it.
        let (_connection, channel) = raw(&hub.url).await;
        let again = hub
            .poll("the message is back in its queue", async || {
                let options = BasicGetOptions { no_ack: true };
                channel
                    .basic_get(hub.queue("ctl.007").into(), options)
                    .await
                    .unwrap()
            })
            .await;
        let properties = &again.delivery.properties;
        assert_eq!(*properties.delivery_mode(), Some(2));
        assert_eq!(*properties.timestamp(), Some(1_795_332_902));
        assert_eq!(
            properties.correlation_id().as_ref().unwrap().as_str(),
            "ü".repeat(127)
        );
    });
}

#[test]
fn a_message_without_a_queue_is_reported() {
    run(async |clock| {
        let hub = Hub::connect(clock, shared_rabbit(), QueueType::Quorum, Role::Client).await;
        let outcomes = hub.broker.publish(vec![message(1, Destination::Intake)]).await;
        assert_eq!(outcomes, [unroutable(Destination::Intake)]);
        assert_eq!(hub.broker.publish(Vec::new()).await, []);
    });
}

#[test]
fn each_of_many_concurrent_publishers_learns_what_became_of_its_own_messages() {
    const PUBLISHERS: u64 = 40;
    const BATCHES: u64 = 5;
    const BATCH: u64 = 20;
    for queue_type in [QueueType::Quorum, QueueType::Classic] {
        run(async |clock| {
            let hub = Hub::declared(clock, queue_type).await;
            let publisher = async |publisher: u64| {
                for batch in 0..BATCHES {
                    let messages: Vec<_> = (0..BATCH)
                        .map(|place| {
                            let number = (publisher * BATCHES + batch) * BATCH + place;
                            // Two of three are routable, in no regular order.
                            let lost = number.wrapping_mul(0x9e37_79b9).is_multiple_of(3);
                            message(number, Destination::Control(if lost { NOWHERE } else { CONTROL }))
                        })
                        .collect();
                    let expected: Vec<Outcome> = messages
                        .iter()
                        .map(|message| match &message.destination {
                            Destination::Control(CONTROL) => Ok(()),
                            destination => unroutable(destination.clone()),
                        })
                        .collect();
                    assert_eq!(hub.broker.publish(messages).await, expected);
                }
            };
            hub.in_time(join_all((0..PUBLISHERS).map(publisher))).await;

            let expected: BTreeSet<String> = (0..PUBLISHERS * BATCHES * BATCH)
                .filter(|number| !number.wrapping_mul(0x9e37_79b9).is_multiple_of(3))
                .map(|number| MessageId::from_bits(number.into()).to_string())
                .collect();
            let mut subscription = hub.subscribe(Source::Control(CONTROL), 500).await;
            let acker = subscription.acker();
            let mut received = BTreeSet::new();
            for _ in 0..expected.len() {
                let delivery = hub.receive(&mut *subscription).await;
                acker.ack(delivery.tag);
                assert!(received.insert(delivery.message.message_id.unwrap()), "a copy");
            }
            assert_eq!(received, expected);
            subscription.close().await;
        });
    }
}

#[test]
fn copies_of_one_message_are_all_answered() {
    run(async |clock| {
        let hub = Hub::declared(clock, QueueType::Classic).await;
        let here = message(1, Destination::Control(CONTROL));
        let nowhere = message(1, Destination::Control(NOWHERE));
        let outcomes = hub
            .broker
            .publish(vec![here.clone(), nowhere.clone(), here, nowhere.clone()])
            .await;
        let lost = unroutable(nowhere.destination);
        assert_eq!(outcomes, [Ok(()), lost.clone(), Ok(()), lost]);
    });
}

#[test]
fn what_was_not_acknowledged_comes_back_when_a_subscription_closes_and_the_rest_does_not() {
    for queue_type in [QueueType::Quorum, QueueType::Classic] {
        run(async |clock| {
            const MESSAGES: u64 = 60;
            let hub = Hub::declared(clock, queue_type).await;
            hub.publish_range(1..=MESSAGES).await;
            let mut subscription = hub.subscribe(Source::Control(CONTROL), 400).await;
            let acker = subscription.acker();
            let mut deliveries = hub.receive_many(&mut *subscription, MESSAGES).await;
            // In runs and with gaps, back to front; each twice, and some that never were.
            deliveries.reverse();
            let kept = |number: u64| matches!(number, 31 | 50..=55 | MESSAGES);
            for (number, delivery) in &deliveries {
                if !kept(*number) {
                    acker.ack(delivery.tag);
                    acker.ack(delivery.tag);
                }
            }
            for bogus in [0, MESSAGES + 1, u64::MAX] {
                acker.ack(DeliveryTag(bogus));
            }
            subscription.close().await;

            hub.expect_left((1..=MESSAGES).filter(|number| kept(*number)))
                .await;
        });
    }
}

#[test]
fn a_delivery_that_takes_long_does_not_use_up_the_prefetch() {
    run(async |clock| {
        const PREFETCH: u16 = 4;
        let hub = Hub::declared(clock, QueueType::Classic).await;
        hub.publish_range(1..=100).await;
        let mut subscription = hub.subscribe(Source::Control(CONTROL), PREFETCH).await;
        let acker = subscription.acker();
        let slow = hub.receive(&mut *subscription).await;
        for _ in 2..=100 {
            let delivery = hub.receive(&mut *subscription).await;
            acker.ack(delivery.tag);
        }
        acker.ack(slow.tag);
        subscription.close().await;
        hub.expect_left([]).await;
    });
}

#[test]
fn acks_of_an_ended_subscription_do_nothing() {
    run(async |clock| {
        let hub = Hub::declared(clock, QueueType::Quorum).await;
        hub.publish_range(1..=2).await;
        let mut first = hub.subscribe(Source::Control(CONTROL), 10).await;
        let stale = first.acker();
        hub.receive_many(&mut *first, 2).await;
        first.close().await;

        let mut second = hub.subscribe(Source::Control(CONTROL), 10).await;
        let again = hub.receive_many(&mut *second, 2).await;
        assert!(again.iter().all(|(_, delivery)| delivery.redelivered));
        for (_, delivery) in &again {
            stale.ack(delivery.tag);
        }
        second.close().await;
        hub.expect_left([1, 2]).await;
    });
}

#[test]
fn a_subscription_to_a_missing_or_deleted_queue_says_so() {
    run(async |clock| {
        let hub = Hub::declared(clock, QueueType::Classic).await;
        let nowhere = Source::Work(QueueName::new("nowhere").unwrap());
        let missing = hub.broker.subscribe(nowhere, 1).await.err().unwrap();
        assert_eq!(
            missing,
            BrokerError::Missing {
                queue: hub.queue("act.nowhere")
            }
        );

        hub.publish_range(1..=2).await;
        let mut subscription = hub.subscribe(Source::Control(CONTROL), 10).await;
        let mut other = hub.subscribe(Source::Intake, 10).await;
        hub.receive(&mut *subscription).await;
        let (_connection, channel) = raw(&hub.url).await;
        channel
            .queue_delete(hub.queue("ctl.007").into(), QueueDeleteOptions::default())
            .await
            .unwrap();
        let ended = hub.next_error(&mut *subscription).await;
        assert!(ended.is_retryable(), "{ended}");
        assert_eq!(subscription.next().await.unwrap_err(), ended);
        subscription.close().await;
        let gone = hub.broker.subscribe(Source::Control(CONTROL), 1).await;
        assert!(matches!(gone, Err(BrokerError::Missing { .. })));

        // Its neighbour on the same connection goes on.
        hub.publish_all(vec![message(3, Destination::Intake)]).await;
        hub.receive(&mut *other).await;
        other.close().await;
    });
}

#[test]
fn a_queue_with_other_arguments_is_refused_by_name() {
    run(async |clock| {
        let hub = Hub::declared(clock, QueueType::Classic).await;
        let config = RabbitConfig::new(
            hub.url.as_str(),
            hub.name.clone(),
            QueueType::Quorum,
            Role::Orchestrator,
        );
        let other = RabbitBroker::connect(config, Arc::clone(&hub.clock))
            .await
            .unwrap();
        let refused = other.declare(PARTITIONS, &[]).await.unwrap_err();
        let text = refused.to_string();
        assert!(!refused.is_retryable(), "{text}");
        for part in [hub.queue("intake").as_str(), "x-queue-type", "use the queue type"] {
            assert!(text.contains(part), "{part:?} is not in {text:?}");
        }
        // The connection is none the worse for it, and what exists is declared again without complaint.
        hub.broker.declare(PARTITIONS, &[]).await.unwrap();
        assert_eq!(other.has_epoch(Epoch::new(1)).await, Ok(false));
    });
}

#[test]
fn clients_look_for_queues_and_never_make_them() {
    run(async |clock| {
        let client = Hub::connect(clock, shared_rabbit(), QueueType::Quorum, Role::Client).await;
        let missing = client.broker.declare(1, &[]).await.unwrap_err();
        assert!(matches!(missing, BrokerError::Missing { .. }), "{missing}");
        assert!(
            !client
                .broker
                .declare_epoch(Epoch::new(1))
                .await
                .unwrap_err()
                .is_retryable()
        );
        assert_eq!(client.broker.has_epoch(Epoch::new(1)).await, Ok(false));

        let (_connection, channel) = raw(&client.url).await;
        let passive = QueueDeclareOptions {
            passive: true,
            ..QueueDeclareOptions::default()
        };
        let looked = channel
            .queue_declare(client.queue("intake").into(), passive, FieldTable::default())
            .await;
        assert!(looked.is_err(), "the client made a queue");
    });
}

#[test]
fn the_epoch_is_gone_with_the_data_of_the_broker() {
    let mut server = RabbitServer::start().unwrap();
    run(async |clock| {
        let hub = Hub::connect(clock, server.url(), QueueType::Quorum, Role::Orchestrator).await;
        assert_eq!(hub.broker.has_epoch(Epoch::new(1)).await, Ok(false));
        hub.broker.declare_epoch(Epoch::new(1)).await.unwrap();
        hub.broker.declare_epoch(Epoch::new(1)).await.unwrap();
        assert_eq!(hub.broker.has_epoch(Epoch::new(1)).await, Ok(true));
        assert_eq!(hub.broker.has_epoch(Epoch::new(2)).await, Ok(false));

        let generation = hub.broker.connection_generation();
        server.restart().unwrap();
        assert_eq!(hub.epoch_after(generation).await, Ok(true));
        let generation = hub.broker.connection_generation();
        server.wipe().unwrap();
        assert_eq!(hub.epoch_after(generation).await, Ok(false));
    });
}

#[test]
fn a_killed_broker_costs_nothing_that_was_confirmed_and_brings_back_nothing_that_was_acknowledged() {
    let mut server = RabbitServer::start().unwrap();
    run(async |clock| {
        let hub = Hub::connect(clock, server.url(), QueueType::Quorum, Role::Orchestrator).await;
        hub.broker.declare(PARTITIONS, &[]).await.unwrap();
        hub.queue_is_on_disk(&server, "ctl.007").await;
        hub.publish_range(1..=50).await;
        let mut subscription = hub.subscribe(Source::Control(CONTROL), 100).await;
        let stale = subscription.acker();
        for (number, delivery) in hub.receive_many(&mut *subscription, 50).await {
            if number % 2 == 0 {
                stale.ack(delivery.tag);
            }
        }
        // They only fit into the prefetch once all of the acks have arrived.
        hub.publish_range(51..=125).await;
        hub.receive_many(&mut *subscription, 75).await;
        let generation = hub.broker.connection_generation();

        server.kill();
        let ended = hub.next_error(&mut *subscription).await;
        assert!(ended.is_retryable(), "{ended}");
        assert_eq!(subscription.next().await.unwrap_err(), ended);
        let down = hub
            .in_time(
                hub.broker
                    .publish(vec![message(126, Destination::Control(CONTROL))]),
            )
            .await;
        assert!(
            matches!(down.as_slice(), [Err(PublishError::Unknown { .. })]),
            "{down:?}"
        );
        let down = hub
            .in_time(hub.broker.subscribe(Source::Control(CONTROL), 1))
            .await;
        assert!(matches!(down, Err(BrokerError::Unavailable { .. })));
        assert!(hub.broker.disconnected().is_some());

        server.restart().unwrap();
        let mut again = hub.subscribe_again(Source::Control(CONTROL), 200).await;
        assert!(hub.broker.connection_generation() > generation);
        let deliveries = hub.receive_many(&mut *again, 100).await;
        let expected = || (1..=50).filter(|number| number % 2 == 1).chain(51..=125);
        assert!(deliveries.iter().map(|(number, _)| *number).eq(expected()));
        for (_, delivery) in &deliveries {
            stale.ack(delivery.tag);
        }
        subscription.close().await;
        again.close().await;
        hub.publish_again(126).await;
        hub.expect_left(expected().chain([126])).await;
    });
}

#[test]
fn what_a_frozen_broker_did_not_confirm_is_unknown_and_can_be_published_again() {
    let mut server = RabbitServer::start().unwrap();
    run(async |clock| {
        let hub = Hub::connect(clock, server.url(), QueueType::Classic, Role::Orchestrator).await;
        hub.broker.declare(PARTITIONS, &[]).await.unwrap();
        hub.publish_range(1..=1).await;

        server.freeze().unwrap();
        let unknown = hub
            .in_time(
                hub.broker
                    .publish(vec![message(2, Destination::Control(CONTROL))]),
            )
            .await;
        let [Err(PublishError::Unknown { reason })] = unknown.as_slice() else {
            panic!("{unknown:?}");
        };
        assert!(reason.contains("no confirm within"), "{reason}");
        server.thaw().unwrap();
        hub.publish_again(2).await;

        server.freeze().unwrap();
        let publishing = hub
            .broker
            .publish(vec![message(3, Destination::Control(CONTROL))]);
        let (unknown, ()) = hub.in_time(join(publishing, async { server.kill() })).await;
        assert!(
            matches!(unknown.as_slice(), [Err(PublishError::Unknown { .. })]),
            "{unknown:?}"
        );
        server.restart().unwrap();
        // The queue is durable, and so is what is in it.
        hub.publish_again(3).await;
        hub.expect_at_least([1, 2, 3]).await;
    });
}

#[test]
fn a_broker_without_room_is_reported_and_still_hands_out_messages() {
    let server = RabbitServer::with_config(&[("disk_free_limit.absolute", "1000000GB")]).unwrap();
    run(async |clock| {
        let hub = Hub::connect(clock, server.url(), QueueType::Classic, Role::Orchestrator).await;
        hub.broker.declare(PARTITIONS, &[]).await.unwrap();
        for number in 1..=3 {
            let outcome = hub
                .in_time(
                    hub.broker
                        .publish(vec![message(number, Destination::Control(CONTROL))]),
                )
                .await;
            let [Err(PublishError::Unknown { reason })] = outcome.as_slice() else {
                panic!("{outcome:?}");
            };
            assert!(reason.contains("takes no messages"), "{reason}");
        }
        assert!(hub.broker.blocked().is_some_and(|reason| reason.contains("disk")));
        let subscription = hub.subscribe(Source::Control(CONTROL), 1).await;
        hub.in_time(subscription.close()).await;
        hub.in_time(hub.broker.shutdown()).await;
    });
}

#[test]
fn a_program_that_ends_waits_for_its_confirms_and_takes_nothing_more() {
    run(async |clock| {
        let hub = Hub::declared(clock, QueueType::Quorum).await;
        let publishing = hub.broker.publish(numbered(1..=500));
        let (outcomes, ()) = hub.in_time(join(publishing, hub.broker.shutdown())).await;
        assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
        let refused = hub.broker.publish(numbered(501..=501)).await;
        assert!(
            matches!(refused.as_slice(), [Err(PublishError::Unknown { .. })]),
            "{refused:?}"
        );
        assert!(hub.broker.subscribe(Source::Intake, 1).await.is_err());
        hub.in_time(hub.broker.shutdown()).await;
    });
}

#[test]
fn a_connection_that_cannot_be_made_is_explained_in_one_sentence() {
    run(async |clock| {
        let check = async |url: String, expected: &str, retryable: bool| {
            let error = connect(&clock, &url).await.err().unwrap();
            let text = error.to_string();
            assert!(text.contains(expected), "{expected:?} is not in {text:?}");
            assert!(!text.contains("secret") && !text.contains('\n'), "{text}");
            assert_eq!(error.is_retryable(), retryable, "{text}");
        };
        let rabbit = authority(&shared_rabbit());
        let refused =
            format!("RabbitMQ at {rabbit} refuses: it does not accept the user name or the password");
        check(format!("amqp://guest:secret@{rabbit}/%2f"), &refused, false).await;
        let refused = format!("RabbitMQ at {rabbit}, virtual host hidden refuses: vhost hidden not found");
        check(format!("amqp://guest:guest@{rabbit}/hidden"), &refused, false).await;

        let nobody = {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            listener.local_addr().unwrap()
        };
        let unreachable = format!("RabbitMQ is not reachable at {nobody}: Connection refused");
        check(format!("amqp://bo:secret@{nobody}/%2f"), &unreachable, true).await;
        check(
            "amqp://bo:secret@name.invalid/%2f".to_owned(),
            "RabbitMQ is not reachable at name.invalid:5672: failed to lookup address",
            true,
        )
        .await;
        check(format!("amqps://bo:secret@{nobody}/%2f"), &unreachable, true).await;
    });
}

#[test]
fn a_peer_that_never_answers_is_given_up_and_let_go() {
    run(async |clock| {
        let silent = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("amqp://127.0.0.1:{}/%2f", silent.local_addr().unwrap().port());
        let error = connect(&clock, &url).await.err().unwrap();
        assert!(error.to_string().contains("no answer within 1s"), "{error}");
        for _ in ["consuming", "publishing"] {
            let (mut peer, _) = silent.accept().unwrap();
            peer.set_read_timeout(Some(DEADLINE)).unwrap();
            let mut greeting = Vec::new();
            // The end of the stream, not the end of the deadline.
            peer.read_to_end(&mut greeting).unwrap();
            assert_eq!(greeting, b"AMQP\x00\x00\x09\x01");
        }
    });
}

#[test]
fn a_foreign_message_that_cannot_be_read_ends_nothing_but_the_intake() {
    run(async |clock| {
        let hub = Hub::declared(clock, QueueType::Classic).await;
        let mut intake = hub.subscribe(Source::Intake, 10).await;
        let mut control = hub.subscribe(Source::Control(CONTROL), 10).await;
        let generation = hub.broker.connection_generation();
        publish_latin1(&hub.url, &hub.queue("intake"));
        let ended = hub.next_error(&mut *intake).await;
        assert!(ended.to_string().contains("not UTF-8"), "{ended}");
        hub.publish_range(1..=1).await;
        hub.receive(&mut *control).await;
        assert_eq!(hub.broker.connection_generation(), generation);
    });
}

fn unroutable(destination: Destination) -> Outcome {
    Err(PublishError::Unroutable { destination })
}
