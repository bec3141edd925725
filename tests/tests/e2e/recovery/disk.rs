//! A hub in one process that is killed with the process. The process is this very test, started once more.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use longhaul_examples::contracts::{JOURNAL_FAN_OUT, JournalRequest};

use crate::journal::Journal;
use crate::site::{DEADLINE, Kind, Site, instance};

/// Says to the test that it is the victim, and where its hub is.
const DIRECTORY_VARIABLE: &str = "LONGHAUL_E2E_VICTIM";
const THIS_TEST: &str = "recovery::disk::a_hub_on_disk_that_is_killed_goes_on_where_it_was";
const LINES: u64 = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hub_on_disk_that_is_killed_goes_on_where_it_was() {
    if let Some(directory) = std::env::var_os(DIRECTORY_VARIABLE) {
        return be_the_victim(Path::new(&directory)).await;
    }
    let directory = tempfile::Builder::new()
        .prefix("longhaul-e2e-")
        .tempdir()
        .unwrap();
    let journal = Journal::at(journal_in(directory.path()));
    let enough = usize::try_from(LINES / 2).unwrap();

    let mut victim = Victim::start(directory.path());
    longhaul_tests::servers::poll_until("half of the lines are written", DEADLINE, || {
        Ok((journal.len() >= enough || victim.has_ended()?).then_some(()))
    })
    .unwrap();
    victim.kill();
    assert!(
        journal.len() < usize::try_from(LINES).unwrap(),
        "it was done before it was killed"
    );

    let mut survivor = Victim::start(directory.path());
    longhaul_tests::servers::poll_until("the work is done", DEADLINE, || {
        Ok(survivor.has_ended()?.then_some(()))
    })
    .unwrap();
    journal.check("half-way", LINES, 2);

    let site = Site::in_directory(directory.path()).await;
    // What is under way within a process goes with it.
    site.broker_was_wiped();
    let run = site.client.handle(instance("half-way")).of(JOURNAL_FAN_OUT);
    assert_eq!(site.output(&run).await, LINES);
    site.close().await;
}

fn journal_in(directory: &Path) -> PathBuf {
    directory.join("journal")
}

/// What the process does that is killed: it runs a hub, starts an instance or finds it started, and waits for it.
async fn be_the_victim(directory: &Path) {
    let site = Site::in_directory(directory).await;
    site.add(Kind::Orchestrator).await;
    site.add(Kind::Activity).await;
    let request = JournalRequest {
        each_ms: 100,
        ..Journal::at(journal_in(directory)).request(LINES)
    };
    let start = site
        .client
        .start(JOURNAL_FAN_OUT, request)
        .id("half-way")
        .start_id("half-way");
    site.output(&start.await.unwrap()).await;
    site.stop(Kind::Orchestrator).await;
    site.stop(Kind::Activity).await;
}

/// The process. Dropping it kills it.
struct Victim(Child);

impl Victim {
    fn start(directory: &Path) -> Self {
        let child = Command::new(std::env::current_exe().unwrap())
            .args([THIS_TEST, "--exact", "--nocapture"])
            .env(DIRECTORY_VARIABLE, directory)
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        Self(child)
    }

    /// Whether it has come to its end, which must be a good one.
    fn has_ended(&mut self) -> anyhow::Result<bool> {
        let Some(status) = self.0.try_wait()? else {
            return Ok(false);
        };
        anyhow::ensure!(status.success(), "the hub's process ended: {status}");
        Ok(true)
    }

    fn kill(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Victim {
    fn drop(&mut self) {
        // It may be gone already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
