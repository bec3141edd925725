//! Owns contracts: the name of an activity or an orchestration together with what it takes and returns.
//! Never holds code: a worker registers a function under a contract, a caller calls it, both from one `const`.
//!
//! Names are checked when the constant is made, so a bad one does not compile.

use std::fmt;
use std::marker::PhantomData;

use longhaul_shared::id::{FunctionName, QueueName};
use longhaul_shared::limits;

/// An activity's name, what it takes (`I`) and what it returns (`O`).
///
/// ```
/// use longhaul_sdk::Activity;
///
/// pub const RESIZE: Activity<String, u64> = Activity::new("resize").on_queue("gpu");
/// assert_eq!(RESIZE.name(), "resize");
/// ```
///
/// A name that breaks the grammar (ASCII letters, digits, `_`, `-`, `.`; a letter or digit first) does not compile:
///
/// ```compile_fail
/// use longhaul_sdk::Activity;
///
/// pub const BAD: Activity<(), ()> = Activity::new("re size");
/// ```
pub struct Activity<I, O> {
    name: &'static str,
    queue: Option<&'static str>,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O> Activity<I, O> {
    /// The activity of this name, on the queue `default`.
    ///
    /// # Panics
    /// When the name breaks the grammar of names; in a `const` this is an error of the compiler.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        check_name(name);
        Self {
            name,
            queue: None,
            types: PhantomData,
        }
    }

    /// The same activity on another queue. A call may choose yet another with
    /// [`queue`](crate::context::ActivityCall::queue).
    ///
    /// # Panics
    /// When the queue's name breaks the grammar of names; in a `const` this is an error of the compiler.
    #[must_use]
    pub const fn on_queue(self, queue: &'static str) -> Self {
        check_name(queue);
        Self {
            queue: Some(queue),
            ..self
        }
    }

    /// The name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The name, as it is stored and sent.
    #[must_use]
    pub fn function_name(&self) -> FunctionName {
        checked_name(self.name)
    }

    /// The queue that a call goes to unless it says otherwise.
    #[must_use]
    pub fn queue(&self) -> QueueName {
        self.queue
            .and_then(|queue| QueueName::new(queue).ok())
            .unwrap_or_default()
    }
}

/// An orchestration's name, what it takes (`I`) and what it returns (`O`).
///
/// ```
/// use longhaul_sdk::Orchestration;
///
/// pub const BACKUP: Orchestration<String, u64> = Orchestration::new("backup");
/// assert_eq!(BACKUP.name(), "backup");
/// ```
pub struct Orchestration<I, O> {
    name: &'static str,
    types: PhantomData<fn(I) -> O>,
}

impl<I, O> Orchestration<I, O> {
    /// The orchestration of this name.
    ///
    /// # Panics
    /// When the name breaks the grammar of names; in a `const` this is an error of the compiler.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        check_name(name);
        Self {
            name,
            types: PhantomData,
        }
    }

    /// The name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The name, as it is stored and sent.
    #[must_use]
    pub fn function_name(&self) -> FunctionName {
        checked_name(self.name)
    }
}

impl<I, O> Clone for Activity<I, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I, O> Copy for Activity<I, O> {}

impl<I, O> fmt::Debug for Activity<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Activity({:?})", self.name)
    }
}

impl<I, O> Clone for Orchestration<I, O> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<I, O> Copy for Orchestration<I, O> {}

impl<I, O> fmt::Debug for Orchestration<I, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Orchestration({:?})", self.name)
    }
}

#[expect(
    clippy::expect_used,
    reason = "both constructors ran check_name, which is FunctionName's own rule; a test compares them"
)]
fn checked_name(name: &str) -> FunctionName {
    FunctionName::new(name).expect("a name that its contract has checked")
}

/// The rule of [`FunctionName`] and [`QueueName`], in a form that the compiler can run.
const fn check_name(name: &str) {
    assert!(!name.is_empty(), "the name is empty");
    assert!(
        name.len() <= limits::NAME_BYTES_MAX,
        "the name is too long: see limits::NAME_BYTES_MAX"
    );
    let mut rest = name.as_bytes();
    if let [first, ..] = rest {
        assert!(
            first.is_ascii_alphanumeric(),
            "a name starts with an ASCII letter or digit"
        );
    }
    while let [byte, tail @ ..] = rest {
        assert!(
            byte.is_ascii_alphanumeric() || matches!(*byte, b'_' | b'-' | b'.'),
            "a name is made of ASCII letters, digits, '_', '-' and '.'"
        );
        rest = tail;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contracts_and_stored_names_agree_on_what_a_name_is() {
        let long = "x".repeat(limits::NAME_BYTES_MAX);
        let longer = "x".repeat(limits::NAME_BYTES_MAX + 1);
        for name in [
            "a",
            "9",
            "v1.backup-2_x",
            "",
            "_a",
            "a b",
            "a/b",
            "ä",
            "a\n",
            &long,
            &longer,
        ] {
            let contract = std::panic::catch_unwind(|| check_name(name)).is_ok();
            assert_eq!(contract, FunctionName::new(name).is_ok(), "{name:?}");
            assert_eq!(contract, QueueName::new(name).is_ok(), "{name:?}");
        }
    }

    #[test]
    fn an_activity_without_a_queue_goes_to_the_default_one() {
        assert_eq!(Activity::<(), ()>::new("a").queue(), QueueName::default());
        assert_eq!(
            Activity::<(), ()>::new("a").on_queue("gpu").queue().as_str(),
            "gpu"
        );
    }
}
