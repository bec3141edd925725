//! Inline steps.

use std::sync::Arc;
use std::time::Duration;

use futures::executor::block_on;
use futures::future::{Either, select};
use longhaul_shared::failure::FailureKind;
use longhaul_shared::history::Place;
use longhaul_shared::id::TaskId;
use longhaul_shared::limits;

use super::sample::{
    A, answered, begin, end, events, failed_with, fired, first_turn, function, open, output,
    scheduled_inline, short, started, turn,
};
use crate::engine::Action;
use crate::{BoxError, NonRetriable};

#[test]
fn the_host_takes_the_closure_once_and_its_result_comes_back_as_an_event() {
    let function = function(|ctx, (): ()| async move {
        let port = ctx.run("port", || async { "8080".parse::<u16>() }).await?;
        Ok(port)
    });
    let (mut session, actions) = first_turn(&function);
    let Action::ScheduleTask { place, input, .. } = &actions[0] else {
        panic!("{actions:?}")
    };
    assert_eq!((place, input), (&Place::Inline, &None));
    let body = session.take_inline(TaskId(1)).unwrap();
    assert!(session.take_inline(TaskId(1)).is_none());
    let result: u16 = block_on(body).unwrap().decode().unwrap();
    assert_eq!(
        output::<u16>(&turn(&mut session, [answered(1, &result)]).unwrap()),
        8080
    );
}

#[test]
fn a_closure_whose_result_was_lost_is_there_again_after_replay() {
    let function =
        function(|ctx, (): ()| async move { Ok(ctx.run("one", || async { Ok::<_, BoxError>(1) }).await?) });
    let mut session = open(&function);
    session
        .replay(&events([
            begin(),
            started(&()),
            scheduled_inline(1, "one"),
            end(),
        ]))
        .unwrap();
    assert!(session.take_inline(TaskId(1)).is_some());
}

#[test]
fn a_dropped_or_answered_step_has_no_closure_to_take_nor_has_an_activity() {
    let function = function(|ctx, (): ()| async move {
        let timer = ctx.timer(Duration::ZERO);
        let step = ctx.run("step", || async { Ok::<_, BoxError>(()) });
        match select(timer, step).await {
            Either::Left(((), step)) => drop(step),
            Either::Right(_) => {}
        }
        Ok(ctx.activity(A, 1).await?)
    });
    let (mut session, _) = first_turn(&function);
    assert_eq!(short(&turn(&mut session, [fired(1)]).unwrap()), ["3 a"]);
    for task in 0..=4 {
        assert!(session.take_inline(TaskId(task)).is_none(), "{task}");
    }
    // Its late result changes nothing.
    assert!(turn(&mut session, [answered(2, &())]).unwrap().is_empty());

    let (mut session, _) = first_turn(&function);
    turn(&mut session, [answered(2, &())]).unwrap();
    assert!(session.take_inline(TaskId(2)).is_none());
}

#[test]
fn a_closure_fails_as_an_activity_does() {
    let function = function(|ctx, (): ()| async move {
        let error = ctx
            .run("step", || async {
                Err::<(), _>(NonRetriable::new("no such host"))
            })
            .await
            .unwrap_err();
        Ok(error.to_string())
    });
    let (mut session, _) = first_turn(&function);
    let failure = block_on(session.take_inline(TaskId(1)).unwrap()).unwrap_err();
    assert!(failure.non_retriable);
    let text: String = output(&turn(&mut session, [failed_with(1, failure)]).unwrap());
    assert_eq!(text, "inline step \"step\" failed: no such host");
}

#[test]
fn a_result_over_its_limit_is_a_failure_that_names_it() {
    let function = function(|ctx, (): ()| async move {
        let large = || async { Ok::<_, BoxError>("x".repeat(limits::PAYLOAD_BYTES_MAX)) };
        Ok(ctx.run("large", large).await?)
    });
    let (mut session, _) = first_turn(&function);
    let failure = block_on(session.take_inline(TaskId(1)).unwrap()).unwrap_err();
    assert_eq!(failure.kind, FailureKind::OverLimit);
    assert!(failure.message.contains("PAYLOAD_BYTES_MAX"), "{failure}");
}

#[test]
fn a_dropped_session_frees_what_its_closures_captured() {
    let held = Arc::new(());
    let captured = Arc::clone(&held);
    let function = function(move |ctx, (): ()| {
        let captured = Arc::clone(&captured);
        async move {
            let inner = (ctx.clone(), captured);
            let step = move || async move {
                drop(inner);
                Ok::<_, BoxError>(())
            };
            Ok(ctx.run("step", step).await?)
        }
    });
    let (session, _) = first_turn(&function);
    assert_eq!(Arc::strong_count(&held), 3);
    drop(session);
    assert_eq!(Arc::strong_count(&held), 2);
}
