//! Owns chance: everything that a seed decides is drawn here, in the order in which it is asked for.
//! Never asks the machine.

use std::sync::{Arc, Mutex, PoisonError};

use fastrand::Rng;

/// The chance of one seed. Cheap to clone; clones draw from the same row.
#[derive(Clone)]
pub struct Chance(Arc<Mutex<Rng>>);

impl Chance {
    /// The chance that this seed brings.
    #[must_use]
    pub fn of(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(Rng::with_seed(seed))))
    }

    fn with<T>(&self, draw: impl FnOnce(&mut Rng) -> T) -> T {
        draw(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A whole number below `bound`, which is not zero.
    #[must_use]
    pub fn below(&self, bound: usize) -> usize {
        if bound <= 1 {
            0
        } else {
            self.with(|rng| rng.usize(..bound))
        }
    }

    /// A whole number from `low` up to and without `high`.
    #[must_use]
    pub fn between(&self, low: u64, high: u64) -> u64 {
        if high <= low {
            low
        } else {
            self.with(|rng| rng.u64(low..high))
        }
    }

    /// Whether something happens that happens so often in a million times.
    #[must_use]
    pub fn ppm(&self, often: u32) -> bool {
        often > 0 && self.with(|rng| rng.u32(..1_000_000)) < often
    }

    /// 128 bits.
    #[must_use]
    pub fn wide(&self) -> u128 {
        self.with(|rng| rng.u128(..))
    }
}
