//! Owns the bound on names that come from outside and become labels: after so many, all others are `other`.
//! Never forgets a name: a label that has been shown stays.

use std::collections::BTreeSet;
use std::sync::{PoisonError, RwLock};

/// What every name beyond the bound is called.
const OTHER: &str = "other";

/// The names that are shown as they are.
#[derive(Debug)]
pub struct Names {
    max: usize,
    known: RwLock<BTreeSet<String>>,
}

impl Names {
    /// At most so many distinct names.
    #[must_use]
    pub const fn at_most(max: usize) -> Self {
        Self {
            max,
            known: RwLock::new(BTreeSet::new()),
        }
    }

    /// The name, or `other` if too many distinct ones came before it.
    pub fn label<'a>(&self, name: &'a str) -> &'a str {
        if self
            .known
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .contains(name)
        {
            return name;
        }
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        if known.len() < self.max {
            known.insert(name.to_owned());
        }
        if known.contains(name) { name } else { OTHER }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_beyond_the_bound_are_one() {
        let names = Names::at_most(2);
        assert_eq!(
            ["a", "b", "c", "a", "d"].map(|name| names.label(name)),
            ["a", "b", "other", "a", "other"]
        );
    }
}
