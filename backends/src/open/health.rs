//! Owns what a program's ports have to be like for it to be ready: both servers answer, and it is handed messages.
//! Never asks a server: it tells what the last calls have shown.

use std::sync::Arc;

use longhaul_shared::port::{Ports, Source};
use longhaul_telemetry::Check;

use crate::metered::{Consumption, PortMetrics};

/// Looks at the ports whenever it is asked, shows what it sees in the metrics, and says what is wrong. A program that is
/// to consume these sources and does not is deaf, whatever else is well.
pub(super) fn checks(
    ports: Ports,
    metrics: Arc<PortMetrics>,
    consumption: Consumption,
    sources: Vec<Source>,
) -> impl Fn() -> Vec<Check> + Send + Sync + 'static {
    move || {
        metrics.look(&*ports.broker, &consumption, &ports.runtime);
        let broker = ports.broker.condition();
        let deaf: Vec<_> = sources
            .iter()
            .filter(|source| !consumption.is_consuming(std::slice::from_ref(source)))
            .map(|source| format!("{source:?}"))
            .collect();
        vec![
            Check::that(
                "store",
                metrics.is_store_up(),
                "Redis did not answer the last call; the log says why",
            ),
            Check::that(
                "broker",
                broker.is_connected,
                "there is no connection to RabbitMQ; the log says why",
            ),
            Check::that(
                "consuming",
                deaf.is_empty(),
                format!(
                    "nothing is received from {}: its queue does not exist yet, or the subscription was lost",
                    deaf.join(", ")
                ),
            ),
        ]
    }
}
