//! An instance whose row nobody can read or write, as after a botched restore: it rests, visibly, and its neighbours
//! do not.

use longhaul_examples::contracts::{REMINDER, ReminderRequest};
use longhaul_shared::instance::Status;
use longhaul_tests::servers::{RabbitServer, Servers};
use redis::Commands as _;
use tokio::task::block_in_place;

use crate::site::{DEADLINE, Kind, Site, Tuning, instance};

/// Long enough to break a row meanwhile, short enough to wait for.
const NAP_MS: u64 = 5_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_instance_that_cannot_be_read_keeps_none_of_its_partition_waiting() {
    let mut rabbit = block_in_place(RabbitServer::start).unwrap();
    let site = fleet_of_one(rabbit.url()).await;
    // Both sleep on a timer. One cannot be read when it is due, nor in the rebuild that the lost queues call for.
    let neighbour = site.neighbour_of("broken");
    fall_asleep(&site, &["broken", &neighbour]).await;
    site.stop(Kind::Orchestrator).await;
    let broken = Row::of(&site, "broken").broken();
    block_in_place(|| rabbit.wipe()).unwrap();
    site.broker_was_wiped();

    site.add(Kind::Orchestrator).await;
    completes(&site, &neighbour).await;
    new_work_completes(&site).await;
    assert!(site.all_say(
        Kind::Orchestrator,
        "the instance cannot be read; it rests until it can be"
    ));

    broken.mend();
    completes(&site, "broken").await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn instances_that_cannot_be_written_keep_nobody_waiting() {
    let site = fleet_of_one(Servers::shared_rabbit().unwrap().to_owned()).await;
    // They are in memory: their timers fire, and the commits are refused. More than there are batches under way.
    let ids = [0, 1, 2].map(|n| site.id_in(site.partition(&instance("broken")), &format!("broken{n}")));
    fall_asleep(&site, &[&ids[0], &ids[1], &ids[2]]).await;
    let broken = [0, 1, 2].map(|n: usize| Row::of(&site, &ids[n]).broken());
    site.wait_until("a commit is refused", DEADLINE, async || {
        let says = site.all_say(
            Kind::Orchestrator,
            "the instance cannot be written; it rests until it can be",
        );
        says.then_some(())
    })
    .await;
    new_work_completes(&site).await;

    for row in broken {
        row.mend();
    }
    for id in &ids {
        completes(&site, id).await;
    }
    site.close().await;
}

async fn fleet_of_one(amqp_url: String) -> Site {
    let redis_url = Servers::shared_redis().unwrap().to_owned();
    let site = Site::on_servers(redis_url, amqp_url, Tuning::default()).await;
    site.add(Kind::Orchestrator).await;
    site.add(Kind::Activity).await;
    site
}

/// Starts instances and waits until the timer of each is on record.
async fn fall_asleep(site: &Site, ids: &[&str]) {
    for id in ids {
        site.start_new(REMINDER, id, ReminderRequest { after_ms: NAP_MS })
            .await;
    }
    for id in ids {
        site.wait_until("the timer is set", DEADLINE, async || {
            (site.load(id).await.row.status == Status::Running).then_some(())
        })
        .await;
    }
}

async fn completes(site: &Site, id: &str) {
    let row = site.ended_within(id, DEADLINE).await;
    assert_eq!(row.status, Status::Completed, "{row:?}");
}

/// Something that begins now, in the partition of the broken ones, comes to its end.
async fn new_work_completes(site: &Site) {
    let later = site.id_in(site.partition(&instance("broken")), "later");
    site.start_new(REMINDER, &later, ReminderRequest { after_ms: 1 })
        .await;
    completes(site, &later).await;
}

/// An instance's row in Redis, under Longhaul's feet.
struct Row {
    redis: redis::Connection,
    key: String,
}

impl Row {
    fn of(site: &Site, id: &str) -> Self {
        let url = Servers::shared_redis().unwrap();
        let redis = redis::Client::open(url).unwrap().get_connection().unwrap();
        let partition = site.partition(&instance(id));
        let key = format!("{{{}:p{partition}}}:i:{id}", site.hub);
        Self { redis, key }
    }

    fn aside(&self) -> String {
        format!("{}:aside", self.key)
    }

    fn broken(mut self) -> Self {
        let () = self.redis.rename(&self.key, self.aside()).unwrap();
        let () = self.redis.set(&self.key, "foreign").unwrap();
        self
    }

    fn mend(mut self) {
        let () = self.redis.rename(self.aside(), &self.key).unwrap();
    }
}
