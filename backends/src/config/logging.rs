//! Owns what the `log` section does: it makes the process's log, on standard error, and sends its traces.
//! Never for libraries: a program calls it once, before it does anything else.

use std::io::{self, IsTerminal};

use longhaul_telemetry::traces;
#[cfg(feature = "otlp")]
use longhaul_telemetry::traces::Traces;
use tracing::{Level, Metadata, Subscriber};
use tracing_subscriber::filter::{FilterExt, LevelFilter, Targets, filter_fn};
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

use super::error::ConfigError;
use super::sections::Config;
use super::setting::LogFormat;

/// lapin calls each connection that ends an error of its own, several times over. The adapter says the same once,
/// where it is handled, and knows whether somebody must act. A filter that names lapin still shows it.
const QUIET: &str = "lapin=off";

/// Those who see the wire. What they log of it in detail may hold a password, or somebody's payload: no filter shows
/// that.
const DRIVERS: [&str; 9] = [
    "amq_protocol",
    "amq_protocol_tcp",
    "amq_protocol_types",
    "amq_protocol_uri",
    "async_rs",
    "lapin",
    "redis",
    "rustls",
    "tokio_rustls",
];

/// Where what the program says goes, for as long as it lives: keep it until the program ends.
#[derive(Debug)]
#[must_use = "the last spans leave when it is dropped"]
pub struct Logging {
    #[cfg(feature = "otlp")]
    _traces: Option<Traces>,
}

impl Config {
    /// Sends what the program says about itself to standard error, as the `log` section wants it; in colour only
    /// to a terminal, and not where `NO_COLOR` is set. Its spans go to a collector, as those of this service, if the
    /// environment asks for that and the program was built with the feature `otlp`. Does nothing if the process has
    /// a log already.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if `log.level` cannot be understood, [`ConfigError::Traces`] if the variables `OTEL_*`
    /// cannot be followed.
    pub fn start_logging(&self, service: &str, version: &str) -> Result<Logging, ConfigError> {
        self.start_logging_at(&self.log.level, service, version)
    }

    /// The same for a program that has its own idea of the level.
    ///
    /// # Errors
    /// As above; a level that cannot be understood is taken for that of `log.level`.
    pub fn start_logging_at(
        &self,
        level: &str,
        service: &str,
        version: &str,
    ) -> Result<Logging, ConfigError> {
        let filter = targets(level).ok_or_else(|| self.refuse("log.level"))?;
        let safe = filter_fn(is_safe).with_max_level_hint(widest(&filter));
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_colourful = io::stderr().is_terminal() && !is_plain;
        let lines = fmt::layer().with_writer(io::stderr);
        let lines = match self.log.format {
            LogFormat::Pretty => lines.with_ansi(is_colourful).boxed(),
            LogFormat::Json => lines.json().flatten_event(true).boxed(),
        };
        let subscriber = tracing_subscriber::registry().with(lines.with_filter(filter.and(safe)));
        begin(subscriber, service, version)
    }
}

#[cfg(feature = "otlp")]
fn begin<S>(subscriber: S, service: &str, version: &str) -> Result<Logging, ConfigError>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let wanted = traces::are_asked_for();
    let traces = wanted.then(|| Traces::start(service, version)).transpose();
    let traces = traces.map_err(|error| ConfigError::Traces(error.to_string()))?;
    let shown = filter_fn(|metadata| !is_of_driver(metadata) && traces::is_shown(metadata));
    let shown = shown.with_max_level_hint(LevelFilter::DEBUG);
    let layer = traces.as_ref().map(|traces| traces.layer().with_filter(shown));
    let _already_there = subscriber.with(layer).try_init();
    Ok(Logging { _traces: traces })
}

#[cfg(not(feature = "otlp"))]
fn begin<S>(subscriber: S, _service: &str, _version: &str) -> Result<Logging, ConfigError>
where
    S: Subscriber + for<'span> LookupSpan<'span> + Send + Sync,
{
    let _already_there = subscriber.try_init();
    if traces::are_asked_for() {
        tracing::warn!(
            "the environment names a collector ({}), but this program was built without the feature `otlp`: it sends \
             no traces",
            traces::ENDPOINT_VARIABLES.join(" or ")
        );
    }
    Ok(Logging {})
}

/// Levels by module, as `RUST_LOG` has them; without a half of one, which would count as something.
fn targets(level: &str) -> Option<Targets> {
    let directives = level
        .split(',')
        .map(str::trim)
        .filter(|directive| !directive.is_empty());
    let directives: Vec<&str> = [QUIET].into_iter().chain(directives).collect();
    let is_whole = |directive: &&str| directive.split('=').all(|part| !part.trim().is_empty());
    let are_whole = directives.iter().all(is_whole);
    are_whole.then(|| directives.join(",").parse().ok()).flatten()
}

/// The most that any module may say.
fn widest(filter: &Targets) -> LevelFilter {
    let levels = filter
        .iter()
        .map(|(_, level)| level)
        .chain(filter.default_level());
    levels.max().unwrap_or(LevelFilter::OFF)
}

/// Whether an event or a span can hold nothing of the wire.
fn is_safe(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || !is_of_driver(metadata)
}

fn is_of_driver(metadata: &Metadata<'_>) -> bool {
    let root = metadata.target().split("::").next().unwrap_or_default();
    DRIVERS.contains(&root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_by_module_count_and_a_half_of_one_is_refused() {
        let filter = targets("info, longhaul_backends=debug,h2=off").unwrap();
        assert!(
            filter.would_enable("anything", &Level::INFO) && !filter.would_enable("anything", &Level::DEBUG)
        );
        assert!(filter.would_enable("longhaul_backends::redis", &Level::DEBUG));
        assert!(!filter.would_enable("h2", &Level::ERROR) && !filter.would_enable("lapin", &Level::ERROR));
        assert_eq!(widest(&filter), LevelFilter::DEBUG);
        assert!(
            targets("lapin=trace")
                .unwrap()
                .would_enable("lapin::io_loop", &Level::TRACE)
        );
        for half in ["info,=", "=debug", "longhaul=", "a=b=c", "a=loud"] {
            assert!(targets(half).is_none(), "{half}");
        }
    }
}
