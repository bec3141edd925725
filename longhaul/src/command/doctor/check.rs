//! Owns one finding of the doctor: what was looked at, how it is, and what to do about it.
//! Never looks itself.

use crate::output::code_in;

/// How something is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Verdict {
    Ok,
    /// It works, and somebody should look at it.
    Warn,
    /// Something does not work.
    Fail,
}

impl Verdict {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }
}

/// A number with the word for what it counts, which takes an `s` in the plural.
pub(super) fn counted(count: u64, what: &str) -> String {
    let s = if count == 1 { "" } else { "s" };
    format!("{count} {what}{s}")
}

/// One check.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Check {
    pub(super) name: &'static str,
    pub(super) verdict: Verdict,
    /// What was found, with its numbers.
    pub(super) finding: String,
    /// What to do; nothing if all is well.
    pub(super) remedy: Option<String>,
}

impl Check {
    pub(super) fn ok(name: &'static str, finding: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Ok,
            finding: finding.into(),
            remedy: None,
        }
    }

    pub(super) fn warn(name: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            name,
            verdict: Verdict::Warn,
            finding: finding.into(),
            remedy: Some(remedy.into()),
        }
    }

    pub(super) fn fail(name: &'static str, finding: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            verdict: Verdict::Fail,
            ..Self::warn(name, finding, remedy)
        }
    }

    /// An error of a server, with what its code says is to be done.
    pub(super) fn error(name: &'static str, error: &dyn std::error::Error) -> Self {
        let finding = error.to_string();
        let remedy = code_in(&finding).map(|code| {
            let more = format!("`longhaul explain {code}` says more.");
            match finding.contains(code.fix().trim_end_matches('.')) {
                true => more,
                false => format!("{} {more}", code.fix()),
            }
        });
        Self {
            name,
            verdict: Verdict::Fail,
            finding,
            remedy,
        }
    }
}
