//! Owns the floor: the same three activities without an engine, so that what the servers cost under these promises is told
//! from what the engine adds. Never replays, decides or looks anything up: every answer is known beforehand. Who lets more
//! items share a message than it does may be faster.
//!
//! An orchestrator, an activity worker and a load, each a process of its own, call the scripts of the Redis adapter and
//! send the product's own messages on plain lapin channels: a start, a load and four commits in the store, a wake-up,
//! three work items and three results through the broker. Acknowledged after the commit, confirmed, removed from the
//! outbox by the next commit of the partition, exactly as a worker does it.

mod batcher;
mod part;
mod roles;
mod sequence;
mod wire;

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, ensure};

use crate::figures::Figures;
use crate::fleet::Spent;
pub(crate) use part::{Part, Plan};
use part::{READY, Traffic};

/// The two parts that wait for work, as processes; dropped, they are killed.
pub(crate) struct Floor {
    plan: Plan,
    parts: Vec<Process>,
}

struct Process {
    child: Child,
    /// Closed, it tells the process to stop.
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Drop for Process {
    fn drop(&mut self) {
        // One that is gone already needs neither.
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

impl Floor {
    /// Starts both.
    pub(crate) fn start(plan: &Plan) -> anyhow::Result<Self> {
        let parts = [Part::Orchestrator, Part::Activity].map(|part| {
            let plan = Plan { part, ..plan.clone() };
            Process::start(&plan)
        });
        let parts = parts.into_iter().collect::<anyhow::Result<_>>()?;
        let plan = plan.clone();
        Ok(Self { plan, parts })
    }

    /// Runs a load to its end, so many instances at once.
    pub(crate) fn load(&self, at_once: usize) -> anyhow::Result<Figures> {
        let plan = Plan {
            part: Part::Load,
            at_once,
            ..self.plan.clone()
        };
        let output = command(&plan)?.stderr(Stdio::inherit()).output()?;
        ensure!(output.status.success(), "the floor's load failed");
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// Stops both; what they have spent since they were started.
    pub(crate) fn stop(mut self) -> anyhow::Result<Spent> {
        let mut all = Spent::default();
        for part in &mut self.parts {
            part.stdin.take();
            let mut line = String::new();
            part.stdout.read_line(&mut line)?;
            let traffic: Traffic =
                serde_json::from_str(&line).context("a part of the floor says what it did")?;
            all.messages += traffic.messages as f64;
            all.commits += traffic.commits as f64;
            all.cpu += traffic.cpu;
        }
        Ok(all)
    }
}

impl Process {
    fn start(plan: &Plan) -> anyhow::Result<Self> {
        let mut child = command(plan)?
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take());
        let stdout = BufReader::new(stdout.context("its output is piped")?);
        let mut process = Self { child, stdin, stdout };
        let mut line = String::new();
        process.stdout.read_line(&mut line)?;
        ensure!(line.trim() == READY, "a part of the floor does not start: {line}");
        Ok(process)
    }
}

fn command(plan: &Plan) -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["floor", &serde_json::to_string(plan)?]);
    Ok(command)
}

/// What a process of the floor runs.
pub(crate) async fn run(plan: Plan) -> anyhow::Result<()> {
    match plan.part {
        Part::Orchestrator => roles::orchestrator(plan).await,
        Part::Activity => roles::activity(plan).await,
        Part::Load => roles::load(plan).await,
    }
}
