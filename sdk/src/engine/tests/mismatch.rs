//! Replay of a history that the code did not write.

use std::sync::Arc;
use std::time::Duration;

use longhaul_shared::code;
use longhaul_shared::failure::{Failure, FailureKind};
use longhaul_shared::history::EventKind;
use longhaul_shared::instance::Status;

use super::sample::{
    A, B, answered, begin, completed, end, ended, events, failed, fired, function, open, scheduled,
    scheduled_inline, started, timer_set,
};
use crate::engine::Refusal;
use crate::registry::OrchestrationFunction;

fn a_then_b() -> Arc<dyn OrchestrationFunction> {
    function(|ctx, (): ()| async move {
        let first = ctx.activity(A, 1).await?;
        Ok(ctx.activity(B, first).await?)
    })
}

fn replay(function: &Arc<dyn OrchestrationFunction>, kinds: Vec<EventKind>) -> Result<(), Refusal> {
    open(function).replay(&events(kinds))
}

/// The refusal's lines of what was recorded and attempted, without file and line.
fn told(refusal: &Refusal) -> [String; 2] {
    assert_eq!(refusal.code(), code::NONDETERMINISM);
    let text = refusal.to_string();
    let line = |start: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(start)).unwrap();
        line.split(" at ").next().unwrap().to_owned()
    };
    [line("recorded: "), line("attempted: ")]
}

#[test]
fn a_history_of_the_same_steps_replays() {
    let whole = vec![
        begin(),
        started(&()),
        scheduled(1, "a"),
        end(),
        begin(),
        answered(1, &5),
        scheduled(2, "b"),
        end(),
        begin(),
        answered(2, &6),
        completed(&6),
        end(),
    ];
    for length in 0..=whole.len() {
        replay(&a_then_b(), whole[..length].to_vec()).unwrap();
    }
    let mut session = open(&a_then_b());
    session.replay(&events(whole)).unwrap();
    assert!(session.is_finished());
}

#[test]
fn recorded_and_attempted_are_told_with_place_and_line() {
    let line = line!() + 2;
    let function = function(|ctx, (): ()| async move {
        ctx.timer(Duration::from_secs(1)).await;
        Ok(())
    });
    let refusal = replay(&function, vec![begin(), started(&()), scheduled(1, "a"), end()]).unwrap_err();
    assert_eq!(
        refusal.to_string(),
        format!(
            "LH1100: an orchestration's code no longer matches its history\n\
             History holds one thing, and on replay the code did another.\n\
             recorded: activity \"a\" (task 1, event 3)\n\
             attempted: timer (task 1) at {}:{line}:13\n\
             {}",
            file!(),
            code::NONDETERMINISM.fix()
        )
    );
}

#[test]
fn every_kind_of_difference_is_refused() {
    let check = |kinds: Vec<EventKind>, recorded: &str, attempted: &str| {
        let refusal = replay(&a_then_b(), kinds).unwrap_err();
        assert_eq!(told(&refusal), [recorded, attempted]);
    };
    let first = |rest: Vec<EventKind>| [vec![begin(), started(&())], rest].concat();
    let second = |rest: Vec<EventKind>| {
        first([vec![scheduled(1, "a"), end(), begin(), answered(1, &1)], rest].concat())
    };
    let attempted_a = "activity \"a\" (task 1)";
    // Another name, id, kind or place.
    check(
        first(vec![scheduled(1, "c")]),
        "activity \"c\" (task 1, event 3)",
        attempted_a,
    );
    check(
        first(vec![scheduled(2, "a")]),
        "activity \"a\" (task 2, event 3)",
        attempted_a,
    );
    check(first(vec![timer_set(1)]), "timer (task 1, event 3)", attempted_a);
    check(
        first(vec![scheduled_inline(1, "a")]),
        "inline step \"a\" (task 1, event 3)",
        attempted_a,
    );
    // More or fewer steps.
    check(first(vec![end()]), "nothing (event 3)", attempted_a);
    check(
        first(vec![scheduled(1, "a"), scheduled(2, "b")]),
        "activity \"b\" (task 2, event 4)",
        "nothing (last step: task 1",
    );
    // Answers that nothing asked for.
    check(
        first(vec![scheduled(1, "a"), end(), begin(), answered(9, &1)]),
        "the answer of a task (task 9, event 6)",
        "nothing (last step: task 1",
    );
    check(
        first(vec![scheduled(1, "a"), end(), begin(), fired(1)]),
        "the firing of a timer (task 1, event 6)",
        "nothing (last step: task 1",
    );
    // Another end.
    check(
        second(vec![completed(&1)]),
        "the end of the execution (event 7)",
        "activity \"b\" (task 2)",
    );
    let third = second(vec![scheduled(2, "b"), end(), begin(), answered(2, &1)]);
    check(
        [third.clone(), vec![end()]].concat(),
        "nothing (event 11)",
        "to return its output",
    );
    let by_author = Failure::new(FailureKind::Application, "no");
    check(
        [third.clone(), vec![ended(Status::Failed, Some(by_author))]].concat(),
        "the end of the execution (event 11)",
        "to return its output",
    );
    check(
        [third, vec![scheduled(3, "c")]].concat(),
        "activity \"c\" (task 3, event 11)",
        "to return its output",
    );
}

