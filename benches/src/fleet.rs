//! Owns the processes of a measurement: the workers of a hub on servers, and the load.
//! Never leaves one running: dropping it kills it.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, bail, ensure};

use crate::figures::Figures;
use crate::load::Plan;
use crate::metering::records;
use crate::place::Place;

/// What `servers` hands over.
pub(crate) const REDIS: &str = "LONGHAUL_TEST_REDIS_URL";
pub(crate) const AMQP: &str = "LONGHAUL_TEST_AMQP_URL";
/// Longest wait for a worker to be ready.
const READY_WITHIN: Duration = Duration::from_secs(30);
const LOOK_EVERY: Duration = Duration::from_millis(50);
const WORKERS: [(&str, &str); 2] = [
    ("orchestrator-worker", "orchestrator"),
    ("activity-worker", "activity"),
];

/// Where a server is that `servers` has started.
pub(crate) fn server_url(variable: &str) -> anyhow::Result<String> {
    std::env::var(variable).with_context(|| format!("{variable} is not set: cargo xtask bench"))
}

/// A hub on the servers with queues of this type, as environment variables of all its programs.
pub(crate) fn settings(hub: &str, queue_type: &str) -> anyhow::Result<Vec<(String, String)>> {
    Ok(vec![
        ("LONGHAUL_REDIS__URL".to_owned(), server_url(REDIS)?),
        ("LONGHAUL_AMQP__URL".to_owned(), server_url(AMQP)?),
        ("LONGHAUL_HUB__NAME".to_owned(), hub.to_owned()),
        ("LONGHAUL_HUB__QUEUE_TYPE".to_owned(), queue_type.to_owned()),
    ])
}

/// A hub on the servers, with a worker of each kind.
pub(crate) struct Fleet {
    pub(crate) place: Place,
    workers: Vec<Worker>,
}

struct Worker {
    process: Child,
    address: String,
}

impl Drop for Worker {
    fn drop(&mut self) {
        // One that is gone already needs neither.
        let _gone = self.process.kill();
        let _gone = self.process.wait();
    }
}

impl Fleet {
    /// Starts it.
    pub(crate) fn start(settings: Vec<(String, String)>, first_port: u16) -> anyhow::Result<Self> {
        let mut workers = Vec::new();
        for ((program, section), port) in WORKERS.into_iter().zip(first_port..) {
            let address = format!("127.0.0.1:{port}");
            let process = Command::new(beside(program)?)
                .arg(format!("--{section}.listen={address}"))
                .env_clear()
                .envs(settings.iter().cloned())
                .env("RUST_LOG", "warn")
                .stdin(Stdio::null())
                .spawn()
                .with_context(|| format!("cannot start {program}"))?;
            workers.push(Worker { process, address });
        }
        let place = Place::Fleet(settings);
        let mut fleet = Self { place, workers };
        fleet.ready()?;
        Ok(fleet)
    }

    fn ready(&mut self) -> anyhow::Result<()> {
        let until = Instant::now() + READY_WITHIN;
        for worker in &mut self.workers {
            while !worker.is_ready()? {
                ensure!(
                    Instant::now() < until,
                    "a worker is not ready within {READY_WITHIN:?}"
                );
                std::thread::sleep(LOOK_EVERY);
            }
        }
        Ok(())
    }

    /// The metrics of both workers, the orchestrator worker first.
    pub(crate) fn pages(&self) -> anyhow::Result<[String; 2]> {
        let pages = self.workers.iter().map(|worker| worker.page("metrics"));
        let pages = pages.collect::<anyhow::Result<Vec<_>>>()?;
        pages.try_into().ok().context("there are two workers")
    }

    /// What both workers have done so far.
    pub(crate) fn effort(&self) -> anyhow::Result<Spent> {
        let mut spent = Spent::default();
        for page in self.pages()? {
            spent.cpu += sample(&page, "process_cpu_seconds_total")?;
            spent.records += records(&page);
            spent.messages += sum(&page, "longhaul_amqp_publishes_total");
            spent.commits += sum(&page, "longhaul_commits_total");
        }
        Ok(spent)
    }
}

/// What is spent on what: by both workers so far, or for one instance.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    /// Seconds of processor time.
    pub(crate) cpu: f64,
    /// How often something was recorded in a metric.
    pub(crate) records: f64,
    /// Messages published by the workers: the client's wake-up is not among them.
    pub(crate) messages: f64,
    /// Commits of turns.
    pub(crate) commits: f64,
}

impl Spent {
    /// What came to it since.
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            cpu: self.cpu - before.cpu,
            records: self.records - before.records,
            messages: self.messages - before.messages,
            commits: self.commits - before.commits,
        }
    }

    /// The share of one instance of so many.
    pub(crate) fn each(self, ran: usize) -> Self {
        let share = |all: f64| all / ran.max(1) as f64;
        Self {
            cpu: share(self.cpu),
            records: share(self.records),
            messages: share(self.messages),
            commits: share(self.commits),
        }
    }
}

/// Of all samples of a metric, whatever their labels.
fn sum(page: &str, name: &str) -> f64 {
    let of_it = page.lines().filter_map(|line| line.strip_prefix(name));
    let values = of_it.filter_map(|rest| rest.rsplit_once(' '));
    values.filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
}

/// The one sample of a metric without labels.
pub(crate) fn sample(page: &str, name: &str) -> anyhow::Result<f64> {
    let line = page
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    Ok(line.with_context(|| format!("{name} is not shown"))?.parse()?)
}

impl Worker {
    fn is_ready(&mut self) -> anyhow::Result<bool> {
        if let Some(status) = self.process.try_wait()? {
            bail!("a worker ended: {status}");
        }
        Ok(self.page("readyz").is_ok())
    }

    fn page(&self, path: &str) -> anyhow::Result<String> {
        let url = format!("http://{}/{path}", self.address);
        let output = Command::new(beside("activity-worker")?)
            .args(["--probe", &url])
            .output()?;
        ensure!(output.status.success(), "{url} says no");
        Ok(String::from_utf8(output.stdout)?)
    }
}

/// Runs a load process to its end.
pub(crate) fn load(plan: &Plan) -> anyhow::Result<Figures> {
    let output = Command::new(std::env::current_exe()?)
        .args(["load", &serde_json::to_string(plan)?])
        .stderr(Stdio::inherit())
        .output()?;
    ensure!(output.status.success(), "the load failed: {plan:?}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

/// A program that was built with this one.
fn beside(program: &str) -> anyhow::Result<PathBuf> {
    Ok(std::env::current_exe()?.with_file_name(program))
}
