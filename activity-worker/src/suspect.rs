//! Owns the suspicion that a task kills whoever runs it: when it is counted, and in whose company it runs.
//! Never parks a task: an attempt does, once too many are counted.
//!
//! Nobody sees a process die from within. But a work item that comes again, or is sent again, was perhaps being run
//! by a worker that is no more. So it is counted in the store before it runs, and forgotten as soon as its run has
//! come to an end. What is counted a second time runs alone: if the worker dies then, nobody else can have been it.
//! A broker that was restarted brings every work item again too, but then the runs end, and are forgotten.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use longhaul_shared::id::{MessageId, PartitionId};
use longhaul_shared::limits::POISON_ATTEMPTS_MAX;
use longhaul_shared::message::WorkItem;
use longhaul_shared::port::{Delays, Ports, StoreError, within};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

/// Delays between attempts to count while the store does not answer.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Lets activities run side by side, but for those that have to run alone. Whoever waits to run alone goes first.
#[derive(Default)]
pub(crate) struct Suspects {
    company: Arc<RwLock<()>>,
    /// Those that have to run alone wait here for each other, for as long as it takes.
    next: Arc<Mutex<()>>,
    /// What is counted and runs now.
    counted: std::sync::Mutex<BTreeMap<MessageId, PartitionId>>,
}

/// The right to run an activity, until it is dropped.
pub(crate) enum Presence {
    /// Beside others.
    Among(#[expect(dead_code, reason = "held for its drop")] OwnedRwLockReadGuard<()>),
    /// Alone in this worker.
    Alone(
        #[expect(dead_code, reason = "held for its drop")] OwnedMutexGuard<()>,
        #[expect(dead_code, reason = "held for its drop")] OwnedRwLockWriteGuard<()>,
    ),
    /// Beside what would not end, but not beside another that should run alone.
    Aside(
        #[expect(dead_code, reason = "held for its drop")] OwnedMutexGuard<()>,
        #[expect(dead_code, reason = "held for its drop")] OwnedRwLockReadGuard<()>,
    ),
}

/// Whether a task may run.
pub(crate) enum Vetted {
    /// It may, in this company.
    May(Presence),
    /// So many attempts are counted, too many.
    TooOften(u32),
}

impl Suspects {
    /// Asks whether a task may run, and counts it if it is suspect. If it has to run alone, what runs has `patience` to
    /// come to its end: the worker does not stand idle for longer.
    ///
    /// # Cancel safety
    /// Dropping the future may leave an attempt counted that was not made.
    pub(crate) async fn vet(
        &self,
        ports: &Ports,
        item: &WorkItem,
        redelivered: bool,
        patience: Duration,
    ) -> Vetted {
        if !redelivered && !item.resent {
            return Vetted::May(self.among().await);
        }
        let (partition, work) = (item.reply_to, item.identity.attempts_id());
        let counted = || ports.store.work_attempts(partition, work);
        let before = insist(ports, item, counted).await;
        // First the company, then the count: whoever only waits for its turn is not to be counted if the worker
        // dies.
        let presence = match before {
            0 => self.among().await,
            POISON_ATTEMPTS_MAX.. => return Vetted::TooOften(before.saturating_add(1)),
            _ => {
                let turn = Arc::clone(&self.next).lock_owned().await;
                // What was counted may have been a copy of the task, whose run has ended in the meantime.
                match insist(ports, item, counted).await {
                    0 => {
                        drop(turn);
                        self.among().await
                    }
                    _ => self.alone(turn, ports, patience).await,
                }
            }
        };
        let nonce = ports.runtime.random();
        let attempts = insist(ports, item, || {
            ports.store.count_work_attempt(partition, work, nonce)
        })
        .await;
        if attempts > POISON_ATTEMPTS_MAX {
            return Vetted::TooOften(attempts);
        }
        self.counted_now().insert(work, partition);
        if attempts > 1 {
            tracing::warn!(
                instance_id = %item.identity.key.instance, activity = %item.name, attempts,
                "this activity was being run when its workers died; it runs alone now"
            );
        }
        Vetted::May(presence)
    }

    /// A run of this task has come to an end, whatever came of it: it did not kill the worker.
    pub(crate) async fn survived(&self, ports: &Ports, item: &WorkItem) {
        let work = item.identity.attempts_id();
        let counted = self.counted_now().remove(&work);
        if let Some(partition) = counted {
            forget(ports, partition, work).await;
        }
    }

    /// The worker stops in good order and gives up what still runs, or has lost its deliveries and lives: that is
    /// nobody's fault.
    pub(crate) async fn give_up(&self, ports: &Ports) {
        let counted = std::mem::take(&mut *self.counted_now());
        for (work, partition) in counted {
            forget(ports, partition, work).await;
        }
    }

    fn counted_now(&self) -> std::sync::MutexGuard<'_, BTreeMap<MessageId, PartitionId>> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn among(&self) -> Presence {
        Presence::Among(Arc::clone(&self.company).read_owned().await)
    }

    /// Waits for at most `patience` until nobody else runs; all those before it have run alone.
    async fn alone(&self, next: OwnedMutexGuard<()>, ports: &Ports, patience: Duration) -> Presence {
        let company = Arc::clone(&self.company);
        match within(&ports.runtime, patience, Arc::clone(&company).write_owned()).await {
            Ok(alone) => Presence::Alone(next, alone),
            Err(_) => Presence::Aside(next, company.read_owned().await),
        }
    }
}

async fn forget(ports: &Ports, partition: PartitionId, work: MessageId) {
    // What stays is forgotten by the store in time.
    if let Err(error) = ports.store.forget_work_attempts(partition, work).await {
        tracing::debug!(%partition, %error, "attempts at a task that ended stay counted for now");
    }
}

/// Asks the store until it answers.
async fn insist<T, F>(ports: &Ports, item: &WorkItem, mut ask: impl FnMut() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut delays = Delays::new(RETRY_FIRST, RETRY_MAX);
    loop {
        match ask().await {
            Ok(answer) => return answer,
            Err(error) => {
                let delay = delays.next_delay();
                tracing::warn!(
                    instance_id = %item.identity.key.instance, activity = %item.name, %error,
                    "attempts at an activity cannot be counted; tried again in {delay:?}"
                );
                ports.runtime.sleep(delay).await;
            }
        }
    }
}
