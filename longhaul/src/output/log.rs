//! Owns what the program logs, on standard error.
//! Never mixes logs into a command's own words unless somebody asked for them.

use std::io::IsTerminal;

use longhaul_backends::config::{Config, LogFormat, Origin};
use tracing_subscriber::EnvFilter;

/// Who speaks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Voice {
    /// A command that ends soon: silent unless a flag or a variable asks for logs.
    Command,
    /// A program that stays: as configured.
    Server,
}

/// Begins to log.
///
/// # Errors
/// That the configured filter is none.
pub(crate) fn init(config: &Config, voice: Voice) -> anyhow::Result<()> {
    let is_asked_for = matches!(config.origin("log.level"), Origin::Flag(_) | Origin::Variable(_));
    let level = match voice {
        Voice::Command if !is_asked_for => "off",
        Voice::Command | Voice::Server => config.log.level.as_str(),
    };
    let filter = EnvFilter::try_new(level).map_err(|_| config.refuse("log.level"))?;
    let color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let logs = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(color && std::io::stderr().is_terminal());
    let begun = match config.log.format {
        LogFormat::Pretty => logs.try_init(),
        LogFormat::Json => logs.json().try_init(),
    };
    begun.map_err(anyhow::Error::from_boxed)
}
