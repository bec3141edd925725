//! What a rule has to say: where, which rule, what is wrong, and what to do about it.
//! Never decides whether it matters: a finding is an error.

use std::fmt;

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    /// Relative to the root of the workspace.
    pub(crate) path: String,
    /// From 1.
    pub(crate) line: usize,
    pub(crate) rule: &'static str,
    pub(crate) wrong: String,
    pub(crate) remedy: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            path,
            line,
            rule,
            wrong,
            remedy,
        } = self;
        write!(f, "{path}:{line}: [{rule}] {wrong}; {remedy}")
    }
}

/// `path:line wrong` of every finding, for the rules' own tests.
#[cfg(test)]
pub(crate) fn briefly(findings: &[Finding]) -> Vec<String> {
    findings
        .iter()
        .map(|finding| format!("{}:{} {}", finding.path, finding.line, finding.wrong))
        .collect()
}
