//! Retries: visible in history, each attempt a task, each delay a timer.

use std::sync::Arc;
use std::time::Duration;

use longhaul_shared::failure::{Failure, FailureKind};
use longhaul_shared::id::TaskId;
use longhaul_shared::retry::RetryPolicy;
use longhaul_shared::time::Timestamp;

use super::sample::{
    A, B, answered, begin, end, events, failed, failed_with, fired, first_turn, function, open, output,
    scheduled, short, started, timer_set, turn,
};
use crate::engine::Action;
use crate::registry::OrchestrationFunction;

fn retried(policy: RetryPolicy) -> Arc<dyn OrchestrationFunction> {
    function(move |ctx, (): ()| {
        let policy = policy.clone();
        async move { Ok(ctx.activity(A, 1).retry(policy).await?) }
    })
}

#[test]
fn a_failure_is_followed_by_a_timer_and_a_new_task() {
    let (mut session, actions) = first_turn(&retried(RetryPolicy::exponential(3)));
    assert_eq!(short(&actions), ["1 a"]);
    let actions = turn(&mut session, [failed(1, "no")]).unwrap();
    assert_eq!(
        actions,
        [Action::CreateTimer {
            task: TaskId(2),
            due: Timestamp::from_micros(1_001_000_000)
        }]
    );
    assert_eq!(short(&turn(&mut session, [fired(2)]).unwrap()), ["3 a"]);
    assert_eq!(
        short(&turn(&mut session, [failed(3, "no")]).unwrap()),
        ["4 timer"]
    );
    assert_eq!(short(&turn(&mut session, [fired(4)]).unwrap()), ["5 a"]);
    assert_eq!(output::<u32>(&turn(&mut session, [answered(5, &9)]).unwrap()), 9);
}

#[test]
fn the_last_failure_is_returned_with_the_number_of_attempts() {
    let (mut session, _) = first_turn(&retried(RetryPolicy::fixed(2, Duration::from_secs(1))));
    turn(&mut session, [failed(1, "first")]).unwrap();
    turn(&mut session, [fired(2)]).unwrap();
    let actions = turn(&mut session, [failed(3, "second")]).unwrap();
    assert_eq!(
        short(&actions),
        ["err: activity \"a\" failed after 2 attempts: second"]
    );
}

#[test]
fn a_task_says_which_attempt_it_is() {
    let attempt = |actions: Vec<Action>| match actions.as_slice() {
        [Action::ScheduleTask { attempt, .. }] => *attempt,
        other => panic!("{other:?}"),
    };
    let (mut session, actions) = first_turn(&retried(RetryPolicy::exponential(3)));
    assert_eq!(attempt(actions), 1);
    turn(&mut session, [failed(1, "no")]).unwrap();
    assert_eq!(attempt(turn(&mut session, [fired(2)]).unwrap()), 2);
    turn(&mut session, [failed(3, "no")]).unwrap();
    assert_eq!(attempt(turn(&mut session, [fired(4)]).unwrap()), 3);
}

#[test]
fn a_zero_delay_needs_no_timer() {
    let (mut session, _) = first_turn(&retried(RetryPolicy::fixed(2, Duration::ZERO)));
    assert_eq!(short(&turn(&mut session, [failed(1, "no")]).unwrap()), ["2 a"]);
}

#[test]
fn a_failure_that_is_not_retriable_is_returned_at_once() {
    let (mut session, _) = first_turn(&retried(RetryPolicy::exponential(9)));
    let failure = Failure::new(FailureKind::Application, "bad card").not_retriable();
    let actions = turn(&mut session, [failed_with(1, failure)]).unwrap();
    assert_eq!(short(&actions), ["err: activity \"a\" failed: bad card"]);
}

#[test]
fn ids_of_a_retry_are_taken_when_the_failure_is_consumed() {
    let function = function(|ctx, (): ()| async move {
        let retried = ctx.activity(A, 1).retry(RetryPolicy::exponential(2));
        let after = async {
            ctx.activity(B, 1).await?;
            ctx.activity(B, 2).await
        };
        let (first, second) = futures::future::join(retried, after).await;
        Ok(first? + second?)
    });
    let (mut session, _) = first_turn(&function);
    // The other branch goes on first, so its step comes before those of the retry.
    let actions = turn(&mut session, [answered(2, &1), failed(1, "no")]).unwrap();
    assert_eq!(short(&actions), ["3 b", "4 timer"]);
    assert_eq!(short(&turn(&mut session, [fired(4)]).unwrap()), ["5 a"]);

    let mut cold = open(&function);
    let mut past = vec![begin(), started(&()), scheduled(1, "a"), scheduled(2, "b"), end()];
    past.extend([begin(), answered(2, &1), failed(1, "no")]);
    past.extend([scheduled(3, "b"), timer_set(4), end()]);
    cold.replay(&events(past)).unwrap();
    assert_eq!(short(&turn(&mut cold, [fired(4)]).unwrap()), ["5 a"]);
}

#[test]
fn a_call_dropped_during_its_delay_makes_no_further_attempt() {
    let function = function(|ctx, (): ()| async move {
        let retried = ctx.activity(A, 1).retry(RetryPolicy::exponential(2));
        let other = ctx.activity(B, 2);
        futures::future::select(retried, other).await;
        ctx.activity(B, 3).await?;
        Ok(())
    });
    let (mut session, _) = first_turn(&function);
    turn(&mut session, [failed(1, "no")]).unwrap();
    assert_eq!(short(&turn(&mut session, [answered(2, &1)]).unwrap()), ["5 b"]);
    assert!(turn(&mut session, [fired(3)]).unwrap().is_empty());
}
