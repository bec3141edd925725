//! Owns the metrics of the ports: each metric's name, unit, buckets and labels, and what a wrapper's report means for
//! them.
//! Never labels by instance, and never asks a server anything.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use longhaul_shared::port::{Broker, Runtime};
use longhaul_telemetry::{Family, SECONDS, instruments, prometheus};

use super::consumption::Consumption;
use super::meter::{
    BrokerMeter, PublishResult, SourceKind, StoreErrorKind, StoreMeter, StoreOp, SubscriptionEnd,
};

instruments! {
    /// The instruments, each with its one name.
    struct Instruments {
        /// 1 while this worker has a connection to RabbitMQ.
        amqp_up: IntGauge = "longhaul_amqp_up";
        /// 1 while RabbitMQ takes no messages, being short of memory or disk.
        amqp_blocked: IntGauge = "longhaul_amqp_blocked";
        /// Connections to RabbitMQ that were made anew since the first scrape.
        amqp_reconnects: IntCounter = "longhaul_amqp_reconnects_total";
        /// Messages published, by RabbitMQ's answer: `ack`; `nack`; `returned`, no such queue; `unknown`, no answer.
        amqp_publishes: IntCounterVec = "longhaul_amqp_publishes_total" ["result"];
        /// From the publishing of a message to RabbitMQ's answer.
        amqp_confirm: Histogram = "longhaul_amqp_confirm_seconds" in SECONDS;
        /// Messages handed over to RabbitMQ that it has not answered for.
        amqp_unconfirmed: IntGauge = "longhaul_amqp_unconfirmed";
        /// Messages received. A redelivered one may have been received before, by whoever.
        amqp_deliveries: IntCounterVec = "longhaul_amqp_deliveries_total" ["source", "redelivered"];
        /// Subscriptions that RabbitMQ ended: a lost connection, a deleted queue.
        amqp_ends: IntCounterVec = "longhaul_amqp_subscription_ends_total" ["source"];
        /// When a message was last received, in seconds since 1970; not there before the first.
        last_delivery: GaugeVec = "longhaul_worker_last_delivery_timestamp_seconds" ["source"];
        /// 1 if Redis answered the last call.
        redis_up: IntGauge = "longhaul_redis_up";
        /// How long calls of Redis took, a batch counting as one, by what was asked.
        redis_command: HistogramVec = "longhaul_redis_command_seconds" ["op"] in SECONDS;
        /// Calls of Redis that failed.
        redis_errors: IntCounterVec = "longhaul_redis_errors_total" ["kind"];
    }
}

/// What each metric of the ports is called, and what it tells.
pub const FAMILIES: &[Family] = Instruments::FAMILIES;

/// The metrics of the ports of one program.
#[derive(Clone, Debug)]
pub struct PortMetrics {
    instruments: Instruments,
    /// The broker connection that was seen last; 0 before the first look.
    connection: Arc<AtomicU64>,
}

impl Default for PortMetrics {
    fn default() -> Self {
        let metrics = Self {
            instruments: Instruments::default(),
            connection: Arc::default(),
        };
        // A counter that has not counted shows 0: whoever looks at its rate must see the first time, too.
        for result in PublishResult::ALL {
            metrics
                .instruments
                .amqp_publishes
                .with_label_values(&[result.name()]);
        }
        for kind in StoreErrorKind::ALL {
            metrics.instruments.redis_errors.with_label_values(&[kind.name()]);
        }
        metrics
    }
}

impl PortMetrics {
    /// Shows everything to whoever gathers from a registry.
    ///
    /// # Errors
    /// When the registry has metrics of the same names already.
    pub fn register(&self, registry: &prometheus::Registry) -> prometheus::Result<()> {
        self.instruments.register(registry)
    }

    /// Whether Redis answered the last call.
    #[must_use]
    pub fn is_store_up(&self) -> bool {
        self.instruments.redis_up.get() == 1
    }

    /// Looks at what nobody reports.
    pub fn look(&self, broker: &dyn Broker, consumption: &Consumption, runtime: &Arc<dyn Runtime>) {
        let of = &self.instruments;
        let condition = broker.condition();
        of.amqp_up.set(i64::from(condition.is_connected));
        of.amqp_blocked.set(i64::from(condition.is_blocked));
        of.amqp_unconfirmed.set(whole(condition.unconfirmed));
        let connection = broker.connection_generation();
        let before = self.connection.swap(connection, Ordering::Relaxed);
        if before != 0 {
            of.amqp_reconnects.inc_by(connection.saturating_sub(before));
        }
        for source in SourceKind::ALL {
            if let Some(at) = consumption.last_delivery(*source) {
                let ago = runtime.now().since(at);
                of.last_delivery
                    .with_label_values(&[source.name()])
                    .set(seconds_since_1970() - ago.as_secs_f64());
            }
        }
    }
}

/// By this machine's clock: a person compares it with the time that Prometheus shows, and nothing is decided by it.
#[expect(clippy::disallowed_methods, reason = "a scrape tells a date to people")]
fn seconds_since_1970() -> f64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl StoreMeter for PortMetrics {
    fn answered(&self, op: StoreOp, took: Duration, error: Option<StoreErrorKind>) {
        let of = &self.instruments;
        of.redis_up
            .set(i64::from(error != Some(StoreErrorKind::Unavailable)));
        if !op.is_wait() {
            of.redis_command
                .with_label_values(&[op.name()])
                .observe(took.as_secs_f64());
        }
        if let Some(error) = error {
            of.redis_errors.with_label_values(&[error.name()]).inc();
        }
    }
}

impl BrokerMeter for PortMetrics {
    fn published(&self, result: PublishResult, took: Duration) {
        let of = &self.instruments;
        of.amqp_publishes.with_label_values(&[result.name()]).inc();
        of.amqp_confirm.observe(took.as_secs_f64());
    }

    fn delivered(&self, source: SourceKind, redelivered: bool) {
        let redelivered = if redelivered { "true" } else { "false" };
        self.instruments
            .amqp_deliveries
            .with_label_values(&[source.name(), redelivered])
            .inc();
    }

    fn subscribed(&self, source: SourceKind) {
        self.instruments.amqp_ends.with_label_values(&[source.name()]);
        for redelivered in ["true", "false"] {
            self.instruments
                .amqp_deliveries
                .with_label_values(&[source.name(), redelivered]);
        }
    }

    fn unsubscribed(&self, source: SourceKind, end: SubscriptionEnd) {
        if end == SubscriptionEnd::Ended {
            self.instruments
                .amqp_ends
                .with_label_values(&[source.name()])
                .inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_metric_is_made_and_registered_once() {
        let registry = prometheus::Registry::new();
        PortMetrics::default().register(&registry).unwrap();
        assert!(PortMetrics::default().register(&registry).is_err());
    }

    #[test]
    fn the_store_is_up_after_any_answer_and_down_after_none() {
        let metrics = PortMetrics::default();
        let told = |error| {
            metrics.answered(StoreOp::Commit, Duration::ZERO, error);
            metrics.is_store_up()
        };
        assert!(told(None));
        assert!(!told(Some(StoreErrorKind::Unavailable)));
        assert!(told(Some(StoreErrorKind::Full)));
    }
}
