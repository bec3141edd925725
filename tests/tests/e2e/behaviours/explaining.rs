//! Why an instance does not move: it is asked while it waits, and the answer is what helps.

use longhaul_client::{InstanceId, Owner, Reason, Wait, Why};
use longhaul_examples::contracts::{HELLO_SEQUENCE, PANICKING, REMINDER, ReminderRequest, SAY_HELLO};
use longhaul_shared::instance::Status;

use crate::site::{DEADLINE, Kind, Site};

/// Waits until the first thing that an instance waits for is this; returns all that is said, and that.
async fn told(site: &Site, id: &str, is_it: impl Fn(&Reason) -> bool) -> (Why, Wait) {
    let id = InstanceId::new(id).unwrap();
    let what = format!("{id} says what it waits for");
    let told = site.wait_until(&what, DEADLINE, async || {
        let why = site.client.why(&id).await.unwrap();
        let first = why.waits.first().cloned()?;
        is_it(&first.reason).then_some((why, first))
    });
    let (why, wait) = told.await;
    assert!(why.waits.iter().all(|wait| wait.since <= why.now), "{why:?}");
    (why, wait)
}

pub(crate) async fn a_task_that_no_activity_worker_serves_is_told_with_its_queue(site: &Site) {
    site.stop(Kind::Activity).await;
    let run = site.start_new(HELLO_SEQUENCE, "greeting", ()).await;
    let (why, wait) = told(site, "greeting", |reason| {
        matches!(reason, Reason::NoActivityWorker { .. })
    })
    .await;
    let Reason::NoActivityWorker { name, tasks, .. } = &wait.reason else {
        unreachable!("it was looked for");
    };
    assert_eq!((name, *tasks), (&SAY_HELLO.function_name(), 1));
    assert!(
        wait.reason.needs_a_person() && wait.reason.remedy().contains("say_hello"),
        "{why:?}"
    );
    assert!(matches!(why.owner, Owner::Worker(_)), "{why:?}");
    assert_eq!(why.steps.len(), 1);

    site.add(Kind::Activity).await;
    site.output(&run).await;
    let why = site
        .client
        .why(&InstanceId::new("greeting").unwrap())
        .await
        .unwrap();
    assert_eq!(
        (why.status, why.waits.len(), why.steps.len()),
        (Status::Completed, 0, 0)
    );
}

pub(crate) async fn a_timer_is_told_with_the_time_at_which_it_is_due(site: &Site) {
    let hour = ReminderRequest { after_ms: 3_600_000 };
    site.start_new(REMINDER, "later", hour).await;
    let (why, wait) = told(site, "later", |reason| matches!(reason, Reason::Timer { .. })).await;
    let Reason::Timer { due, due_in, .. } = &wait.reason else {
        unreachable!("it was looked for");
    };
    assert_eq!(due.since(wait.since).as_secs(), 3_600, "{why:?}");
    assert_eq!(due.since(why.now), *due_in);
    assert!(!wait.reason.needs_a_person());
    site.terminate("later", "told").await;
    site.ended("later").await;
}

pub(crate) async fn a_paused_instance_and_one_without_orchestrator_workers_are_told_apart(site: &Site) {
    site.start_new(PANICKING, "mistake", ()).await;
    let (_, wait) = told(site, "mistake", |reason| reason.kind() == "paused").await;
    let wait = wait.reason;
    assert_eq!(wait.code(), Some("LH1102"));
    assert!(wait.to_string().contains("index out of bounds"), "{wait}");

    site.stop(Kind::Orchestrator).await;
    let (why, _) = told(site, "mistake", |reason| {
        matches!(reason, Reason::NoOrchestratorWorker | Reason::HubAtRest)
    })
    .await;
    assert_eq!(why.owner, Owner::Nobody);
    site.add(Kind::Orchestrator).await;
    site.terminate("mistake", "told").await;
    site.ended("mistake").await;
}
