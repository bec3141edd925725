//! Owns the suspicion that another worker is gone: who is to follow it looks whether anybody consumes for it.
//! Never takes a partition, and never takes a broker that is away or has just come back for a dead worker.
//!
//! A worker that is killed leaves leases that last for seconds, but its consumers are gone within milliseconds. Its
//! heirs look at one of its partitions in turn, and at all of them once that one has no consumer. A hung worker
//! keeps its consumers; its leases are followed as soon as they expire, not when the list of the living says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use longhaul_shared::id::{LeaseToken, PartitionId, WorkerId};
use longhaul_shared::message::Destination;
use longhaul_shared::port::{HeldLease, Monotonic, Ports, StoreError, WorkerRow, within};

use crate::rank::Rank;
use crate::settings::Settings;

/// Longest wait for the broker to count consumers. One that is slower says nothing about who lives.
const COUNT_WITHIN: Duration = Duration::from_secs(1);

/// What this worker knows of the others' deaths.
pub(crate) struct Early {
    me: WorkerId,
    partitions: u16,
    /// How long a broker connection must have stood.
    connected_for: Duration,
    /// How far the two looks lie apart at least.
    looks_apart: Duration,
    /// For how long at most a worker is left out.
    suspect_for: Duration,
    /// The broker connection, and since when it is known to stand.
    connection: Option<(u64, Monotonic)>,
    /// Leases that were seen without a consumer once.
    unattended: BTreeMap<PartitionId, Sighting>,
    /// Who should own what, of those that are on the list and not known to be gone.
    rank: Arc<Rank>,
    /// The same, of all that are on the list.
    listed: Arc<Rank>,
    /// Since when it is so, and what was so before.
    listed_since: Monotonic,
    listed_before: Arc<Rank>,
    /// For how long that must have been so before anything is handed over.
    settled_after: Duration,
    /// Workers that are left out, and until when.
    suspects: BTreeMap<WorkerId, Monotonic>,
    /// How often was looked: which of a worker's partitions stands for all of them.
    round: usize,
}

/// A lease that nobody consumes for.
struct Sighting {
    token: LeaseToken,
    at: Monotonic,
}

/// A partition whose holder is gone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Abandoned {
    pub(crate) partition: PartitionId,
    pub(crate) holder: WorkerId,
    /// The token under which it is held; absent when the lease has expired.
    pub(crate) early: Option<LeaseToken>,
}

/// Which partitions this worker should own.
///
/// Shares are even, so that somebody's leaving moves partitions of others, too, and not everybody learns of it at the
/// same time. What is taken is decided by who seems to live. Given up is only what would go to another in the eyes of
/// all: by the whole list, suspects included, once everybody has had the time to read it. A newcomer knows of itself.
pub(crate) struct Division {
    me: WorkerId,
    rank: Arc<Rank>,
    listed: Arc<Rank>,
    before: Arc<Rank>,
    is_settled: bool,
}

impl Division {
    /// Whether this worker should take a partition.
    pub(crate) fn takes(&self, partition: PartitionId) -> bool {
        self.rank.owner_of(partition) == Some(&self.me)
    }

    /// Whether it should hand a partition over that it has.
    pub(crate) fn gives_up(&self, partition: PartitionId) -> bool {
        let owner = self.listed.owner_of(partition);
        let knows = |owner| self.is_settled || !self.before.has(owner);
        owner.is_some_and(|owner| *owner != self.me && knows(owner)) && !self.takes(partition)
    }
}

/// What one look has found.
#[derive(Default)]
pub(crate) struct Found {
    pub(crate) abandoned: Vec<Abandoned>,
    /// Whether a partition is free that another worker should have: it has left, or has only just come.
    pub(crate) is_list_old: bool,
}

/// A held lease, and who consumed for it at that time.
struct Seen {
    partition: PartitionId,
    held: HeldLease,
    /// Absent when it was not asked for or not told in time.
    consumers: Option<u32>,
    asked: Monotonic,
    answered: Monotonic,
}

/// What to make of a lease that another worker holds.
#[derive(PartialEq, Eq, Debug)]
enum Verdict {
    /// Its holder is there, or nobody can tell.
    Leave,
    /// Nobody consumes for it: look again.
    LookAgain,
    Take(Option<LeaseToken>),
}

