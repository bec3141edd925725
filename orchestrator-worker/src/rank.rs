//! Owns rendezvous hashing: which of the living workers ranks first for a partition.
//! Never knows who lives, and never who owns what at the moment.

use longhaul_shared::id::{PartitionId, WorkerId};
use longhaul_shared::port::WorkerRow;
use xxhash_rust::xxh3::xxh3_64;

/// Who should own a partition: the living worker that ranks first for it.
pub(crate) fn owner_of(partition: PartitionId, living: &[WorkerRow]) -> Option<&WorkerId> {
    first_of(partition, living.iter().map(|worker| &worker.id))
}

/// Who should own a partition if this worker did not live.
pub(crate) fn heir_of<'a>(
    partition: PartitionId,
    living: &'a [WorkerRow],
    without: &WorkerId,
) -> Option<&'a WorkerId> {
    let others = living.iter().map(|worker| &worker.id).filter(|id| *id != without);
    first_of(partition, others)
}

fn first_of<'a>(partition: PartitionId, workers: impl Iterator<Item = &'a WorkerId>) -> Option<&'a WorkerId> {
    workers.max_by_key(|id| {
        let mut bytes = partition.0.to_be_bytes().to_vec();
        bytes.extend_from_slice(id.as_str().as_bytes());
        (xxh3_64(&bytes), id.as_str())
    })
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
    fn a_worker_that_leaves_moves_only_its_own_partitions_and_to_their_heirs() {
        let all = workers(4);
        let without_first: Vec<_> = all.iter().skip(1).cloned().collect();
        for partition in PartitionId::all(64) {
            let before = owner_of(partition, &all).unwrap();
            let after = owner_of(partition, &without_first).unwrap();
            assert!(before == after || *before == all[0].id);
            assert_eq!(heir_of(partition, &all, &all[0].id), Some(after));
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
