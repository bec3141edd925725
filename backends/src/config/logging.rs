//! Owns what the `log` section does: it makes the process's log, on standard error.
//! Never for libraries: a program calls it once, before it does anything else.

use std::io::{self, IsTerminal};

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
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

impl Config {
    /// Sends what the program says about itself to standard error, as the `log` section wants it; in colour only
    /// to a terminal, and not where `NO_COLOR` is set. Does nothing if the process has a log already.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if `log.level` cannot be understood.
    pub fn start_logging(&self) -> Result<(), ConfigError> {
        self.start_logging_at(&self.log.level)
    }

    /// The same for a program that has its own idea of the level.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if the level cannot be understood; it is taken for that of `log.level`.
    pub fn start_logging_at(&self, level: &str) -> Result<(), ConfigError> {
        let filter = EnvFilter::try_new(format!("{QUIET},{level}"));
        let filter = filter.map_err(|_| self.refuse("log.level"))?;
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr);
        let is_plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let is_colourful = io::stderr().is_terminal() && !is_plain;
        let safe = filter_fn(is_safe);
        let _already_there = match self.log.format {
            LogFormat::Pretty => lines.with_ansi(is_colourful).finish().with(safe).try_init(),
            LogFormat::Json => lines.json().flatten_event(true).finish().with(safe).try_init(),
        };
        Ok(())
    }
}

/// Whether an event or a span can hold nothing of the wire.
fn is_safe(metadata: &Metadata<'_>) -> bool {
    let root = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::INFO || !DRIVERS.contains(&root)
}
