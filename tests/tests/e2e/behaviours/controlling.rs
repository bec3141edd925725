//! What a client may ask for: starts that are wishes, and ends before the end.

use std::future::IntoFuture;

use futures::future::join_all;
use longhaul_examples::contracts::{
    JOURNAL_CHAIN, JOURNAL_FAN_OUT, JournalRequest, REMINDER, ReminderRequest,
};
use longhaul_shared::history::EventKind;
use longhaul_shared::id::FunctionName;
use longhaul_shared::instance::Status;
use longhaul_shared::payload::Payload;

use crate::journal::Journal;
use crate::site::{DEADLINE, Site, instance};

pub(crate) async fn a_running_instance_is_terminated(site: &Site) {
    const HOUR_MS: u64 = 3_600_000;
    let journal = Journal::at(site.path("journal"));
    let long = JournalRequest {
        each_ms: 20,
        ..journal.request(100_000)
    };
    site.start_new(REMINDER, "sleeper", ReminderRequest { after_ms: HOUR_MS })
        .await;
    site.start_new(JOURNAL_CHAIN, "writer", long).await;
    site.wait_until("the writer has begun", DEADLINE, async || {
        (journal.len() > 3).then_some(())
    })
    .await;
    site.wait_until("the sleeper sleeps", DEADLINE, async || {
        (site.load("sleeper").await.row.status == Status::Running).then_some(())
    })
    .await;

    for id in ["sleeper", "writer"] {
        site.terminate(id, "not needed any more").await;
        let row = site.ended(id).await;
        assert_eq!(row.status, Status::Terminated, "{id}");
        assert_eq!(row.failure.unwrap().message, "not needed any more", "{id}");
        let history = site.load(id).await.history;
        assert!(matches!(
            history.iter().rev().nth(2).map(|event| &event.kind),
            Some(EventKind::ExecutionTerminated(terminated)) if terminated.reason == "not needed any more"
        ));
    }
    let sleeper = site.partition(&instance("sleeper"));
    let timers = site.ports.store.due_timers(sleeper, 10).await.unwrap();
    assert_eq!((timers.due, timers.next), (Vec::new(), None), "its timer is gone");

    let again = site
        .client
        .terminate(&instance("sleeper"), "")
        .await
        .unwrap_err()
        .to_string();
    assert!(
        again.contains("LH1202") && again.contains("Terminated"),
        "{again}"
    );
    let nobody = site
        .client
        .terminate(&instance("nobody"), "")
        .await
        .unwrap_err()
        .to_string();
    assert!(nobody.contains("LH1201"), "{nobody}");
}

pub(crate) async fn a_pending_instance_is_terminated(site: &Site) {
    let name = FunctionName::new("hosted_by_nobody").unwrap();
    site.client
        .start_by_name(name, Payload::unit())
        .id("early")
        .await
        .unwrap();
    let (status, _) = site.shown_waiting("early").await;
    assert_eq!(status, Status::Pending);
    site.terminate("early", "a mistake").await;
    let row = site.ended("early").await;
    assert_eq!((row.status, row.waiting_for), (Status::Terminated, None));
}

pub(crate) async fn the_same_start_twice_runs_once(site: &Site) {
    const LINES: u64 = 10;
    let journal = Journal::at(site.path("journal"));
    let wish = || {
        site.client
            .start(JOURNAL_FAN_OUT, journal.request(LINES))
            .id("once")
            .start_id("the wish")
    };
    let answers = join_all((0..20).map(|_| wish().into_future())).await;
    let runs: Vec<_> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(runs.iter().filter(|run| run.repeated().is_none()).count(), 1);
    for run in &runs {
        assert_eq!(site.output(run).await, LINES);
    }
    assert_eq!(wish().await.unwrap().repeated(), Some(Status::Completed));
    journal.check("once", LINES, 1);
}

pub(crate) async fn another_start_of_a_taken_id_is_refused(site: &Site) {
    let journal = Journal::at(site.path("journal"));
    let first = site.start_new(JOURNAL_FAN_OUT, "taken", journal.request(3)).await;
    let refused = async || {
        let another = site
            .client
            .start(JOURNAL_FAN_OUT, journal.request(30))
            .id("taken")
            .start_id("another");
        another.await.unwrap_err().to_string()
    };
    let error = refused().await;
    assert!(error.contains("LH1003") && error.contains("taken"), "{error}");
    assert_eq!(site.output(&first).await, 3);
    let error = refused().await;
    assert!(error.contains("LH1003") && error.contains("Completed"), "{error}");
    assert_eq!(site.output(&first).await, 3);
    assert_eq!(journal.len(), 3);
}
