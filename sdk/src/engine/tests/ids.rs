//! Steps: when they take their ids, when they become actions, what an action holds.

use std::time::Duration;

use futures::future::{join, join3};
use longhaul_shared::failure::FailureKind;
use longhaul_shared::history::{EventKind, Place};
use longhaul_shared::id::{Fingerprint, QueueName, TaskId};
use longhaul_shared::limits;
use longhaul_shared::payload::Payload;
use longhaul_shared::time::Timestamp;

use super::sample::{A, B, answered, end, events, first_turn, function, open, output, short, started, turn};
use super::sample::{begin, fired};
use crate::contract::Activity;
use crate::engine::Action;
use crate::registry::OrchestrationFunction;

#[test]
fn a_step_takes_its_id_when_it_is_built_and_acts_at_its_first_poll() {
    let function = function(|ctx, (): ()| async move {
        let first = ctx.activity(A, 1);
        let never_polled = ctx.timer(Duration::from_secs(1));
        let third = ctx.activity(B, 2);
        let third = third.await?;
        drop(never_polled);
        Ok(third + first.await?)
    });
    let (mut session, actions) = first_turn(&function);
    assert_eq!(short(&actions), ["3 b"]);
    let actions = turn(&mut session, [answered(3, &20)]).unwrap();
    assert_eq!(short(&actions), ["1 a"]);
    let actions = turn(&mut session, [answered(1, &1)]).unwrap();
    assert_eq!(output::<u32>(&actions), 21);
    assert!(session.is_finished());
}

#[test]
fn actions_are_sorted_by_id_and_the_end_comes_last() {
    let function = function(|ctx, (): ()| async move {
        let (first, second) = (ctx.activity(A, 1), ctx.activity(B, 2));
        let timer = ctx.timer(Duration::ZERO);
        // Polled backwards, and left behind without an answer.
        let _ = futures::poll!(join3(timer, second, first));
        Ok(())
    });
    let (session, actions) = first_turn(&function);
    assert_eq!(short(&actions), ["1 a", "2 b", "3 timer", "ok"]);
    assert!(session.is_finished());
}

#[test]
fn an_action_holds_what_the_call_said() {
    const CONTRACT: Activity<u32, ()> = Activity::new("resize").on_queue("gpu");
    let function = function(|ctx, (): ()| async move {
        let plain = ctx.activity(CONTRACT, 7);
        let special = ctx
            .activity_by_name("other", "text")
            .queue("slow")
            .timeout(Duration::from_secs(9))
            .tag("tenant", "x");
        let (_, _, ()) = join3(plain, special, ctx.timer(Duration::from_secs(60))).await;
        Ok(())
    });
    let (_session, actions) = first_turn(&function);
    let seven = Payload::encode(&7_u32).unwrap();
    assert_eq!(
        actions[0],
        Action::ScheduleTask {
            task: TaskId(1),
            name: super::sample::name("resize"),
            place: Place::Queue(QueueName::new("gpu").unwrap()),
            fingerprint: Fingerprint::of(&[b"activity", b"resize", &seven.data]),
            input: Some(seven),
            timeout: None,
            tags: [].into(),
            attempt: 1,
        }
    );
    let Action::ScheduleTask {
        place, timeout, tags, ..
    } = &actions[1]
    else {
        panic!("{actions:?}")
    };
    assert_eq!(*place, Place::Queue(QueueName::new("slow").unwrap()));
    assert_eq!(*timeout, Some(Duration::from_secs(9)));
    assert_eq!(*tags, [("tenant".to_owned(), "x".to_owned())].into());
    // The turn began at second 1.
    assert_eq!(
        actions[2],
        Action::CreateTimer {
            task: TaskId(3),
            due: Timestamp::from_micros(61_000_000)
        }
    );
    assert!(matches!(
        actions[2].clone().into_event(),
        EventKind::TimerCreated(_)
    ));
}

#[test]
fn a_call_that_cannot_be_scheduled_is_an_error_without_an_action() {
    fn check(function: &std::sync::Arc<dyn OrchestrationFunction>, part: &str) {
        let (_session, actions) = first_turn(function);
        let [
            Action::Complete {
                outcome: Err(failure),
            },
        ] = actions.as_slice()
        else {
            panic!("{actions:?}")
        };
        assert!(failure.to_string().contains(part), "{failure}");
    }
    let too_large = "x".repeat(limits::PAYLOAD_BYTES_MAX);
    check(
        &function(move |ctx, (): ()| {
            let call = ctx.activity_by_name("a", too_large.clone());
            async move { Ok(call.await?) }
        }),
        "PAYLOAD_BYTES_MAX",
    );
    check(
        &function(|ctx, (): ()| async move { Ok(ctx.activity_by_name("not a name", ()).await?) }),
        "'_', '-' and '.'",
    );
    check(
        &function(|ctx, (): ()| async move { Ok(ctx.activity(A, 1).queue("not a name").await?) }),
        "the queue name holds ' '",
    );
    check(
        &function(|ctx, (): ()| async move {
            let long = "x".repeat(limits::TAG_BYTES_MAX + 1);
            Ok(ctx.activity(A, 1).tag("key", long).await?)
        }),
        "TAG_BYTES_MAX",
    );
    check(
        &function(|ctx, (): ()| async move { Ok(ctx.run("", || async { Ok::<_, String>(1) }).await?) }),
        "the function name is empty",
    );
}

