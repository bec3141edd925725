//! Owns the other systems that are measured on the same machine in the same run: Celery on the same RabbitMQ and Redis,
//! DBOS in one process. Never installs anything outside a directory of its own beside the built programs.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

use crate::figures::Figures;

const REQUIREMENTS: &str = "benches/peers/requirements.txt";
const READY_WITHIN: Duration = Duration::from_secs(60);
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// As many processes as the machine has cores here.
const CELERY_PROCESSES: &str = "2";

/// Python with the peers installed.
pub(crate) struct Python(PathBuf);

impl Python {
    /// Installs them, once.
    pub(crate) fn ready() -> anyhow::Result<Self> {
        let directory = std::env::current_exe()?.with_file_name("peers");
        let python = directory.join("bin/python");
        if !python.exists() {
            run(Command::new("python3").args(["-m", "venv"]).arg(&directory))?;
        }
        let pip = ["-m", "pip", "install", "--quiet", "--requirement", REQUIREMENTS];
        run(Command::new(&python).args(pip))?;
        Ok(Self(python))
    }

    fn script(&self, script: &str) -> Command {
        let mut command = Command::new(&self.0);
        command.arg(Path::new("benches/peers").join(script));
        command.env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    /// DBOS, so many workflows at once.
    pub(crate) fn dbos(
        &self,
        at_once: usize,
        warm_up: Duration,
        measure: Duration,
    ) -> anyhow::Result<Figures> {
        let directory = tempfile::tempdir()?;
        let mut load = self.script("dbos_peer.py");
        load.args([
            "hello",
            &at_once.to_string(),
            &seconds(warm_up),
            &seconds(measure),
        ]);
        figures(load.arg(directory.path()))
    }
}

/// A Celery worker; dropped, it is stopped.
pub(crate) struct Celery<'a> {
    python: &'a Python,
    environment: Vec<(&'static str, String)>,
    worker: Child,
}

impl Drop for Celery<'_> {
    fn drop(&mut self) {
        // Its children end when it does; a second signal would be too much for those that are under way.
        let id = self.worker.id().to_string();
        let _gone = Command::new("kill").arg(id).status();
        let _gone = self.worker.wait();
    }
}

impl<'a> Celery<'a> {
    /// Starts it, on these servers and a queue of its own.
    pub(crate) fn start(python: &'a Python, amqp: &str, redis: &str) -> anyhow::Result<Self> {
        let environment = vec![
            ("PEER_AMQP", amqp.to_owned()),
            ("PEER_REDIS", redis.to_owned()),
            ("PEER_QUEUE", format!("celery-{}", std::process::id())),
            ("PYTHONPATH", "benches/peers".to_owned()),
            ("PYTHONDONTWRITEBYTECODE", "1".to_owned()),
        ];
        let log = tempfile::NamedTempFile::new()?;
        let worker = Command::new(&python.0)
            .args(["-m", "celery", "-A", "celery_peer", "worker", "--pool=prefork"])
            .args([
                "--concurrency",
                CELERY_PROCESSES,
                "--loglevel=INFO",
                "--without-gossip",
                "--without-mingle",
            ])
            .envs(environment.clone())
            .stdout(Stdio::null())
            .stderr(log.reopen()?)
            .spawn()
            .context("celery cannot be started")?;
        let celery = Self {
            python,
            environment,
            worker,
        };
        let until = Instant::now() + READY_WITHIN;
        loop {
            let said = std::fs::read_to_string(log.path())?;
            if said.contains("ready.") {
                return Ok(celery);
            }
            ensure!(Instant::now() < until, "celery is not ready: {said}");
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Chains, so many at once, or chords, so wide.
    pub(crate) fn load(
        &self,
        kind: &str,
        size: usize,
        warm_up: Duration,
        measure: Duration,
    ) -> anyhow::Result<Figures> {
        let mut load = self.python.script("celery_peer.py");
        load.args([kind, &size.to_string(), &seconds(warm_up), &seconds(measure)]);
        figures(load.envs(self.environment.clone()))
    }
}

fn seconds(span: Duration) -> String {
    span.as_secs_f64().to_string()
}

fn figures(load: &mut Command) -> anyhow::Result<Figures> {
    let output = load.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "a peer's load failed");
    let text = String::from_utf8(output.stdout)?;
    let last = text.lines().last().unwrap_or_default();
    serde_json::from_str(last).with_context(|| format!("a peer said: {text}"))
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let status = command
        .status()
        .with_context(|| format!("cannot run {command:?}"))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}
