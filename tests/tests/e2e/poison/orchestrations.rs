//! Orchestrations that kill the orchestrator worker.

use longhaul_examples::contracts::{HELLO_SEQUENCE, PANICKING, REMINDER, ReminderRequest};
use longhaul_sdk::Orchestration;
use longhaul_shared::codec;
use longhaul_shared::instance::WaitingFor;
use longhaul_shared::limits::POISON_ATTEMPTS_MAX;

use super::host;
use super::samples::{ABORTS, ABORTS_INLINE, FANS_OUT, OVERFLOWS, Venom};
use crate::site::{DEADLINE, Kind, Site, instance};

/// The run before the first that is counted, and those that are.
const RUNS: usize = POISON_ATTEMPTS_MAX as usize + 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orchestration_that_aborts_is_parked_and_its_neighbours_go_on() {
    is_parked_and_requeued(ABORTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orchestration_that_overflows_its_stack_later_is_parked_and_its_neighbours_go_on() {
    is_parked_and_requeued(OVERFLOWS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inline_step_that_aborts_is_parked_and_its_neighbours_go_on() {
    is_parked_and_requeued(ABORTS_INLINE).await;
}

async fn is_parked_and_requeued(poison: Orchestration<String, String>) {
    let (site, workers) = host::site(&[Kind::Orchestrator]).await;
    let venom = Venom::at(site.path("venom"));
    let run = site.start_new(poison, "poison", venom.input()).await;
    let neighbours = neighbours(&site).await;

    let (_, waiting_for) = site.shown_stuck("poison").await;
    let WaitingFor::Stuck {
        code,
        message,
        attempts,
    } = &waiting_for
    else {
        panic!("it waits for {waiting_for}");
    };
    assert_eq!((code.as_str(), *attempts), ("LH1110", POISON_ATTEMPTS_MAX + 1));
    assert!(
        message.contains("poison") && message.contains(poison.name()),
        "{message}"
    );
    assert_eq!(venom.runs(), RUNS);
    assert!(workers.iter().all(|worker| worker.deaths() == RUNS));

    for neighbour in &neighbours {
        assert_eq!(site.output(neighbour).await, 10);
    }
    let parked = site.parked(1).await;
    let [parked] = parked.as_slice() else {
        panic!("nobody else is parked: {parked:?}");
    };
    assert_eq!(codec::instance_parked_as(parked), Some(instance("poison")));

    // What comes for it meanwhile is kept, and does not run it.
    site.wake("poison").await;
    let after = site.neighbour_of("poison");
    let after = site.start_new(HELLO_SEQUENCE, &after, ()).await;
    assert_eq!(site.output(&after).await.len(), 3);
    assert_eq!(venom.runs(), RUNS);

    venom.cure();
    site.client.requeue(parked.id).await.unwrap();
    assert_eq!(site.output(&run).await, "cured");
    assert_eq!(site.load("poison").await.row.waiting_for, None);
    assert_eq!(site.client.parked(Default::default()).await.unwrap().total, 0);
    assert_eq!(venom.runs(), RUNS);
    site.close().await;
}

/// Instances of the same partition and of others, which take long enough to be under way when the worker dies.
async fn neighbours(site: &Site) -> Vec<longhaul_client::Handle<u32>> {
    let mut handles = Vec::new();
    let beside = site.partition(&instance("poison"));
    for partition in site.partitions() {
        let count = if partition == beside { 6 } else { 1 };
        for number in 0..count {
            let id = site.id_in(partition, &format!("neighbour-{partition}-{number}"));
            handles.push(site.start_new(FANS_OUT, &id, 5).await);
        }
    }
    handles
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_parked_instance_can_be_terminated() {
    let (site, _workers) = host::site(&[Kind::Orchestrator]).await;
    let venom = Venom::at(site.path("venom"));
    site.start_new(ABORTS, "poison", venom.input()).await;
    site.shown_stuck("poison").await;
    site.terminate("poison", "seen enough").await;
    let row = site.ended("poison").await;
    assert_eq!(row.status, longhaul_shared::instance::Status::Terminated);
    assert_eq!(venom.runs(), RUNS);
    // Requeueing what has ended takes it off the list.
    site.client.requeue_instance(&instance("poison")).await.unwrap();
    assert_eq!(site.client.parked(Default::default()).await.unwrap().total, 0);
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_killed_from_outside_again_and_again_park_nobody() {
    const UNKNOWN: Orchestration<(), ()> = Orchestration::new("unknown_to_all");
    let (site, _workers) = host::site(&[]).await;
    let neighbours = neighbours(&site).await;
    site.start_new(PANICKING, "paused", ()).await;
    site.start_new(UNKNOWN, "not-hosted", ()).await;
    let request = ReminderRequest { after_ms: 15_000 };
    let patient = site.start_new(REMINDER, "patient", request).await;
    for id in ["paused", "not-hosted"] {
        site.shown_waiting(id).await;
    }
    for _ in 0..=RUNS {
        let before = site.load("paused").await.row.commit_number;
        site.kill_one(Kind::Orchestrator).await;
        site.orchestrate(super::samples::orchestrations()).await;
        site.wait_until("the next owner has tried what is paused", DEADLINE, async || {
            (site.load("paused").await.row.commit_number > before).then_some(())
        })
        .await;
    }
    for neighbour in &neighbours {
        assert_eq!(site.output(neighbour).await, 10);
    }
    site.output(&patient).await;
    for id in ["paused", "not-hosted"] {
        let (_, waiting_for) = site.shown_waiting(id).await;
        assert!(
            !matches!(waiting_for, WaitingFor::Stuck { .. }),
            "{id}: {waiting_for}"
        );
    }
    assert_eq!(site.client.parked(Default::default()).await.unwrap().total, 0);
    site.close().await;
}
