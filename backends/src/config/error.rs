//! Owns what can be wrong with a configuration, each as one line that says where, what and what to do.
//! Never repeats a secret.

use std::path::PathBuf;

use longhaul_shared::code::CONFIG_INVALID as CODE;

use super::key::{Key, VARIABLE_PREFIX};
use super::nearest::nearest;
use super::origin::Origin;
use super::url::masked;

/// Why a configuration is refused. Every text begins with the code LH1601.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// Something is said that nobody listens to.
    #[error("[{CODE}] unknown key {key:?} ({origin}){hint}")]
    Unknown {
        /// The key.
        key: String,
        /// Where it stands.
        origin: Origin,
        /// The question whether another was meant, ready to be appended.
        hint: String,
    },
    /// A value that its key does not allow.
    #[error("[{CODE}] {key} = {value:?} ({origin}) is not valid: write {allowed}")]
    Value {
        /// The key.
        key: &'static str,
        /// The value, masked if it may hold a secret.
        value: String,
        /// Where it stands.
        origin: Origin,
        /// What may be written.
        allowed: String,
    },
    /// The variables `OTEL_*` say what cannot be done.
    #[error("[{CODE}] {0}")]
    Traces(String),
    /// Two values that do not fit each other.
    #[error(
        "[{CODE}] {key} = {value} ({origin}) does not fit {other} = {other_value} ({other_origin}): {rule}"
    )]
    Conflict {
        /// The key to change.
        key: &'static str,
        /// Its value.
        value: String,
        /// Where that stands.
        origin: Origin,
        /// The key it does not fit.
        other: &'static str,
        /// Its value.
        other_value: String,
        /// Where that stands.
        other_origin: Origin,
        /// What must hold.
        rule: &'static str,
    },
    /// The file is not there, or may not be read.
    #[error("[{CODE}] the configuration file {} cannot be read: {reason}", path.display())]
    FileUnreadable {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// The file is no TOML.
    #[error("[{CODE}] {}:{line} is not valid TOML: {reason}", path.display())]
    FileSyntax {
        /// Which file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong there.
        reason: String,
    },
    /// Something on the command line is neither a flag nor its value.
    #[error("[{CODE}] {argument}: {reason}; --help shows what may be written")]
    Usage {
        /// What was written.
        argument: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl ConfigError {
    /// Nobody listens to this key; the nearest one is named as it would be written in that place.
    pub(super) fn unknown<'a>(key: &str, origin: Origin, known: impl Iterator<Item = &'a Key>) -> Self {
        let hint = match nearest(key, known) {
            None => ": --help lists the keys".to_owned(),
            Some(near) => match &origin {
                Origin::Variable(_) => format!(": did you mean {}?", near.variable()),
                Origin::Flag(_) => format!(": did you mean --{}?", near.name),
                Origin::Default | Origin::File { .. } => format!(": did you mean {}?", near.name),
            },
        };
        Self::Unknown {
            key: key.to_owned(),
            origin,
            hint,
        }
    }

    /// A variable that only looks like that of a key.
    pub(super) fn one_underscore(variable: &str, meant: &Key) -> Self {
        Self::Unknown {
            key: variable.trim_start_matches(VARIABLE_PREFIX).to_lowercase(),
            origin: Origin::Variable(variable.to_owned()),
            hint: format!(
                ": section and key are separated by two underscores, {}",
                meant.variable()
            ),
        }
    }

    /// A value that its key does not allow.
    pub(super) fn value(key: &Key, value: &str, origin: &Origin) -> Self {
        Self::Value {
            key: key.name,
            value: if key.is_secret() {
                masked(value)
            } else {
                value.to_owned()
            },
            origin: origin.clone(),
            allowed: key.allowed(),
        }
    }
}
