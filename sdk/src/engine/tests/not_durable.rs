//! Awaiting what is not durable.

use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::time::Duration;

use longhaul_shared::code;
use longhaul_shared::limits;

use super::sample::{
    A, answered, begin, end, events, first_turn, function, open, scheduled, short, started, turn,
};
use crate::engine::{NotDurable, Refusal};
use crate::registry::OrchestrationFunction;

#[track_caller]
fn refused(refusal: &Refusal, expected: &NotDurable) {
    let text = refusal.to_string();
    assert_eq!(refusal.code(), code::NOT_DURABLE, "{text}");
    assert!(text.contains("use ctx.timer / ctx.run / an activity"), "{text}");
    let Refusal::NotDurable { how, .. } = refusal else {
        panic!("{text}")
    };
    assert_eq!(how, expected);
}

fn first_refusal(function: &Arc<dyn OrchestrationFunction>) -> Refusal {
    open(function).turn(&events([begin(), started(&())])).unwrap_err()
}

/// Yields this many times by waking itself during its own poll.
async fn yields(times: u32) {
    let mut left = times;
    std::future::poll_fn(|cx| {
        if left == 0 {
            return Poll::Ready(());
        }
        left -= 1;
        cx.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Hands its waker out and waits beside a durable timer.
fn leaking(leaked: &Arc<Mutex<Option<Waker>>>) -> Arc<dyn OrchestrationFunction> {
    let leaked = Arc::clone(leaked);
    function(move |ctx, (): ()| {
        let leaked = Arc::clone(&leaked);
        async move {
            let leaking = std::future::poll_fn(move |cx| {
                *leaked.lock().unwrap() = Some(cx.waker().clone());
                Poll::<()>::Pending
            });
            futures::future::select(leaking, ctx.timer(Duration::from_secs(60))).await;
            Ok(())
        }
    })
}

#[test]
fn waiting_without_an_open_step_is_refused() {
    let forever = function(|_ctx, (): ()| async move {
        std::future::pending::<()>().await;
        Ok(())
    });
    refused(&first_refusal(&forever), &NotDurable::NothingOpen);

    let after_a_step = function(|ctx, (): ()| async move {
        ctx.activity(A, 1).await?;
        let (_sender, receiver) = futures::channel::oneshot::channel::<()>();
        let _ = receiver.await;
        Ok(())
    });
    let (mut session, _) = first_turn(&after_a_step);
    let refusal = turn(&mut session, [answered(1, &1)]).unwrap_err();
    refused(&refusal, &NotDurable::NothingOpen);
    assert!(refusal.to_string().contains("last step: task 1 at "));
    let mut history = vec![begin(), started(&()), scheduled(1, "a"), end(), begin()];
    history.extend([answered(1, &1), end()]);
    let refusal = open(&after_a_step).replay(&events(history)).unwrap_err();
    refused(&refusal, &NotDurable::NothingOpen);
}

#[test]
fn a_dropped_step_is_not_open() {
    let function = function(|ctx, (): ()| async move {
        let _ = futures::poll!(ctx.activity(A, 1));
        std::future::pending::<()>().await;
        Ok(())
    });
    refused(&first_refusal(&function), &NotDurable::NothingOpen);
}

#[test]
fn a_wake_from_another_thread_is_refused_even_while_a_step_is_open() {
    let leaked = Arc::default();
    let (mut session, _) = first_turn(&leaking(&leaked));
    let waker = leaked.lock().unwrap().take().unwrap();
    std::thread::spawn(move || waker.wake()).join().unwrap();
    refused(&turn(&mut session, []).unwrap_err(), &NotDurable::ForeignWake);
}

#[test]
fn a_wake_on_the_same_thread_between_turns_is_refused() {
    let leaked = Arc::default();
    let (mut session, _) = first_turn(&leaking(&leaked));
    leaked.lock().unwrap().take().unwrap().wake();
    refused(&turn(&mut session, []).unwrap_err(), &NotDurable::ForeignWake);
}

#[test]
fn a_wake_by_another_session_is_from_outside() {
    let leaked: Arc<Mutex<Option<Waker>>> = Arc::default();
    let (mut session, _) = first_turn(&leaking(&leaked));
    let waking = function(move |_ctx, (): ()| {
        if let Some(waker) = leaked.lock().unwrap().take() {
            waker.wake();
        }
        async { Ok(()) }
    });
    first_turn(&waking);
    refused(&turn(&mut session, []).unwrap_err(), &NotDurable::ForeignWake);
}

#[test]
fn waking_itself_is_a_yield_up_to_a_limit() {
    let yielding = |times| {
        function(move |_ctx, (): ()| async move {
            yields(times).await;
            Ok(())
        })
    };
    let (_session, actions) = first_turn(&yielding(limits::IDLE_POLLS_MAX - 1));
    assert_eq!(short(&actions), ["ok"]);
    let refusal = first_refusal(&yielding(limits::IDLE_POLLS_MAX + 1));
    refused(&refusal, &NotDurable::Spinning);
    assert!(refusal.to_string().contains("IDLE_POLLS_MAX"));
}

#[test]
fn a_new_step_starts_the_count_of_yields_again() {
    let function = function(move |ctx, (): ()| async move {
        for _ in 0..3 {
            yields(limits::IDLE_POLLS_MAX - 1).await;
            let _ = futures::poll!(ctx.activity(A, 1));
        }
        Ok(())
    });
    let (_session, actions) = first_turn(&function);
    assert_eq!(short(&actions), ["1 a", "2 a", "3 a", "ok"]);
}

#[test]
fn a_runtime_timer_outside_its_runtime_gets_the_same_advice() {
    let function = function(|_ctx, (): ()| async move {
        #[expect(clippy::disallowed_methods, reason = "what an author might do by mistake")]
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    });
    let refusal = first_refusal(&function);
    let Refusal::NotDurable {
        how: NotDurable::RuntimeMissing { message },
        ..
    } = &refusal
    else {
        panic!("{refusal}")
    };
    refused(
        &refusal,
        &NotDurable::RuntimeMissing {
            message: message.clone(),
        },
    );
}

#[test]
fn a_runtime_timer_inside_its_runtime_is_refused_too() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let function = function(|_ctx, (): ()| async move {
        #[expect(clippy::disallowed_methods, reason = "what an author might do by mistake")]
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(())
    });
    let refusal = runtime.block_on(async { first_refusal(&function) });
    refused(&refusal, &NotDurable::NothingOpen);
}
