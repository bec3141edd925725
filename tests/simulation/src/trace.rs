//! Owns the trace of a run: what happened when, one line each, kept only if somebody wants to read it.
//! Never decides anything, so that a run is the same with and without.

use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};

use crate::executor::Micros;

/// The trace of one run. Cheap to clone.
#[derive(Clone, Default)]
pub struct Trace(Option<Arc<Mutex<String>>>);

impl Trace {
    /// One that is kept.
    #[must_use]
    pub fn kept() -> Self {
        Self(Some(Arc::default()))
    }

    /// Whether it is kept.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn write(&self, now: Micros, line: &str) {
        if let Some(text) = &self.0 {
            let mut text = text.lock().unwrap_or_else(PoisonError::into_inner);
            // Writing into a string does not fail.
            let _ = writeln!(text, "{:>10.6} {line}", Seconds(now));
        }
    }

    /// The whole of it.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.as_ref().map_or(String::new(), |text| {
            text.lock().unwrap_or_else(PoisonError::into_inner).clone()
        })
    }
}

struct Seconds(Micros);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000);
        f.pad_integral(true, "", &text)
    }
}
