//! How an execution ends: with an output, an error, a termination.

use longhaul_shared::failure::FailureKind;
use longhaul_shared::history::{EventKind, ExecutionTerminated};
use longhaul_shared::id::MessageId;
use longhaul_shared::instance::Status;
use longhaul_shared::limits;

use super::sample::{
    A, answered, begin, end, ended, events, failed, first_turn, function, open, scheduled, short, started,
    turn,
};
use crate::OrchestrationError;
use crate::engine::Action;

fn terminated() -> EventKind {
    EventKind::ExecutionTerminated(ExecutionTerminated {
        reason: String::new(),
        message: MessageId::from_bits(1),
    })
}

#[test]
fn an_error_fails_the_execution_and_keeps_its_cause() {
    let function = function(|ctx, (): ()| async move { Ok(ctx.activity(A, 1).await?) });
    let (mut session, _) = first_turn(&function);
    let actions = turn(&mut session, [failed(1, "disk full")]).unwrap();
    assert_eq!(short(&actions), ["err: activity \"a\" failed: disk full"]);
    assert!(session.is_finished());
    let EventKind::ExecutionCompleted(event) = actions[0].clone().into_event() else {
        panic!("{actions:?}")
    };
    assert_eq!(event.status, Status::Failed);
}

#[test]
fn an_input_of_the_wrong_type_fails_the_execution_and_names_the_type() {
    let function = function(|_ctx, input: u32| async move { Ok(input) });
    let mut session = open(&function);
    let actions = session.turn(&events([begin(), started(&"text")])).unwrap();
    let [
        Action::Complete {
            outcome: Err(failure),
        },
    ] = actions.as_slice()
    else {
        panic!("{actions:?}")
    };
    assert_eq!(failure.kind, FailureKind::Undecodable);
    assert!(failure.message.contains("u32"), "{failure}");
}

#[test]
fn an_output_over_its_limit_fails_the_execution() {
    let function = function(|_ctx, (): ()| async move { Ok("x".repeat(limits::PAYLOAD_BYTES_MAX)) });
    let (_session, actions) = first_turn(&function);
    let [
        Action::Complete {
            outcome: Err(failure),
        },
    ] = actions.as_slice()
    else {
        panic!("{actions:?}")
    };
    assert_eq!(failure.kind, FailureKind::OverLimit);
    assert!(failure.message.contains("PAYLOAD_BYTES_MAX"), "{failure}");
}

#[test]
fn after_a_termination_nothing_is_polled_any_more() {
    let function = function(|ctx, (): ()| async move {
        ctx.activity(A, 1).await?;
        panic!("polled after the termination");
        #[expect(unreachable_code, reason = "names the output")]
        Ok::<(), OrchestrationError>(())
    });
    let (mut session, _) = first_turn(&function);
    let actions = turn(&mut session, [terminated(), answered(1, &1)]).unwrap();
    assert!(actions.is_empty() && session.is_finished());

    let mut cold = open(&function);
    let past = [
        begin(),
        started(&()),
        scheduled(1, "a"),
        end(),
        begin(),
        terminated(),
        answered(1, &1),
    ];
    cold.replay(&events(
        past.into_iter().chain([ended(Status::Terminated, None), end()]),
    ))
    .unwrap();
    assert!(cold.is_finished());
}

#[test]
fn a_panic_refuses_the_turn_with_its_message() {
    let function = function(|ctx, (): ()| async move {
        let answer = ctx.activity(A, 1).await?;
        assert_eq!(answer, 2, "the cup is empty");
        Ok(())
    });
    let (mut session, _) = first_turn(&function);
    let refusal = turn(&mut session, [answered(1, &1)]).unwrap_err();
    let text = refusal.to_string();
    assert!(
        text.starts_with("LH1102: an orchestration panicked\nAfter event 6 it panicked: ")
            && text.contains("the cup is empty"),
        "{text}"
    );
    assert!(text.contains("last step: task 1 at "), "{text}");
    assert_eq!(turn(&mut session, []).unwrap_err(), refusal);
}

#[test]
fn a_destructor_that_panics_does_not_reach_the_host() {
    struct Bomb;
    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("dropped");
        }
    }
    let function = function(|ctx, (): ()| async move {
        let _bomb = Bomb;
        ctx.activity(A, 1).await?;
        Ok(())
    });
    let (session, _) = first_turn(&function);
    drop(session);
}
