//! Owns the silence of a replay: what the author's code logs then, it has logged before.
//! Never affects another thread, nor this one after the replay.

use std::sync::LazyLock;

use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Dispatch, Event, Metadata, Subscriber, span};

/// `Dispatch::none()` would not do: a callsite that is first reached under it is switched off for good when the
/// process has one subscriber. Among two, a callsite is asked about each time unless both say never.
static MUTED: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(Muted));

/// Runs this without anything of it being logged.
pub(super) fn muted<T>(run: impl FnOnce() -> T) -> T {
    tracing::dispatcher::with_default(&MUTED, run)
}

struct Muted;

impl Subscriber for Muted {
    fn register_callsite(&self, _: &'static Metadata<'static>) -> Interest {
        Interest::never()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::OFF)
    }

    fn enabled(&self, _: &Metadata<'_>) -> bool {
        false
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(u64::MAX)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, _: &Event<'_>) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