impl Early {
    pub(crate) fn new(me: WorkerId, partitions: u16, settings: &Settings) -> Self {
        Self {
            me,
            rank: Arc::new(Rank::of(partitions, Vec::new())),
            listed: Arc::new(Rank::of(partitions, Vec::new())),
            listed_since: Monotonic::default(),
            listed_before: Arc::new(Rank::of(partitions, Vec::new())),
            settled_after: settings.lease_renew,
            partitions,
            connected_for: settings.early_connected,
            looks_apart: settings.early_looks,
            suspect_for: settings.lease_ttl,
            connection: None,
            unattended: BTreeMap::new(),
            suspects: BTreeMap::new(),
            round: 0,
        }
    }

    /// Those of the list who are not known to be gone.
    fn living(&self, list: &[WorkerRow], now: Monotonic) -> Vec<WorkerId> {
        let is_suspect = |id: &WorkerId| self.suspects.get(id).is_some_and(|until| now < *until);
        let ids = list.iter().map(|worker| &worker.id);
        ids.filter(|id| !is_suspect(id)).cloned().collect()
    }

    /// Who should own what, of those of the list who are not known to be gone.
    fn rank(&mut self, list: &[WorkerRow], now: Monotonic) -> Arc<Rank> {
        let living = self.living(list, now);
        if self.listed.is_of(&living) {
            self.rank = Arc::clone(&self.listed);
        } else if !self.rank.is_of(&living) {
            self.rank = Arc::new(Rank::of(self.partitions, living));
        }
        Arc::clone(&self.rank)
    }

    /// What this worker should take, and what it should give up.
    pub(crate) fn division(&mut self, list: &[WorkerRow], now: Monotonic) -> Division {
        let all: Vec<_> = list.iter().map(|worker| worker.id.clone()).collect();
        if !self.listed.is_of(&all) {
            let listed = Arc::new(Rank::of(self.partitions, all));
            self.listed_before = std::mem::replace(&mut self.listed, listed);
            self.listed_since = now;
        }
        Division {
            me: self.me.clone(),
            listed: Arc::clone(&self.listed),
            before: Arc::clone(&self.listed_before),
            is_settled: now.since(self.listed_since) >= self.settled_after,
            rank: self.rank(list, now),
        }
    }

    /// A partition of this worker was taken: it is left out until its entry on the list expires. If it lives after
    /// all, it is left out for no longer than such an entry lasts.
    pub(crate) fn suspect(&mut self, holder: WorkerId, now: Monotonic) {
        if holder != self.me {
            // One that was suspected wrongly before may be dead now.
            let until = self.suspects.entry(holder).or_insert(now);
            if *until <= now {
                *until = now.plus(self.suspect_for);
            }
        }
    }

    /// The list of the living was read: who is no longer on it is no suspect any more.
    pub(crate) fn listed(&mut self, list: &[WorkerRow]) {
        self.suspects
            .retain(|suspect, _| list.iter().any(|worker| worker.id == *suspect));
    }

    /// Looks whether partitions of others are this worker's to take, given which it owns.
    ///
    /// # Errors
    /// [`StoreError`] when the leases could not be read.
    ///
    /// # Cancel safety
    /// Safe: a look that is given up proves nothing.
    pub(crate) async fn look(
        &mut self,
        ports: &Ports,
        list: &[WorkerRow],
        owned: &BTreeSet<PartitionId>,
    ) -> Result<Found, StoreError> {
        let rank = self.rank(list, ports.runtime.now());
        let inheritance = self.inheritance(&rank, owned);
        let first = self.first_to_look_at(&inheritance, &rank, owned);
        let mut found = Found::default();
        let doubted = self.look_at(ports, &rank, &first, &mut found).await?;
        // One partition without a consumer throws doubt on all that its holder has.
        let more: Vec<_> = inheritance
            .iter()
            .filter(|(holder, _)| doubted.contains(holder))
            .flat_map(|(_, partitions)| partitions.iter().copied())
            .filter(|partition| !first.contains(partition))
            .collect();
        self.look_at(ports, &rank, &more, &mut found).await?;
        Ok(found)
    }

