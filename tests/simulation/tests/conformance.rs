//! Runs the conformance suites of both ports on the simulated servers: what simulations prove holds only as far as
//! these behave like real ones.
//! Never makes anything go wrong: that is what simulations are for.

#![allow(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use longhaul_backends::conformance::{BrokerSubject, StoreSubject};
use longhaul_shared::port::Runtime;
use longhaul_simulation::broker::{BrokerServer, SimBroker};
use longhaul_simulation::chance::Chance;
use longhaul_simulation::executor::{Executor, Halt, Life};
use longhaul_simulation::faults::FaultCount;
use longhaul_simulation::oracle::Oracle;
use longhaul_simulation::runtime::SimRuntime;
use longhaul_simulation::store::{SimStore, StoreServer};
use longhaul_simulation::trace::Trace;

const SEED: u64 = 7;
/// An hour of simulated time.
const UNTIL: u64 = 3_600_000_000;
const STEPS_MAX: u64 = 5_000_000;
const LIFE: Life = Life(1);

/// A machine room with one process, and its runtime.
fn room() -> (Executor, Arc<dyn Runtime>) {
    let room = Executor::new(Chance::of(SEED), Trace::default());
    room.begin(LIFE);
    let runtime: Arc<dyn Runtime> = Arc::new(SimRuntime::new(&room, LIFE, None));
    (room, runtime)
}

/// What a test has that waits for the room.
#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Runs a test of the suite beside the room: it is looked at whenever something wakes it.
fn run(room: &Executor, test: impl Future<Output = ()>) {
    let woken = Arc::new(Woken::default());
    let waker = Waker::from(Arc::clone(&woken));
    let mut test = std::pin::pin!(test);
    while test.as_mut().poll(&mut Context::from_waker(&waker)).is_pending() {
        assert_eq!(room.run(UNTIL, STEPS_MAX, &woken.0), Halt::Done);
        woken.0.store(false, Ordering::Relaxed);
    }
    room.close();
}

fn store_test<F: Future<Output = ()>>(test: impl FnOnce(StoreSubject) -> F) {
    let (room, runtime) = room();
    let faults = FaultCount::default();
    let server = StoreServer::new(&room, faults.clone(), None, false);
    let oracle = Oracle::new(&room, faults);
    let store = SimStore::new(server, oracle, LIFE, Arc::clone(&runtime));
    run(&room, test(StoreSubject::new(Arc::new(store), runtime)));
}

fn broker_test<F: Future<Output = ()>>(test: impl FnOnce(BrokerSubject) -> F) {
    let (room, runtime) = room();
    let server = BrokerServer::new(&room, FaultCount::default(), None);
    server.connect(LIFE);
    let broker = SimBroker::new(server, LIFE, None);
    run(&room, test(BrokerSubject::new(Arc::new(broker), runtime)));
}

mod store {
    use super::store_test;

    longhaul_backends::store_conformance!(run store_test);
}

mod broker {
    use super::broker_test;

    longhaul_backends::broker_conformance!(run broker_test);
}
