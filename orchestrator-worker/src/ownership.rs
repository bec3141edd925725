//! Owns which partitions are this worker's: the list of living workers, the leases, the handovers, the epoch.
//! Never runs a turn; a stale owner is stopped by the store's fence, not by this.
//!
//! Rendezvous hashing says who should own a partition: the living worker that ranks first for it. A worker takes
//! what it should own as soon as it is free, and hands over what it should not: it finishes its turns, commits,
//! acknowledges, closes the channel, and only then gives the lease back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, join_all, select};
use longhaul_shared::id::{Epoch, LeaseToken, PartitionId, WorkerId};
use longhaul_shared::port::{
    BrokerError, LeaseOutcome, LeaseRenewal, Monotonic, Ports, Source, StoreError, Subscription, TaskHandle,
    WorkerRow, within,
};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use xxhash_rust::xxh3::xxh3_64;

use crate::counters::Counters;
use crate::dispatch::{Event, FencedNotice};
use crate::rebuild::rebuild;
use crate::settings::Settings;

/// Delays between attempts to subscribe or to rebuild.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Ownership {
    pub(crate) ports: Ports,
    pub(crate) worker: WorkerRow,
    pub(crate) partitions: u16,
    pub(crate) settings: Settings,
    pub(crate) events: mpsc::Sender<Event>,
    pub(crate) fenced: mpsc::UnboundedReceiver<FencedNotice>,
    pub(crate) counters: Arc<Counters>,
    pub(crate) owned: BTreeMap<PartitionId, Owned>,
    pub(crate) live: Vec<WorkerRow>,
    pub(crate) epoch: Epoch,
    /// The broker connection for which the epoch was last checked.
    pub(crate) checked_generation: Option<u64>,
}

/// A partition under lease.
pub(crate) struct Owned {
    token: LeaseToken,
    expires: Monotonic,
    consuming: Arc<std::sync::atomic::AtomicBool>,
    stop: CancellationToken,
    consumer: TaskHandle,
    rebuilt: Epoch,
    rebuilding: Option<(Epoch, TaskHandle)>,
}