    /// What falls to this worker if one of the others dies, by who that is.
    fn inheritance(
        &self,
        rank: &Rank,
        owned: &BTreeSet<PartitionId>,
    ) -> BTreeMap<WorkerId, Vec<PartitionId>> {
        let mut inheritance: BTreeMap<WorkerId, Vec<PartitionId>> = BTreeMap::new();
        for partition in PartitionId::all(self.partitions).filter(|partition| !owned.contains(partition)) {
            if let Some(owner) = rank.owner_of(partition).filter(|owner| **owner != self.me)
                && rank.heir_of(partition, owner) == Some(&self.me)
            {
                inheritance.entry(owner.clone()).or_default().push(partition);
            }
        }
        inheritance
    }

    /// One partition for each other worker, a different one each time; all that were seen unattended; and what should
    /// be this worker's but is still held by somebody.
    fn first_to_look_at(
        &mut self,
        inheritance: &BTreeMap<WorkerId, Vec<PartitionId>>,
        rank: &Rank,
        owned: &BTreeSet<PartitionId>,
    ) -> BTreeSet<PartitionId> {
        self.round = self.round.wrapping_add(1);
        let samples = inheritance
            .values()
            .filter_map(|of_one| of_one.get(self.round.checked_rem(of_one.len())?).copied());
        let unattended = inheritance
            .values()
            .flatten()
            .copied()
            .filter(|partition| self.unattended.contains_key(partition));
        let missing = PartitionId::all(self.partitions)
            .filter(|partition| !owned.contains(partition) && rank.owner_of(*partition) == Some(&self.me));
        samples.chain(unattended).chain(missing).collect()
    }

    /// Looks at these partitions; returns whose holders are doubted.
    async fn look_at(
        &mut self,
        ports: &Ports,
        rank: &Rank,
        partitions: impl IntoIterator<Item = &PartitionId>,
        found: &mut Found,
    ) -> Result<BTreeSet<WorkerId>, StoreError> {
        let partitions: Vec<_> = partitions.into_iter().copied().collect();
        let mut doubted = BTreeSet::new();
        if partitions.is_empty() {
            return Ok(doubted);
        }
        let is_trusted = self.is_trusted(ports);
        let leases = ports.store.leases(partitions.clone()).await?;
        let mut held = Vec::new();
        for (partition, lease) in partitions.into_iter().zip(leases) {
            let Some(lease) = lease else {
                self.unattended.remove(&partition);
                found.is_list_old |= rank.owner_of(partition).is_some_and(|owner| *owner != self.me);
                continue;
            };
            if lease.owner != self.me && rank.heir_of(partition, &lease.owner) == Some(&self.me) {
                held.push((partition, lease));
            }
        }
        let mut seen = join_all(
            held.into_iter()
                .map(|(partition, held)| async move { see(ports, partition, held, is_trusted).await }),
        )
        .await;
        // A connection that was replaced meanwhile has counted on a broker that may have just come back.
        if !self.is_trusted(ports) {
            for seen in &mut seen {
                seen.consumers = None;
            }
        }
        for seen in seen {
            let verdict = self.judge(&seen);
            if verdict != Verdict::Leave {
                doubted.insert(seen.held.owner.clone());
            }
            if let Verdict::Take(early) = verdict {
                found.abandoned.push(Abandoned {
                    partition: seen.partition,
                    holder: seen.held.owner,
                    early,
                });
            }
        }
        Ok(doubted)
    }

    /// Whether the broker connection has stood for so long that whoever lives has come back to the broker, too.
    fn is_trusted(&mut self, ports: &Ports) -> bool {
        self.trusts(ports.broker.connection_generation(), ports.runtime.now())
    }

    fn trusts(&mut self, generation: u64, now: Monotonic) -> bool {
        self.connected(generation, now);
        self.connection
            .is_some_and(|(_, since)| now.since(since) >= self.connected_for)
    }

    fn connected(&mut self, generation: u64, now: Monotonic) {
        if self.connection.is_none_or(|(known, _)| known != generation) {
            self.connection = Some((generation, now));
            self.unattended.clear();
        }
    }

