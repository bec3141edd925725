//! Owns worker processes that may die of what they run, and that somebody starts anew each time.
//! Never outlives its test: each process ends with the pipe that its parent holds.

use std::io::Read;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use longhaul_activity_worker::ActivityWorker;
use longhaul_backends::rabbitmq::Role;
use longhaul_orchestrator_worker::OrchestratorWorker;
use longhaul_shared::id::HubName;
use longhaul_tests::servers::{Servers, poll_until};
use tokio_util::sync::CancellationToken;

use super::samples;
use crate::site::{Kind, Site, Tuning, fleet_ports};

/// Tells the process what it is: `orchestrator` or `activity`, and the hub.
const VARIABLE: &str = "LONGHAUL_E2E_POISON";
const HUB: &str = "LONGHAUL_E2E_POISON_HUB";
const REDIS: &str = "LONGHAUL_E2E_POISON_REDIS";
const AMQP: &str = "LONGHAUL_E2E_POISON_AMQP";
const THIS_TEST: &str = "poison::host::child";

/// Longest life of a worker that is started anew whenever it dies.
const FOR_EVER: Duration = Duration::from_secs(3_600);

/// Short leases, so that nobody waits for long for a dead worker's partitions.
pub(super) fn short_leases() -> Tuning {
    let mut tuning = Tuning::default();
    tuning.orchestrator.lease_ttl = Duration::from_millis(1_000);
    tuning.orchestrator.lease_renew = Duration::from_millis(300);
    tuning.activity.attempt_max = Duration::from_millis(400);
    tuning
}

/// A hub on the shared servers whose workers host poison: those of the kinds named here die and are started anew.
pub(super) async fn site(mortal: &[Kind]) -> (Site, Vec<Mortal>) {
    let servers = Servers::shared().unwrap();
    let (redis, amqp) = (servers.redis_url.to_owned(), servers.amqp_url.to_owned());
    let site = Site::on_servers(redis, amqp, short_leases()).await;
    let mut workers = Vec::new();
    for kind in [Kind::Orchestrator, Kind::Activity] {
        match (mortal.contains(&kind), kind) {
            (true, _) => workers.push(Mortal::start(kind, &site.hub)),
            (false, Kind::Orchestrator) => site.orchestrate(samples::orchestrations()).await,
            (false, Kind::Activity) => site.act(samples::activities()).await,
        }
    }
    (site, workers)
}

/// A worker process that is started anew whenever it has died, until it is dropped.
pub(super) struct Mortal {
    stop: Arc<AtomicBool>,
    deaths: Arc<AtomicUsize>,
    keeper: Option<JoinHandle<()>>,
}

impl Mortal {
    fn start(kind: Kind, hub: &HubName) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let deaths = Arc::new(AtomicUsize::new(0));
        let (stopped, count, hub) = (Arc::clone(&stop), Arc::clone(&deaths), hub.clone());
        let keeper = std::thread::spawn(move || {
            while !stopped.load(Ordering::Relaxed) {
                let mut child = spawn(kind, &hub);
                let ended = poll_until("the worker dies", FOR_EVER, || {
                    if stopped.load(Ordering::Relaxed) {
                        return Ok(Some(()));
                    }
                    Ok(child
                        .try_wait()?
                        .map(|_| count.fetch_add(1, Ordering::Relaxed))
                        .map(drop))
                });
                // It may be gone already.
                let _ = child.kill();
                let _ = child.wait();
                ended.unwrap();
            }
        });
        Self {
            stop,
            deaths,
            keeper: Some(keeper),
        }
    }

    /// How often it has died.
    pub(super) fn deaths(&self) -> usize {
        self.deaths.load(Ordering::Relaxed)
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

fn spawn(kind: Kind, hub: &HubName) -> Child {
    let servers = Servers::shared().unwrap();
    let role = match kind {
        Kind::Orchestrator => "orchestrator",
        Kind::Activity => "activity",
    };
    Command::new(std::env::current_exe().unwrap())
        .args([THIS_TEST, "--exact", "--nocapture"])
        .env(VARIABLE, role)
        .env(HUB, hub.as_str())
        .env(REDIS, servers.redis_url)
        .env(AMQP, servers.amqp_url)
        .env("RUST_BACKTRACE", "0")
        .stdin(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Not a test: what the process runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn child() {
    let Ok(role) = std::env::var(VARIABLE) else {
        return;
    };
    std::thread::spawn(|| {
        // Nothing is ever written into the pipe; its end is the end of the parent.
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    crate::site::tell_logs();
    let hub = HubName::new(std::env::var(HUB).unwrap()).unwrap();
    let (redis, amqp) = (std::env::var(REDIS).unwrap(), std::env::var(AMQP).unwrap());
    let tuning = short_leases();
    if role == "orchestrator" {
        let ports = fleet_ports(&redis, &amqp, &hub, Role::Orchestrator).await;
        let worker =
            OrchestratorWorker::new(ports, hub, samples::orchestrations(), tuning.orchestrator).unwrap();
        worker.run(CancellationToken::new()).await.unwrap();
    } else {
        let ports = fleet_ports(&redis, &amqp, &hub, Role::Client).await;
        let worker = ActivityWorker::new(ports, samples::activities(), tuning.activity);
        worker.run(CancellationToken::new()).await;
    }
}
