//! Owns what the program logs, on standard error.
//! Never mixes logs into a command's own words unless somebody asked for them.

use longhaul_backends::config::{Config, ConfigError, Logging, Origin};

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
pub(crate) fn init(config: &Config, voice: Voice) -> Result<Logging, ConfigError> {
    let is_asked_for = matches!(config.origin("log.level"), Origin::Flag(_) | Origin::Variable(_));
    let level = match voice {
        Voice::Command if !is_asked_for => "off",
        Voice::Command | Voice::Server => config.log.level.as_str(),
    };
    config.start_logging_at(level, env!("CARGO_BIN_NAME"), env!("CARGO_PKG_VERSION"))
}
