//! Owns the errors of authors' functions: what a call answers, what an orchestration or an activity returns.
//! Never enters history itself: there an error is a [`Failure`], plain values that any language can read.

use std::any::Any;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

use longhaul_shared::failure::{Failure, FailureKind};
use longhaul_shared::limits;
use longhaul_shared::payload::EncodeError;
use serde::Serialize;

use crate::value::to_payload;

/// Any error that an activity or an inline step may return.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// Why an activity or an inline step that an orchestration called did not succeed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TaskError {
    step: &'static str,
    name: Arc<str>,
    attempts: u32,
    failure: Failure,
}

/// What [`OrchestrationContext::activity`](crate::OrchestrationContext::activity) answers when it fails.
pub type ActivityError = TaskError;

impl TaskError {
    pub(crate) fn new(step: &'static str, name: Arc<str>, attempts: u32, failure: Failure) -> Self {
        Self {
            step,
            name,
            attempts,
            failure,
        }
    }

    /// The name of the activity or inline step.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// How often it was tried; 0 = it could not even be scheduled.
    #[must_use]
    pub fn attempts(&self) -> u32 {
        self.attempts
    }

    /// Why the last attempt failed.
    #[must_use]
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// Why the last attempt failed.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        self.failure
    }

    /// What failed, without why: `activity "copy_file" failed after 3 attempts`.
    fn summary(&self) -> String {
        let Self { step, name, .. } = self;
        match self.attempts {
            0 => format!("{step} {name:?} could not be scheduled"),
            1 => format!("{step} {name:?} failed"),
            attempts => format!("{step} {name:?} failed after {attempts} attempts"),
        }
    }
}

impl fmt::Display for TaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.summary(), self.failure)
    }
}

impl Error for TaskError {}

/// Why an orchestration failed. Any error becomes one with `?`; so does a text, with [`OrchestrationError::new`].
///
/// Like `anyhow::Error` it is not itself a [`std::error::Error`]: that would forbid the conversion.
#[derive(Clone, PartialEq, Eq)]
pub struct OrchestrationError {
    failure: Box<Failure>,
}

impl OrchestrationError {
    /// An error of the author's own.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Failure::new(FailureKind::Application, message).into()
    }

    /// The error that this boxed one is.
    #[must_use]
    pub fn from_boxed(error: BoxError) -> Self {
        failure_of(error, "").into()
    }

    /// The same error, which a caller's retry policy must not try again.
    #[must_use]
    pub fn not_retriable(mut self) -> Self {
        self.failure.non_retriable = true;
        self
    }

    /// The same error, carrying a value for the caller to read.
    ///
    /// # Errors
    /// [`EncodeError`] when the value cannot be encoded or is over its limit.
    pub fn with_details<T: Serialize + 'static>(mut self, details: &T) -> Result<Self, EncodeError> {
        self.failure.details = Some(to_payload(details)?);
        Ok(self)
    }

    /// The failure that history will keep.
    #[must_use]
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// The failure that history will keep.
    #[must_use]
    pub fn into_failure(self) -> Failure {
        *self.failure
    }
}

impl fmt::Display for OrchestrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.failure, f)
    }
}

impl fmt::Debug for OrchestrationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.failure, f)
    }
}

impl<E: Error + Send + Sync + 'static> From<E> for OrchestrationError {
    fn from(error: E) -> Self {
        let error_type = std::any::type_name::<E>();
        let mut error = Some(error);
        let own = (&mut error as &mut dyn Any)
            .downcast_mut::<Option<Failure>>()
            .and_then(Option::take);
        let failure = match (own, error) {
            (Some(failure), _) => failure,
            (None, Some(error)) => failure_of(Box::new(error), error_type),
            (None, None) => Failure::new(FailureKind::Application, error_type),
        };
        Self {
            failure: Box::new(failure),
        }
    }
}

/// An error that a retry policy must not try again: the next attempt would fail alike.
///
/// ```
/// use longhaul_sdk::{ActivityContext, BoxError, NonRetriable};
///
/// async fn charge(_ctx: ActivityContext, card: String) -> Result<u64, BoxError> {
///     if card.is_empty() {
///         return Err(NonRetriable::new("the order names no card").into());
///     }
///     Ok(card.parse().map_err(NonRetriable::new)?)
/// }
/// ```
#[derive(Debug)]
pub struct NonRetriable {
    mark: Mark,
}

/// What tells a [`NonRetriable`] inside another error: it is found as that error's source, whatever wraps it.
#[derive(Debug)]
struct Mark {
    error: BoxError,
}

