//! What a client does to a hub on real servers that no worker has a part in.
//! Never repeats what `client/tests` shows on the embedded store.

#![expect(clippy::unwrap_used, reason = "the helpers of these tests may fail them")]

use std::sync::Arc;
use std::time::Duration;

use longhaul_backends::rabbitmq::{QueueType, RabbitBroker, RabbitConfig, Role};
use longhaul_backends::redis::{RedisConfig, RedisStore};
use longhaul_backends::runtime::TokioRuntime;
use longhaul_client::{Client, PageRequest};
use longhaul_shared::id::HubName;
use longhaul_shared::limits;
use longhaul_shared::message::{Destination, Incoming};
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::port::{Ports, Runtime, Source, within};
use longhaul_tests::servers::Servers;

const DEADLINE: Duration = Duration::from_secs(20);

/// The hub as a program of this role reaches it.
async fn opened(hub: &HubName, role: Role) -> (Ports, Arc<RabbitBroker>) {
    let servers = Servers::shared().unwrap();
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current());
    let redis = RedisConfig::new(servers.redis_url, hub.clone());
    let rabbit = RabbitConfig::new(servers.amqp_url, hub.clone(), QueueType::Quorum, role);
    let store = RedisStore::connect(redis, Arc::clone(&runtime)).await.unwrap();
    let broker = RabbitBroker::connect(rabbit, Arc::clone(&runtime)).await.unwrap();
    let ports = Ports {
        store,
        broker: broker.clone(),
        runtime,
    };
    (ports, broker)
}

#[tokio::test]
async fn a_parked_message_goes_back_to_the_queue_it_came_from() {
    let hub = HubName::new(format!("client-{}", std::process::id())).unwrap();
    let (worker, worker_broker) = opened(&hub, Role::Orchestrator).await;
    let (caller, caller_broker) = opened(&hub, Role::Client).await;
    let client = Client::new(caller, hub).await.unwrap();
    let message = Incoming {
        message_id: Some("m-1".to_owned()),
        content_type: Some("application/json".to_owned()),
        body: br#"{"orchestration":"a"}"#.to_vec().into(),
        ..Incoming::default()
    };
    let parked = ParkedMessage::new(
        Destination::Intake,
        "LH1001",
        "a test".to_owned(),
        client.time().await.unwrap(),
        message.clone(),
    );
    worker.store.park(parked.clone()).await.unwrap();

    // Without a queue it stays where it is.
    client.requeue(parked.id).await.unwrap_err();
    assert_eq!(
        client.parked_message(parked.id).await.unwrap(),
        Some(parked.clone())
    );

    worker
        .broker
        .declare(limits::PARTITIONS_DEFAULT, &[])
        .await
        .unwrap();
    client.requeue(parked.id).await.unwrap();
    let mut intake = worker.broker.subscribe(Source::Intake, 1).await.unwrap();
    let delivery = within(&worker.runtime, DEADLINE, intake.next())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(delivery.message.body, message.body);
    assert_eq!(delivery.message.content_type, message.content_type);
    let left = client
        .parked(PageRequest {
            cursor: None,
            limit: 10,
        })
        .await
        .unwrap();
    assert_eq!((left.total, left.messages), (0, Vec::new()));

    intake.acker().ack(delivery.tag);
    intake.close().await;
    caller_broker.shutdown().await;
    worker_broker.shutdown().await;
}
