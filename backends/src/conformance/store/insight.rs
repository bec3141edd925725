//! Owns what holds for looking at a store from outside: counts of what stands where, who lives, what it says of itself.
//! Never expects two numbers to belong to one moment.

use std::time::Duration;

use longhaul_shared::commit::{Ready, TimerEntry, TurnCommit};
use longhaul_shared::id::{PartitionId, TaskId};
use longhaul_shared::instance::Status;
use longhaul_shared::message::Destination;
use longhaul_shared::port::{Census, StatusCounts, StoreRole, WorkerRow};
use longhaul_shared::time::Timestamp;

use super::{LONG, PARTITIONS, SHORT, StoreHub, worker_id};
use crate::conformance::sample;
use crate::conformance::tasks::until;

async fn census(hub: &StoreHub, partition: PartitionId, older_than: Duration) -> Census {
    let told = hub.store.census(vec![partition], older_than).await;
    let told = told.expect("a partition can be counted");
    assert_eq!(told.len(), 1, "one partition has one answer");
    told[0]
}

/// Every instance is counted once, under the status in which it is, whatever became of it before.
pub async fn a_census_counts_instances_by_status(hub: StoreHub) {
    let mut owned = hub.owned_neighbours(7).await;
    let partition = owned[0].partition;
    let counted = census(&hub, partition, LONG).await.by_status;
    assert_eq!(
        counted,
        StatusCounts {
            pending: 7,
            ..StatusCounts::default()
        }
    );
    for one in &mut owned[1..] {
        hub.apply(hub.turn(one, 1), one).await;
    }
    let ends = [
        Status::Completed,
        Status::Failed,
        Status::Failed,
        Status::Terminated,
    ];
    for (one, status) in owned[3..].iter_mut().zip(ends) {
        hub.apply(hub.last_turn(one, status), one).await;
    }
    let expected = StatusCounts {
        pending: 1,
        running: 2,
        completed: 1,
        failed: 2,
        terminated: 1,
    };
    assert_eq!(census(&hub, partition, LONG).await.by_status, expected);
}

/// Answers stand in the order asked, each of its own partition; one that nobody used has nothing.
pub async fn a_census_answers_in_the_order_asked(hub: StoreHub) {
    let mut expected = [0_u64; PARTITIONS as usize];
    for number in 0..12 {
        let id = hub.create(&format!("instance {number}")).await.id;
        expected[usize::from(PartitionId::of(&id, PARTITIONS).0)] += 1;
    }
    let unused = PartitionId(PARTITIONS + 7);
    let asked = [2, 0, 3, 2, 1].map(PartitionId);
    let mut partitions = asked.to_vec();
    partitions.insert(1, unused);
    let mut told = hub.store.census(partitions, LONG).await.expect("all are counted");
    assert_eq!(told.remove(1), Census::default(), "nobody used it");
    let pending: Vec<_> = told.iter().map(|census| census.by_status.pending).collect();
    assert_eq!(pending, asked.map(|partition| expected[usize::from(partition.0)]));
    assert_eq!(hub.store.census(vec![], LONG).await, Ok(vec![]));
}

/// Instances count as overdue from the age asked for on; the oldest is told whatever its age, and what is to be looked
/// at later is neither.
pub async fn a_census_tells_what_is_overdue(hub: StoreHub) {
    let mut owned = hub.owned_neighbours(4).await;
    let partition = owned[0].partition;
    for one in &mut owned {
        hub.apply(hub.turn(one, 1), one).await;
    }
    let settled = census(&hub, partition, Duration::ZERO).await;
    assert_eq!((settled.ready_overdue, settled.ready_oldest), (0, None));
    let mut look_at = async |at: usize, due: Timestamp| {
        let one = &mut owned[at];
        let turn = TurnCommit {
            ready: Ready::At(due),
            ..hub.turn(one, 1)
        };
        hub.apply(turn, one).await;
    };
    let now = hub.now().await;
    let ago = |span: Duration| {
        let span = i64::try_from(span.as_micros()).expect("a short span");
        Timestamp::from_micros(now.micros() - span)
    };
    look_at(0, now.plus(LONG)).await;
    let later = census(&hub, partition, Duration::ZERO).await;
    assert_eq!((later.ready_overdue, later.ready_oldest), (0, None), "in an hour");
    look_at(1, ago(LONG)).await;
    look_at(2, ago(2 * LONG)).await;
    look_at(3, now).await;
    let minute = Duration::from_secs(60);
    for (older_than, overdue) in [
        (Duration::ZERO, 3),
        (LONG - minute, 2),
        (LONG + LONG / 2, 1),
        (3 * LONG, 0),
    ] {
        let counted = census(&hub, partition, older_than).await;
        assert_eq!(counted.ready_overdue, overdue, "older than {older_than:?}");
        let oldest = counted.ready_oldest.expect("something is due");
        assert!(
            oldest >= 2 * LONG && oldest < 2 * LONG + LONG / 2,
            "the oldest is due since two hours: {oldest:?}"
        );
    }
}

