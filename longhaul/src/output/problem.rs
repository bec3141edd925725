//! Owns how an error is told: what, why and what to do, and with which exit code.
//! Never hides a cause.

use std::io;
use std::process::ExitCode;

use longhaul_backends::config::ConfigError;
use longhaul_backends::open::OpenError;
use longhaul_shared::code::{self, Code};
use serde_json::{Value, json};

use super::table::clean_lines;

/// The command was asked wrongly: exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(String);

impl Usage {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// An error, ready to be told.
pub(super) struct Problem {
    what: String,
    code: Option<Code>,
    is_usage: bool,
    /// Whether the error says itself what to do.
    has_remedy: bool,
}

impl Problem {
    /// What there is to tell; nothing when it is only that nobody reads the results any more (`longhaul list | head`).
    pub(super) fn of(error: &anyhow::Error) -> Option<Self> {
        let is_closed_pipe = |error: &(dyn std::error::Error + 'static)| {
            error
                .downcast_ref::<io::Error>()
                .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
        };
        if error.chain().any(is_closed_pipe) {
            return None;
        }
        let what = format!("{error:#}");
        Some(Self {
            code: code_in(&what),
            is_usage: error.is::<Usage>() || error.is::<ConfigError>(),
            has_remedy: error.is::<OpenError>() || error.is::<ConfigError>(),
            what,
        })
    }

    /// What to do, unless the error says it.
    fn fix(&self) -> Option<&'static str> {
        let fix = self.code?.fix();
        (!self.has_remedy && !self.what.contains(fix.trim_end_matches('.'))).then_some(fix)
    }

    pub(super) fn render(&self, color: bool) -> String {
        let (red, dim, end) = if color {
            ("\x1b[1;31m", "\x1b[2m", "\x1b[0m")
        } else {
            ("", "", "")
        };
        let what = clean_lines(&self.what);
        let mut text = format!("{red}error:{end} {what}");
        if let Some(fix) = self.fix() {
            text.push_str(&format!("\n  {dim}fix:{end} {fix}"));
        }
        text
    }

    pub(super) fn value(&self) -> Value {
        json!({
            "error": {
                "code": self.code.map(|code| code.to_string()),
                "message": self.what,
                "fix": self.fix(),
            }
        })
    }

    pub(super) fn exit_code(&self) -> ExitCode {
        ExitCode::from(if self.is_usage { 2 } else { 1 })
    }
}

/// The first code in a text: `[LH1201]`.
pub(crate) fn code_in(text: &str) -> Option<Code> {
    let (_, rest) = text.split_once("[LH")?;
    let (digits, _) = rest.split_once(']')?;
    code::find(digits)
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn an_error_is_told_with_its_causes_and_its_remedy() {
        let error = anyhow::anyhow!("[LH1201] there is no instance a").context("showing it");
        let problem = Problem::of(&error).unwrap();
        let text = problem.render(false);
        assert_eq!(
            text,
            format!(
                "error: showing it: [LH1201] there is no instance a\n  fix: {}",
                code::INSTANCE_UNKNOWN.fix()
            )
        );
        assert_eq!(problem.value()["error"]["code"], "LH1201");
    }

    #[test]
    fn a_remedy_is_not_told_twice() {
        let fix = code::STORE_UNREACHABLE.fix().trim_end_matches('.');
        let problem =
            Problem::of(&anyhow::anyhow!("[LH1501] no answer. {fix} (redis.url: default)")).unwrap();
        assert!(!problem.render(false).contains("fix:"));
    }

    #[test]
    fn a_closed_pipe_is_no_problem() {
        let closed = io::Error::from(io::ErrorKind::BrokenPipe);
        let error = Err::<(), _>(closed).context("listing").unwrap_err();
        assert!(Problem::of(&error).is_none());
    }
}
