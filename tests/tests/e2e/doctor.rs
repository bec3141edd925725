//! `longhaul doctor` on a fleet with real servers: it calls a healthy one well, and names what is broken in another.
//! Never reads the program's words where its JSON says the same.

use std::collections::BTreeMap;
use std::time::Duration;

use longhaul_examples::contracts::HELLO_SEQUENCE;
use longhaul_tests::binaries::Binary;
use longhaul_tests::servers::Servers;
use serde::Deserialize;
use tokio::task::block_in_place;

use crate::site::{Backend, DEADLINE, Kind, Site, Tuning};

/// What the doctor said.
#[derive(Debug)]
struct Told {
    exit_code: Option<i32>,
    checks: BTreeMap<String, Check>,
}

#[derive(Debug, Deserialize)]
struct Report {
    checks: Vec<Check>,
}

#[derive(Debug, Deserialize)]
struct Check {
    check: String,
    verdict: String,
    finding: String,
    remedy: Option<String>,
}

impl Told {
    /// Whether a check failed and says this; a remedy it has in any case.
    fn fails(&self, check: &str, part: &str) -> bool {
        self.checks.get(check).is_some_and(|check| {
            check.verdict == "fail" && check.finding.contains(part) && check.remedy.is_some()
        })
    }

    fn has_no_failure(&self) -> bool {
        self.exit_code == Some(0) && self.checks.values().all(|check| check.verdict != "fail")
    }
}

fn doctor(hub: &str, redis_url: &str) -> Told {
    let servers = Servers::shared().unwrap();
    let arguments = [
        "doctor",
        "--apart=500ms",
        "--output=json",
        &format!("--hub={hub}"),
        &format!("--redis-url={redis_url}"),
        &format!("--amqp-url={}", servers.amqp_url),
    ];
    let ran = block_in_place(|| Binary::Longhaul.output(&arguments)).unwrap();
    let said = String::from_utf8(ran.stdout).unwrap();
    let report: Report = serde_json::from_str(&said)
        .unwrap_or_else(|error| panic!("{error}: {said} {}", String::from_utf8_lossy(&ran.stderr)));
    let checks = report.checks.into_iter();
    Told {
        exit_code: ran.status.code(),
        checks: checks.map(|check| (check.check.clone(), check)).collect(),
    }
}

/// Asks until the answer is this.
async fn until(site: &Site, what: &str, is_it: impl Fn(&Told) -> bool) -> Told {
    let redis_url = Servers::shared().unwrap().redis_url;
    site.wait_until(what, DEADLINE, async || {
        let told = doctor(site.hub.as_str(), redis_url);
        match is_it(&told) {
            true => Some(told),
            false => {
                eprintln!("not yet, {what}: {told:#?}");
                None
            }
        }
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_healthy_fleet_is_well() {
    let site = Site::start(Backend::Fleet).await;
    let run = site.start_new(HELLO_SEQUENCE, "hello", ()).await;
    site.output(&run).await;
    let told = until(&site, "the fleet is well", Told::has_no_failure).await;
    for check in [
        "hub",
        "persistence",
        "epoch",
        "queues",
        "workers",
        "partitions",
        "owners",
        "tasks",
        "parked",
    ] {
        assert_eq!(told.checks[check].verdict, "ok", "{told:#?}");
    }
    assert!(
        told.checks["instances"].finding.contains("1 completed"),
        "{told:#?}"
    );
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tasks_that_nobody_serves_are_told_with_their_queue() {
    let site = Site::start(Backend::Fleet).await;
    site.stop(Kind::Activity).await;
    let run = site.start_new(HELLO_SEQUENCE, "hello", ()).await;
    let told = until(&site, "the tasks have nobody", |told| {
        told.fails("tasks", "1 in default")
    })
    .await;
    assert_eq!(told.exit_code, Some(1));
    site.add(Kind::Activity).await;
    site.output(&run).await;
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn owners_that_were_killed_are_told_as_deaf_while_their_leases_last() {
    let mut tuning = Tuning::default();
    tuning.orchestrator.lease_ttl = Duration::from_secs(120);
    let site = Site::tuned(Backend::Fleet, tuning).await;
    until(&site, "the fleet is well", Told::has_no_failure).await;
    site.kill_one(Kind::Orchestrator).await;
    site.kill_one(Kind::Orchestrator).await;
    let told = until(&site, "the owners are deaf", |told| {
        told.fails("owners", "4 owned partitions")
    })
    .await;
    assert_eq!(told.exit_code, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fleet_without_workers_and_a_lost_queue_are_told() {
    let site = Site::start(Backend::Fleet).await;
    until(&site, "the fleet is well", Told::has_no_failure).await;
    site.stop(Kind::Orchestrator).await;
    let servers = Servers::shared().unwrap();
    let connection = lapin::Connection::connect(servers.amqp_url, Default::default())
        .await
        .unwrap();
    let channel = connection.create_channel().await.unwrap();
    let queue = format!("lh.{}.v1.ctl.002", site.hub);
    channel
        .queue_delete(queue.as_str().into(), Default::default())
        .await
        .unwrap();
    let told = until(&site, "all of it is told", |told| {
        told.fails("workers", "nothing moves")
            && told.fails("partitions", "4 of 4 partitions have no owner")
            && told.fails("queues", "ctl.002")
    });
    assert_eq!(told.await.exit_code, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_is_not_there_and_a_hub_that_is_not_there_are_told() {
    let told = doctor("default", "redis://127.0.0.1:1/");
    assert!(told.fails("store", "127.0.0.1:1"), "{told:?}");
    assert_eq!(told.exit_code, Some(1));
    let redis_url = Servers::shared().unwrap().redis_url;
    let told = doctor("never-made", redis_url);
    assert!(told.fails("hub", "does not exist"), "{told:?}");
    // To be asked did not make it.
    let told = doctor("never-made", redis_url);
    assert!(told.fails("hub", "does not exist"), "{told:?}");
}
