//! Servers of a fleet that are restarted, killed, or forget everything, while hundreds of instances run. Each test
//! has the one it breaks to itself.

use std::time::Duration;

use longhaul_shared::message::Destination;
use longhaul_shared::port::Monotonic;
use longhaul_tests::servers::{Proxy, RabbitServer, RedisServer, Servers};
use tokio::task::block_in_place;

use super::load::Load;
use super::owners::{report, resumed};
use crate::site::{DEADLINE, Kind, Site, Tuning};

/// How many instances are under way.
const INSTANCES: u64 = 300;
/// What the end of RabbitMQ is to a task whose work item has just been sent: the confirm is lost, so that it is sent
/// again, and the ack is lost, so that it is delivered again.
const BROKEN_CONNECTIONS: usize = 2;
/// Work of every partition is done again within this time of a server's return.
const RESUMED_WITHIN: Duration = Duration::from_secs(15);

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

async fn loaded(site: &Site) -> Load {
    let load = Load::of(site, INSTANCES).await;
    load.is_in_flight(site).await;
    load
}

/// Measures from now on, when the server is back, and checks the bound.
async fn work_resumes(site: &Site, what: &str) {
    work_resumes_since(site, what, site.ports.runtime.now()).await;
}

async fn work_resumes_since(site: &Site, what: &str, back: Monotonic) {
    let partitions = site.partitions().collect();
    let took = resumed(site, "after-the-return", &partitions, back).await;
    report(what, took.completed);
    assert!(took.completed < RESUMED_WITHIN, "{what}: {:?}", took.completed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_rabbitmq_loses_nothing() {
    let mut rabbit = block_in_place(RabbitServer::start).unwrap();
    let site = fleet_on(&rabbit).await;
    let load = loaded(&site).await;
    block_in_place(|| rabbit.restart()).unwrap();
    work_resumes(&site, "RabbitMQ restarted: work completed").await;
    load.completes(&site, BROKEN_CONNECTIONS).await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_rabbitmq_loses_nothing() {
    let mut rabbit = block_in_place(RabbitServer::start).unwrap();
    let site = fleet_on(&rabbit).await;
    let mut load = loaded(&site).await;
    are_on_disk(&rabbit, &site);
    rabbit.kill();
    // Whoever starts something now is told that it is accepted.
    load.more(&site, "meanwhile", 2).await;
    block_in_place(|| rabbit.restart()).unwrap();
    work_resumes(&site, "RabbitMQ killed: work completed").await;
    load.completes(&site, BROKEN_CONNECTIONS).await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rabbitmq_that_forgets_everything_loses_nothing() {
    let mut rabbit = block_in_place(RabbitServer::start).unwrap();
    let site = fleet_on(&rabbit).await;
    let mut load = loaded(&site).await;
    block_in_place(|| rabbit.wipe()).unwrap();
    site.broker_was_wiped();
    let back = site.ports.runtime.now();
    load.more(&site, "meanwhile", 2).await;
    work_resumes_since(&site, "RabbitMQ wiped: work completed", back).await;
    load.completes(&site, 1).await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_who_come_back_to_an_empty_rabbitmq_first_hide_no_loss() {
    let mut rabbit = block_in_place(RabbitServer::start).unwrap();
    let proxy = Proxy::to(rabbit.port()).unwrap();
    let redis_url = Servers::shared_redis().unwrap().to_owned();
    let site = Site::on_servers(redis_url, rabbit.url(), Tuning::default()).await;
    for _ in 0..2 {
        site.add_orchestrator_through(proxy.port());
        site.add(Kind::Activity).await;
    }
    let mut load = loaded(&site).await;
    proxy.block();
    block_in_place(|| rabbit.wipe()).unwrap();
    site.broker_was_wiped();
    site.wait_until("every activity worker is connected again", DEADLINE, async || {
        site.all_say(Kind::Activity, "connected to RabbitMQ again")
            .then_some(())
    })
    .await;
    // A foreign client, too: its message is returned until there is a queue for it again.
    let unblock = async {
        site.wait_until("the client is connected again", DEADLINE, async || {
            site.ports.broker.depth(&Destination::Intake).await.ok()
        })
        .await;
        proxy.unblock();
        site.ports.runtime.now()
    };
    let (_, back) = futures::join!(load.foreign(&site, "foreign", 1), unblock);
    let what = "RabbitMQ wiped, others connected first: work completed";
    work_resumes_since(&site, what, back).await;
    load.completes(&site, 1).await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_redis_loses_nothing() {
    let mut redis = block_in_place(RedisServer::start).unwrap();
    let site = fleet_with(&redis).await;
    let load = loaded(&site).await;
    block_in_place(|| redis.restart()).unwrap();
    work_resumes(&site, "Redis restarted: work completed").await;
    load.completes(&site, 1).await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_of_redis_loses_nothing() {
    let mut redis = block_in_place(RedisServer::start).unwrap();
    let site = fleet_with(&redis).await;
    let load = loaded(&site).await;
    block_in_place(|| {
        redis.kill();
        redis.restart()
    })
    .unwrap();
    work_resumes(&site, "Redis killed: work completed").await;
    load.completes(&site, 1).await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replies_of_redis_that_are_cut_off_lose_nothing_and_repeat_nothing() {
    /// Within the header of a reply, within its first item, and behind several of a pipeline's.
    const AFTER: [usize; 12] = [0, 1, 3, 7, 12, 20, 33, 60, 5, 90, 2, 150];
    let redis = block_in_place(RedisServer::start).unwrap();
    let proxy = Proxy::to(redis.port()).unwrap();
    let redis_url = format!("redis://127.0.0.1:{}/", proxy.port());
    let site = fleet(redis_url, Servers::shared_rabbit().unwrap().to_owned()).await;
    let load = loaded(&site).await;
    for (times, bytes) in AFTER.into_iter().enumerate() {
        proxy.tear_reply_after(bytes);
        site.wait_until("a reply is torn", DEADLINE, async || {
            (proxy.torn() > times).then_some(())
        })
        .await;
    }
    assert!(load.is_unfinished(), "all work was done before the last cut");
    work_resumes(&site, "replies of Redis cut off: work completed").await;
    load.completes(&site, 0).await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn scripts_that_redis_forgets_are_loaded_again() {
    let redis = block_in_place(RedisServer::start).unwrap();
    let site = fleet_with(&redis).await;
    let load = loaded(&site).await;
    let client = redis::Client::open(redis.url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut flushes = 0;
    site.wait_until("the scripts were flushed often", DEADLINE, async || {
        let flushed: Result<(), _> = redis::cmd("SCRIPT")
            .arg("FLUSH")
            .query_async(&mut connection)
            .await;
        flushed.unwrap();
        flushes += 1;
        (flushes == 40).then_some(())
    })
    .await;
    assert!(load.is_unfinished(), "all work was done before the last flush");
    work_resumes(&site, "scripts of Redis flushed: work completed").await;
    load.completes(&site, 0).await;
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
