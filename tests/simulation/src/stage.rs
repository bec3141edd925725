//! Owns what the processes of a world have in common with those who watch them: the plan, the oracle, what callers
//! were told, and how far the run has come.
//! Never starts or stops a process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longhaul_shared::id::HubName;

use crate::executor::Executor;
use crate::oracle::Oracle;
use crate::plan::Plan;

/// The hub of every simulation.
pub(crate) fn hub() -> HubName {
    HubName::default()
}

/// What a run is about. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Stage(Arc<Inner>);

struct Inner {
    room: Executor,
    plan: Plan,
    oracle: Oracle,
    seen: Seen,
    /// Instances whose end nobody has seen yet.
    awaited: AtomicUsize,
    all_ended: AtomicBool,
    is_calm: AtomicBool,
}

impl Stage {
    pub(crate) fn new(room: &Executor, plan: Plan, oracle: Oracle) -> Self {
        Self(Arc::new(Inner {
            room: room.clone(),
            oracle,
            seen: Seen::default(),
            awaited: AtomicUsize::new(plan.instances.len()),
            all_ended: AtomicBool::new(false),
            is_calm: AtomicBool::new(false),
            plan,
        }))
    }

    pub(crate) fn room(&self) -> &Executor {
        &self.0.room
    }

    pub(crate) fn plan(&self) -> &Plan {
        &self.0.plan
    }

    pub(crate) fn oracle(&self) -> &Oracle {
        &self.0.oracle
    }

    /// What callers were told.
    pub(crate) fn seen(&self) -> &Seen {
        &self.0.seen
    }

    /// Whether the end of every instance was seen.
    pub(crate) fn all_ended(&self) -> &AtomicBool {
        &self.0.all_ended
    }

    /// Somebody has seen the end of an instance, or given it up.
    pub(crate) fn ended(&self) {
        if self.0.awaited.fetch_sub(1, Ordering::Relaxed) == 1 {
            self.0.all_ended.store(true, Ordering::Relaxed);
        }
    }

    /// Whether nothing goes wrong any more.
    pub(crate) fn is_calm(&self) -> bool {
        self.0.is_calm.load(Ordering::Relaxed)
    }

    /// Nothing goes wrong from now on.
    pub(crate) fn calm(&self) {
        self.0.is_calm.store(true, Ordering::Relaxed);
    }
}

/// What a caller was told in the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Told {
    /// It completed with this.
    Completed(u64),
    /// It failed.
    Failed(String),
    /// It was terminated.
    Terminated,
    /// There is no such instance.
    Unknown,
}

/// What callers were told, by instance. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<BTreeMap<String, Account>>>);

/// What is known outside of an instance.
#[derive(Clone, Default, Debug)]
pub(crate) struct Account {
    /// Its start is accepted.
    pub(crate) accepted: bool,
    /// What its caller was told.
    pub(crate) told: Option<Told>,
}

impl Seen {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Account>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of an instance.
    pub(crate) fn of(&self, id: &str) -> Account {
        self.lock().get(id).cloned().unwrap_or_default()
    }

    pub(crate) fn accepted(&self, id: &str) {
        self.lock().entry(id.to_owned()).or_default().accepted = true;
    }

    /// Whether this is the first that was told.
    pub(crate) fn told(&self, id: &str, told: Told) -> bool {
        let mut seen = self.lock();
        let account = seen.entry(id.to_owned()).or_default();
        account.told.replace(told).is_none()
    }
}
