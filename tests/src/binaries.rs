//! The programs of the workspace as processes: found beside the tests, built if stale, run with an empty environment.
//! Never a program from elsewhere, and never one that outlives its test.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::servers::poll_until;

/// A program of the workspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Binary {
    /// Hosts the orchestrations of the samples.
    OrchestratorWorker,
    /// Hosts the activities of the samples.
    ActivityWorker,
    /// The command line.
    Longhaul,
}

/// What the tests need of the workers beside what everybody has.
const WORKER_FEATURES: &str = "longhaul-orchestrator-worker/crash-points,longhaul-orchestrator-worker/otlp,\
                               longhaul-activity-worker/crash-points,longhaul-activity-worker/otlp";

/// Variables by which a test run tells a test of its package. ring's build looks at them: where they are set, it and
/// all that stands on it is built anew, and once more by the next build outside.
const OF_THE_TEST: [&str; 2] = ["CARGO_PKG_", "CARGO_MANIFEST_"];

/// What a worker says once it consumes, and at no other time.
pub const READY: &str = "worker: ready";

impl Binary {
    /// The name of its file.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OrchestratorWorker => "orchestrator-worker",
            Self::ActivityWorker => "activity-worker",
            Self::Longhaul => "longhaul",
        }
    }

    /// Where it is. The first call of a process builds all of them, which is quick when they are fresh.
    ///
    /// # Errors
    /// What cargo said when it could not build them.
    pub fn path(self) -> anyhow::Result<PathBuf> {
        static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
        match BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}"))) {
            Ok(directory) => Ok(directory.join(self.name())),
            Err(error) => bail!("{error}"),
        }
    }

    /// Its command, in an environment that nobody's settings reach.
    ///
    /// # Errors
    /// As for [`path`](Self::path).
    pub fn command(self) -> anyhow::Result<Command> {
        let mut command = Command::new(self.path()?);
        command.env_clear().stdin(Stdio::null());
        Ok(command)
    }

    /// Runs it to its end in an empty directory.
    ///
    /// # Errors
    /// As for [`path`](Self::path).
    pub fn output(self, arguments: &[&str]) -> anyhow::Result<Output> {
        let directory = tempfile::tempdir()?;
        let mut command = self.command()?;
        Ok(command.args(arguments).current_dir(directory.path()).output()?)
    }

    /// Starts the program of this name that another build has put into a directory, say that of another version.
    ///
    /// # Errors
    /// When there is none, or it cannot be started.
    pub fn start_of(self, build: &Path, arguments: &[&str]) -> anyhow::Result<Running> {
        let mut command = Command::new(build.join(self.name()));
        command.env_clear().stdin(Stdio::null());
        self.run(command, arguments, &[])
    }

    /// Starts it in an empty directory.
    ///
    /// # Errors
    /// As for [`path`](Self::path).
    pub fn start(self, arguments: &[&str]) -> anyhow::Result<Running> {
        self.start_with(arguments, &[])
    }

    /// The same, with these variables in its environment.
    ///
    /// # Errors
    /// As for [`path`](Self::path).
    pub fn start_with(self, arguments: &[&str], environment: &[(&str, &str)]) -> anyhow::Result<Running> {
        self.run(self.command()?, arguments, environment)
    }

    fn run(
        self,
        mut command: Command,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Running> {
        let directory = tempfile::tempdir()?;
        command
            .args(arguments)
            .envs(environment.iter().copied())
            .current_dir(directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        Running::start(self, &mut command, directory)
    }
}

/// The directory of the profile of this test, example or program, with the programs in it.
fn build() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let profile_directory = test
        .ancestors()
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name == "deps" || name == "examples")
        })
        .unwrap_or(&test)
        .parent()
        .with_context(|| format!("{} is not in a target directory", test.display()))?;
    let profile = match profile_directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let target_directory = profile_directory
        .parent()
        .context("a profile is in a target directory")?;
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut build = Command::new(cargo);
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if OF_THE_TEST.iter().any(|begin| text.starts_with(begin)) {
            build.env_remove(&name);
        }
    }
    let output = build
        .args(["build", "--quiet", "--profile", profile, "--target-dir"])
        .arg(target_directory)
        .args([
            "-p",
            "longhaul-orchestrator-worker",
            "-p",
            "longhaul-activity-worker",
            "-p",
            "longhaul",
            "--features",
            WORKER_FEATURES,
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .context("cannot run cargo")?;
    if !output.status.success() {
        bail!(
            "cargo cannot build the workers: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(profile_directory.to_path_buf())
}

/// What a test may send to a running program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM, as an orchestrator of containers sends it.
    Terminate,
    /// SIGINT, as Ctrl-C sends it.
    Interrupt,
    /// SIGSTOP: it stands still where it is, its connections stay open.
    Freeze,
    /// SIGCONT: it goes on.
    Thaw,
}

/// A program that runs. Dropping it kills it.
#[derive(Debug)]
pub struct Running {
    binary: Binary,
    process: Child,
    said: Arc<Mutex<String>>,
    listening: Option<JoinHandle<()>>,
    _directory: TempDir,
}

impl Running {
    fn start(binary: Binary, command: &mut Command, directory: TempDir) -> anyhow::Result<Self> {
        let mut process = command
            .spawn()
            .with_context(|| format!("cannot start {}", binary.name()))?;
        let said = Arc::new(Mutex::new(String::new()));
        let listening = process.stderr.take().map(|stderr| {
            let said = Arc::clone(&said);
            std::thread::spawn(move || listen(stderr, &said))
        });
        Ok(Self {
            binary,
            process,
            said,
            listening,
            _directory: directory,
        })
    }

    /// The id of its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.process.id()
    }

    /// What it has written to standard error so far.
    #[must_use]
    pub fn said(&self) -> String {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until it has written this to standard error.
    ///
    /// # Errors
    /// When it ended or the time is over, with what it wrote instead.
    pub fn says(&mut self, text: &str, deadline: Duration) -> anyhow::Result<()> {
        let what = format!("{} says {text:?}", self.binary.name());
        let heard = poll_until(&what, deadline, || {
            if self.said().contains(text) {
                return Ok(Some(()));
            }
            match self.process.try_wait()? {
                Some(status) => bail!("{} ended: {status}", self.binary.name()),
                None => Ok(None),
            }
        });
        heard.with_context(|| format!("it said: {}", self.said()))
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When there is no `sh`, or nobody to send it to.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let name = match signal {
            Signal::Terminate => "TERM",
            Signal::Interrupt => "INT",
            Signal::Freeze => "STOP",
            Signal::Thaw => "CONT",
        };
        let status = Command::new("sh")
            .args(["-c", "kill -s \"$1\" \"$2\"", "sh", name])
            .arg(self.process.id().to_string())
            .status()?;
        if !status.success() {
            bail!("cannot send SIG{name} to {}", self.binary.name());
        }
        Ok(())
    }

    /// Kills it at once with SIGKILL, as a crash would.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Whether it has ended.
    ///
    /// # Errors
    /// When the system does not tell.
    pub fn has_ended(&mut self) -> anyhow::Result<bool> {
        Ok(self.process.try_wait()?.is_some())
    }

    /// Waits until it has ended; returns how, and everything it wrote to standard error.
    ///
    /// # Errors
    /// When the time is over, with what it wrote so far.
    pub fn ends(&mut self, deadline: Duration) -> anyhow::Result<(ExitStatus, String)> {
        let what = format!("{} ends", self.binary.name());
        let status = poll_until(&what, deadline, || Ok(self.process.try_wait()?))
            .with_context(|| format!("it said: {}", self.said()))?;
        if let Some(listening) = self.listening.take() {
            let _ = listening.join();
        }
        Ok((status, self.said()))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

fn listen(stderr: impl Read, said: &Mutex<String>) {
    for line in BufReader::new(stderr).lines().map_while(Result::ok) {
        let mut said = said.lock().unwrap_or_else(PoisonError::into_inner);
        said.push_str(&line);
        said.push('\n');
    }
}
