//! Owns what the worker knows of losses: the broker's epoch, the run of the store, the queues that must be there.
//! Never sends anything again itself: the owners of the partitions do, when the era has changed.
//!
//! Evidence comes from four sides: a connection to the broker that finds no marker of the epoch, a queue that was
//! declared and is not there, another run of the store, an epoch that another worker has raised. Whatever was lost,
//! the answer is the same, so all of it becomes one number or one name, and the partitions are rebuilt.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use longhaul_shared::id::{Epoch, QueueName};
use longhaul_shared::message::Destination;
use longhaul_shared::port::{
    BrokerError, Era, HubClock, HubInfo, HubSettings, Monotonic, Ports, Pulse, StoreError, StoreRun,
};
use tokio::sync::{mpsc, watch};

/// The hub's first epoch: before it there were no queues, so nothing can have been lost with them.
const FIRST_EPOCH: u64 = 1;
/// How often it is looked whether every queue that was declared is there. One that nobody publishes to would
/// otherwise be missed by nobody while instances wait for what was in it.
const AUDIT_EVERY: Duration = Duration::from_secs(10);
/// How often it is looked whether there is reason to look closer.
const LOOK_EVERY: Duration = Duration::from_millis(300);
/// How long a missing queue must be missing: a broker that comes up may show it a moment later.
const MISSING_FOR: Duration = Duration::from_secs(1);

/// Why the era could not be settled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EraError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

/// Tells the owner of this that a queue is not there although it was declared. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Missing(mpsc::UnboundedSender<Destination>);

impl Missing {
    /// Says so. Few enough: once an attempt to use the queue, and those are rare.
    pub(crate) fn tell(&self, queue: Destination) {
        // A worker that stops does not listen any more.
        let _ = self.0.send(queue);
    }
}

/// What the loop below knows, for those who act on it. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Losses(watch::Receiver<Known>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    era: Era,
    /// The run of the store in which the hub was made.
    born: StoreRun,
}

impl Losses {
    /// The era as it is known now.
    pub(crate) fn era(&self) -> Era {
        self.0.borrow().era.clone()
    }

    /// In which era a partition has to be rebuilt that was last rebuilt in this one; `None` if it need not be.
    ///
    /// Whoever rebuilds keeps this answer: an era that begins a moment later takes another rebuild.
    pub(crate) fn to_rebuild(&self, rebuilt: &Era) -> Option<Era> {
        let known = self.0.borrow();
        let run = if rebuilt.run == StoreRun::default() {
            &known.born
        } else {
            &rebuilt.run
        };
        let is_behind =
            rebuilt.epoch.number.max(FIRST_EPOCH) < known.era.epoch.number || *run != known.era.run;
        is_behind.then(|| known.era.clone())
    }

    /// Completes when the era has changed, or never again once nobody looks any more.
    pub(crate) async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// The loop that looks for losses. It may wait for a broker that does not answer: leases are renewed meanwhile.
pub(crate) struct Eras {
    ports: Ports,
    partitions: u16,
    known: Era,
    /// Task queues that were declared, the default one aside.
    queues: BTreeSet<QueueName>,
    /// The epoch as the store told it last, while it is behind what was known before.
    behind: Option<Epoch>,
    /// The hub is not in the store any more.
    hub_gone: bool,
    missing: mpsc::UnboundedReceiver<Destination>,
    suspected: BTreeSet<Destination>,
    /// The broker connection for which the epoch was last checked.
    checked_generation: Option<u64>,
    audit_at: Monotonic,
    told: watch::Sender<Known>,
}

impl Eras {
    /// What is known of a hub that was just opened, with the handle for those who miss a queue. The broker's marker
    /// is looked for before anything is declared.
    ///
    /// # Errors
    /// [`EraError`]: to be tried again.
    pub(crate) async fn settle(ports: Ports, info: HubInfo) -> Result<(Self, Losses, Missing), EraError> {
        let generation = ports.broker.connection_generation();
        let pulse = ports.store.pulse().await?;
        let (sender, missing) = mpsc::unbounded_channel();
        let (told, losses) = watch::channel(Known {
            era: pulse.era.clone(),
            born: info.born,
        });
        let mut eras = Self {
            audit_at: ports.runtime.now(),
            ports,
            partitions: info.partitions,
            known: pulse.era,
            queues: pulse.queues.into_iter().collect(),
            behind: None,
            hub_gone: false,
            missing,
            suspected: BTreeSet::new(),
            checked_generation: None,
            told,
        };
        eras.settle_now().await?;
        eras.tell();
        eras.settled(generation);
        Ok((eras, Losses(losses), Missing(sender)))
    }

