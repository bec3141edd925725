//! Owns the switch by which a simulation breaks one rule of the loops, to see that somebody would notice.
//! Never in a program: without the feature `mutants`, which only simulations ask for, every rule stands.

/// A rule of the loops that can be broken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Broken {
    /// The answer of a task that has its answer is taken for news.
    NoDedupe,
    /// An instance gets a turn while another of its turns is in progress.
    TwoTurnsAtOnce,
    /// The outbox of a partition that was taken over is not searched.
    OutboxNotSearched,
    /// An answer belongs to whatever is open under its task id.
    ResultMatchedByTaskOnly,
    /// A session is used again after the store said that it is stale.
    SessionKeptAfterConflict,
}

#[cfg(feature = "mutants")]
std::thread_local! {
    static BROKEN: std::cell::Cell<Option<Broken>> = const { std::cell::Cell::new(None) };
}

/// Breaks a rule for everything that runs on this thread, or none again.
#[cfg(feature = "mutants")]
pub fn break_rule(rule: Option<Broken>) {
    BROKEN.set(rule);
}

/// Whether this rule is broken here.
#[cfg(feature = "mutants")]
pub(crate) fn is_broken(rule: Broken) -> bool {
    BROKEN.get() == Some(rule)
}

/// Whether this rule is broken here: never.
#[cfg(not(feature = "mutants"))]
pub(crate) const fn is_broken(_rule: Broken) -> bool {
    false
}