impl NonRetriable {
    /// This error (or text), not to be tried again.
    #[must_use]
    pub fn new(error: impl Into<BoxError>) -> Self {
        Self {
            mark: Mark { error: error.into() },
        }
    }
}

impl fmt::Display for NonRetriable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.mark, f)
    }
}

impl Error for NonRetriable {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.mark)
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.error, f)
    }
}

impl Error for Mark {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

/// The failure that history keeps of an author's error. A [`Failure`] is kept as it is; a [`TaskError`] becomes
/// the cause; a [`NonRetriable`] anywhere in the chain marks the whole.
pub(crate) fn failure_of(error: BoxError, error_type: &str) -> Failure {
    let error = match error.downcast::<Failure>() {
        Ok(failure) => return *failure,
        Err(other) => other,
    };
    let error = match error.downcast::<TaskError>() {
        Ok(task) => {
            return Failure::new(FailureKind::Application, task.summary())
                .with_type("TaskError")
                .caused_by(task.failure);
        }
        Err(other) => other,
    };
    let marked = chain(&*error).any(|link| link.is::<Mark>());
    let mut failure = failure_of_chain(&*error, limits::FAILURE_CAUSES_MAX).with_type(error_type);
    failure.non_retriable = marked;
    failure
}

/// The name of an author's error type, or nothing where it is only a box around one.
pub(crate) fn error_type_of<E>() -> &'static str {
    let name = std::any::type_name::<E>();
    if name.contains("dyn ") || name == "anyhow::Error" {
        ""
    } else {
        name
    }
}

/// As [`Failure::from_error`], but passing over a [`NonRetriable`], which says what its source says.
fn failure_of_chain(error: &(dyn Error + 'static), causes_left: usize) -> Failure {
    let mut failure = Failure::new(FailureKind::Application, error.to_string());
    let cause = match error.source() {
        Some(mark) if mark.is::<Mark>() => mark.source(),
        other => other,
    };
    if let Some(cause) = cause.filter(|_| causes_left > 0) {
        failure.cause = Some(Box::new(failure_of_chain(cause, causes_left - 1)));
    }
    failure
}

fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |link| (*link).source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] BoxError);

    fn task_error(attempts: u32) -> TaskError {
        let failure = Failure::new(FailureKind::Application, "disk full");
        TaskError::new("activity", Arc::from("copy"), attempts, failure)
    }

    #[test]
    fn a_task_error_reads_well() {
        let check = |attempts, text: &str| assert_eq!(task_error(attempts).to_string(), text);
        check(0, r#"activity "copy" could not be scheduled: disk full"#);
        check(1, r#"activity "copy" failed: disk full"#);
        check(3, r#"activity "copy" failed after 3 attempts: disk full"#);
    }

    #[test]
    fn a_task_error_becomes_the_cause_of_an_orchestration_error() {
        let error = OrchestrationError::from(task_error(3));
        assert_eq!(
            error.to_string(),
            r#"activity "copy" failed after 3 attempts: disk full"#
        );
        assert_eq!(error.failure().cause.as_deref(), Some(task_error(3).failure()));
    }

    #[test]
    fn a_failure_is_kept_as_it_is() {
        let failure = Failure::new(FailureKind::TimedOut, "late").not_retriable();
        assert_eq!(OrchestrationError::from(failure.clone()).into_failure(), failure);
        assert_eq!(failure_of(Box::new(failure.clone()), "x"), failure);
    }

    #[test]
    fn an_error_is_told_with_its_type_and_causes() {
        let error = OrchestrationError::from(Outer("inner".into()));
        assert_eq!(error.to_string(), "outer: inner");
        assert!(error.failure().error_type.ends_with("Outer"));
        assert!(!error.failure().non_retriable);
    }

    #[test]
    fn a_non_retriable_error_is_found_whatever_wraps_it() {
        let check = |error: BoxError, text: &str| {
            let failure = failure_of(error, "");
            assert!(failure.non_retriable, "{text}");
            assert_eq!(failure.to_string(), text);
        };
        check(NonRetriable::new("bad card").into(), "bad card");
        check(
            Outer(NonRetriable::new("bad card").into()).into(),
            "outer: bad card",
        );
        check(NonRetriable::new(Outer("inner".into())).into(), "outer: inner");
        check(
            anyhow::Error::from(NonRetriable::new("bad card")).into(),
            "bad card",
        );
        check(
            anyhow::Error::from(NonRetriable::new("bad card"))
                .context("charging")
                .into(),
            "charging: bad card",
        );
    }
}
