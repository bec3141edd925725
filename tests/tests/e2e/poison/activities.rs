//! Activities that kill the activity worker, or never return.

use std::time::Duration;

use longhaul_sdk::Activity;
use longhaul_shared::codec;
use longhaul_shared::history::EventKind;
use longhaul_shared::id::{EventSeq, ExecutionKey};
use longhaul_shared::instance::{Status, WaitingFor};
use longhaul_shared::limits::POISON_ATTEMPTS_MAX;
use longhaul_shared::message::{Destination, TaskIdentity};
use longhaul_tests::servers::Servers;

use super::host;
use super::samples::{self, BLOCKS_FOR_EVER, CALLS, FANS_OUT, KILLS, Venom, WAITS_FOR_EVER};
use crate::site::{DEADLINE, Kind, Site, Tuning};

/// The run before the first that is counted, and those that are.
const RUNS: usize = POISON_ATTEMPTS_MAX as usize + 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activity_that_aborts_is_parked_and_its_neighbours_go_on() {
    let (site, workers) = host::site(&[Kind::Activity]).await;
    is_parked_and_requeued(&site, KILLS, "LH1302", RUNS).await;
    assert_eq!(workers[0].deaths(), RUNS);
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activity_that_never_returns_is_parked_and_its_neighbours_go_on() {
    let (site, _) = host::site(&[]).await;
    is_parked_and_requeued(&site, WAITS_FOR_EVER, "LH1303", RUNS).await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activity_that_keeps_its_thread_is_parked_at_once_and_its_neighbours_go_on() {
    let (site, workers) = host::site(&[Kind::Activity]).await;
    is_parked_and_requeued(&site, BLOCKS_FOR_EVER, "LH1304", 1).await;
    assert_eq!(workers[0].deaths(), 0);
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activity_that_outlasts_its_workers_is_not_parked_when_they_leave_in_good_order() {
    let mut tuning = Tuning::default();
    tuning.activity.drain_max = Duration::from_millis(50);
    let servers = Servers::shared().unwrap();
    let (redis, amqp) = (servers.redis_url.to_owned(), servers.amqp_url.to_owned());
    let site = Site::on_servers(redis, amqp, tuning).await;
    site.orchestrate(samples::orchestrations()).await;
    let venom = Venom::at(site.path("venom"));
    let input = (WAITS_FOR_EVER.name().to_owned(), venom.input());
    let run = site.start_new(CALLS, "patient", input).await;
    for begun in 1..=RUNS + 2 {
        site.act(samples::activities()).await;
        site.wait_until("the next worker has begun it", DEADLINE, async || {
            (venom.runs() >= begun).then_some(())
        })
        .await;
        site.stop(Kind::Activity).await;
    }
    assert_eq!(site.parked(0).await, []);
    venom.cure();
    site.act(samples::activities()).await;
    assert_eq!(site.output(&run).await, "cured");
    nothing_is_counted(&site, "patient").await;
    site.close().await;
}

async fn is_parked_and_requeued(site: &Site, poison: Activity<String, String>, says: &str, runs: usize) {
    let venom = Venom::at(site.path("venom"));
    let beside = site.neighbour_of("poison");
    let neighbour = site.start_new(FANS_OUT, &beside, 40).await;
    let input = (poison.name().to_owned(), venom.input());
    let run = site.start_new(CALLS, "poison", input).await;
    let after = site.start_new(FANS_OUT, "after", 5).await;

    let parked = site.parked(1).await;
    let [parked] = parked.as_slice() else {
        panic!("one is parked: {parked:?}");
    };
    assert_eq!(parked.code, says);
    assert!(
        parked.reason.contains(says) && parked.reason.contains(poison.name()),
        "{}",
        parked.reason
    );
    assert!(matches!(parked.origin, Destination::Work(_)));
    let item = codec::work_item_parked_as(parked).unwrap();
    let (status, waiting_for) = site.shown_waiting("poison").await;
    let expected = WaitingFor::ParkedTask {
        task: item.identity.task,
        name: poison.function_name(),
        code: says.to_owned(),
        parked: parked.id,
    };
    assert_eq!((status, waiting_for), (Status::Running, expected));
    let why = site.client.why(&item.identity.key.instance).await.unwrap();
    let first = why.waits.first().map(|wait| wait.reason.remedy());
    let remedy = first.unwrap_or_default();
    assert!(
        remedy.contains(&format!("longhaul parked requeue {}", parked.id)),
        "{why:?}"
    );
    assert_eq!(venom.runs(), runs);
    assert_eq!(site.output(&neighbour).await, (0..40).sum::<u32>());
    assert_eq!(site.output(&after).await, 10);

    venom.cure();
    site.client.requeue(parked.id).await.unwrap();
    assert_eq!(site.output(&run).await, "cured");
    assert_eq!(venom.runs(), runs);
    assert_eq!(site.load("poison").await.row.waiting_for, None);
    assert_eq!(site.client.parked(Default::default()).await.unwrap().total, 0);
    for id in ["poison", &beside] {
        nothing_is_counted(site, id).await;
    }
}

/// Checks that no attempt at any task of an instance is remembered.
async fn nothing_is_counted(site: &Site, id: &str) {
    let loaded = site.load(id).await;
    for (event, seq) in loaded.history.iter().zip(1..) {
        let EventKind::TaskScheduled(task) = &event.kind else {
            continue;
        };
        let identity = TaskIdentity {
            key: ExecutionKey {
                instance: loaded.row.id.clone(),
                execution: loaded.row.execution,
            },
            task: task.task,
            scheduled_seq: EventSeq(seq),
            fingerprint: task.fingerprint,
        };
        let partition = site.partition(&loaded.row.id);
        let counted = site.ports.store.work_attempts(partition, identity.attempts_id());
        assert_eq!(counted.await, Ok(0), "task {} of {id}", task.task);
    }
}
