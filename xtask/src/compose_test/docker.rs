//! Calls of docker and of compose.
//! Never decides what is called: it finds the programs, runs them and keeps what they said.

use std::ffi::OsStr;
use std::process::{Command, Stdio};

use anyhow::{Context, bail};

/// The docker of this machine, whose engine has answered.
pub(crate) struct Docker {
    compose: &'static [&'static str],
}

impl Docker {
    /// The engine's client and compose; otherwise why there is none.
    pub(crate) fn find() -> Result<Self, String> {
        let engine = ["docker", "version", "--format", "{{.Server.Version}}"];
        let engine = output(&engine).map_err(|error| format!("no Docker Engine answers: {error:#}"))?;
        let both: [&'static [&'static str]; 2] = [&["docker", "compose"], &["docker-compose"]];
        for compose in both {
            if let Ok(version) = output(&[compose, &["version", "--short"]].concat()) {
                println!("Docker Engine {engine}, {} {version}", compose.join(" "));
                return Ok(Self { compose });
            }
        }
        Err(format!(
            "Docker Engine {engine} is there, and neither `docker compose` nor `docker-compose`"
        ))
    }

    /// Compose with these arguments.
    pub(crate) fn compose(&self) -> Command {
        let mut words = self.compose.iter();
        let mut command = Command::new(words.next().unwrap_or(&"docker-compose"));
        command.args(words);
        command
    }
}

/// Runs the words and shows them; what they print is shown too.
pub(crate) fn run<S: AsRef<OsStr>>(words: &[S]) -> anyhow::Result<()> {
    shown(&mut command(words)?)
}

/// Runs a command and shows it; what it prints is shown too.
pub(crate) fn shown(command: &mut Command) -> anyhow::Result<()> {
    println!("{}", line(command));
    let status = command
        .status()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !status.success() {
        bail!("`{}` failed: {status}", line(command));
    }
    Ok(())
}

/// Runs the words silently; what they wrote to stdout, without white space around it.
pub(crate) fn output<S: AsRef<OsStr>>(words: &[S]) -> anyhow::Result<String> {
    captured(&mut command(words)?)
}

/// Runs a command silently; what it wrote to stdout, without white space around it.
pub(crate) fn captured(command: &mut Command) -> anyhow::Result<String> {
    let output = command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {}", command.get_program().display()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("`{}` failed: {}: {}", line(command), output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

fn command<S: AsRef<OsStr>>(words: &[S]) -> anyhow::Result<Command> {
    let [program, arguments @ ..] = words else {
        bail!("nothing to run")
    };
    let mut command = Command::new(program);
    command.args(arguments);
    Ok(command)
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(OsStr::to_string_lossy).collect();
    words.join(" ")
}
