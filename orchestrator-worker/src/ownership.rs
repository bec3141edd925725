//! Owns which partitions are this worker's: the list of living workers, the leases, the handovers, the epoch.
//! Never runs a turn; a stale owner is stopped by the store's fence, not by this.
//!
//! The living workers divide the partitions among themselves (`rank`). A worker takes
//! what it should own as soon as it is free, or as soon as its holder is seen to be gone, and hands over what it
//! should not: it finishes its turns, commits, acknowledges, closes the channel, and only then gives the lease back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::future::join_all;
use longhaul_shared::id::{LeaseToken, PartitionId};
use longhaul_shared::port::{
    Delays, Era, LeaseOutcome, LeaseRenewal, LeaseWish, Monotonic, Ports, Step, TaskHandle, WorkerRow, within,
};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

use crate::committer::Committer;
use crate::consumer::Consumer;
use crate::dispatch::{Event, FencedNotice};
use crate::early::{Abandoned, Early};
use crate::era::{Losses, Missing};
use crate::metrics::{LeaseChange, Metrics};
use crate::rebuild::Rebuild;
use crate::relay::{Relay, Unsent};
use crate::settings::Settings;

/// Longest wait for the outbox of a partition that is to be rebuilt.
const OUTBOX_WAIT: Duration = Duration::from_secs(2);
/// Delays between attempts to rebuild.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Ownership {
    pub(crate) ports: Ports,
    pub(crate) worker: WorkerRow,
    pub(crate) partitions: u16,
    pub(crate) settings: Settings,
    pub(crate) relay: Relay,
    pub(crate) committer: Committer,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) fenced: mpsc::UnboundedReceiver<FencedNotice>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) owned: BTreeMap<PartitionId, Owned>,
    /// Tells the sampler what is owned.
    pub(crate) sampled: watch::Sender<Vec<PartitionId>>,
    pub(crate) live: Vec<WorkerRow>,
    pub(crate) losses: Losses,
    pub(crate) missing: Missing,
    pub(crate) early: Early,
}

/// A partition under lease.
pub(crate) struct Owned {
    token: LeaseToken,
    expires: Monotonic,
    consuming: Arc<AtomicBool>,
    /// What the store was last told of that.
    told_consuming: bool,
    stop: CancellationToken,
    consumer: TaskHandle,
    rebuilt: Era,
    rebuilding: Option<(Era, TaskHandle)>,
}