#[test]
fn an_output_of_the_wrong_type_is_an_error_that_names_the_type() {
    let function = function(|ctx, (): ()| async move {
        let error = ctx.activity(A, 1).await.unwrap_err();
        assert_eq!(error.failure().kind, FailureKind::Undecodable);
        Ok(error.to_string())
    });
    let (mut session, _) = first_turn(&function);
    let actions = turn(&mut session, [answered(1, &"text")]).unwrap();
    let text: String = output(&actions);
    assert!(text.contains("u32"), "{text}");
}

#[test]
fn now_is_the_turns_time_and_never_goes_back() {
    let function = function(|ctx, (): ()| async move {
        let first = ctx.now();
        ctx.timer(Duration::ZERO).await;
        let second = ctx.now();
        ctx.timer(Duration::ZERO).await;
        Ok([first, second, ctx.now()].map(|time| time.micros() / 1_000_000))
    });
    let (mut session, _) = first_turn(&function);
    turn(&mut session, [fired(1)]).unwrap();
    let earlier = events([begin(), fired(2)]);
    let actions = session.turn(&earlier).unwrap();
    assert_eq!(output::<[i64; 3]>(&actions), [1, 1_000, 1_000]);
}

#[test]
fn uuids_replay_alike_and_differ_from_each_other() {
    let function = function(|ctx, (): ()| async move {
        let first = ctx.uuid();
        ctx.activity(A, 1).await?;
        Ok([first, ctx.uuid()].map(|uuid| uuid.to_string()))
    });
    let (mut session, actions) = first_turn(&function);
    let warm: [String; 2] = output(&turn(&mut session, [answered(1, &1)]).unwrap());
    assert_ne!(warm[0], warm[1]);
    // Other languages must be able to compute the same: pinned.
    assert_eq!(warm[0], "bf15c667-dfb9-5105-8b41-743e20648725");

    let mut cold = open(&function);
    let scheduled = actions.into_iter().map(Action::into_event);
    let past = [begin(), started(&())]
        .into_iter()
        .chain(scheduled)
        .chain([end()]);
    cold.replay(&events(past)).unwrap();
    assert_eq!(
        output::<[String; 2]>(&turn(&mut cold, [answered(1, &1)]).unwrap()),
        warm
    );
}

#[test]
fn a_step_outside_its_orchestration_panics_and_takes_no_id() {
    let function = function(|ctx, (): ()| async move {
        let inner = ctx.clone();
        let inline = ctx.run("step", move || async move {
            inner.activity(A, 1).await?;
            Ok::<_, crate::BoxError>(())
        });
        let (_, after) = join(inline, ctx.activity(B, 2)).await;
        Ok(after?)
    });
    let (mut session, actions) = first_turn(&function);
    assert_eq!(short(&actions), ["1 inline step", "2 b"]);
    let body = session.take_inline(TaskId(1)).unwrap();
    let panic = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _ = futures::executor::block_on(body);
    }))
    .unwrap_err();
    let message = panic.downcast_ref::<String>().unwrap();
    assert!(message.contains("only inside its orchestration"), "{message}");
}

#[test]
fn a_timer_too_far_ahead_is_refused_with_its_limit() {
    let function = function(|ctx, (): ()| async move {
        ctx.timer(Duration::MAX).await;
        Ok(())
    });
    let refusal = open(&function)
        .turn(&events([begin(), started(&())]))
        .unwrap_err();
    assert!(refusal.to_string().contains("TIMER_DURATION_MAX"), "{refusal}");
}

#[test]
fn contexts_and_sessions_may_cross_threads() {
    fn assert_send<T: Send>(_: &T) {}
    fn assert_shared<T: Send + Sync + Clone + 'static>() {}
    assert_shared::<crate::OrchestrationContext>();
    assert_shared::<crate::ActivityContext>();
    let function = function(|ctx, (): ()| async move {
        let call = ctx.activity(A, 1);
        assert_send(&call);
        call.await?;
        Ok(())
    });
    let (session, _) = first_turn(&function);
    let mut session = std::thread::spawn(move || session).join().unwrap();
    assert_eq!(short(&turn(&mut session, [answered(1, &1)]).unwrap()), ["ok"]);
}
