//! What the author's code sees while it is replayed.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use super::sample::{
    A, answered, begin, end, events, function, open, output, scheduled, short, started, turn,
};
use tracing::span;

/// Counts events; knows no spans.
struct Counting(Arc<AtomicUsize>);

impl tracing::Subscriber for Counting {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }
    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}
    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}
    fn event(&self, _: &tracing::Event<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn enter(&self, _: &span::Id) {}
    fn exit(&self, _: &span::Id) {}
}

#[test]
fn logs_are_muted_and_the_context_says_so() {
    let seen: Arc<Mutex<Vec<bool>>> = Arc::default();
    let sink = Arc::clone(&seen);
    let function = function(move |ctx, (): ()| {
        let sink = Arc::clone(&sink);
        async move {
            for n in 0..3 {
                tracing::info!(n, "a step");
                sink.lock().unwrap().push(ctx.is_replaying());
                ctx.activity(A, n).await?;
            }
            Ok(())
        }
    });
    let logged = Arc::new(AtomicUsize::new(0));
    tracing::subscriber::with_default(Counting(Arc::clone(&logged)), || {
        let mut session = open(&function);
        session
            .replay(&events([
                begin(),
                started(&()),
                scheduled(1, "a"),
                end(),
                begin(),
                answered(1, &1),
                scheduled(2, "a"),
                end(),
            ]))
            .unwrap();
        assert_eq!(logged.load(Ordering::Relaxed), 0);
        assert_eq!(short(&turn(&mut session, [answered(2, &1)]).unwrap()), ["3 a"]);
    });
    assert_eq!(logged.load(Ordering::Relaxed), 1);
    assert_eq!(*seen.lock().unwrap(), [true, true, false]);
}

#[test]
fn a_replayed_session_goes_on_as_the_one_that_stayed() {
    let function = function(|ctx, (): ()| async move {
        let mut sum = 0;
        for n in 0..5 {
            let (left, right) = (ctx.activity(A, n), ctx.activity(A, n + 10));
            let (left, right) = futures::future::join(left, right).await;
            sum += left? * 2 + right?;
        }
        Ok(sum)
    });
    let mut warm = open(&function);
    let mut history = Vec::new();
    let mut inbound = vec![begin(), started(&())];
    loop {
        let mut cold = open(&function);
        cold.replay(&events(history.clone())).unwrap();
        let new = super::sample::events_from(history.len() as i64 + 1, inbound.clone());
        let actions = warm.turn(&new).unwrap();
        assert_eq!(cold.turn(&new).unwrap(), actions);
        history.append(&mut inbound);
        history.extend(actions.iter().cloned().map(crate::engine::Action::into_event));
        history.push(end());
        if warm.is_finished() {
            assert_eq!(output::<u32>(&actions), 5 * 3);
            break;
        }
        let tasks = actions.iter().rev().filter_map(crate::engine::Action::task);
        inbound = std::iter::once(begin())
            .chain(tasks.map(|task| answered(task.0, &1)))
            .collect();
    }
}