impl Ownership {
    /// Runs until `stop`, then hands every partition over.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let runtime = Arc::clone(&self.ports.runtime);
        let mut renew_at = runtime.now();
        loop {
            if runtime.now() >= renew_at || self.must_tell_consuming() {
                renew_at = runtime.now().plus(self.settings.lease_renew);
                self.renew().await;
            }
            self.rebuild_where_needed();
            self.balance().await;
            if self.follow_the_gone().await {
                renew_at = runtime.now();
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(notice) = self.fenced.recv() => self.was_fenced(&notice).await,
                () = self.losses.changed() => {}
                () = runtime.sleep(self.settings.acquire_poll) => {}
            }
        }
        let all: Vec<_> = self.owned.keys().copied().collect();
        self.hand_over(all).await;
        // Off the list at once, so that the others need not wait for the entry to expire.
        if let Err(error) = self
            .ports
            .store
            .heartbeat(self.worker.clone(), Duration::ZERO)
            .await
        {
            tracing::warn!(%error, "this worker stays on the list until its entry expires");
        }
    }

    /// Says that this worker lives, and keeps its leases.
    async fn renew(&mut self) {
        match self
            .ports
            .store
            .heartbeat(self.worker.clone(), self.settings.lease_ttl)
            .await
        {
            Ok(live) => {
                self.early.listed(&live);
                self.live = live;
            }
            Err(error) => tracing::warn!(%error, "the list of workers could not be read"),
        }
        let asked = self.ports.runtime.now();
        let renewals: Vec<_> = self
            .owned
            .iter()
            .map(|(partition, owned)| LeaseRenewal {
                partition: *partition,
                token: owned.token.clone(),
                consuming: owned.consuming.load(Ordering::Relaxed),
            })
            .collect();
        if renewals.is_empty() {
            return;
        }
        let partitions: Vec<_> = renewals
            .iter()
            .map(|renewal| (renewal.partition, renewal.consuming))
            .collect();
        match self
            .ports
            .store
            .renew_leases(renewals, self.settings.lease_ttl)
            .await
        {
            Ok(kept) => {
                self.metrics.leases_renewed(self.ports.runtime.now().since(asked));
                for ((partition, consuming), kept) in partitions.into_iter().zip(kept) {
                    if kept {
                        self.extend(partition, asked, consuming);
                    } else {
                        self.lose(partition, "its lease was taken or expired").await;
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%error, "leases could not be renewed");
                self.lose_expired().await;
            }
        }
    }

    fn extend(&mut self, partition: PartitionId, asked: Monotonic, consuming: bool) {
        if let Some(owned) = self.owned.get_mut(&partition) {
            owned.expires = asked.plus(self.settings.lease_ttl);
            owned.told_consuming = consuming;
        }
    }

    /// Whether the store holds something else of what is consumed than what is true: the others would wait too long
    /// to follow this worker, or would not know that it lives and has lost its consumers.
    fn must_tell_consuming(&self) -> bool {
        self.owned
            .values()
            .any(|owned| owned.told_consuming != owned.consuming.load(Ordering::Relaxed))
    }

    async fn lose_expired(&mut self) {
        let now = self.ports.runtime.now();
        let expired: Vec<_> = self
            .owned
            .iter()
            .filter(|(_, owned)| owned.expires <= now)
            .map(|(partition, _)| *partition)
            .collect();
        for partition in expired {
            self.lose(partition, "its lease could not be renewed in time")
                .await;
        }
    }

    async fn was_fenced(&mut self, notice: &FencedNotice) {
        if self
            .owned
            .get(&notice.partition)
            .is_some_and(|owned| owned.token == notice.token)
        {
            self.lose(notice.partition, "a commit was fenced").await;
        }
    }

    /// Drops a partition that is somebody else's by now: nothing is acknowledged.
    async fn lose(&mut self, partition: PartitionId, why: &str) {
        let Some(owned) = self.owned.remove(&partition) else {
            return;
        };
        tracing::warn!(%partition, "partition lost: {why}");
        self.metrics.lease_changed(LeaseChange::Lost);
        self.tell_owned();
        // The loop ends only after this task.
        let _ = self.events.send(Event::Lost { partition }).await;
        self.committer.disown(partition).await;
        owned.stop.cancel();
        let mut consumer = owned.consumer;
        consumer.join().await;
    }

    /// Takes what should be this worker's, and hands over what should not.
    async fn balance(&mut self) {
        let division = self.early.division(&self.live, self.ports.runtime.now());
        let owned = self.owned.keys().copied();
        let unwanted: Vec<_> = owned.filter(|partition| division.gives_up(*partition)).collect();
        let missing: Vec<_> = PartitionId::all(self.partitions)
            .filter(|partition| division.takes(*partition) && !self.owned.contains_key(partition))
            .collect();
        if !unwanted.is_empty() {
            self.hand_over(unwanted).await;
        }
        let taken = join_all(
            missing
                .into_iter()
                .map(|partition| self.try_acquire(partition, None)),
        )
        .await;
        self.all_acquired(taken.into_iter().flatten().collect()).await;
    }

    /// Takes the partitions of workers that are gone, if they fall to this one; whether the list of the living is
    /// to be read again.
    async fn follow_the_gone(&mut self) -> bool {
        let owned = self.owned.keys().copied().collect();
        let found = match self.early.look(&self.ports, &self.live, &owned).await {
            Ok(found) => found,
            Err(error) => {
                tracing::warn!(%error, "the others' leases could not be read");
                return false;
            }
        };
        let wishes = found.abandoned.into_iter().map(async |abandoned| {
            let Abandoned { partition, early, .. } = &abandoned;
            let taken = self.try_acquire(*partition, early.clone()).await?;
            Some((taken, abandoned))
        });
        let taken: Vec<_> = join_all(wishes).await.into_iter().flatten().collect();
        let now = self.ports.runtime.now();
        for (_, abandoned) in &taken {
            let Abandoned {
                partition,
                holder,
                early,
            } = abandoned;
            if early.is_some() {
                tracing::warn!(%partition, %holder, "partition taken early: its holder consumes no more");
                self.metrics.lease_changed(LeaseChange::TakenEarly);
            } else {
                tracing::warn!(%partition, %holder, "partition taken: its holder let the lease expire");
            }
            self.early.suspect(holder.clone(), now);
        }
        self.all_acquired(taken.into_iter().map(|(taken, _)| taken).collect())
            .await;
        found.is_list_old
    }

    async fn all_acquired(&mut self, taken: Vec<Taken>) {
        if taken.is_empty() {
            return;
        }
        for taken in taken {
            self.acquired(taken).await;
        }
        tracing::info!(
            owned = self.owned.len(),
            of = self.partitions,
            "partitions acquired"
        );
    }

    /// Takes the lease of a partition, if it is free, has expired, or is held under the token `early`.
    async fn try_acquire(&self, partition: PartitionId, early: Option<LeaseToken>) -> Option<Taken> {
        let asked = self.ports.runtime.now();
        let nonce = self.ports.runtime.random();
        let ttl = self.settings.lease_ttl;
        let wish = LeaseWish { nonce, ttl, early };
        match self
            .ports
            .store
            .acquire_lease(partition, &self.worker.id, wish)
            .await
        {
            Ok(LeaseOutcome::Granted {
                token,
                after_expiry,
                rebuilt,
            }) => {
                tracing::debug!(%partition, after_expiry, "partition acquired");
                // The era first: what is lost while the outbox is read is not answered by this rebuild.
                let to_rebuild = match self.losses.to_rebuild(&rebuilt) {
                    Some(era) => Some((era, self.unsent(partition, &token).await?)),
                    None => None,
                };
                Some(Taken {
                    partition,
                    token,
                    after_expiry,
                    rebuilt,
                    asked,
                    to_rebuild,
                })
            }
            Ok(LeaseOutcome::Held { owner, .. }) => {
                tracing::trace!(%partition, %owner, "still held");
                None
            }
            Err(error) => {
                tracing::warn!(%partition, %error, "the partition could not be acquired");
                None
            }
        }
    }

    /// What the outbox will send anyway. Without it nothing can be sent again: the lease is given back.
    async fn unsent(&self, partition: PartitionId, token: &LeaseToken) -> Option<Arc<Unsent>> {
        let unsent = self.relay.unsent(partition, token);
        match within(&self.ports.runtime, OUTBOX_WAIT, unsent).await {
            Ok(Some(unsent)) => Some(Arc::new(unsent)),
            _ => {
                tracing::warn!(%partition, "the outbox cannot be read; the partition is tried for again");
                self.relay.disown(partition);
                if let Err(error) = self.ports.store.release_lease(partition, token).await {
                    tracing::warn!(%partition, %error, "the lease was not given back; it will expire");
                }
                None
            }
        }
    }

    async fn acquired(&mut self, taken: Taken) {
        let Taken {
            partition,
            token,
            after_expiry,
            rebuilt,
            asked,
            to_rebuild,
        } = taken;
        self.metrics.lease_changed(LeaseChange::Acquired);
        self.ports.runtime.reached(Step::LeaseGranted);
        let (era, unsent) = to_rebuild.unzip();
        let _ = self
            .events
            .send(Event::Acquired {
                partition,
                token: token.clone(),
                after_expiry,
                unsent,
            })
            .await;
        let stop = CancellationToken::new();
        let consuming = Arc::new(AtomicBool::new(false));
        let consumer = Consumer {
            ports: self.ports.clone(),
            partition,
            prefetch: self.settings.control_prefetch,
            events: self.events.clone(),
            consuming: Arc::clone(&consuming),
            missing: self.missing.clone(),
            stop: stop.clone(),
        };
        let consumer = self
            .ports
            .runtime
            .spawn("control consumer", Box::pin(consumer.run()));
        let expires = asked.plus(self.settings.lease_ttl);
        let rebuilding = era.map(|era| {
            let rebuild = self.rebuild(partition, token.clone(), era.clone());
            let handle = self
                .ports
                .runtime
                .spawn("rebuild", Box::pin(until_rebuilt(rebuild)));
            (era, handle)
        });
        let owned = Owned {
            token,
            expires,
            consuming,
            told_consuming: false,
            stop,
            consumer,
            rebuilt,
            rebuilding,
        };
        self.owned.insert(partition, owned);
        self.tell_owned();
    }

    fn tell_owned(&self) {
        self.metrics.owns(self.owned.len(), self.partitions);
        self.sampled.send_replace(self.owned.keys().copied().collect());
    }

    fn rebuild(&self, partition: PartitionId, token: LeaseToken, era: Era) -> Rebuild {
        Rebuild {
            ports: self.ports.clone(),
            events: self.events.clone(),
            metrics: Arc::clone(&self.metrics),
            partition,
            token,
            era,
        }
    }

    /// Finishes the turns of these partitions, closes their channels, and gives their leases back.
    async fn hand_over(&mut self, partitions: Vec<PartitionId>) {
        let leaving: Vec<_> = partitions
            .into_iter()
            .filter_map(|partition| Some((partition, self.owned.remove(&partition)?)))
            .collect();
        self.tell_owned();
        let this = &*self;
        join_all(
            leaving
                .into_iter()
                .map(|(partition, owned)| this.give_back(partition, owned)),
        )
        .await;
        tracing::info!(
            owned = self.owned.len(),
            of = self.partitions,
            "partitions handed over"
        );
    }

    async fn give_back(&self, partition: PartitionId, owned: Owned) {
        let drain_max = self.settings.drain_max;
        // Turns end; what they sent is confirmed; what is confirmed leaves the outbox: the next owner finds nothing
        // that it would send once more.
        let drain = async {
            let (left, has_left) = oneshot::channel();
            let _ = self.events.send(Event::Leave { partition, left }).await;
            let _ = has_left.await;
            self.relay.drain(partition).await;
            self.committer.flush(partition).await;
        };
        if within(&self.ports.runtime, drain_max, drain).await.is_err() {
            tracing::warn!(%partition, "the handover took longer than {drain_max:?}; the next owner does what is left again");
            let _ = self.events.send(Event::Lost { partition }).await;
        }
        self.relay.disown(partition);
        self.committer.disown(partition).await;
        owned.stop.cancel();
        let mut consumer = owned.consumer;
        consumer.join().await;
        self.ports.runtime.reached(Step::LeaseLeaving);
        match self.ports.store.release_lease(partition, &owned.token).await {
            Ok(()) => {
                self.metrics.lease_changed(LeaseChange::Released);
                tracing::debug!(%partition, "partition handed over");
            }
            Err(error) => tracing::warn!(%partition, %error, "the lease was not given back; it will expire"),
        }
    }

    /// Rebuilds the partitions held while the era changed.
    fn rebuild_where_needed(&mut self) {
        let to_rebuild = |owned: &Owned| {
            let in_hand = owned.rebuilding.as_ref().map(|(era, _)| era);
            self.losses.to_rebuild(in_hand.unwrap_or(&owned.rebuilt))
        };
        let behind = self
            .owned
            .iter()
            .filter_map(|(partition, owned)| Some((*partition, owned.token.clone(), to_rebuild(owned)?)));
        let behind: Vec<_> = behind.collect();
        for (partition, token, era) in behind {
            let rebuild = self.rebuild(partition, token.clone(), era.clone());
            let relay = self.relay.clone();
            let task = async move {
                let mut delays = Delays::new(RETRY_FIRST, RETRY_MAX);
                let unsent = loop {
                    if let Some(unsent) = relay.unsent(partition, &token).await {
                        break Arc::new(unsent);
                    }
                    rebuild.ports.runtime.sleep(delays.next_delay()).await;
                };
                let _ = rebuild.events.send(Event::Rebuilding { partition, unsent }).await;
                until_rebuilt(rebuild).await;
            };
            let handle = self.ports.runtime.spawn("rebuild", Box::pin(task));
            if let Some(owned) = self.owned.get_mut(&partition) {
                owned.rebuilding = Some((era, handle));
            }
        }
    }
}

/// Runs a rebuild until it succeeds.
async fn until_rebuilt(rebuild: Rebuild) {
    let mut delays = Delays::new(RETRY_FIRST, RETRY_MAX);
    while let Err(error) = rebuild.run().await {
        let delay = delays.next_delay();
        tracing::warn!(partition = %rebuild.partition, %error, "the rebuild was interrupted; begun anew in {delay:?}");
        rebuild.ports.runtime.sleep(delay).await;
    }
}

/// A partition whose lease was just granted.
struct Taken {
    partition: PartitionId,
    token: LeaseToken,
    /// Whether the owner before did not give it back.
    after_expiry: bool,
    rebuilt: Era,
    asked: Monotonic,
    /// If the partition is to be rebuilt: in which era, and what the outbox will send anyway.
    to_rebuild: Option<(Era, Arc<Unsent>)>,
}
