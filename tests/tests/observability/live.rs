//! Real servers and workers, really scraped: what the panels and rules ask for is what they tell.
//! Never looks at the figures, only at their names.

use std::time::Duration;

use longhaul_tests::servers::{RabbitServer, poll_until};

use crate::catalogue::OF_RABBITMQ;
use crate::scrape::{sampled, scrape};

const TOLD_WITHIN: Duration = Duration::from_secs(60);

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
