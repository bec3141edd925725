//! Partitions whose owner is gone, and how soon others follow it; and those whose owner is not gone.

use std::collections::BTreeSet;
use std::time::Duration;

use futures::future::join_all;
use longhaul_examples::contracts::{REMINDER, ReminderRequest};
use longhaul_shared::id::PartitionId;
use longhaul_shared::instance::Status;
use longhaul_shared::message::Destination;
use longhaul_tests::servers::{Proxy, RabbitServer, Servers};
use tokio::task::block_in_place;

use super::load::Load;
use super::owners::{busiest, leases, report, resumed, settled, tokens};
use crate::site::{Backend, DEADLINE, Kind, Site, Tuning, instance};

/// Partitions of a killed worker resume within this time of the end of its connections.
const KILLED_WITHIN: Duration = Duration::from_secs(3);
/// Those of a hung one resume within this time of the end of its leases.
const HUNG_WITHIN: Duration = Duration::from_secs(2);
/// Broker connections that have stood for so long are trusted, with some margin.
const TRUSTED: Duration = Duration::from_secs(7);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_workers_partitions_resume_long_before_its_leases_expire() {
    let tuning = Tuning::default();
    assert!(KILLED_WITHIN < tuning.orchestrator.lease_ttl / 3);
    let site = Site::tuned(Backend::Fleet, tuning).await;
    let before = settled(&site, TRUSTED).await;
    let load = Load::start(&site).await;
    load.is_in_flight(&site).await;

    let (victim, lost) = busiest(&before);
    let victim = site.take(&victim);
    let killed = site.ports.runtime.now();
    victim.kill().await;
    let took = resumed(&site, "after-a-kill", &lost, killed).await;
    report(
        "partitions of a killed orchestrator worker: first turns",
        took.first_turns,
    );
    report(
        "partitions of a killed orchestrator worker: work completed",
        took.completed,
    );
    assert!(took.first_turns < KILLED_WITHIN, "{:?}", took.first_turns);

    load.completes(&site, 1).await;
    let after = settled(&site, Duration::ZERO).await;
    for (partition, lease) in &after {
        let kept = before.get(partition).map(|lease| &lease.token) == Some(&lease.token);
        assert_eq!(
            kept,
            !lost.contains(partition),
            "{partition}: {before:?}, then {after:?}"
        );
    }
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_rabbitmq_makes_nobody_take_anything() {
    let mut rabbit = block_in_place(RabbitServer::start).unwrap();
    let redis = Servers::shared_redis().unwrap().to_owned();
    let site = Site::on_servers(redis, rabbit.url(), Tuning::default()).await;
    for _ in 0..3 {
        site.add(Kind::Orchestrator).await;
    }
    for _ in 0..2 {
        site.add(Kind::Activity).await;
    }
    let before = settled(&site, TRUSTED).await;
    let load = Load::start(&site).await;
    load.is_in_flight(&site).await;
    block_in_place(|| rabbit.restart()).unwrap();
    load.completes(&site, 2).await;
    // Past the time in which connections are young, and the looks that follow.
    let after = settled(&site, 2 * TRUSTED).await;
    assert_eq!(tokens(&before), tokens(&after), "a partition changed hands");
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_lives_and_has_lost_rabbitmq_keeps_its_partitions() {
    let servers = Servers::shared().unwrap();
    let port = servers
        .amqp_url
        .rsplit(':')
        .next()
        .and_then(|rest| rest.split('/').next());
    let proxies = [(); 2].map(|()| Proxy::to(port.unwrap().parse().unwrap()).unwrap());
    let site = Site::on_servers(
        servers.redis_url.to_owned(),
        servers.amqp_url.to_owned(),
        Tuning::default(),
    )
    .await;
    for proxy in &proxies {
        site.add_orchestrator_through(proxy.port());
    }
    site.add(Kind::Activity).await;
    let before = settled(&site, TRUSTED).await;
    let proxy = &proxies[site.position(&busiest(&before).0)];
    proxy.block();
    site.wait_until(
        "the cut off worker says that it does not consume",
        TRUSTED,
        async || {
            let consumes = leases(&site).await.values().any(|lease| !lease.consuming);
            consumes.then_some(())
        },
    )
    .await;
    // Long enough for many looks, by a worker whose own connection is old.
    let cut_off = site.ports.runtime.now();
    site.wait_until(
        "the others have had time to take what they want",
        DEADLINE,
        async || {
            assert_eq!(
                tokens(&before),
                tokens(&leases(&site).await),
                "a partition changed hands"
            );
            (site.ports.runtime.now().since(cut_off) > TRUSTED).then_some(())
        },
    )
    .await;
    proxy.unblock();
    assert_eq!(tokens(&before), tokens(&settled(&site, Duration::ZERO).await));
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hung_workers_partitions_resume_once_its_leases_expire_and_it_notices() {
    let site = Site::start(Backend::Fleet).await;
    let before = settled(&site, Duration::ZERO).await;
    let load = Load::start(&site).await;
    load.is_in_flight(&site).await;

    let (victim, lost) = busiest(&before);
    let victim = site.take(&victim);
    victim.freeze();
    let held = leases(&site).await;
    let frozen = site.ports.runtime.now();
    let expire_in = held.values().map(|lease| lease.expires_in).max().unwrap();
    let took = resumed(&site, "after-a-freeze", &lost, frozen).await;
    report(
        "partitions of a hung orchestrator worker, after its leases: first turns",
        took.first_turns.saturating_sub(expire_in),
    );
    report(
        "partitions of a hung orchestrator worker: first turns",
        took.first_turns,
    );
    report(
        "partitions of a hung orchestrator worker: work completed",
        took.completed,
    );
    assert!(
        took.first_turns < expire_in + HUNG_WITHIN,
        "{:?}, leases {expire_in:?}",
        took.first_turns
    );
    victim.thaw();
    site.wait_until(
        "the worker that hung notices",
        Duration::from_secs(20),
        async || victim.said().contains("partition lost").then_some(()),
    )
    .await;
    load.completes(&site, 2).await;
    site.put_back(victim);
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_wakes_up_after_its_lease_commits_nothing_and_acknowledges_nothing() {
    let mut tuning = Tuning::default();
    // Shorter than RabbitMQ's patience with its connection: it still holds results when it wakes up.
    tuning.orchestrator.lease_ttl = Duration::from_secs(3);
    tuning.orchestrator.lease_renew = Duration::from_secs(1);
    let site = Site::tuned(Backend::Fleet, tuning).await;
    let before = settled(&site, Duration::ZERO).await;
    let (victim, lost) = busiest(&before);
    // These wait for a time that does not come in this test: nothing may change them.
    let resting = asleep(&site, &lost).await;
    let load = Load::of(&site, 200).await;
    load.is_in_flight(&site).await;

    let victim_id = victim.clone();
    let victim = site.take(&victim);
    victim.freeze();
    site.wait_until(
        "others have followed the worker that hangs",
        DEADLINE,
        async || {
            let held = leases(&site).await;
            let is_followed = held
                .values()
                .all(|lease| lease.owner != victim_id && lease.consuming);
            (is_followed && held.len() == before.len()).then_some(())
        },
    )
    .await;
    assert!(
        load.is_unfinished(),
        "all work was done before the leases expired"
    );
    for partition in &lost {
        let depth = site.ports.broker.depth(&Destination::Control(*partition)).await;
        assert_eq!(
            depth.map(|depth| depth.map(|depth| depth.consumers)),
            Ok(Some(2)),
            "the worker that hangs still consumes {partition}"
        );
    }
    let rows = join_all(resting.iter().map(async |id| site.load(id).await)).await;
    victim.thaw();
    let woken = site.ports.runtime.now();
    site.wait_until("it notices, for each of its partitions", DEADLINE, async || {
        let said = victim.said();
        let noticed = lost.iter().filter(|partition| {
            said.lines().any(|line| {
                line.contains("partition lost") && line.contains(&format!("partition={partition}"))
            })
        });
        (noticed.count() == lost.len()).then_some(())
    })
    .await;
    // A result that it had acknowledged would be lost, and its instance would never end.
    load.completes(&site, 2).await;
    report(
        "a worker wakes up after its lease: all work completed",
        site.ports.runtime.now().since(woken),
    );
    for (before, id) in rows.into_iter().zip(&resting) {
        assert_eq!(site.load(id).await, before, "{id} has changed");
        site.terminate(id, "the test is over").await;
        site.ended(id).await;
    }
    site.put_back(victim);
    site.close().await;
}

/// An instance in each of these partitions that has had its first turn and waits for tomorrow.
async fn asleep(site: &Site, partitions: &BTreeSet<PartitionId>) -> Vec<String> {
    let resting = partitions.iter().map(async |partition| {
        let id = site.id_in(*partition, "resting");
        let request = ReminderRequest { after_ms: 86_400_000 };
        site.start_new(REMINDER, &id, request).await;
        site.wait_until("it has set its timer", DEADLINE, async || {
            let row = site.client.get(&instance(&id)).await.ok()??;
            (row.status == Status::Running).then_some(())
        })
        .await;
        id
    });
    join_all(resting).await
}