/// Committed messages and timers are counted until they are forgotten, and the first timer is told, due or not.
pub async fn a_census_counts_messages_and_timers(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let partition = owned.partition;
    let (past, future) = (
        Timestamp::from_micros(owned.now.micros() - 1),
        owned.now.plus(LONG),
    );
    let messages: Vec<_> = (1..=5)
        .map(|number| sample::publication(Destination::Intake, number, owned.now))
        .collect();
    let timer = |task, due| TimerEntry {
        task: TaskId(task),
        due,
    };
    let turn = TurnCommit {
        outbox_add: messages.clone(),
        timers_add: vec![timer(1, future), timer(2, past), timer(3, future.plus(LONG))],
        ..hub.turn(&owned, 1)
    };
    hub.apply(turn, &mut owned).await;
    let counted = census(&hub, partition, LONG).await;
    assert_eq!(
        (counted.outbox, counted.timers, counted.next_timer),
        (5, 3, Some(past))
    );
    let turn = TurnCommit {
        outbox_remove: vec![messages[0].id, messages[1].id],
        timers_remove: vec![TaskId(2)],
        ..hub.turn(&owned, 1)
    };
    hub.apply(turn, &mut owned).await;
    let counted = census(&hub, partition, LONG).await;
    assert_eq!(
        (counted.outbox, counted.timers, counted.next_timer),
        (3, 2, Some(future))
    );
    let other = PartitionId((partition.0 + 1) % PARTITIONS);
    assert_eq!(census(&hub, other, LONG).await, Census::default());
}

/// A census leaves everything as it was.
pub async fn a_census_changes_nothing(hub: StoreHub) {
    let owned = hub.owned("a").await;
    let ids = [owned.key.instance.clone()];
    let before = hub.picture(owned.partition, &ids).await;
    census(&hub, owned.partition, Duration::ZERO).await;
    assert_eq!(hub.picture(owned.partition, &ids).await, before);
}

/// Who lives can be asked without living: the list is what a heartbeat tells, and those who are silent leave it.
pub async fn who_lives_can_be_asked_by_anybody(hub: StoreHub) {
    assert_eq!(hub.store.workers().await, Ok(vec![]));
    let row = |id: &str, hosts: &[&str]| WorkerRow {
        id: worker_id(id),
        hosts: hosts.iter().map(|name| sample::name(name)).collect(),
    };
    let (b, a, silent) = (
        row("b", &["backup", "restore"]),
        row("a", &[]),
        row("c", &["backup"]),
    );
    for (worker, ttl) in [(&b, LONG), (&silent, SHORT), (&a, LONG)] {
        let beat = hub.store.heartbeat(worker.clone(), ttl).await;
        beat.expect("a heartbeat is answered");
    }
    let living = [a.clone(), b.clone()];
    let left = until(&hub.runtime, "the silent one leaves the list", || async {
        let living = hub.store.workers().await.expect("the list can be read");
        (!living.contains(&silent)).then_some(living)
    })
    .await;
    assert_eq!(left, living, "by id, and with what they host");
    let told = hub.store.heartbeat(a, LONG).await;
    assert_eq!(told.as_deref(), Ok(&living[..]), "asking made nobody live");
}

/// A store that takes changes says so, and names the run that its pulse names.
pub async fn a_store_tells_what_it_is(hub: StoreHub) {
    let condition = hub.store.condition().await.expect("it says what it is");
    assert!(!condition.kind.is_empty());
    assert_eq!(condition.role, Some(StoreRole::Primary));
    let pulse = hub.store.pulse().await.expect("the hub has a pulse");
    assert_eq!(condition.run, pulse.era.run);
    assert_ne!(condition.is_last_write_ok, Some(false));
    let again = hub.store.condition().await.expect("it says what it is");
    assert_eq!(
        (again.kind, again.version, again.run, again.persistence),
        (
            condition.kind,
            condition.version,
            condition.run,
            condition.persistence
        ),
        "what it is does not change"
    );
}
