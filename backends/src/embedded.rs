//! Owns the hub in one process: both ports without a server, durable on disk or in memory only.
//! Never needs another process, and shares its directory with none.
//!
//! The store's rules are plain functions of an ordered key-value state (`engine`), which `memory` and `disk`
//! keep; so a simulation and a laptop run the same code. In memory nothing spawns, waits or reads a clock but
//! the one handed in.

mod clock;
mod engine;

mod keys;
mod record;

mod disk;
mod memory;

mod attempts;
mod census;
mod commit;
mod duties;
mod hub;
mod instance;
mod lease;
mod page;
mod parked;
mod query;

mod broker;
mod store;
mod wait;

pub use clock::{Clock, RuntimeClock, WallClock};

use std::path::Path;
use std::sync::Arc;

use longhaul_shared::port::{Broker, Ports, Runtime, Store, StoreError};

use broker::EmbeddedBroker;
use clock::HubClock;
use disk::Disk;
use memory::Memory;
use store::{EmbeddedStore, Place};

/// A hub in this process. Cheap to clone; the hub closes when the last clone and the last port are dropped.
#[derive(Clone)]
pub struct Embedded {
    store: Arc<dyn Store>,
    broker: Arc<dyn Broker>,
    runtime: Arc<dyn Runtime>,
}

impl Embedded {
    /// A new hub that is gone when the process ends, dated by the wall clock.
    #[must_use]
    pub fn in_memory(runtime: Arc<dyn Runtime>) -> Self {
        Self::in_memory_with_clock(runtime, Arc::new(WallClock))
    }

    /// A new hub that is gone when the process ends, dated by this clock.
    #[must_use]
    pub fn in_memory_with_clock(runtime: Arc<dyn Runtime>, clock: Arc<dyn Clock>) -> Self {
        let clock = Arc::new(HubClock::new(clock));
        let engine = Arc::new(Memory::new(Arc::clone(&clock)));
        let store = EmbeddedStore::new(engine, clock, Arc::clone(&runtime), Place::Memory);
        Self::with_store(store, runtime)
    }

    /// The hub in this directory, or a new one; dated by the wall clock. What was accepted survives a crash of
    /// the process and of the machine.
    ///
    /// Blocks while the file is opened: after a crash that is about a second for each gigabyte. Dropping the
    /// last port blocks for the writes that wait, at most some syncs; then the directory is free again.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when another process uses the directory (it says which) or it cannot be
    /// written; [`StoreError::Unreadable`] when the file is damaged; [`StoreError::Incompatible`] when another
    /// version wrote it.
    pub fn open(dir: &Path, runtime: Arc<dyn Runtime>) -> Result<Self, StoreError> {
        Self::open_with_clock(dir, runtime, Arc::new(WallClock))
    }

    /// The hub in this directory, or a new one, dated by this clock. See [`Self::open`].
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn open_with_clock(
        dir: &Path,
        runtime: Arc<dyn Runtime>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let clock = Arc::new(HubClock::new(clock));
        let engine = Arc::new(Disk::open(dir, Arc::clone(&clock))?);
        let place = Place::Directory(dir.display().to_string());
        let store = EmbeddedStore::new(engine, clock, Arc::clone(&runtime), place);
        store.recognize()?;
        Ok(Self::with_store(store, runtime))
    }

    fn with_store(store: EmbeddedStore, runtime: Arc<dyn Runtime>) -> Self {
        Self {
            store: Arc::new(store),
            broker: Arc::new(EmbeddedBroker::default()),
            runtime,
        }
    }

    /// The truth.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store)
    }

    /// The distribution of work, empty at first: what was under way before a restart is in the store.
    #[must_use]
    pub fn broker(&self) -> Arc<dyn Broker> {
        Arc::clone(&self.broker)
    }

    /// Both, with the runtime given.
    #[must_use]
    pub fn ports(&self) -> Ports {
        Ports {
            store: self.store(),
            broker: self.broker(),
            runtime: Arc::clone(&self.runtime),
        }
    }
}