    /// Looks for as long as the worker lives; sets the worker's clock by the way.
    pub(crate) async fn run(mut self, clock: Arc<HubClock>, pulse_every: Duration) {
        let runtime = Arc::clone(&self.ports.runtime);
        let mut pulse_at = runtime.now();
        loop {
            if runtime.now() >= pulse_at {
                pulse_at = runtime.now().plus(pulse_every);
                let pulse = self.ports.store.pulse().await;
                if let Ok(pulse) = &pulse {
                    clock.set(pulse.time);
                }
                self.heard(pulse);
            }
            self.check().await;
            tokio::select! {
                biased;
                Some(queue) = self.missing.recv() => {
                    self.miss(queue);
                }
                () = runtime.sleep(LOOK_EVERY) => {}
            }
        }
    }

    /// Somebody misses a queue. A task queue that somebody used was declared, whether or not that was heard of here.
    fn miss(&mut self, queue: Destination) {
        if let Destination::Work(name) = &queue
            && *name != QueueName::default()
        {
            self.queues.insert(name.clone());
        }
        self.suspected.insert(queue);
    }

    /// Tells what is known, if that is news.
    fn tell(&self) {
        let era = &self.known;
        self.told.send_if_modified(|told| {
            let is_news = told.era != *era;
            told.era.clone_from(era);
            is_news
        });
    }

    /// Takes in a pulse of the store.
    fn heard(&mut self, pulse: Result<Pulse, StoreError>) {
        let pulse = match pulse {
            Ok(pulse) => pulse,
            Err(StoreError::Incompatible { reason }) => {
                tracing::warn!(reason, "the store has forgotten the hub; it is made again");
                self.hub_gone = true;
                return;
            }
            Err(error) => return tracing::warn!(%error, "the store could not be asked how the hub stands"),
        };
        if pulse.era.run != self.known.run {
            tracing::warn!(
                "the store was restarted or replaced, so it may have forgotten what it had accepted; everything open is sent again"
            );
            self.known.run = pulse.era.run;
            // It may have forgotten which queues there are.
            self.behind = Some(pulse.era.epoch);
        }
        let is_behind = pulse.era.epoch.number < self.known.epoch.number;
        if is_behind {
            self.behind = Some(pulse.era.epoch);
        } else {
            self.known.epoch = pulse.era.epoch;
        }
        self.queues.extend(pulse.queues);
        self.tell();
    }

    /// Looks for losses, where there is reason to look.
    async fn check(&mut self) {
        while let Ok(queue) = self.missing.try_recv() {
            self.miss(queue);
        }
        let generation = self.ports.broker.connection_generation();
        let is_due = self.ports.runtime.now() >= self.audit_at;
        let is_quiet = self.suspected.is_empty() && self.behind.is_none() && !self.hub_gone && !is_due;
        if self.checked_generation == Some(generation) && is_quiet {
            return;
        }
        let settled = self.settle_now().await;
        self.tell();
        match settled {
            Ok(()) => self.settled(generation),
            Err(error) => {
                tracing::warn!(error = %error, "it could not be checked whether anything was lost; tried again");
            }
        }
    }

    fn settled(&mut self, generation: u64) {
        self.checked_generation = Some(generation);
        self.suspected.clear();
        self.audit_at = self.ports.runtime.now().plus(AUDIT_EVERY);
    }

