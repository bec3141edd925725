//! Servers of a fleet that are restarted, killed, or forget everything. Each test has the one it breaks to itself.

use longhaul_tests::servers::{RabbitServer, RedisServer, Servers};
use tokio::task::block_in_place;

use super::load::Load;
use crate::site::{Kind, Site, Tuning};

/// What the end of RabbitMQ is to a task whose work item has just been sent: the confirm is lost, so that it is sent
/// again, and the ack is lost, so that it is delivered again.
const BROKEN_CONNECTIONS: usize = 2;

/// A fleet on these servers.
async fn fleet(redis_url: String, amqp_url: String) -> Site {
    let site = Site::on_servers(redis_url, amqp_url, Tuning::default()).await;
    for kind in [Kind::Orchestrator, Kind::Activity] {
        site.add(kind).await;
        site.add(kind).await;
    }
    site
}

/// A fleet whose RabbitMQ is the test's own.
async fn fleet_on(rabbit: &RabbitServer) -> Site {
    fleet(Servers::shared_redis().unwrap().to_owned(), rabbit.url()).await
}

/// A fleet whose Redis is the test's own.
async fn fleet_with(redis: &RedisServer) -> Site {
    fleet(redis.url(), Servers::shared_rabbit().unwrap().to_owned()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_rabbitmq_loses_nothing() {
    let mut rabbit = block_in_place(RabbitServer::start).unwrap();
    let site = fleet_on(&rabbit).await;
    let load = Load::start(&site).await;
    load.is_in_flight(&site).await;
    block_in_place(|| rabbit.restart()).unwrap();
    load.completes(&site, BROKEN_CONNECTIONS).await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_rabbitmq_loses_nothing() {
    let mut rabbit = block_in_place(RabbitServer::start).unwrap();
    let site = fleet_on(&rabbit).await;
    let mut load = Load::start(&site).await;
    load.is_in_flight(&site).await;
    are_on_disk(&rabbit, &site);
    rabbit.kill();
    // Whoever starts something now is told that it is accepted.
    load.more(&site, "meanwhile", 2).await;
    block_in_place(|| rabbit.restart()).unwrap();
    load.completes(&site, BROKEN_CONNECTIONS).await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rabbitmq_that_forgets_everything_loses_nothing() {
    let mut rabbit = block_in_place(RabbitServer::start).unwrap();
    let site = fleet_on(&rabbit).await;
    let mut load = Load::start(&site).await;
    load.is_in_flight(&site).await;
    block_in_place(|| rabbit.wipe()).unwrap();
    site.broker_was_wiped();
    load.more(&site, "meanwhile", 2).await;
    load.completes(&site, 1).await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_redis_loses_nothing() {
    let mut redis = block_in_place(RedisServer::start).unwrap();
    let site = fleet_with(&redis).await;
    let load = Load::start(&site).await;
    load.is_in_flight(&site).await;
    block_in_place(|| redis.restart()).unwrap();
    load.completes(&site, 1).await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_redis_loses_nothing() {
    let mut redis = block_in_place(RedisServer::start).unwrap();
    let site = fleet_with(&redis).await;
    let load = Load::start(&site).await;
    load.is_in_flight(&site).await;
    block_in_place(|| {
        redis.kill();
        redis.restart()
    })
    .unwrap();
    load.completes(&site, 1).await;
    site.close().await;
}

/// Waits until RabbitMQ has written down that the hub's queues exist; what happens to one that is killed before is
/// RabbitMQ's own affair.
fn are_on_disk(rabbit: &RabbitServer, site: &Site) {
    let control = site.partitions().map(|partition| format!("ctl.{partition}"));
    let names = control.chain(["act.default", "intake", "dead", "epoch.1"].map(str::to_owned));
    block_in_place(|| {
        for name in names {
            rabbit
                .wait_until_on_disk(&format!("lh.{}.v1.{name}", site.hub))
                .unwrap();
        }
    });
}
