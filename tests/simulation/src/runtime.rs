//! Owns the door to simulated time, tasks and chance, one for each life of a process.
//! Never lets a process see another's clock: each began at a time of its own.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use longhaul_shared::port::{Monotonic, Runtime, Step, TaskHandle};

use crate::executor::{Executor, Life};

/// Somebody who is told where a process has come to.
pub trait Witness: Send + Sync + 'static {
    /// The process has come to a step of the protocol.
    fn reached(&self, life: Life, step: Step);
}

/// The [`Runtime`] of one life of a simulated process.
#[derive(Clone)]
pub struct SimRuntime {
    room: Executor,
    life: Life,
    /// What its monotonic clock showed when the world began.
    origin: Duration,
    witness: Option<Arc<dyn Witness>>,
}

impl SimRuntime {
    /// The runtime of a process that begins now.
    #[must_use]
    pub fn new(room: &Executor, life: Life, witness: Option<Arc<dyn Witness>>) -> Self {
        let origin = Duration::from_micros(room.chance().between(0, 1 << 40));
        Self {
            room: room.clone(),
            life,
            origin,
            witness,
        }
    }
}

impl Runtime for SimRuntime {
    fn now(&self) -> Monotonic {
        Monotonic(self.origin + Duration::from_micros(self.room.now()))
    }

    fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        self.room.sleep(span)
    }

    fn spawn(&self, _name: &'static str, task: BoxFuture<'static, ()>) -> TaskHandle {
        self.room.spawn(self.life, task)
    }

    fn random(&self) -> u128 {
        self.room.chance().wide()
    }

    fn reached(&self, step: Step) {
        if let Some(witness) = &self.witness {
            witness.reached(self.life, step);
        }
    }
}
