//! Owns the knowledge of what a program consumes at this moment, and when it was last handed something.
//! Never ends or begins a subscription: whoever holds one does.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use longhaul_shared::port::{Monotonic, Source};
use tokio::sync::watch;

use super::meter::SourceKind;

/// Tells what a program consumes through its ports, now. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Consumption {
    open: watch::Receiver<HashMap<Source, usize>>,
    last: Arc<LastDeliveries>,
}

impl Consumption {
    /// Whether each of these sources has a subscription that is open now.
    #[must_use]
    pub fn is_consuming(&self, sources: &[Source]) -> bool {
        has_all(&self.open.borrow(), sources)
    }

    /// Waits until each of these sources has an open subscription at the same time; for ever if the broker is dropped
    /// before.
    ///
    /// # Cancel safety
    /// Safe: it only looks.
    pub fn until_consuming(&self, sources: Vec<Source>) -> impl Future<Output = ()> + Send + use<> {
        let mut open = self.open.clone();
        async move {
            let is_all = |open: &HashMap<Source, usize>| has_all(open, &sources);
            if open.wait_for(is_all).await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// How many subscriptions of this kind are open now.
    #[must_use]
    pub fn open(&self, kind: SourceKind) -> usize {
        let open = self.open.borrow();
        let of_kind = open
            .iter()
            .filter(|(source, _)| SourceKind::from(*source) == kind);
        of_kind.map(|(_, count)| count).sum()
    }

    /// When a source of this kind last handed something out, by the runtime's clock, to the microsecond; `None` if none
    /// did yet.
    #[must_use]
    pub fn last_delivery(&self, kind: SourceKind) -> Option<Monotonic> {
        match self.last.of(kind).load(Ordering::Relaxed) {
            LastDeliveries::NEVER => None,
            micros => Some(Monotonic(Duration::from_micros(micros))),
        }
    }
}

fn has_all(open: &HashMap<Source, usize>, sources: &[Source]) -> bool {
    sources.iter().all(|source| open.contains_key(source))
}

/// Where subscriptions sign on and off.
#[derive(Debug)]
pub(super) struct Register {
    open: watch::Sender<HashMap<Source, usize>>,
    last: Arc<LastDeliveries>,
}

impl Register {
    pub(super) fn new() -> (Arc<Self>, Consumption) {
        let (sender, receiver) = watch::channel(HashMap::new());
        let last = Arc::new(LastDeliveries::default());
        let consumption = Consumption {
            open: receiver,
            last: Arc::clone(&last),
        };
        (Arc::new(Self { open: sender, last }), consumption)
    }

    pub(super) fn sign_on(&self, source: &Source) {
        self.open
            .send_modify(|open| *open.entry(source.clone()).or_default() += 1);
    }

    /// Takes back one [`sign_on`](Self::sign_on).
    pub(super) fn sign_off(&self, source: &Source) {
        self.open.send_modify(|open| {
            if let Some(count) = open.get_mut(source) {
                *count -= 1;
                if *count == 0 {
                    open.remove(source);
                }
            }
        });
    }

    pub(super) fn delivered(&self, kind: SourceKind, at: Monotonic) {
        let micros = u64::try_from(at.0.as_micros()).unwrap_or(LastDeliveries::NEVER - 1);
        self.last.of(kind).store(micros, Ordering::Relaxed);
    }
}

/// Microseconds of the runtime's clock.
#[derive(Debug)]
struct LastDeliveries {
    control: AtomicU64,
    intake: AtomicU64,
    work: AtomicU64,
}

impl LastDeliveries {
    const NEVER: u64 = u64::MAX;

    const fn of(&self, kind: SourceKind) -> &AtomicU64 {
        match kind {
            SourceKind::Control => &self.control,
            SourceKind::Intake => &self.intake,
            SourceKind::Work => &self.work,
        }
    }
}

impl Default for LastDeliveries {
    fn default() -> Self {
        let never = || AtomicU64::new(Self::NEVER);
        Self {
            control: never(),
            intake: never(),
            work: never(),
        }
    }
}