    async fn settle_now(&mut self) -> Result<(), EraError> {
        self.remind_the_store().await?;
        loop {
            if self.ports.broker.has_epoch(self.known.epoch).await? {
                if !self.has_lost_a_queue().await? {
                    return Ok(());
                }
                // From here on everybody misses the marker, whatever becomes of this worker.
                self.ports.broker.withdraw_epoch(self.known.epoch).await?;
            }
            let told = self.ports.store.pulse().await?.era.epoch;
            if told.number > self.known.epoch.number {
                // Another has raised it. To declare queues now could hide what was lost since.
                self.known.epoch = told;
            } else {
                self.raise().await?;
            }
        }
    }

    /// Writes down again what a store has forgotten that fell behind.
    async fn remind_the_store(&mut self) -> Result<(), EraError> {
        if self.hub_gone {
            let settings = HubSettings {
                partitions: self.partitions,
            };
            let info = self.ports.store.open_hub(settings).await?;
            self.behind = Some(info.epoch);
            self.hub_gone = false;
        }
        let Some(epoch) = self.behind else {
            return Ok(());
        };
        self.known.epoch = self.led_up(epoch, self.known.epoch).await?;
        for queue in &self.queues {
            self.ports.store.note_queue(queue).await?;
        }
        self.behind = None;
        Ok(())
    }

    /// Begins another epoch. Its queues and its marker are there before the number rises: whoever reads the number
    /// finds them, also a worker that starts at the same time. Another may have raised it meanwhile; then what is left
    /// here is nobody's marker.
    async fn raise(&mut self) -> Result<(), EraError> {
        let before = self.known.epoch;
        let nonce = u64::try_from(self.ports.runtime.random() & u128::from(u64::MAX)).unwrap_or_default();
        let next = before.next(nonce.max(1));
        let queues: Vec<_> = self.task_queues().cloned().collect();
        self.ports.broker.declare(self.partitions, &queues).await?;
        self.ports.broker.declare_epoch(next).await?;
        let epoch = self.ports.store.advance_epoch(before, next).await?;
        self.known.epoch = self.led_up(epoch, next).await?;
        if before.number >= FIRST_EPOCH {
            tracing::warn!(epoch = %self.known.epoch, "the broker has lost queues; everything open is sent again");
        }
        let useless = if self.known.epoch == next { before } else { next };
        self.ports.broker.withdraw_epoch(useless).await?;
        Ok(())
    }

    /// What the store's epoch becomes that was behind: one that has forgotten epochs is led up again.
    async fn led_up(&self, mut epoch: Epoch, next: Epoch) -> Result<Epoch, EraError> {
        while epoch.number < next.number {
            epoch = self.ports.store.advance_epoch(epoch, next).await?;
        }
        Ok(epoch)
    }

    fn task_queues(&self) -> impl Iterator<Item = &QueueName> {
        static DEFAULT: std::sync::LazyLock<QueueName> = std::sync::LazyLock::new(QueueName::default);
        std::iter::once(&*DEFAULT).chain(&self.queues)
    }

    /// Whether a queue is not there that was declared. The intake and the dead queue hold nothing that was accepted:
    /// they are declared again, and that is all.
    async fn has_lost_a_queue(&self) -> Result<bool, EraError> {
        let works = self.task_queues().cloned().map(Destination::Work);
        let queues: BTreeSet<_> = works.chain(self.suspected.iter().cloned()).collect();
        let mut missing = Vec::new();
        for queue in queues.into_iter().filter(holds_accepted_work) {
            if self.ports.broker.depth(&queue).await?.is_none() {
                missing.push(queue);
            }
        }
        if self.ports.broker.depth(&Destination::Intake).await?.is_none() {
            tracing::warn!(
                "the intake queue is gone, with the starts in it that nobody has accepted; it is declared again"
            );
            self.ports.broker.declare(0, &[]).await?;
        }
        if missing.is_empty() {
            return Ok(false);
        }
        self.ports.runtime.sleep(MISSING_FOR).await;
        for queue in missing {
            if self.ports.broker.depth(&queue).await?.is_none() {
                tracing::warn!(?queue, "a queue is gone that was declared");
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Whether what an accepted instance waits for may be in it.
fn holds_accepted_work(queue: &Destination) -> bool {
    match queue {
        Destination::Control(_) | Destination::Work(_) => true,
        Destination::Intake | Destination::Dead => false,
    }
}
