//! Owns the trace of a run: what happened when, one line each, kept only if somebody wants to read it.
//! Never decides anything, so that a run is the same with and without.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// The trace of one run. Cheap to clone.
#[derive(Clone, Default)]
pub struct Trace(Option<Arc<Kept>>);

#[derive(Default)]
struct Kept {
    text: Mutex<String>,
    now: AtomicU64,
}

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

    /// The clock shows this from now on.
    pub(crate) fn tick(&self, now: u64) {
        if let Some(kept) = &self.0 {
            kept.now.store(now, Ordering::Relaxed);
        }
    }

    /// Adds a line.
    pub fn write(&self, line: &str) {
        if let Some(kept) = &self.0 {
            let now = Seconds(kept.now.load(Ordering::Relaxed));
            let mut text = kept.text.lock().unwrap_or_else(PoisonError::into_inner);
            // Writing into a string does not fail.
            let _ = writeln!(text, "{now:>10} {line}");
        }
    }

    /// The whole of it.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.as_ref().map_or(String::new(), |kept| {
            kept.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
        })
    }
}

struct Seconds(u64);

impl std::fmt::Display for Seconds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = format!("{}.{:06}", self.0 / 1_000_000, self.0 % 1_000_000);
        f.pad_integral(true, "", &text)
    }
}

/// Lets the loops' own log go into the trace, line by line.
impl std::io::Write for Trace {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        for line in String::from_utf8_lossy(bytes).lines() {
            Self::write(self, &format!("log    {line}"));
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
