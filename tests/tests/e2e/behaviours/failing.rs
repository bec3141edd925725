//! What goes wrong in an author's code, and what is recorded of it.

use longhaul_examples::contracts::{
    JOURNAL_CHAIN, JOURNAL_FAN_OUT, JournalRequest, OVER_LIMIT, SUM_OF_SQUARES,
};
use longhaul_sdk::{Activity, ActivityContext, BoxError, Orchestration, OrchestrationContext};
use longhaul_shared::failure::FailureKind;
use longhaul_shared::history::EventKind;
use longhaul_shared::instance::{InstanceRow, Status};
use longhaul_shared::limits;
use longhaul_shared::payload::Payload;

use crate::journal::Journal;
use crate::site::{Kind, Site};

pub(crate) async fn a_failing_activity_is_tried_again(site: &Site) {
    const LINES: u64 = 5;
    const FAILURES: u64 = 2;
    let journal = Journal::at(site.path("journal"));
    let request = JournalRequest {
        failures: FAILURES,
        ..journal.request(LINES)
    };
    let run = site.start_new(JOURNAL_FAN_OUT, "stubborn", request).await;
    assert_eq!(site.output(&run).await, LINES);

    let executions = journal.executions();
    assert!(executions.values().all(|count| *count == 1), "{executions:?}");
    for line in 1..=LINES {
        let attempts = executions
            .keys()
            .filter(|execution| execution.line == line)
            .count();
        assert_eq!(attempts as u64, FAILURES + 1, "line {line}: {executions:?}");
    }
    let history = site.load("stubborn").await.history;
    let count = |name| history.iter().filter(|event| event.kind.name() == name).count() as u64;
    assert_eq!(count("TaskFailed"), LINES * FAILURES);
    assert_eq!(
        count("TimerFired"),
        LINES * FAILURES,
        "a timer between two attempts"
    );
    assert_eq!(count("TaskCompleted"), LINES);
}

pub(crate) async fn an_exhausted_retry_policy_fails_the_instance_with_the_reason(site: &Site) {
    let nowhere = Journal::at(site.path("missing-directory").join("journal"));
    let request = JournalRequest {
        failures: 2,
        ..nowhere.request(1)
    };
    site.start_new(JOURNAL_CHAIN, "hopeless", request).await;
    let row = site.ended("hopeless").await;
    failed(&row, &["No such file or directory"]);
    let history = site.load("hopeless").await.history;
    let failures = history
        .iter()
        .filter(|event| matches!(event.kind, EventKind::TaskFailed(_)));
    assert_eq!(failures.count(), 3);
}

pub(crate) async fn a_result_over_its_limit_fails_the_instance_naming_the_limit(site: &Site) {
    site.start_new(OVER_LIMIT, "large", ()).await;
    let row = site.ended("large").await;
    let failure = failed(&row, &["PAYLOAD_BYTES_MAX", "LH1105"]);
    assert_eq!(failure, FailureKind::OverLimit);
}

pub(crate) async fn an_activitys_result_over_its_limit_fails_the_task_naming_the_limit(site: &Site) {
    const TOO_MUCH: Activity<(), String> = Activity::new("too_much");
    const ASKS_TOO_MUCH: Orchestration<(), String> = Orchestration::new("asks_too_much");
    site.stop(Kind::Orchestrator).await;
    site.stop(Kind::Activity).await;
    let hosted = longhaul_examples::orchestrations()
        .register(ASKS_TOO_MUCH, |ctx: OrchestrationContext, (): ()| async move {
            Ok(ctx.activity(TOO_MUCH, ()).await?)
        });
    site.orchestrate(hosted).await;
    let too_much = |_ctx: ActivityContext, (): ()| async move {
        Ok::<_, BoxError>("x".repeat(limits::PAYLOAD_BYTES_MAX))
    };
    site.act(longhaul_examples::activities().register(TOO_MUCH, too_much))
        .await;
    site.start_new(ASKS_TOO_MUCH, "large", ()).await;
    let row = site.ended("large").await;
    failed(&row, &["PAYLOAD_BYTES_MAX", "LH1105", "too_much"]);
    let history = site.load("large").await.history;
    let kinds: Vec<_> = history
        .iter()
        .filter_map(|event| match &event.kind {
            EventKind::TaskFailed(failed) => Some(failed.failure.kind.clone()),
            _ => None,
        })
        .collect();
    assert_eq!(kinds, [FailureKind::OverLimit]);
}

pub(crate) async fn an_input_that_cannot_be_read_fails_the_instance_naming_the_type(site: &Site) {
    let text = Payload::json("\"twelve\"").unwrap();
    site.client
        .start_by_name(SUM_OF_SQUARES.function_name(), text)
        .id("misread")
        .await
        .unwrap();
    let row = site.ended("misread").await;
    let failure = failed(&row, &["u64", "twelve"]);
    assert_eq!(failure, FailureKind::Undecodable);
}

/// Checks that an instance has failed and that its failure says all of these.
fn failed(row: &InstanceRow, parts: &[&str]) -> FailureKind {
    assert_eq!(row.status, Status::Failed, "{}", row.id);
    let failure = row.failure.as_ref().unwrap();
    let text = failure.to_string();
    for part in parts {
        assert!(text.contains(part), "{text:?} lacks {part:?}");
    }
    failure.kind.clone()
}
