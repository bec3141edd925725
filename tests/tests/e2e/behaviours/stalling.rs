//! What never awaits: it costs a thread, and its neighbours go on.

use std::time::Duration;

use longhaul_examples::contracts::{HELLO_SEQUENCE, SPINNING};
use longhaul_shared::instance::Status;

use super::waiting::paused;
use crate::site::{Backend, Site, Tuning};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orchestration_that_spins_is_given_up_and_its_neighbours_go_on_in_memory() {
    is_given_up_on(Backend::Memory).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orchestration_that_spins_is_given_up_and_its_neighbours_go_on_on_disk() {
    is_given_up_on(Backend::Disk).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_orchestration_that_spins_is_given_up_and_its_neighbours_go_on_on_a_fleet() {
    is_given_up_on(Backend::Fleet).await;
}

async fn is_given_up_on(backend: Backend) {
    let mut tuning = Tuning::default();
    tuning.orchestrator.stall_after = Duration::from_millis(300);
    let site = Site::tuned(backend, tuning).await;
    // Long enough to be noticed on any machine; its thread ends with the process.
    site.start_new(SPINNING, "spinner", u64::MAX).await;
    let neighbour = site.neighbour_of("spinner");
    let run = site.start_new(HELLO_SEQUENCE, &neighbour, ()).await;
    assert_eq!(site.output(&run).await.len(), 3);
    paused(&site, "spinner", "LH1103", "spinning").await;
    site.terminate("spinner", "seen enough").await;
    assert_eq!(site.ended("spinner").await.status, Status::Terminated);
    let after = format!("{neighbour}-after");
    let run = site.start_new(HELLO_SEQUENCE, &after, ()).await;
    assert_eq!(site.output(&run).await.len(), 3);
    site.close().await;
}