#[test]
fn code_that_returns_an_error_where_history_completed_is_refused() {
    let mut history = vec![begin(), started(&()), scheduled(1, "a"), end(), begin()];
    history.extend([failed(1, "no"), completed(&1)]);
    let refusal = replay(&a_then_b(), history).unwrap_err();
    assert_eq!(
        told(&refusal),
        ["the end of the execution (event 7)", "to return an error"]
    );
}

#[test]
fn a_host_may_end_an_execution_for_reasons_of_its_own() {
    let too_long = Failure::new(FailureKind::OverLimit, "the history is too long");
    let history = vec![
        begin(),
        started(&()),
        scheduled(1, "a"),
        end(),
        begin(),
        answered(1, &1),
        ended(Status::Failed, Some(too_long)),
        end(),
    ];
    let mut session = open(&a_then_b());
    session.replay(&events(history)).unwrap();
    assert!(session.is_finished());
}

#[test]
fn a_session_stays_dead_after_a_refusal() {
    let mut session = open(&a_then_b());
    let refusal = session
        .replay(&events([begin(), started(&()), scheduled(1, "c")]))
        .unwrap_err();
    assert_eq!(session.replay(&[]).unwrap_err(), refusal);
    assert_eq!(session.turn(&events([begin()])).unwrap_err(), refusal);
}

#[test]
fn an_unknown_event_is_refused() {
    let refusal = replay(&a_then_b(), vec![begin(), started(&()), EventKind::Unknown(99)]).unwrap_err();
    assert_eq!(refusal.code(), code::UNKNOWN_EVENT);
    assert!(
        refusal.to_string().contains("Event 3 has the kind 99."),
        "{refusal}"
    );
}

#[test]
fn events_that_are_no_history_are_refused() {
    let check = |kinds: Vec<EventKind>, part: &str| {
        let refusal = replay(&a_then_b(), kinds).unwrap_err();
        assert_eq!(refusal.code(), code::HISTORY_UNREADABLE);
        assert!(refusal.to_string().contains(part), "{refusal}");
    };
    check(
        vec![started(&())],
        "Event 1 is ExecutionStarted: a turn begins with OrchestratorStarted",
    );
    check(vec![begin(), scheduled(1, "a")], "begins with ExecutionStarted");
    check(vec![begin(), started(&()), started(&())], "had begun before");
    check(
        vec![begin(), started(&()), ended(Status::Terminated, None), begin()],
        "had ended before",
    );

    let check_live = |kinds: Vec<EventKind>, part: &str| {
        let refusal = open(&a_then_b()).turn(&events(kinds)).unwrap_err();
        assert!(refusal.to_string().contains(part), "{refusal}");
    };
    check_live(vec![started(&())], "a live turn begins with OrchestratorStarted");
    check_live(
        vec![begin(), started(&()), scheduled(1, "a")],
        "a live turn decides it",
    );
    check_live(vec![begin(), started(&()), begin()], "begins only once");
}

#[test]
fn a_function_of_another_name_is_refused() {
    let EventKind::ExecutionStarted(mut body) = started(&()) else {
        panic!("not a start")
    };
    body.name = super::sample::name("another");
    let refusal = replay(&a_then_b(), vec![begin(), EventKind::ExecutionStarted(body)]).unwrap_err();
    assert!(refusal.to_string().contains("another orchestration"), "{refusal}");
}
