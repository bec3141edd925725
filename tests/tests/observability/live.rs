//! Real servers and workers, really scraped: what the panels and rules ask for is what they tell.
//! Never looks at the figures, only at their names.

use std::collections::BTreeSet;
use std::time::Duration;

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Confirmation, Connection, ConnectionProperties};
use longhaul_tests::binaries::{Binary, READY, Running};
use longhaul_tests::servers::{RabbitServer, Servers, poll_until};

use crate::catalogue::{OF_RABBITMQ, documented, metric_of};
use crate::expressions::asked_for;
use crate::scrape::{sampled, scrape};

const TOLD_WITHIN: Duration = Duration::from_secs(60);
const HUB: &str = "observability-live";

/// Something for every part of a worker to do: steps, timers, an end in failure, code that cannot go on, an activity
/// that nobody hosts, and what is no start at all.
const STARTS: [&str; 7] = [
    r#"{"orchestration": "hello_sequence", "id": "steps"}"#,
    r#"{"orchestration": "reminder", "id": "timer", "input": {"after_ms": 10}}"#,
    r#"{"orchestration": "inline_steps", "id": "inline", "input": 2}"#,
    r#"{"orchestration": "over_limit", "id": "failing"}"#,
    r#"{"orchestration": "panicking", "id": "panicking"}"#,
    r#"{"orchestration": "misspelt_activity", "id": "misspelt"}"#,
    "no start",
];

#[test]
fn rabbitmq_tells_what_the_panels_ask_it() {
    let rabbit = RabbitServer::with_metrics().unwrap();
    let port = rabbit.metrics_port().unwrap();
    let told = poll_until(
        "RabbitMQ tells its metrics",
        TOLD_WITHIN,
        || Ok(scrape(port).ok()),
    );
    let told = sampled(&told.unwrap());
    for name in OF_RABBITMQ {
        assert!(told.contains(name), "RabbitMQ does not tell {name}: {told:?}");
    }
}

#[test]
fn workers_tell_what_is_asked_for_and_all_that_is_documented() {
    let servers = Servers::shared().unwrap();
    let start = |worker: Binary, listen: &str| {
        let arguments = [
            "--amqp.url",
            servers.amqp_url,
            "--redis.url",
            servers.redis_url,
            "--hub.name",
            HUB,
            listen,
            "127.0.0.1:0",
        ];
        worker.start(&arguments).unwrap()
    };
    let mut workers = [
        start(Binary::OrchestratorWorker, "--orchestrator.listen"),
        start(Binary::ActivityWorker, "--activity.listen"),
    ];
    let ports = workers.each_mut().map(listening);
    // Only then is the intake queue known to be there.
    for worker in &mut workers {
        worker.says(READY, TOLD_WITHIN).unwrap();
    }
    publish(servers.amqp_url);

    let documented = documented();
    let mut missing = BTreeSet::new();
    let told = poll_until("the workers tell every metric", TOLD_WITHIN, || {
        let mut told = BTreeSet::new();
        for port in ports {
            told.extend(sampled(&scrape(port)?));
        }
        missing = documented.difference(&told).cloned().collect();
        Ok(missing.is_empty().then_some(told))
    });
    let told = told.unwrap_or_else(|error| panic!("{error}: nobody tells {missing:?}"));
    let unknown: Vec<&String> = told.difference(&documented).collect();
    assert!(unknown.is_empty(), "not in docs/metrics.md: {unknown:?}");
    for name in asked_for().keys() {
        let metric = metric_of(name, &documented);
        let of_workers = metric.starts_with("longhaul_") || metric.starts_with("process_");
        assert!(!of_workers || told.contains(metric), "nobody tells {name}");
    }
}

/// Where a worker says that its metrics are.
fn listening(worker: &mut Running) -> u16 {
    const SAYS: &str = "metrics and health: http://127.0.0.1:";
    worker.says(SAYS, TOLD_WITHIN).unwrap();
    let said = worker.said();
    let (_, after) = said.split_once(SAYS).unwrap();
    after.split('/').next().unwrap().parse().unwrap()
}

/// Publishes the starts as a foreign service would.
fn publish(url: &str) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let connection = Connection::connect(url, ConnectionProperties::default())
            .await
            .unwrap();
        let channel = connection.create_channel().await.unwrap();
        channel
            .confirm_select(ConfirmSelectOptions::default())
            .await
            .unwrap();
        let queue = format!("lh.{HUB}.v1.intake");
        for (at, body) in STARTS.into_iter().enumerate() {
            let properties = BasicProperties::default()
                .with_message_id(format!("start-{at}").into())
                .with_content_type("application/json".into());
            let confirmed = channel
                .basic_publish(
                    "".into(),
                    queue.as_str().into(),
                    BasicPublishOptions {
                        mandatory: true,
                        ..Default::default()
                    },
                    body.as_bytes(),
                    properties,
                )
                .await
                .unwrap();
            let confirmed = confirmed.await.unwrap();
            assert!(
                matches!(confirmed, Confirmation::Ack(None)),
                "{queue}: {confirmed:?}"
            );
        }
    });
}
