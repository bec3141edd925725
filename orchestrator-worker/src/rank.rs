//! Owns the division of the partitions among the living workers: evenly, alike on every worker, and changed as little as
//! may be when one comes or goes. Never knows who lives, and never who owns what at the moment.
//!
//! Rendezvous hashing with a bound on each worker's share: every pair of a worker and a partition has a score; the pairs
//! are gone through from the highest on, and each gives its partition to its worker unless the one is given away or the
//! other has its share. Shares differ by one at most.

use std::sync::OnceLock;

use longhaul_shared::id::{PartitionId, WorkerId};
use xxhash_rust::xxh3::xxh3_64;

/// Who should own what, of these workers.
pub(crate) struct Rank {
    /// Ordered, so that all agree whatever the order of their lists.
    living: Vec<WorkerId>,
    pairs: Pairs,
    division: Division,
    /// The same without each of them, once that was asked for.
    without: Vec<OnceLock<Division>>,
}

/// Every partition with the place of every worker, the highest score first.
struct Pairs {
    partitions: u16,
    ranked: Vec<(PartitionId, usize)>,
}

/// For each partition the place of its owner among the living; empty if nobody lives.
type Division = Vec<usize>;

impl Rank {
    pub(crate) fn of(partitions: u16, mut living: Vec<WorkerId>) -> Self {
        living.sort_unstable();
        living.dedup();
        let pairs = Pairs::of(partitions, &living);
        Self {
            division: pairs.divide(living.len(), None),
            pairs,
            without: living.iter().map(|_| OnceLock::new()).collect(),
            living,
        }
    }

    /// Whether it is of the same workers.
    pub(crate) fn is_of(&self, living: &[WorkerId]) -> bool {
        living.len() == self.living.len() && living.iter().all(|id| self.place_of(id).is_some())
    }

    /// Whether this worker is one of them.
    pub(crate) fn has(&self, worker: &WorkerId) -> bool {
        self.place_of(worker).is_some()
    }

    fn place_of(&self, worker: &WorkerId) -> Option<usize> {
        self.living.binary_search(worker).ok()
    }

    /// Who should own a partition.
    pub(crate) fn owner_of(&self, partition: PartitionId) -> Option<&WorkerId> {
        self.living.get(*self.division.get(usize::from(partition.0))?)
    }

    /// Who should own a partition if this worker did not live.
    pub(crate) fn heir_of(&self, partition: PartitionId, without: &WorkerId) -> Option<&WorkerId> {
        let Some(place) = self.place_of(without) else {
            return self.owner_of(partition);
        };
        let compute = || self.pairs.divide(self.living.len(), Some(place));
        let division = self.without.get(place)?.get_or_init(compute);
        self.living.get(*division.get(usize::from(partition.0))?)
    }
}

impl Pairs {
    fn of(partitions: u16, workers: &[WorkerId]) -> Self {
        let places = workers.iter().enumerate();
        let scored = PartitionId::all(partitions).flat_map(|partition| {
            let of_one = move |(place, worker)| (score(partition, worker), partition, place);
            places.clone().map(of_one)
        });
        let mut scored: Vec<_> = scored.collect();
        scored.sort_unstable_by(|one, other| other.cmp(one));
        let ranked = scored.into_iter().map(|(_, partition, place)| (partition, place));
        Self {
            partitions,
            ranked: ranked.collect(),
        }
    }

    /// Divides the partitions among so many workers, or all of them but one.
    fn divide(&self, workers: usize, but: Option<usize>) -> Division {
        let partitions = usize::from(self.partitions);
        let sharing = workers - usize::from(but.is_some());
        let Some(least) = partitions.checked_div(sharing) else {
            return Division::new();
        };
        let mut with_one_more = partitions % sharing;
        let mut shares = vec![0; workers];
        let mut division: Vec<Option<usize>> = vec![None; partitions];
        for (partition, place) in self.ranked.iter().filter(|(_, place)| Some(*place) != but) {
            let (Some(owner @ None), Some(share)) =
                (division.get_mut(usize::from(partition.0)), shares.get_mut(*place))
            else {
                continue;
            };
            if *share > least || *share == least && with_one_more == 0 {
                continue;
            }
            if *share == least {
                with_one_more -= 1;
            }
            *share += 1;
            *owner = Some(*place);
        }
        // As many places as partitions were given away, and every pair was looked at.
        division.into_iter().flatten().collect()
    }
}

fn score(partition: PartitionId, worker: &WorkerId) -> u64 {
    let mut bytes = partition.0.to_be_bytes().to_vec();
    bytes.extend_from_slice(worker.as_str().as_bytes());
    xxh3_64(&bytes)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn workers(count: usize) -> Vec<WorkerId> {
        (0..count)
            .map(|n| WorkerId::new(format!("w{n}")).unwrap())
            .collect()
    }

    fn shares(rank: &Rank, partitions: u16) -> BTreeMap<WorkerId, usize> {
        let mut shares = BTreeMap::new();
        for partition in PartitionId::all(partitions) {
            *shares
                .entry(rank.owner_of(partition).unwrap().clone())
                .or_default() += 1;
        }
        shares
    }

    #[test]
    fn shares_differ_by_one_at_most() {
        for (partitions, count) in [(16, 1), (16, 3), (16, 5), (64, 4), (64, 7), (512, 60), (3, 3)] {
            let rank = Rank::of(partitions, workers(count));
            let shares = shares(&rank, partitions);
            assert_eq!(shares.len(), count);
            let (least, most) = (shares.values().min().unwrap(), shares.values().max().unwrap());
            assert!(most - least <= 1, "{partitions} over {count}: {shares:?}");
        }
    }

    #[test]
    fn more_workers_than_partitions_leave_some_without() {
        let rank = Rank::of(4, workers(9));
        assert_eq!(shares(&rank, 4).len(), 4);
        assert!(Rank::of(4, Vec::new()).owner_of(PartitionId(0)).is_none());
    }

    #[test]
    fn everybody_agrees_whatever_the_order_of_the_list() {
        let mut turned = workers(5);
        turned.reverse();
        let (one, other) = (Rank::of(64, workers(5)), Rank::of(64, turned.clone()));
        assert!(one.is_of(&turned));
        assert!(!one.is_of(&workers(4)));
        for partition in PartitionId::all(64) {
            assert_eq!(one.owner_of(partition), other.owner_of(partition));
        }
    }

    #[test]
    fn an_heir_is_who_owns_it_once_the_other_is_gone() {
        let all = workers(4);
        let rank = Rank::of(64, all.clone());
        for gone in &all {
            let rest: Vec<_> = all.iter().filter(|worker| *worker != gone).cloned().collect();
            let after = Rank::of(64, rest);
            for partition in PartitionId::all(64) {
                assert_eq!(rank.heir_of(partition, gone), after.owner_of(partition));
            }
        }
        let stranger = WorkerId::new("stranger").unwrap();
        let partition = PartitionId(7);
        assert_eq!(rank.heir_of(partition, &stranger), rank.owner_of(partition));
    }

    #[test]
    fn few_partitions_move_that_need_not() {
        // A worker that comes or goes moves a share; the rest of what moves is the price of evenness.
        for count in 2..10 {
            let (fewer, more) = (Rank::of(64, workers(count)), Rank::of(64, workers(count + 1)));
            let moved = PartitionId::all(64)
                .filter(|partition| fewer.owner_of(*partition) != more.owner_of(*partition))
                .count();
            let share = 64 / (count + 1);
            assert!(
                moved <= 2 * share + 8,
                "{moved} moved from {count} on, a share is {share}"
            );
        }
    }
}
