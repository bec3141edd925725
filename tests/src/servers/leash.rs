//! A server process on a leash: it ends when this process ends, however this process ends.
//! Never signals anything but the process group that it started itself.
//!
//! Beside each server runs a small `sh`, the holder, that reads orders from a pipe which only this process holds.
//! When the pipe closes without the order `end`, this process died: the holder kills the server's group and removes
//! its directory. (The parent-death signal of Linux would not do: it follows the *thread* that started the server,
//! and test threads come and go.)

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};

use super::poll::poll_until;

/// Becomes the server once its holder stands, so that no moment is left in which nobody would end it.
const GATE: &str = r#"read -r go && exec "$@" </dev/null"#;

/// `$1` is the server's process group, `$2` its directory.
const HOLDER: &str = r#"
while read -r order; do
    if [ "$order" = end ]; then kill -s KILL -- "-$1"; exit; fi
    kill -s "$order" "$1"
    echo "$order"
done
kill -s KILL -- "-$1"
rm -rf -- "$2" || rm -rf -- "$2"
"#;

/// What to start, and where it lives.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) program: PathBuf,
    pub(crate) arguments: Vec<OsString>,
    /// The whole environment but for `PATH` and `LANG`: nothing that a developer exports reaches a server.
    pub(crate) environment: Vec<(&'static str, OsString)>,
    /// Where its standard output and error are appended.
    pub(crate) log: PathBuf,
    /// What the holder removes if this process dies.
    pub(crate) directory: PathBuf,
}

/// What a test may send to a server's first process.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Signal {
    /// Stop in good order.
    Terminate,
    /// Freeze: the process hangs, its connections stay open.
    Freeze,
    /// Go on after a freeze.
    Thaw,
}

/// A running server. Dropping it kills it, with everything in its process group.
#[derive(Debug)]
pub(crate) struct Leashed {
    server: Child,
    holder: Child,
    orders: ChildStdin,
    echoes: BufReader<ChildStdout>,
}

impl Leashed {
    pub(crate) fn start(launch: &Launch) -> anyhow::Result<Self> {
        let mut server = gate(launch)?;
        let begun = Self::hold(&mut server, &launch.directory);
        let (holder, orders, echoes) = match begun {
            Ok(held) => held,
            Err(error) => {
                // It waits at the gate still, and would leave by itself when the pipe closes.
                let _ = server.kill();
                let _ = server.wait();
                return Err(error);
            }
        };
        let mut leashed = Self {
            server,
            holder,
            orders,
            echoes,
        };
        let mut go = leashed
            .server
            .stdin
            .take()
            .context("the gate has no standard input")?;
        go.write_all(b"go\n")
            .with_context(|| format!("cannot start {}", launch.program.display()))?;
        Ok(leashed)
    }

    /// How the server ended, if it has.
    pub(crate) fn ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        self.server
            .try_wait()
            .context("cannot look after the server process")
    }

    /// Returns when the signal is sent.
    pub(crate) fn signal(&mut self, signal: Signal) -> anyhow::Result<()> {
        if let Some(status) = self.ended()? {
            bail!("the server has already ended: {status}");
        }
        let name = match signal {
            Signal::Terminate => "TERM",
            Signal::Freeze => "STOP",
            Signal::Thaw => "CONT",
        };
        writeln!(self.orders, "{name}").context("the server's holder is gone")?;
        let mut echo = String::new();
        self.echoes
            .read_line(&mut echo)
            .context("the server's holder does not answer")?;
        if echo.trim() != name {
            bail!("the server's holder could not send SIG{name}");
        }
        Ok(())
    }

    /// Asks the server to end, waits until it has, and removes the rest of its group.
    pub(crate) fn stop(mut self, deadline: Duration) -> anyhow::Result<()> {
        if self.ended()?.is_none() {
            self.signal(Signal::Terminate)?;
            poll_until("the server ends after SIGTERM", deadline, || self.ended())?;
        }
        Ok(())
    }

    fn hold(
        server: &mut Child,
        directory: &Path,
    ) -> anyhow::Result<(Child, ChildStdin, BufReader<ChildStdout>)> {
        let mut holder = Command::new("sh")
            .args(["-c", HOLDER, "holder", &server.id().to_string()])
            .arg(directory)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start `sh`")?;
        let orders = holder.stdin.take().context("the holder has no standard input")?;
        let echoes = holder
            .stdout
            .take()
            .context("the holder has no standard output")?;
        Ok((holder, orders, BufReader::new(echoes)))
    }
}

