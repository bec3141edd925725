//! Owns the state of a hub that lives in memory only: everything is lost when the process ends.
//! Never spawns, waits or reads a clock of its own, so a simulation can run it.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use futures::future::{BoxFuture, FutureExt};
use longhaul_shared::port::StoreError;

use super::clock::HubClock;
use super::engine::{Engine, Step, View, Visit};

type Entries = BTreeMap<Vec<u8>, Bytes>;

pub(super) struct Memory {
    entries: RwLock<Entries>,
    clock: Arc<HubClock>,
}

impl Memory {
    pub(super) fn new(clock: Arc<HubClock>) -> Self {
        Self {
            entries: RwLock::default(),
            clock,
        }
    }

    fn run(&self, steps: Vec<Step>) {
        let mut told = Vec::with_capacity(steps.len());
        {
            let mut entries = self.entries.write().unwrap_or_else(PoisonError::into_inner);
            for step in steps {
                let (batch, done) = step(&*entries, self.clock.now());
                for (key, value) in batch.into_writes() {
                    match value {
                        Some(value) => entries.insert(key, value),
                        None => entries.remove(&key),
                    };
                }
                told.push(done);
            }
        }
        for done in told {
            done(Ok(()));
        }
    }
}

impl Engine for Memory {
    fn view(&self) -> Result<Box<dyn View + '_>, StoreError> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        Ok(Box::new(Snapshot(entries)))
    }

    fn apply(&self, steps: Vec<Step>) -> BoxFuture<'_, ()> {
        async move { self.run(steps) }.boxed()
    }
}

struct Snapshot<'a>(RwLockReadGuard<'a, Entries>);

impl View for Snapshot<'_> {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        View::get(&*self.0, key)
    }

    fn scan(&self, range: Range<Vec<u8>>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        View::scan(&*self.0, range, visit)
    }
}

impl View for Entries {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(BTreeMap::get(self, key).cloned())
    }

    fn scan(&self, range: Range<Vec<u8>>, visit: &mut Visit<'_>) -> Result<(), StoreError> {
        if range.is_empty() {
            return Ok(());
        }
        for (key, value) in self.range(range) {
            if let ControlFlow::Break(()) = visit(key, value)? {
                break;
            }
        }
        Ok(())
    }
}
