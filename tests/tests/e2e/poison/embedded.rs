//! Poison in a hub of one process: the whole process dies, and the next one counts.

use std::path::Path;
use std::process::{Command, Stdio};

use longhaul_sdk::Orchestration;
use longhaul_shared::codec;
use longhaul_shared::instance::WaitingFor;
use longhaul_shared::limits::POISON_ATTEMPTS_MAX;
use longhaul_tests::servers::poll_until;
use tempfile::TempDir;

use super::samples::{self, ABORTS, CALLS, FANS_OUT, KILLS, OVERFLOWS, Venom};
use crate::site::{DEADLINE, Site, instance};

/// Says to the process that it is the victim, and where its hub is.
const DIRECTORY: &str = "LONGHAUL_E2E_POISONED";
/// And what it is to die of.
const POISON: &str = "LONGHAUL_E2E_POISONED_BY";
const THIS_TEST: &str = "poison::embedded::victim";

/// The run before the first that is counted, and those that are.
const RUNS: usize = POISON_ATTEMPTS_MAX as usize + 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orchestration_that_aborts_a_hub_on_disk_is_parked() {
    let (directory, deaths) = run_until_it_lives(ABORTS.name());
    assert_eq!(deaths, RUNS);
    an_instance_is_parked_and_requeued(directory, ABORTS).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orchestration_that_overflows_the_stack_of_a_hub_on_disk_later_is_parked() {
    let (directory, deaths) = run_until_it_lives(OVERFLOWS.name());
    assert_eq!(deaths, RUNS);
    an_instance_is_parked_and_requeued(directory, OVERFLOWS).await;
}

async fn an_instance_is_parked_and_requeued(directory: TempDir, poison: Orchestration<String, String>) {
    let site = survivor(directory.path()).await;
    let (_, waiting_for) = site.shown_stuck("poison").await;
    assert!(matches!(waiting_for, WaitingFor::Stuck { .. }), "{waiting_for}");
    let parked = site.parked(1).await;
    let [parked] = parked.as_slice() else {
        panic!("nobody else is parked: {parked:?}");
    };
    assert_eq!(codec::instance_parked_as(parked), Some(instance("poison")));
    venom_in(directory.path()).cure();
    site.client.requeue_instance(&instance("poison")).await.unwrap();
    let run = site.client.handle(instance("poison")).of(poison);
    assert_eq!(site.output(&run).await, "cured");
    site.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_activity_that_aborts_a_hub_on_disk_is_parked() {
    let (directory, deaths) = run_until_it_lives(KILLS.name());
    assert_eq!(deaths, RUNS);
    let site = survivor(directory.path()).await;
    let parked = site.parked(1).await;
    let [parked] = parked.as_slice() else {
        panic!("nobody else is parked: {parked:?}");
    };
    assert_eq!(parked.code, "LH1302");
    let (_, waiting_for) = site.shown_waiting("poison").await;
    assert!(
        matches!(waiting_for, WaitingFor::ParkedTask { .. }),
        "{waiting_for}"
    );
    venom_in(directory.path()).cure();
    site.client.requeue(parked.id).await.unwrap();
    let run = site.client.handle(instance("poison")).of(CALLS);
    assert_eq!(site.output(&run).await, "cured");
    site.close().await;
}

/// The hub of the processes that died, in this one.
async fn survivor(directory: &Path) -> Site {
    let site = Site::in_directory(directory).await;
    // What is under way within a process goes with it: once for each that began, and once for this one.
    for _ in 0..=RUNS {
        site.broker_was_wiped();
    }
    host(&site).await;
    site
}

async fn host(site: &Site) {
    site.orchestrate(samples::orchestrations()).await;
    site.act(samples::activities()).await;
}

fn venom_in(directory: &Path) -> Venom {
    Venom::at(directory.join("venom"))
}

/// Runs the hub in process after process until one comes to a good end; how many did not.
fn run_until_it_lives(poison: &str) -> (TempDir, usize) {
    let directory = tempfile::Builder::new()
        .prefix("longhaul-e2e-")
        .tempdir()
        .unwrap();
    for deaths in 0..=2 * RUNS {
        let mut victim = Command::new(std::env::current_exe().unwrap())
            .args([THIS_TEST, "--exact", "--nocapture"])
            .env(DIRECTORY, directory.path())
            .env(POISON, poison)
            .env("RUST_BACKTRACE", "0")
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let ended = poll_until("the process ends", DEADLINE, || Ok(victim.try_wait()?));
        // It may be gone already.
        let _ = victim.kill();
        let _ = victim.wait();
        if ended.unwrap().success() {
            return (directory, deaths);
        }
    }
    panic!("{} processes died", 2 * RUNS + 1);
}

/// Not a test: what the process does that dies. It comes to a good end once the poison is parked and its neighbour
/// is done.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn victim() {
    let Some(directory) = std::env::var_os(DIRECTORY) else {
        return;
    };
    let directory = Path::new(&directory);
    let poison = std::env::var(POISON).unwrap();
    let site = Site::in_directory(directory).await;
    let venom = venom_in(directory).input();
    let start = |contract: Orchestration<String, String>| {
        let start = site.client.start(contract, venom.clone());
        start.id("poison").start_id("poison")
    };
    let neighbour = site.neighbour_of("poison");
    let beside = site
        .client
        .start(FANS_OUT, 5)
        .id(neighbour.as_str())
        .start_id(neighbour.as_str());
    let beside = beside.await.unwrap();
    match [ABORTS, OVERFLOWS]
        .into_iter()
        .find(|known| known.name() == poison)
    {
        Some(contract) => drop(start(contract).await.unwrap()),
        None => {
            let calls = site.client.start(CALLS, (poison, venom.clone()));
            drop(calls.id("poison").start_id("poison").await.unwrap());
        }
    }
    host(&site).await;
    site.parked(1).await;
    assert_eq!(site.output(&beside).await, 10);
    site.stop(crate::site::Kind::Orchestrator).await;
    site.stop(crate::site::Kind::Activity).await;
}
