//! Owns what the `log` section does: it makes the process's log, on standard error.
//! Never for libraries: a program calls it once, before it does anything else.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;

use super::error::ConfigError;
use super::sections::Config;
use super::setting::LogFormat;

/// lapin calls each connection that ends an error of its own, several times over. The adapter says the same once,
/// where it is handled, and knows whether somebody must act. A filter that names lapin still shows it.
const QUIET: &str = "lapin=off";

impl Config {
    /// Sends what the program says about itself to standard error, as the `log` section wants it; in colour only
    /// to a terminal, and not where `NO_COLOR` is set. Does nothing if the process has a log already.
    ///
    /// # Errors
    /// [`ConfigError::Value`] if `log.level` cannot be understood.
    pub fn start_logging(&self) -> Result<(), ConfigError> {
        let filter = EnvFilter::try_new(format!("{QUIET},{}", self.log.level));
        let filter = filter.map_err(|_| self.refuse("log.level"))?;
        let lines = tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(io::stderr);
        let is_colourful = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
        let _already_there = match self.log.format {
            LogFormat::Pretty => lines.with_ansi(is_colourful).try_init(),
            LogFormat::Json => lines.json().flatten_event(true).try_init(),
        };
        Ok(())
    }
}
