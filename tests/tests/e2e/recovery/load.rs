//! Owns the work that is in flight when something dies: instances whose every step leaves a line in a file.
//! Never breaks anything itself.

use std::time::Duration;

use futures::future::join_all;
use longhaul_client::Handle;
use longhaul_examples::contracts::{JOURNAL_CHAIN, JOURNAL_FAN_OUT, JournalRequest};

use crate::journal::Journal;
use crate::site::{DEADLINE, Site};

/// Longest time from a disaster to the end of all work.
const RECOVERED_WITHIN: Duration = Duration::from_secs(120);
const INSTANCES: u64 = 50;
const FAN_OUT_LINES: u64 = 20;
const CHAIN_LINES: u64 = 8;
/// Long enough that a kill finds many of them at it.
const EACH_MS: u64 = 50;

/// Started instances and their journal.
pub(super) struct Load {
    journal: Journal,
    runs: Vec<(Handle<u64>, u64)>,
}

impl Load {
    /// Starts half of the instances as chains and half as fan-outs.
    pub(super) async fn start(site: &Site) -> Self {
        let mut load = Self {
            journal: Journal::at(site.path("journal")),
            runs: Vec::new(),
        };
        load.more(site, "early", INSTANCES).await;
        load
    }

    /// Starts so many more.
    pub(super) async fn more(&mut self, site: &Site, name: &str, instances: u64) {
        let journal = &self.journal;
        let starts = (0..instances).map(async |n| {
            let id = format!("{name}-{n}");
            let (contract, lines) = match n % 2 {
                0 => (JOURNAL_CHAIN, CHAIN_LINES),
                _ => (JOURNAL_FAN_OUT, FAN_OUT_LINES),
            };
            let request = JournalRequest {
                each_ms: EACH_MS,
                ..journal.request(lines)
            };
            (site.start_new(contract, &id, request).await, lines)
        });
        let started = join_all(starts).await;
        self.runs.extend(started);
    }

    /// Waits until a quarter of the lines is written, and makes sure that more are to come.
    pub(super) async fn is_in_flight(&self, site: &Site) {
        let lines: usize = self
            .runs
            .iter()
            .map(|(_, lines)| usize::try_from(*lines).unwrap())
            .sum();
        let what = "a quarter of the work is done";
        site.wait_until(what, DEADLINE, async || {
            (self.journal.len() >= lines / 4).then_some(())
        })
        .await;
        assert!(
            self.journal.len() < lines,
            "all work was done before anything could die"
        );
    }

    /// Waits until everything has completed, and checks that no line was written more often than it had faults.
    pub(super) async fn completes(&self, site: &Site, faults: usize) {
        let outputs = self
            .runs
            .iter()
            .map(|(run, _)| site.output_within(run, RECOVERED_WITHIN));
        let outputs = join_all(outputs).await;
        for ((run, lines), output) in self.runs.iter().zip(outputs) {
            assert_eq!(output, *lines, "{}", run.id());
            self.journal.check(run.id().as_str(), *lines, 1 + faults);
        }
    }
}
