//! Owns what a turn knows of the lease under which it runs: the token, and whether it was taken over in good order.
//! Never takes or renews a lease: `ownership` does.

use longhaul_shared::id::LeaseToken;
use longhaul_shared::time::Timestamp;

/// A partition's lease, as its turns know it.
#[derive(Clone, Debug)]
pub(crate) struct Tenure {
    pub(crate) token: LeaseToken,
    /// When it began, if the owner before did not give the lease back.
    pub(crate) unclean_since: Option<Timestamp>,
}

impl Tenure {
    /// Whether the owner before may have died of an instance whose code last ran then.
    pub(crate) fn suspects(&self, last_run: Timestamp) -> bool {
        self.unclean_since.is_some_and(|since| last_run < since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_has_not_run_since_an_unclean_takeover_is_suspect() {
        let at = Timestamp::from_micros;
        let tenure = |unclean_since| Tenure {
            token: LeaseToken::new(1, 1),
            unclean_since,
        };
        assert!(tenure(Some(at(5))).suspects(at(4)));
        assert!(!tenure(Some(at(5))).suspects(at(5)), "it ran under this lease");
        assert!(!tenure(None).suspects(at(4)), "the lease was given back");
    }
}