impl Ownership {
    /// Runs until `stop`, then hands every partition over.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let runtime = Arc::clone(&self.ports.runtime);
        let mut renew_at = runtime.now();
        loop {
            if runtime.now() >= renew_at {
                renew_at = runtime.now().plus(self.settings.lease_renew);
                self.renew().await;
            }
            self.check_epoch().await;
            self.balance().await;
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(notice) = self.fenced.recv() => self.was_fenced(&notice).await,
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
            Ok(live) => self.live = live,
            Err(error) => tracing::warn!(%error, "the list of workers could not be read"),
        }
        let asked = self.ports.runtime.now();
        let renewals: Vec<_> = self
            .owned
            .iter()
            .map(|(partition, owned)| LeaseRenewal {
                partition: *partition,
                token: owned.token.clone(),
                consuming: owned.consuming.load(std::sync::atomic::Ordering::Relaxed),
            })
            .collect();
        if renewals.is_empty() {
            return;
        }
        let partitions: Vec<_> = renewals.iter().map(|renewal| renewal.partition).collect();
        match self
            .ports
            .store
            .renew_leases(renewals, self.settings.lease_ttl)
            .await
        {
            Ok(kept) => {
                for (partition, kept) in partitions.into_iter().zip(kept) {
                    if kept {
                        self.extend(partition, asked);
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

    fn extend(&mut self, partition: PartitionId, asked: Monotonic) {
        if let Some(owned) = self.owned.get_mut(&partition) {
            owned.expires = asked.plus(self.settings.lease_ttl);
        }
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
        self.counters.lost.one();
        // The loop ends only after this task.
        let _ = self.events.send(Event::Lost { partition }).await;
        owned.stop.cancel();
        let mut consumer = owned.consumer;
        consumer.join().await;
    }

    /// Takes what should be this worker's, and hands over what should not.
    async fn balance(&mut self) {
        let wanted = |partition: PartitionId| owner_of(partition, &self.live) == Some(&self.worker.id);
        let unwanted: Vec<_> = self
            .owned
            .keys()
            .copied()
            .filter(|partition| !wanted(*partition))
            .collect();
        let missing: Vec<_> = PartitionId::all(self.partitions)
            .filter(|partition| wanted(*partition) && !self.owned.contains_key(partition))
            .collect();
        if !unwanted.is_empty() {
            self.hand_over(unwanted).await;
        }
        let attempts = join_all(missing.into_iter().map(|partition| self.try_acquire(partition))).await;
        for (partition, asked, outcome) in attempts {
            match outcome {
                Ok(LeaseOutcome::Granted {
                    token,
                    after_expiry,
                    rebuilt,
                }) => {
                    self.acquired(partition, token, after_expiry, rebuilt, asked)
                        .await;
                }
                Ok(LeaseOutcome::Held { owner, .. }) => tracing::trace!(%partition, %owner, "still held"),
                Err(error) => tracing::warn!(%partition, %error, "the partition could not be acquired"),
            }
        }
    }

    async fn try_acquire(
        &self,
        partition: PartitionId,
    ) -> (PartitionId, Monotonic, Result<LeaseOutcome, StoreError>) {
        let asked = self.ports.runtime.now();
        let nonce = self.ports.runtime.random();
        let ttl = self.settings.lease_ttl;
        (
            partition,
            asked,
            self.ports
                .store
                .acquire_lease(partition, &self.worker.id, nonce, ttl)
                .await,
        )
    }

    async fn acquired(
        &mut self,
        partition: PartitionId,
        token: LeaseToken,
        after_expiry: bool,
        rebuilt: Epoch,
        asked: Monotonic,
    ) {
        tracing::info!(%partition, after_expiry, "partition acquired");
        self.counters.acquired.one();
        let _ = self
            .events
            .send(Event::Acquired {
                partition,
                token: token.clone(),
            })
            .await;
        let stop = CancellationToken::new();
        let consuming = Arc::new(std::sync::atomic::AtomicBool::new(false));
        let consumer = Consumer {
            ports: self.ports.clone(),
            partition,
            prefetch: self.settings.control_prefetch,
            events: self.events.clone(),
            consuming: Arc::clone(&consuming),
            stop: stop.clone(),
        };
        let consumer = self
            .ports
            .runtime
            .spawn("control consumer", Box::pin(consumer.run()));
        let expires = asked.plus(self.settings.lease_ttl);
        let owned = Owned {
            token,
            expires,
            consuming,
            stop,
            consumer,
            rebuilt,
            rebuilding: None,
        };
        self.owned.insert(partition, owned);
        self.rebuild_where_needed();
    }

    /// Finishes the turns of these partitions, closes their channels, and gives their leases back.
    async fn hand_over(&mut self, partitions: Vec<PartitionId>) {
        let leaving: Vec<_> = partitions
            .into_iter()
            .filter_map(|partition| Some((partition, self.owned.remove(&partition)?)))
            .collect();
        let ports = &self.ports;
        let events = &self.events;
        let drain_max = self.settings.drain_max;
        join_all(leaving.into_iter().map(|(partition, owned)| async move {
            let (left, has_left) = oneshot::channel();
            let _ = events.send(Event::Leave { partition, left }).await;
            if within(&ports.runtime, drain_max, has_left).await.is_err() {
                tracing::warn!(%partition, "turns did not end within {drain_max:?}; the next owner runs them again");
                let _ = events.send(Event::Lost { partition }).await;
            }
            owned.stop.cancel();
            let mut consumer = owned.consumer;
            consumer.join().await;
            match ports.store.release_lease(partition, &owned.token).await {
                Ok(()) => tracing::info!(%partition, "partition handed over"),
                Err(error) => tracing::warn!(%partition, %error, "the lease was not given back; it will expire"),
            }
        }))
        .await;
    }

    /// Looks, once per connection, whether the broker still has its data; if not, raises the epoch and has every
    /// partition rebuilt.
    async fn check_epoch(&mut self) {
        let generation = self.ports.broker.connection_generation();
        if self.checked_generation == Some(generation) {
            return;
        }
        match settle_epoch(&self.ports, self.epoch, self.partitions).await {
            Ok(epoch) => {
                self.epoch = epoch;
                self.checked_generation = Some(generation);
                self.rebuild_where_needed();
            }
            Err(error) => {
                tracing::warn!(error = %error, "the broker's epoch could not be checked; tried again")
            }
        }
    }

    fn rebuild_where_needed(&mut self) {
        let epoch = self.epoch;
        for (partition, owned) in &mut self.owned {
            let in_hand = owned
                .rebuilding
                .as_ref()
                .map_or(owned.rebuilt, |(epoch, _)| *epoch);
            if in_hand >= epoch {
                continue;
            }
            let (ports, events, counters) = (
                self.ports.clone(),
                self.events.clone(),
                Arc::clone(&self.counters),
            );
            let (partition, token) = (*partition, owned.token.clone());
            let task = Box::pin(async move {
                let mut delay = RETRY_FIRST;
                while let Err(error) = rebuild(&ports, &events, &counters, partition, &token, epoch).await {
                    tracing::warn!(%partition, %error, "the rebuild was interrupted; begun anew in {delay:?}");
                    ports.runtime.sleep(delay).await;
                    delay = (delay * 2).min(RETRY_MAX);
                }
            });
            owned.rebuilding = Some((epoch, self.ports.runtime.spawn("rebuild", task)));
        }
    }
}

/// Why the epoch could not be settled.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EpochError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

/// The epoch whose marker the broker holds, after raising it if the marker of `known` is gone. The marker is
/// looked for before anything is declared, and left behind after everything is.
///
/// # Errors
/// [`EpochError`]: to be settled again.
pub(crate) async fn settle_epoch(ports: &Ports, known: Epoch, partitions: u16) -> Result<Epoch, EpochError> {
    let mut epoch = known;
    // Another worker may have raised it meanwhile; then its marker is the one to look for.
    while !ports.broker.has_epoch(epoch).await? {
        let now = ports.store.advance_epoch(epoch).await?;
        if now == Epoch(epoch.0 + 1) {
            if epoch > Epoch(0) {
                tracing::warn!(epoch = %now, "RabbitMQ has lost its data; everything open is sent again");
            }
            ports
                .broker
                .declare(partitions, &[longhaul_shared::id::QueueName::default()])
                .await?;
            ports.broker.declare_epoch(now).await?;
        }
        epoch = now;
    }
    ports.broker.declare(partitions, &[]).await?;
    Ok(epoch)
}

/// Who should own a partition: the living worker that ranks first for it.
fn owner_of(partition: PartitionId, live: &[WorkerRow]) -> Option<&WorkerId> {
    live.iter().map(|worker| &worker.id).max_by_key(|id| {
        let mut bytes = partition.0.to_be_bytes().to_vec();
        bytes.extend_from_slice(id.as_str().as_bytes());
        (xxh3_64(&bytes), id.as_str())
    })
}

/// Receives the control messages of a partition, subscribing again whenever that ends.
struct Consumer {
    ports: Ports,
    partition: PartitionId,
    prefetch: u16,
    events: mpsc::Sender<Event>,
    consuming: Arc<std::sync::atomic::AtomicBool>,
    stop: CancellationToken,
}

impl Consumer {
    async fn run(self) {
        let mut delay = RETRY_FIRST;
        while !self.stop.is_cancelled() {
            let subscribe = std::pin::pin!(
                self.ports
                    .broker
                    .subscribe(Source::Control(self.partition), self.prefetch)
            );
            let cancelled = std::pin::pin!(self.stop.cancelled());
            let subscribed = match select(subscribe, cancelled).await {
                Either::Left((subscribed, _)) => subscribed,
                Either::Right(((), _)) => return,
            };
            let error = match subscribed {
                Ok(subscription) => {
                    delay = RETRY_FIRST;
                    self.consuming.store(true, std::sync::atomic::Ordering::Relaxed);
                    let error = self.receive(subscription).await;
                    self.consuming.store(false, std::sync::atomic::Ordering::Relaxed);
                    error
                }
                Err(error) => Some(error),
            };
            if let Some(error) = error {
                tracing::warn!(partition = %self.partition, %error, "control messages do not come; tried again in {delay:?}");
                let sleep = self.ports.runtime.sleep(delay);
                select(sleep, std::pin::pin!(self.stop.cancelled())).await;
                delay = (delay * 2).min(RETRY_MAX);
            }
        }
    }

    /// Receives until told to stop (`None`) or until the subscription ends.
    async fn receive(&self, mut subscription: Box<dyn Subscription>) -> Option<BrokerError> {
        let acker = subscription.acker();
        loop {
            let received = tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    subscription.close().await;
                    return None;
                }
                received = subscription.next() => received,
            };
            match received {
                Ok(delivery) => {
                    let event = Event::Delivered {
                        partition: self.partition,
                        delivery,
                        acker: Arc::clone(&acker),
                    };
                    if self.events.send(event).await.is_err() {
                        return None;
                    }
                }
                Err(error) => return Some(error),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn workers(count: usize) -> Vec<WorkerRow> {
        (0..count)
            .map(|n| WorkerRow {
                id: WorkerId::new(format!("w{n}")).unwrap(),
                hosts: vec![],
            })
            .collect()
    }

    #[test]
    fn a_worker_that_leaves_moves_only_its_own_partitions() {
        let all = workers(4);
        let without_first: Vec<_> = all.iter().skip(1).cloned().collect();
        for partition in PartitionId::all(64) {
            let before = owner_of(partition, &all).unwrap();
            let after = owner_of(partition, &without_first).unwrap();
            assert!(before == after || *before == all[0].id);
        }
    }

    #[test]
    fn every_worker_gets_a_share() {
        let all = workers(4);
        for worker in &all {
            let share = PartitionId::all(64)
                .filter(|p| owner_of(*p, &all) == Some(&worker.id))
                .count();
            assert!((6..=28).contains(&share), "{} owns {share} of 64", worker.id);
        }
    }
}
