//! A backup of Redis, taken while a fleet works, and restored after everything was lost: with the very commands that
//! `docs/operations.md` gives.
//! Never knows those commands: it reads them there.

use std::path::Path;
use std::process::Command;

use longhaul_tests::servers::{RabbitServer, RedisServer};
use tokio::task::block_in_place;

use crate::recovery::load::Load;
use crate::site::{DEADLINE, Kind, Site, Tuning};

const GUIDE: &str = include_str!("../../../../docs/operations.md");
const WORKERS: usize = 2;
const EARLY: u64 = 120;
const MEANWHILE: u64 = 20;
const LATE: u64 = 20;
/// A task that ran after the backup runs again. So does one that ran when its worker was killed, and one that is sent
/// by the relay and once more by the rebuild.
const FAULTS: usize = 2;

/// What is lost beside Redis' data.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rabbit {
    Emptied,
    Kept,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_brings_back_what_was_accepted_before_it() {
    is_restored(Rabbit::Emptied).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_redis_bears_messages_that_are_newer() {
    is_restored(Rabbit::Kept).await;
}

async fn is_restored(broker: Rabbit) {
    let mut redis = block_in_place(RedisServer::start).unwrap();
    let mut rabbit = block_in_place(RabbitServer::start).unwrap();
    let site = Site::on_servers(redis.url(), rabbit.url(), Tuning::default()).await;
    add_workers(&site).await;
    let early = Load::of(&site, EARLY).await;
    early.is_in_flight(&site).await;

    let backup = site.path("backup");
    let (meanwhile, ()) = futures::join!(Load::named(&site, "meanwhile", MEANWHILE), async {
        block_in_place(|| follow("backup", &redis, &backup));
    });
    assert!(early.is_unfinished(), "all work was done before the backup");
    let late = Load::named(&site, "late", LATE).await;
    let lines = late.lines_written();
    site.wait_until("work goes on after the backup", DEADLINE, async || {
        (late.lines_written() > lines + 100).then_some(())
    })
    .await;

    for kind in [Kind::Orchestrator, Kind::Activity] {
        for _ in 0..WORKERS {
            site.kill_one(kind).await;
        }
    }
    block_in_place(|| {
        redis.kill();
        std::fs::remove_dir_all(redis.directory().join("data")).unwrap();
        std::fs::create_dir(redis.directory().join("data")).unwrap();
        follow("restore", &redis, &backup);
        redis.restart().unwrap();
    });
    if broker == Rabbit::Emptied {
        block_in_place(|| rabbit.wipe()).unwrap();
        site.broker_was_wiped();
    }
    add_workers(&site).await;

    early.completes(&site, FAULTS).await;
    // Whatever the backup has of these is whole.
    meanwhile.known(&site).await.completes(&site, FAULTS).await;
    assert!(late.known(&site).await.is_empty(), "the backup was taken before");
    // Who is told that they are gone starts them again, under the same ids.
    let again = Load::named(&site, "late", LATE).await;
    again.completes(&site, FAULTS).await;
    site.close().await;
}

async fn add_workers(site: &Site) {
    for kind in [Kind::Orchestrator, Kind::Activity] {
        for _ in 0..WORKERS {
            site.add(kind).await;
        }
    }
}

/// Runs the commands that stand in the guide under this name.
fn follow(name: &str, redis: &RedisServer, backup: &Path) {
    let commands = commands(name);
    let output = Command::new("sh")
        .args(["-euc", commands])
        .env("REDIS_URL", redis.url())
        .env("REDIS_DATA", redis.directory().join("data"))
        .env("BACKUP", backup)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{name}: {}\n{commands}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
}

/// The block of the guide that follows the mark of this name.
fn commands(name: &str) -> &'static str {
    let mark = format!("<!-- tested: {name} -->\n```sh\n");
    let block = GUIDE
        .split_once(&mark)
        .and_then(|(_, rest)| rest.split_once("```"));
    let (commands, _) = block.unwrap_or_else(|| panic!("docs/operations.md has no block {mark:?}"));
    commands
}
