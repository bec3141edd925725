//! A large turn that was committed in parts, with a crash in between.

use std::sync::Arc;

use futures::future::join_all;

use super::sample::{
    A, answered, begin, completed, end, events, function, open, output, scheduled, short, started, turn,
};
use crate::registry::OrchestrationFunction;

fn three_at_once() -> Arc<dyn OrchestrationFunction> {
    function(|ctx, (): ()| async move {
        let answers = join_all((0..3).map(|n| ctx.activity(A, n))).await;
        Ok(answers.len())
    })
}

#[test]
fn what_a_crash_left_uncommitted_is_returned_by_the_next_turn() {
    let mut session = open(&three_at_once());
    session
        .replay(&events([begin(), started(&()), scheduled(1, "a")]))
        .unwrap();
    assert_eq!(short(&turn(&mut session, []).unwrap()), ["2 a", "3 a"]);
    // Nothing is returned twice.
    assert!(turn(&mut session, [answered(1, &1)]).unwrap().is_empty());
}

#[test]
fn a_result_may_come_before_the_rest_is_committed() {
    let mut session = open(&three_at_once());
    session
        .replay(&events([begin(), started(&()), scheduled(1, "a")]))
        .unwrap();
    assert_eq!(
        short(&turn(&mut session, [answered(1, &1)]).unwrap()),
        ["2 a", "3 a"]
    );
}

#[test]
fn a_history_with_a_turn_that_has_no_end_replays() {
    let history = events([
        begin(),
        started(&()),
        scheduled(1, "a"),
        begin(),
        scheduled(2, "a"),
        begin(),
        answered(1, &1),
        scheduled(3, "a"),
        end(),
        begin(),
        answered(2, &1),
        answered(3, &1),
        completed(&3),
        end(),
    ]);
    for cut in 0..=history.len() {
        let mut session = open(&three_at_once());
        session.replay(&history[..cut]).unwrap();
        session.replay(&history[cut..]).unwrap();
        assert!(session.is_finished());
    }
}

#[test]
fn an_end_that_was_not_committed_is_returned_by_the_next_turn() {
    let function = function(|ctx, (): ()| async move {
        let _ = futures::poll!(ctx.activity(A, 1));
        Ok(4)
    });
    let mut session = open(&function);
    session
        .replay(&events([begin(), started(&()), scheduled(1, "a")]))
        .unwrap();
    assert!(!session.is_finished());
    let actions = turn(&mut session, []).unwrap();
    assert_eq!(short(&actions), ["ok"]);
    assert_eq!(output::<u32>(&actions), 4);
}

#[test]
fn a_turn_of_no_events_is_no_turn() {
    let mut session = open(&three_at_once());
    session.replay(&events([begin(), started(&())])).unwrap();
    assert!(session.turn(&[]).unwrap().is_empty());
    assert_eq!(turn(&mut session, []).unwrap().len(), 3);
}
