//! Workers that are replaced one by one by those of another version, and back again, while they work.
//! Never knows which version that is: `cargo xtask upgrade-test` builds one and says where it is.

use std::path::{Path, PathBuf};

use longhaul_tests::binaries::{Binary, READY};
use longhaul_tests::servers::Servers;
use tokio::task::block_in_place;

use crate::recovery::load::Load;
use crate::recovery::owners::leases;
use crate::site::{DEADLINE, Kind, Site, Tuning};

/// A directory with the workers of another version. Without it the other version is today's, built as it is: then
/// this is a test of replacing alone.
const OTHER_VERSION_VARIABLE: &str = "LONGHAUL_TEST_OTHER_VERSION";
const WORKERS: usize = 2;
/// So many that each worker owns some, whatever their ids.
const PARTITIONS: u16 = 16;
const INSTANCES: u64 = 100;
/// What is started before each replacement, so that there is work to do in all of them.
const INSTANCES_MORE: u64 = 60;
/// A handover that was cut short may run a task again.
const FAULTS: usize = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_of_two_versions_share_a_hub_and_replace_each_other() {
    let today = today();
    let other = match std::env::var_os(OTHER_VERSION_VARIABLE) {
        Some(directory) => PathBuf::from(directory),
        None => today.clone(),
    };
    eprintln!("the other version's workers: {}", other.display());
    let servers = Servers::shared().unwrap();
    let tuning = Tuning {
        partitions: Some(PARTITIONS),
        ..Tuning::default()
    };
    let site = Site::on_servers(servers.redis_url.to_owned(), servers.amqp_url.to_owned(), tuning).await;
    for kind in [Kind::Orchestrator, Kind::Activity] {
        for _ in 0..WORKERS {
            site.add_of(kind, &other);
        }
    }
    let mut load = Load::of(&site, INSTANCES).await;
    load.is_in_flight(&site).await;

    replace(&site, &mut load, "upgrade", &today).await;
    replace(&site, &mut load, "rollback", &other).await;
    replace(&site, &mut load, "again", &today).await;
    load.completes(&site, FAULTS).await;
    site.close().await;
}

/// Replaces the workers by those of this build, one of each kind at a time, in the middle of work.
async fn replace(site: &Site, load: &mut Load, name: &str, build: &Path) {
    for round in 0..WORKERS {
        load.more(site, &format!("{name}-{round}"), INSTANCES_MORE).await;
        for kind in [Kind::Orchestrator, Kind::Activity] {
            site.add_of(kind, build);
            site.wait_until("the new worker is ready", DEADLINE, async || {
                site.all_say(kind, READY).then_some(())
            })
            .await;
            keep_busy(site, load).await;
            site.stop_one(kind).await;
        }
        if round + 1 < WORKERS {
            both_own_partitions(site, load, WORKERS - 1 - round).await;
        }
    }
}

/// Starts more if there is nothing left to do.
async fn keep_busy(site: &Site, load: &mut Load) {
    if !load.is_unfinished() {
        let name = format!("more-{}", load.lines_written());
        load.more(site, &name, INSTANCES_MORE).await;
    }
}

/// Waits until workers from before and from after this place in the site's list own partitions, and work on.
async fn both_own_partitions(site: &Site, load: &mut Load, place: usize) {
    site.wait_until("both versions own partitions", DEADLINE, async || {
        keep_busy(site, load).await;
        let held = leases(site).await;
        if held.len() < usize::from(PARTITIONS) {
            return None;
        }
        // One that has just left may still be named.
        let positions = held.values().map(|lease| site.find(&lease.owner));
        let positions = positions.collect::<Option<Vec<_>>>()?;
        let is_old = |position: &usize| *position < place;
        (positions.iter().any(is_old) && !positions.iter().all(is_old)).then_some(())
    })
    .await;
}

/// Where today's workers are.
fn today() -> PathBuf {
    let program = block_in_place(|| Binary::OrchestratorWorker.path()).unwrap();
    program.parent().unwrap().to_path_buf()
}
