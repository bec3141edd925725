//! An instance whose row nobody can read, as after a botched restore: it rests, visibly, and its neighbours do not.

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
    let redis_url = Servers::shared_redis().unwrap().to_owned();
    let mut raw = redis::Client::open(redis_url.as_str())
        .unwrap()
        .get_connection()
        .unwrap();
    let site = Site::on_servers(redis_url, rabbit.url(), Tuning::default()).await;
    site.add(Kind::Orchestrator).await;
    site.add(Kind::Activity).await;

    // Both sleep on a timer. One cannot be read when it is due, nor in the rebuild that the lost queues call for.
    let neighbour = site.neighbour_of("broken");
    for id in ["broken", &neighbour] {
        let nap = ReminderRequest { after_ms: NAP_MS };
        site.start_new(REMINDER, id, nap).await;
    }
    for id in ["broken", &neighbour] {
        site.wait_until("the timer is set", DEADLINE, async || {
            (site.load(id).await.row.status == Status::Running).then_some(())
        })
        .await;
    }
    site.stop(Kind::Orchestrator).await;
    let partition = site.partition(&instance("broken"));
    let row = format!("{{{}:p{partition}}}:i:broken", site.hub);
    let aside = format!("{row}:aside");
    let () = raw.rename(&row, &aside).unwrap();
    let () = raw.set(&row, "foreign").unwrap();
    block_in_place(|| rabbit.wipe()).unwrap();
    site.broker_was_wiped();

    site.add(Kind::Orchestrator).await;
    let ended = site.ended_within(&neighbour, DEADLINE).await;
    assert_eq!(ended.status, Status::Completed, "{ended:?}");
    // What is due and what is new goes on as well while the other one is looked at again and again.
    let later = site.id_in(partition, "later");
    site.start_new(REMINDER, &later, ReminderRequest { after_ms: 1 })
        .await;
    assert_eq!(
        site.ended_within(&later, DEADLINE).await.status,
        Status::Completed
    );
    assert!(site.all_say(
        Kind::Orchestrator,
        "the instance cannot be read; it rests until it can be"
    ));

    let () = raw.rename(&aside, &row).unwrap();
    assert_eq!(
        site.ended_within("broken", DEADLINE).await.status,
        Status::Completed
    );
    site.close().await;
}
