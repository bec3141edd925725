//! Owns a worker process and what the kernel says of it: memory, processor time, open files.
//! Never looks into the worker.

use std::time::Duration;

use anyhow::Context;
use longhaul_tests::binaries::Running;

use crate::ground::Hub;

/// Clock ticks a second of `/proc/<pid>/stat`, the same on every Linux that Rust runs on.
const TICKS: f64 = 100.0;

/// A running worker. Dropping it kills it.
pub(crate) struct Worker(pub(crate) Running);

impl Worker {
    /// Its resident memory in bytes.
    pub(crate) fn memory(&self) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.0.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        let kib: u64 = number.context("the kernel tells no VmRSS")?.parse()?;
        Ok(kib * 1024)
    }

    /// How many files and connections it has open.
    pub(crate) fn files(&self) -> anyhow::Result<usize> {
        Ok(std::fs::read_dir(format!("/proc/{}/fd", self.0.id()))?.count())
    }

    /// Which share of a core it takes while so much time passes, in percent.
    pub(crate) async fn processor(&self, hub: &Hub, span: Duration) -> anyhow::Result<f64> {
        let before = self.ticks()?;
        hub.ports.runtime.sleep(span).await;
        Ok((self.ticks()? - before) * 100.0 / TICKS / span.as_secs_f64())
    }

    fn ticks(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id()))?;
        // The name of the program, in brackets, may hold blanks.
        let (_, fields) = stat.rsplit_once(')').context("the kernel tells no name")?;
        let times = fields.split_whitespace().skip(11).take(2);
        times.map(|ticks| Ok(ticks.parse::<f64>()?)).sum()
    }
}