    /// What to make of a lease that another worker holds and that falls to this one without it.
    fn judge(&mut self, seen: &Seen) -> Verdict {
        let Seen { partition, held, .. } = seen;
        if held.expires_in.is_zero() {
            self.unattended.remove(partition);
            return Verdict::Take(None);
        }
        if !held.consuming || seen.consumers != Some(0) {
            self.unattended.remove(partition);
            return Verdict::Leave;
        }
        let before = self
            .unattended
            .get(partition)
            .filter(|before| before.token == held.token);
        match before {
            Some(before) if seen.asked.since(before.at) >= self.looks_apart => {
                self.unattended.remove(partition);
                Verdict::Take(Some(held.token.clone()))
            }
            Some(_) => Verdict::LookAgain,
            None => {
                let sighting = Sighting {
                    token: held.token.clone(),
                    at: seen.answered,
                };
                self.unattended.insert(*partition, sighting);
                Verdict::LookAgain
            }
        }
    }
}

/// Counts who consumes for a lease, if that can be of any use.
async fn see(ports: &Ports, partition: PartitionId, held: HeldLease, is_trusted: bool) -> Seen {
    let asked = ports.runtime.now();
    let mut consumers = None;
    if is_trusted && held.consuming && !held.expires_in.is_zero() {
        let control = Destination::Control(partition);
        let depth = ports.broker.depth(&control);
        // A queue that is not there, a broker that does not answer: neither says that the holder is gone.
        consumers = match within(&ports.runtime, COUNT_WITHIN, depth).await {
            Ok(Ok(depth)) => depth.map(|depth| depth.consumers),
            Ok(Err(_)) | Err(_) => None,
        };
    }
    Seen {
        partition,
        held,
        consumers,
        asked,
        answered: ports.runtime.now(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const P: PartitionId = PartitionId(3);

    fn id(name: &str) -> WorkerId {
        WorkerId::new(name).unwrap()
    }

    fn list(names: &[&str]) -> Vec<WorkerRow> {
        names
            .iter()
            .map(|name| WorkerRow {
                id: id(name),
                hosts: vec![],
            })
            .collect()
    }

    fn at(millis: u64) -> Monotonic {
        Monotonic(Duration::from_millis(millis))
    }

    fn early() -> Early {
        Early::new(id("me"), 16, &Settings::default())
    }

    fn held(token: &str, consuming: bool) -> HeldLease {
        HeldLease {
            owner: id("other"),
            token: LeaseToken::from(token),
            consuming,
            expires_in: Duration::from_secs(8),
        }
    }

    fn seen(token: &str, consumers: Option<u32>, millis: u64) -> Seen {
        Seen {
            partition: P,
            held: held(token, true),
            consumers,
            asked: at(millis),
            answered: at(millis + 10),
        }
    }

    #[test]
    fn two_looks_without_a_consumer_take_a_lease() {
        let mut early = early();
        assert_eq!(early.judge(&seen("a", Some(0), 0)), Verdict::LookAgain);
        assert_eq!(early.judge(&seen("a", Some(0), 509)), Verdict::LookAgain);
        let take = Verdict::Take(Some(LeaseToken::from("a")));
        assert_eq!(early.judge(&seen("a", Some(0), 510)), take);
    }

    #[test]
    fn whatever_comes_between_the_looks_makes_them_begin_anew() {
        let between: [fn(&mut Early); 5] = [
            |early| drop(early.judge(&seen("a", Some(1), 300))),
            |early| drop(early.judge(&seen("a", None, 300))),
            |early| drop(early.judge(&seen("b", Some(0), 300))),
            |early| early.connected(8, at(300)),
            |early| {
                let silent = Seen {
                    held: held("a", false),
                    ..seen("a", Some(0), 300)
                };
                assert_eq!(early.judge(&silent), Verdict::Leave);
            },
        ];
        for happens in between {
            let mut early = early();
            early.connected(7, at(0));
            assert_eq!(early.judge(&seen("a", Some(0), 0)), Verdict::LookAgain);
            happens(&mut early);
            assert_eq!(early.judge(&seen("a", Some(0), 5_000)), Verdict::LookAgain);
        }
    }

    #[test]
    fn a_connection_is_trusted_once_it_has_stood_for_a_while() {
        let mut early = early();
        let trusted = [
            (7, 0),
            (7, 4_999),
            (7, 5_000),
            (8, 5_001),
            (8, 10_000),
            (8, 10_001),
        ];
        let trusted = trusted.map(|(generation, millis)| early.trusts(generation, at(millis)));
        assert_eq!(trusted, [false, false, true, false, false, true]);
    }

    #[test]
    fn a_lease_that_has_expired_is_taken_at_once_whoever_consumes() {
        for consumers in [None, Some(1)] {
            let expired = Seen {
                held: HeldLease {
                    expires_in: Duration::ZERO,
                    ..held("a", true)
                },
                ..seen("a", consumers, 0)
            };
            assert_eq!(early().judge(&expired), Verdict::Take(None));
        }
    }

    #[test]
    fn a_suspect_is_left_out_until_it_is_off_the_list_or_its_time_is_over() {
        let all = list(&["me", "other", "third"]);
        let names = |early: &Early, now| -> Vec<String> {
            let living = early.living(&all, now);
            living.iter().map(ToString::to_string).collect()
        };
        let mut early = early();
        early.suspect(id("other"), at(0));
        early.suspect(id("me"), at(0));
        early.suspect(id("other"), at(9_000));
        assert_eq!(names(&early, at(9_999)), ["me", "third"]);
        assert_eq!(names(&early, at(10_000)), ["me", "other", "third"]);
        early.listed(&list(&["me", "third"]));
        assert_eq!(names(&early, at(0)), ["me", "other", "third"], "forgotten");
    }

    #[test]
    fn a_suspicion_of_one_worker_alone_makes_nobody_give_up_what_is_not_the_suspects() {
        let all = list(&["me", "other", "third", "fourth"]);
        let mut early = early();
        let settled = at(60_000);
        drop(early.division(&all, at(0)));
        let before = early.division(&all, settled);
        early.suspect(id("other"), settled);
        let suspecting = early.division(&all, settled);
        let mine = |division: &Division| -> BTreeSet<PartitionId> {
            PartitionId::all(16)
                .filter(|partition| division.takes(*partition))
                .collect()
        };
        let (mine_before, mine_now) = (mine(&before), mine(&suspecting));
        assert_eq!(mine_before.len(), 4);
        assert!((5..=6).contains(&mine_now.len()), "a third of all: {mine_now:?}");
        for partition in mine_before.union(&mine_now) {
            assert!(!suspecting.gives_up(*partition), "{partition}");
        }
        let others = PartitionId::all(16)
            .find(|partition| !mine_now.contains(partition) && !mine_before.contains(partition));
        assert!(
            suspecting.gives_up(others.unwrap()),
            "it was taken from a suspect who lives"
        );
    }

    #[test]
    fn what_goes_to_a_newcomer_is_given_up_at_once() {
        let mut early = early();
        drop(early.division(&list(&["me"]), at(0)));
        let division = early.division(&list(&["me", "new"]), at(10_000));
        let given_up = PartitionId::all(16).filter(|partition| division.gives_up(*partition));
        assert_eq!(given_up.count(), 8, "it knows of itself");
    }

    #[test]
    fn what_goes_to_another_is_given_up_once_everybody_has_read_the_list() {
        let mut early = early();
        drop(early.division(&list(&["me", "other", "gone"]), at(0)));
        let mut gives_up = |now| {
            let division = early.division(&list(&["me", "other"]), at(now));
            let given_up = PartitionId::all(16).filter(|partition| division.gives_up(*partition));
            given_up.count()
        };
        assert_eq!([10_000, 12_999, 13_000].map(&mut gives_up), [0, 0, 8]);
    }

    #[test]
    fn each_look_takes_another_partition_of_each_worker_for_all_of_them() {
        let mut early = early();
        let (all, owned) = (list(&["me", "other", "third"]), BTreeSet::new());
        let rank = early.rank(&all, at(0));
        let inheritance = early.inheritance(&rank, &owned);
        assert_eq!(inheritance.len(), 2, "{inheritance:?}");
        let missing: Vec<_> = PartitionId::all(16)
            .filter(|partition| rank.owner_of(*partition) == Some(&early.me))
            .collect();
        let mut looked_at = BTreeSet::new();
        for _ in 0..16 {
            let first = early.first_to_look_at(&inheritance, &rank, &owned);
            assert_eq!(first.len(), missing.len() + 2);
            assert!(missing.iter().all(|partition| first.contains(partition)));
            looked_at.extend(first);
        }
        let inherited: usize = inheritance.values().map(Vec::len).sum();
        assert_eq!(looked_at.len(), missing.len() + inherited);
    }
}
