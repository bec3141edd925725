//! Owns failures as data: what history records when a task or an instance did not succeed.
//! Never wraps a live error: once written, a failure is plain values that any language can read.
//!
//! It maps onto the Durable Task family's `TaskFailureDetails`: type, message, cause, whether to retry.

use std::any::Any;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::payload::Payload;

/// What a caught panic said, if it was a text.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> Option<&str> {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
}

/// What kind of failure it is, to be acted on. The texts are stored: pinned; an unknown one reads as
/// [`FailureKind::Other`] and is kept.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(into = "String", from = "String")]
pub enum FailureKind {
    /// The author's function returned an error.
    Application,
    /// The function panicked.
    Panicked,
    /// It did not answer within its timeout.
    TimedOut,
    /// An input or output could not be read as the declared type.
    Undecodable,
    /// An input, output or history is over its bound.
    OverLimit,
    /// It was set aside after too many attempts that ended without an answer.
    Poisoned,
    /// A kind this version does not know.
    Other(String),
}

impl FailureKind {
    /// The stored text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Application => "application",
            Self::Panicked => "panicked",
            Self::TimedOut => "timed_out",
            Self::Undecodable => "undecodable",
            Self::OverLimit => "over_limit",
            Self::Poisoned => "poisoned",
            Self::Other(text) => text,
        }
    }
}

impl From<FailureKind> for String {
    fn from(kind: FailureKind) -> Self {
        kind.as_str().to_owned()
    }
}

impl From<String> for FailureKind {
    fn from(text: String) -> Self {
        match text.as_str() {
            "application" => Self::Application,
            "panicked" => Self::Panicked,
            "timed_out" => Self::TimedOut,
            "undecodable" => Self::Undecodable,
            "over_limit" => Self::OverLimit,
            "poisoned" => Self::Poisoned,
            _ => Self::Other(text),
        }
    }
}

/// Why a task or an instance did not succeed, as history keeps it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Failure {
    /// What to act on.
    #[serde(rename = "k")]
    pub kind: FailureKind,
    /// The error's own type name where there is one, e.g. `std::io::Error`; else empty.
    #[serde(rename = "t", default, skip_serializing_if = "String::is_empty")]
    pub error_type: String,
    /// What happened, for people.
    #[serde(rename = "m")]
    pub message: String,
    /// Whether a retry policy must not try again.
    #[serde(rename = "nr", default, skip_serializing_if = "std::ops::Not::not")]
    pub non_retriable: bool,
    /// What the author attached for the caller to read.
    #[serde(rename = "d", default, skip_serializing_if = "Option::is_none")]
    pub details: Option<Payload>,
    /// What caused it.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub cause: Option<Box<Failure>>,
}

impl Failure {
    /// A failure of this kind. A message over [`limits::FAILURE_MESSAGE_BYTES_MAX`] is cut and marked with `…`.
    #[must_use]
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            error_type: String::new(),
            message: shortened(message.into()),
            non_retriable: false,
            details: None,
            cause: None,
        }
    }

    /// A failure that tells an error and, as far as [`limits::FAILURE_CAUSES_MAX`], what caused it.
    #[must_use]
    pub fn from_error(kind: FailureKind, error: &(dyn std::error::Error + 'static)) -> Self {
        Self::from_error_at(kind, error, limits::FAILURE_CAUSES_MAX)
    }

    fn from_error_at(
        kind: FailureKind,
        error: &(dyn std::error::Error + 'static),
        causes_left: usize,
    ) -> Self {
        let mut failure = Self::new(kind.clone(), error.to_string());
        if causes_left > 0 {
            failure.cause = error
                .source()
                .map(|cause| Box::new(Self::from_error_at(kind, cause, causes_left - 1)));
        }
        failure
    }

    /// The same failure, naming the error's type.
    #[must_use]
    pub fn with_type(mut self, error_type: impl Into<String>) -> Self {
        self.error_type = error_type.into();
        self
    }

    /// The same failure, not to be retried.
    #[must_use]
    pub fn not_retriable(mut self) -> Self {
        self.non_retriable = true;
        self
    }

    /// The same failure, caused by another.
    #[must_use]
    pub fn caused_by(mut self, cause: Self) -> Self {
        self.cause = Some(Box::new(cause));
        self
    }
}

fn shortened(mut message: String) -> String {
    const MARK: &str = "…";
    if message.len() > limits::FAILURE_MESSAGE_BYTES_MAX {
        let mut end = limits::FAILURE_MESSAGE_BYTES_MAX - MARK.len();
        while !message.is_char_boundary(end) {
            end -= 1;
        }
        message.truncate(end);
        message.push_str(MARK);
    }
    message
}

impl fmt::Display for Failure {
    /// The message and its causes on one line: `copy failed: no space left on device`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        let mut cause = self.cause.as_deref();
        while let Some(failure) = cause {
            write!(f, ": {}", failure.message)?;
            cause = failure.cause.as_deref();
        }
        Ok(())
    }
}

impl std::error::Error for Failure {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_cut_at_a_character() {
        let failure = Failure::new(
            FailureKind::Application,
            "ü".repeat(limits::FAILURE_MESSAGE_BYTES_MAX),
        );
        assert!(failure.message.len() <= limits::FAILURE_MESSAGE_BYTES_MAX);
        assert!(failure.message.ends_with('…'));
    }

    #[test]
    fn an_unknown_kind_is_kept() {
        let kind = FailureKind::from("quota".to_owned());
        assert_eq!(String::from(kind), "quota");
    }

    #[test]
    fn causes_are_told() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::io::Error);
        let failure = Failure::from_error(
            FailureKind::Application,
            &Outer(std::io::Error::other("disk on fire")),
        );
        assert_eq!(failure.to_string(), "outer: disk on fire");
    }
}
