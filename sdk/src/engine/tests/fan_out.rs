//! Combinators of `futures` over many steps: the right answers, and linear work.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::{Either, join, join_all, select, try_join_all};
use futures::stream::{FuturesUnordered, StreamExt};
use longhaul_shared::limits;

use super::sample::{
    A, B, answered, begin, events, failed, fired, first_turn, function, open, output, short, started, turn,
};

/// Counts how often what it wraps is polled.
struct Counted<F> {
    inner: F,
    polls: Arc<AtomicUsize>,
}

impl<F: Future + Unpin> Future for Counted<F> {
    type Output = F::Output;
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        Pin::new(&mut self.inner).poll(cx)
    }
}

#[test]
fn joining_10_000_children_polls_each_only_for_its_own_result() {
    const CHILDREN: u32 = 10_000;
    let polls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&polls);
    let function = function(move |ctx, (): ()| {
        let counter = Arc::clone(&counter);
        async move {
            let children = (1..=CHILDREN).map(|n| Counted {
                inner: ctx.activity(A, n),
                polls: Arc::clone(&counter),
            });
            let sum: u32 = try_join_all(children).await?.into_iter().sum();
            Ok(sum)
        }
    });
    let (mut session, actions) = first_turn(&function);
    assert_eq!(actions.len(), CHILDREN as usize);
    assert_eq!(polls.load(Ordering::Relaxed), CHILDREN as usize);
    // Half of them at once, the others one a turn, last first.
    let half = CHILDREN / 2;
    turn(&mut session, (1..=half).map(|task| answered(task, &1))).unwrap();
    let mut last = Vec::new();
    for task in (half + 1..=CHILDREN).rev() {
        last = turn(&mut session, [answered(task, &1)]).unwrap();
    }
    assert_eq!(output::<u32>(&last), CHILDREN);
    assert_eq!(polls.load(Ordering::Relaxed), 2 * CHILDREN as usize);
}

#[test]
fn a_result_wakes_only_the_future_that_waits_for_it() {
    let polls = [Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0))];
    let counters = polls.clone();
    let function = function(move |ctx, (): ()| {
        let [first, second] = counters.clone();
        async move {
            let mut both = FuturesUnordered::new();
            both.push(Counted {
                inner: ctx.activity(A, 1),
                polls: first,
            });
            both.push(Counted {
                inner: ctx.activity(A, 2),
                polls: second,
            });
            while both.next().await.is_some() {}
            Ok(())
        }
    });
    let (mut session, _) = first_turn(&function);
    turn(&mut session, [answered(2, &1)]).unwrap();
    assert_eq!(polls.clone().map(|n| n.load(Ordering::Relaxed)), [1, 2]);
    assert_eq!(short(&turn(&mut session, [answered(1, &1)]).unwrap()), ["ok"]);
    assert_eq!(polls.map(|n| n.load(Ordering::Relaxed)), [2, 2]);
}

#[test]
fn results_come_in_the_order_of_history_one_at_a_time() {
    let function = function(|ctx, (): ()| async move {
        let mut all: FuturesUnordered<_> = (1..=4).map(|n| ctx.activity(A, n)).collect();
        let mut order = Vec::new();
        while let Some(answer) = all.next().await {
            order.push(answer?);
        }
        Ok(order)
    });
    let (mut session, _) = first_turn(&function);
    let actions = turn(&mut session, [3, 1, 4, 2].map(|task| answered(task, &task))).unwrap();
    assert_eq!(output::<Vec<u32>>(&actions), [3, 1, 4, 2]);
}

#[test]
fn a_race_is_won_by_the_first_in_history_and_the_loser_is_ignored() {
    let function = function(|ctx, (): ()| async move {
        let race = select(ctx.activity(A, 1), ctx.timer(Duration::from_secs(60))).await;
        let winner = match race {
            Either::Left(_) => "activity",
            Either::Right(_) => "timer",
        };
        ctx.activity(B, 2).await?;
        Ok(winner)
    });
    let (mut session, _) = first_turn(&function);
    assert_eq!(
        short(&turn(&mut session, [fired(2), answered(1, &1)]).unwrap()),
        ["3 b"]
    );
    // Late and doubled answers change nothing either.
    assert!(
        turn(&mut session, [answered(1, &1), fired(2)])
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        output::<String>(&turn(&mut session, [answered(3, &1)]).unwrap()),
        "timer"
    );
}

#[test]
fn the_first_answer_of_a_task_counts() {
    let function = function(|ctx, (): ()| async move {
        let mut first = ctx.activity(A, 1);
        ctx.timer(Duration::ZERO).await;
        let _ = futures::poll!(&mut first);
        ctx.timer(Duration::ZERO).await;
        Ok(first.await?)
    });
    let (mut session, _) = first_turn(&function);
    turn(&mut session, [fired(2)]).unwrap();
    turn(&mut session, [answered(1, &1), answered(1, &2)]).unwrap();
    assert_eq!(output::<u32>(&turn(&mut session, [fired(3)]).unwrap()), 1);
}

#[test]
fn one_failure_ends_a_try_join_and_not_a_join() {
    let all = function(|ctx, (): ()| async move {
        let answers = join_all((0..3).map(|n| ctx.activity(A, n))).await;
        Ok(answers.iter().filter(|answer| answer.is_ok()).count())
    });
    let (mut session, _) = first_turn(&all);
    assert!(
        turn(&mut session, [failed(1, "no"), answered(2, &1)])
            .unwrap()
            .is_empty()
    );
    assert_eq!(
        output::<usize>(&turn(&mut session, [answered(3, &1)]).unwrap()),
        2
    );

    let first_error =
        function(
            |ctx, (): ()| async move { Ok(try_join_all((0..3).map(|n| ctx.activity(A, n))).await?.len()) },
        );
    let (mut session, _) = first_turn(&first_error);
    let actions = turn(&mut session, [failed(2, "no")]).unwrap();
    assert_eq!(short(&actions), ["err: activity \"a\" failed: no"]);
}

#[test]
fn a_turn_of_too_many_actions_is_refused_with_its_limit() {
    let fan_out = |children: usize| {
        function(move |ctx, (): ()| async move {
            join_all((0..children).map(|_| ctx.timer(Duration::ZERO))).await;
            Ok(())
        })
    };
    let (_session, actions) = first_turn(&fan_out(limits::TURN_ACTIONS_MAX));
    assert_eq!(actions.len(), limits::TURN_ACTIONS_MAX);
    let refusal = open(&fan_out(limits::TURN_ACTIONS_MAX + 1))
        .turn(&events([begin(), started(&())]))
        .unwrap_err();
    let text = refusal.to_string();
    assert!(
        text.starts_with("LH1106") && text.contains("TURN_ACTIONS_MAX"),
        "{text}"
    );
}

#[test]
fn branches_share_a_channel_as_long_as_a_step_is_open() {
    let function = function(|ctx, (): ()| async move {
        let (sender, receiver) = futures::channel::oneshot::channel();
        let sending = async {
            let answer = ctx.activity(A, 1).await;
            let _ = sender.send(answer);
        };
        let (received, ()) = join(receiver, sending).await;
        Ok(received.map_err(|_| crate::OrchestrationError::new("cancelled"))??)
    });
    let (mut session, _) = first_turn(&function);
    assert_eq!(output::<u32>(&turn(&mut session, [answered(1, &5)]).unwrap()), 5);
}
