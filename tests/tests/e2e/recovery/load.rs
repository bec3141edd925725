//! Owns the work that is in flight when something dies: instances whose every step leaves a line in a file.
//! Never breaks anything itself.

use std::time::Duration;

use futures::future::join_all;
use longhaul_client::Handle;
use longhaul_examples::contracts::{JOURNAL_CHAIN, JOURNAL_FAN_OUT, JournalRequest};
use longhaul_sdk::Orchestration;
use longhaul_shared::id::MessageId;
use longhaul_shared::message::{ContentType, Destination, Publication};
use longhaul_shared::time::Timestamp;
use longhaul_shared::trace::TraceContext;
use serde_json::json;

use crate::journal::Journal;
use crate::site::{DEADLINE, Site, instance};

/// Longest time from a disaster to the end of all work.
const RECOVERED_WITHIN: Duration = Duration::from_secs(120);
const INSTANCES: u64 = 50;
const FAN_OUT_LINES: u64 = 20;
const CHAIN_LINES: u64 = 8;
/// Long enough that a kill finds many of them at it.
const EACH_MS: u64 = 50;

/// Started instances and their journal.
pub(crate) struct Load {
    journal: Journal,
    runs: Vec<(Handle<u64>, u64)>,
}

impl Load {
    /// Starts half of the instances as chains and half as fan-outs.
    pub(crate) async fn start(site: &Site) -> Self {
        Self::of(site, INSTANCES).await
    }

    /// The same, of so many instances.
    pub(crate) async fn of(site: &Site, instances: u64) -> Self {
        Self::named(site, "early", instances).await
    }

    /// The same, whose ids begin so. All loads of a site share a journal.
    pub(crate) async fn named(site: &Site, name: &str, instances: u64) -> Self {
        let mut load = Self {
            journal: Journal::at(site.path("journal")),
            runs: Vec::new(),
        };
        load.more(site, name, instances).await;
        load
    }

    /// Starts so many more.
    pub(crate) async fn more(&mut self, site: &Site, name: &str, instances: u64) {
        let journal = &self.journal;
        let starts = (0..instances).map(async |n| {
            let id = format!("{name}-{n}");
            let (contract, lines) = kind(n);
            let request = request(journal, lines);
            (site.start_new(contract, &id, request).await, lines)
        });
        let started = join_all(starts).await;
        self.runs.extend(started);
    }

    /// Publishes so many more as a foreign service would, on the intake queue.
    pub(crate) async fn foreign(&mut self, site: &Site, name: &str, instances: u64) {
        for n in 0..instances {
            let id = format!("{name}-{n}");
            let (contract, lines) = kind(n);
            let body = json!({
                "orchestration": contract.name(),
                "id": id,
                "input": request(&self.journal, lines),
            });
            let start = Publication {
                destination: Destination::Intake,
                id: MessageId::of(&[id.as_bytes()]),
                kind: "start".to_owned(),
                content_type: ContentType::Json.as_str().to_owned(),
                body: body.to_string().into(),
                correlation: None,
                time: Timestamp::default(),
                trace: TraceContext::default(),
            };
            site.publish(start).await;
            self.runs
                .push((site.client.handle(instance(&id)).of(contract), lines));
        }
    }

    /// How many lines the journal has.
    pub(crate) fn lines_written(&self) -> usize {
        self.journal.len()
    }

    /// Those that the store knows.
    pub(crate) async fn known(self, site: &Site) -> Self {
        let mut runs = Vec::new();
        for (run, lines) in self.runs {
            let row = site.insist("the store answers", async || site.client.get(run.id()).await);
            if row.await.is_some() {
                runs.push((run, lines));
            }
        }
        Self { runs, ..self }
    }

    /// Whether it has no instance.
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Whether some of the work is still to be done.
    pub(crate) fn is_unfinished(&self) -> bool {
        (self.journal.len() as u64) < self.runs.iter().map(|(_, lines)| *lines).sum()
    }

    /// Waits until a quarter of the lines is written, and makes sure that more are to come.
    pub(crate) async fn is_in_flight(&self, site: &Site) {
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
    pub(crate) async fn completes(&self, site: &Site, faults: usize) {
        let outputs = self.runs.iter().map(async |(run, _)| {
            // What was published on the intake queue may still be there.
            site.exists(run.id().as_str()).await;
            site.output_within(run, RECOVERED_WITHIN).await
        });
        let outputs = join_all(outputs).await;
        for ((run, lines), output) in self.runs.iter().zip(outputs) {
            assert_eq!(output, *lines, "{}", run.id());
            self.journal.check(run.id().as_str(), *lines, 1 + faults);
        }
    }
}

/// What the n-th instance is, and how many lines it writes.
fn kind(n: u64) -> (Orchestration<JournalRequest, u64>, u64) {
    match n % 2 {
        0 => (JOURNAL_CHAIN, CHAIN_LINES),
        _ => (JOURNAL_FAN_OUT, FAN_OUT_LINES),
    }
}

fn request(journal: &Journal, lines: u64) -> JournalRequest {
    JournalRequest {
        each_ms: EACH_MS,
        ..journal.request(lines)
    }
}
