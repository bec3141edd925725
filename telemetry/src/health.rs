//! Owns what healthy means: a list of named checks, each of which holds or says why not.
//! Never looks at anything itself: whoever runs a program says what its checks are.

use std::fmt;

/// One thing that must hold.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Check {
    /// What it is about: `redis`, `rabbitmq`, `consuming`.
    pub name: &'static str,
    /// `None` if it holds, otherwise what is wrong.
    pub wrong: Option<String>,
}

impl Check {
    /// A check that holds if `holds`; otherwise `wrong` says what is amiss.
    #[must_use]
    pub fn that(name: &'static str, holds: bool, wrong: impl Into<String>) -> Self {
        Self {
            name,
            wrong: (!holds).then(|| wrong.into()),
        }
    }
}

/// Everything that must hold.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Health {
    /// In the order in which a person would look.
    pub checks: Vec<Check>,
}

impl Health {
    /// Whether all of it holds.
    #[must_use]
    pub fn is_good(&self) -> bool {
        self.checks.iter().all(|check| check.wrong.is_none())
    }
}

impl fmt::Display for Health {
    /// A line for each check.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for Check { name, wrong } in &self.checks {
            match wrong {
                None => writeln!(f, "ok   {name}")?,
                Some(wrong) => writeln!(f, "FAIL {name}: {wrong}")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_does_not_hold_is_enough() {
        let checks = vec![
            Check::that("a", true, "never"),
            Check::that("b", false, "b is away"),
        ];
        let health = Health { checks };
        assert!(!health.is_good());
        assert_eq!(health.to_string(), "ok   a\nFAIL b: b is away\n");
        assert!(Health::default().is_good());
    }
}
