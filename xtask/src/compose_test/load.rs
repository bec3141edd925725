//! The load: a foreign service that starts instances, and what has become of them.
//! Never uses Longhaul's client to start one.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use serde_json::{Value, json};

use super::docker;
use super::patience::wait_until;
use super::stack::{HUB, Stack};
use super::stand_ins;

const NAME: &str = "longhaul-compose-test-load";
const PREFIX: &str = "load";
const PER_SECOND: &str = "4";

/// How long the last instance may take after the last start.
const ENDED_WITHIN: Duration = Duration::from_secs(300);

/// The running service.
pub(crate) struct Load {
    child: Child,
    started: PathBuf,
}

impl Load {
    /// Begins to start instances; `directory` keeps what the service says.
    pub(crate) fn begin(stack: &Stack<'_>, directory: &Path) -> anyhow::Result<Self> {
        let started = directory.join("started.txt");
        let mut command = Command::new("docker");
        command.args(["run", "--rm", "--name", NAME, "--network", "host"]);
        command.args(["--env", "AMQP_URL", "--env", "QUEUE"]);
        command.args([stand_ins::LOAD, PREFIX, PER_SECOND]);
        command.env("AMQP_URL", stack.amqp_url());
        command.env("QUEUE", format!("lh.{HUB}.v1.intake"));
        command.stdout(File::create(&started)?);
        command.stderr(File::create(directory.join("load.log"))?);
        let child = command.spawn().context("cannot run docker")?;
        Ok(Self { child, started })
    }

    /// How many starts the broker has confirmed.
    pub(crate) fn count(&self) -> anyhow::Result<usize> {
        Ok(self.ids()?.len())
    }

    /// Ends the service after the start it is at; the ids that the broker has confirmed.
    pub(crate) fn end(mut self) -> anyhow::Result<Vec<String>> {
        docker::output(&["docker", "stop", "--time", "150", NAME])?;
        let status = self.child.wait()?;
        ensure!(
            status.success(),
            "the service that starts instances failed: {status}; it said why in load.log beside {}",
            self.started.display()
        );
        self.ids()
    }

    fn ids(&self) -> anyhow::Result<Vec<String>> {
        let text = std::fs::read_to_string(&self.started)?;
        Ok(text.lines().map(str::to_owned).collect())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        // After `end` there is none, which is as good.
        let _gone = docker::output(&["docker", "rm", "--force", NAME]);
        let _ended = self.child.wait();
    }
}

/// The hub, seen from outside by the program `longhaul`.
pub(crate) struct Hub {
    program: PathBuf,
    redis_url: String,
    amqp_url: String,
}

impl Hub {
    pub(crate) fn of(stack: &Stack<'_>, program: PathBuf) -> Self {
        Self {
            program,
            redis_url: stack.redis_url(),
            amqp_url: stack.amqp_url(),
        }
    }

    /// Every instance that was started is in the hub, completed, with the right output, and no other is.
    pub(crate) fn wait_for_all(&self, ids: &[String]) -> anyhow::Result<()> {
        wait_until("every instance ended", ENDED_WITHIN, || {
            let statuses = self.statuses()?;
            let open: Vec<_> = statuses
                .iter()
                .filter(|(_, status)| *status != "Completed")
                .collect();
            match open.as_slice() {
                [] if statuses.len() == ids.len() => Ok(Some(())),
                [] => bail!("{} were started and {} are in the hub", ids.len(), statuses.len()),
                [(id, status), ..] => bail!("{} have not completed, among them {id}: {status}", open.len()),
            }
        })?;
        for id in ids {
            let shown = self.ask(&["show", id, "--output", "json"])?;
            let (_, number) = id.rsplit_once('-').context("an id has a number")?;
            check_output(number.parse()?, &shown)
                .with_context(|| format!("the instance {id} is wrong: {shown}"))?;
        }
        println!(
            "  {} instances, each completed once with the right output",
            ids.len()
        );
        Ok(())
    }

    /// The status of each instance of the load.
    pub(crate) fn statuses(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let mut statuses = BTreeMap::new();
        let mut cursor = None;
        loop {
            let mut words = vec![
                "list".to_owned(),
                "--limit=1000".to_owned(),
                "--output=json".to_owned(),
            ];
            words.extend(cursor.map(|cursor| format!("--cursor={cursor}")));
            let page = self.ask(&words)?;
            let instances = page.get("instances").and_then(Value::as_array);
            for instance in instances.context("a list has instances")? {
                let text = |field| {
                    instance
                        .get(field)
                        .and_then(Value::as_str)
                        .unwrap_or_default()
                        .to_owned()
                };
                if text("id").starts_with(PREFIX) {
                    statuses.insert(text("id"), text("status"));
                }
            }
            cursor = page.get("next").and_then(Value::as_str).map(str::to_owned);
            if cursor.is_none() {
                return Ok(statuses);
            }
        }
    }

    fn ask<S: AsRef<std::ffi::OsStr>>(&self, words: &[S]) -> anyhow::Result<Value> {
        let mut command = Command::new(&self.program);
        command.args(words);
        command.env("LONGHAUL_HUB__NAME", HUB);
        command.env("LONGHAUL_REDIS__URL", &self.redis_url);
        command.env("LONGHAUL_AMQP__URL", &self.amqp_url);
        Ok(serde_json::from_str(&docker::captured(&mut command)?)?)
    }
}

/// What `xtask/stand-ins/load/start.py` asked for, and what must have come of it.
fn check_output(number: u64, shown: &Value) -> anyhow::Result<()> {
    let output = shown.get("output").context("no output")?;
    match number % 4 {
        0 => ensure!(*output == json!(["Hello, Tokyo!", "Hello, Seattle!", "Hello, London!"])),
        1 => {
            let micros = |field| output.get(field).and_then(Value::as_i64).context("no time");
            ensure!(
                micros("woke_micros")? >= micros("due_micros")?,
                "it woke before it was due"
            );
        }
        tens => {
            let sum: u64 = (1..=tens * 10).map(|number| number * number).sum();
            ensure!(*output == json!(sum), "the sum is {sum}");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_output_is_noticed() {
        let shown = |output: Value| json!({ "output": output });
        check_output(2, &shown(json!(2870))).unwrap();
        check_output(2, &shown(json!(2871))).unwrap_err();
        check_output(4, &shown(json!(["Hello, Tokyo!"]))).unwrap_err();
        check_output(5, &shown(json!({ "due_micros": 2, "woke_micros": 1 }))).unwrap_err();
        check_output(5, &json!({})).unwrap_err();
    }
}
