//! Workers of a fleet that are killed while they work.

use std::time::Duration;

use longhaul_tests::servers::Servers;

use super::load::Load;
use crate::site::{Backend, Kind, Site, Tuning};

/// Short leases, so that nobody waits for long for a dead worker's partitions.
fn short_leases() -> Tuning {
    let mut tuning = Tuning::default();
    tuning.orchestrator.lease_ttl = Duration::from_secs(4);
    tuning.orchestrator.lease_renew = Duration::from_secs(1);
    tuning
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_orchestrator_worker_loses_nothing() {
    let site = Site::tuned(Backend::Fleet, short_leases()).await;
    let load = Load::start(&site).await;
    load.is_in_flight(&site).await;
    site.kill_one(Kind::Orchestrator).await;
    load.completes(&site, 1).await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_activity_worker_loses_nothing() {
    let site = Site::tuned(Backend::Fleet, short_leases()).await;
    let load = Load::start(&site).await;
    load.is_in_flight(&site).await;
    site.kill_one(Kind::Activity).await;
    load.completes(&site, 1).await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_workers_killed_and_replaced_lose_nothing() {
    const EACH: usize = 2;
    let site = Site::tuned(Backend::Fleet, short_leases()).await;
    let load = Load::start(&site).await;
    load.is_in_flight(&site).await;
    for kind in [Kind::Orchestrator, Kind::Activity] {
        for _ in 0..EACH {
            site.kill_one(kind).await;
        }
    }
    for kind in [Kind::Orchestrator, Kind::Activity] {
        for _ in 0..EACH {
            site.add(kind).await;
        }
    }
    load.completes(&site, 2 * EACH).await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_that_start_together_take_nothing_for_lost() {
    let servers = Servers::shared().unwrap();
    let site = Site::on_servers(
        servers.redis_url.to_owned(),
        servers.amqp_url.to_owned(),
        short_leases(),
    )
    .await;
    let load = Load::start(&site).await;
    for _ in 0..4 {
        site.add(Kind::Orchestrator).await;
    }
    site.add(Kind::Activity).await;
    load.completes(&site, 0).await;
    site.close().await;
}