impl Drop for Leashed {
    /// The server is waited for last: until then its process id, and so its group's, cannot become another's.
    fn drop(&mut self) {
        let _ = writeln!(self.orders, "end");
        let _ = self.holder.wait();
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn gate(launch: &Launch) -> anyhow::Result<Child> {
    let log = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&launch.log)
        .with_context(|| format!("cannot open {}", launch.log.display()))?;
    let mut search_path = std::env::var_os("PATH").unwrap_or_default();
    search_path.push(":/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    Command::new("sh")
        .args(["-c", GATE, "gate"])
        .arg(&launch.program)
        .args(&launch.arguments)
        .env_clear()
        .env("PATH", search_path)
        .env("LANG", "C.UTF-8")
        .envs(launch.environment.iter().map(|(name, value)| (name, value)))
        .current_dir(&launch.directory)
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(log.try_clone().context("cannot share the log file")?)
        .stderr(log)
        .spawn()
        .context("cannot start `sh`")
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEADLINE: Duration = Duration::from_secs(10);

    fn start(directory: &tempfile::TempDir, script: &str) -> Leashed {
        Leashed::start(&Launch {
            program: PathBuf::from("sh"),
            arguments: ["-c", script].map(OsString::from).to_vec(),
            environment: vec![("GREETING", OsString::from("hello"))],
            log: directory.path().join("log"),
            directory: directory.path().to_path_buf(),
        })
        .unwrap()
    }

    #[test]
    fn a_process_gets_its_environment_and_its_end_is_seen() {
        let directory = tempfile::tempdir().unwrap();
        let mut process = start(&directory, "echo $GREETING; exit 7");
        let status = poll_until("the process ends", DEADLINE, || process.ended()).unwrap();
        assert_eq!(status.code(), Some(7));
        assert_eq!(
            std::fs::read_to_string(directory.path().join("log")).unwrap(),
            "hello\n"
        );
    }

    #[test]
    fn stop_lets_the_process_finish_its_work() {
        let directory = tempfile::tempdir().unwrap();
        let process = start(
            &directory,
            "trap 'echo bye; exit' TERM; echo up; while :; do sleep 0.01; done",
        );
        let log = directory.path().join("log");
        poll_until("the process is up", DEADLINE, || {
            Ok((std::fs::read(&log)? == b"up\n").then_some(()))
        })
        .unwrap();
        process.stop(DEADLINE).unwrap();
        assert_eq!(std::fs::read_to_string(log).unwrap(), "up\nbye\n");
    }

    #[test]
    fn dropping_ends_the_whole_group() {
        let directory = tempfile::tempdir().unwrap();
        let process = start(&directory, "sleep 600 & echo $!; wait");
        let log = directory.path().join("log");
        let child: u32 = poll_until("the process names its child", DEADLINE, || {
            Ok(std::fs::read_to_string(&log)?.trim().parse().ok())
        })
        .unwrap();
        drop(process);
        // What is left may be a zombie until the system's first process collects it: it has no command line.
        poll_until("its child is gone", DEADLINE, || {
            let command = std::fs::read(format!("/proc/{child}/cmdline")).unwrap_or_default();
            Ok(command.is_empty().then_some(()))
        })
        .unwrap();
        assert!(
            directory.path().exists(),
            "only a crash lets the holder remove the directory"
        );
    }
}
