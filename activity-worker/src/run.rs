//! Owns one run of an activity: its time, its panics, and the watch over the thread that it runs on.
//! Never reports: it says how the run ended.
//!
//! The activity is a task of its own, so that its time is kept even while it holds a thread. A thread that it
//! blocks is lost to its neighbours until it lets go: no runtime can take it back. That is said, with the name of
//! the activity.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use longhaul_sdk::context::Canceller;
use longhaul_shared::code;
use longhaul_shared::failure::{Failure, FailureKind, panic_text};
use longhaul_shared::message::WorkItem;
use longhaul_shared::payload::Payload;
use longhaul_shared::port::{Runtime, within};
use tokio::sync::oneshot;
use tracing::Instrument;

use crate::invoker::Invoker;
use crate::trace::handed_on;

/// How often the thread of an activity is looked at. One that was not let go in between is told of.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// How a run ended.
pub(crate) enum Ran {
    /// By itself, or at the end of the time that its author gave it.
    Ended(Result<Payload, Failure>),
    /// It has no time of its own and took longer than any run may.
    Overran(Duration),
    /// The same, and it holds a thread that it will not let go.
    Blocks(Duration),
}

/// Runs an activity once, for at most its own time, or `attempt_max` if it has none.
///
/// # Cancel safety
/// Dropping the future abandons the activity at its next await.
pub(crate) async fn run(
    runtime: &Arc<dyn Runtime>,
    invoker: &Arc<dyn Invoker>,
    item: &WorkItem,
    attempt_max: Duration,
) -> Ran {
    let (canceller, cancellation) = Canceller::new();
    let polls = Arc::new(AtomicU64::new(0));
    let (ended, has_ended) = oneshot::channel();
    let (invoker, mut to_run) = (Arc::clone(invoker), item.clone());
    if let Some(attempt) = handed_on() {
        to_run.trace = attempt;
    }
    let invoke = async move {
        let run = invoker.invoke(to_run, cancellation);
        // Whoever gave the run up does not listen any more.
        let _ = ended.send(AssertUnwindSafe(run).catch_unwind().await);
    };
    let watched = Watched {
        polls: Arc::clone(&polls),
        run: invoke.in_current_span().boxed(),
    };
    let task = runtime.spawn("activity", watched.boxed());
    let limit = item.timeout().unwrap_or(attempt_max);
    let outcome = wait(runtime, item, has_ended, &polls, limit).await;
    let Some(outcome) = outcome else {
        canceller.cancel();
        drop(task);
        return match item.timeout() {
            None if holds_thread(polls.load(Ordering::Relaxed)) => Ran::Blocks(limit),
            None => Ran::Overran(limit),
            Some(_) => {
                let message = format!("activity {} did not finish within {limit:?}", item.name);
                Ran::Ended(Err(Failure::new(FailureKind::TimedOut, message)))
            }
        };
    };
    Ran::Ended(outcome.unwrap_or_else(|panic| {
        let said = panic_text(&*panic).unwrap_or("a panic without a message");
        let message = format!("activity {} panicked: {said}", item.name);
        Err(Failure::new(FailureKind::Panicked, message))
    }))
}

type Outcome = std::thread::Result<Result<Payload, Failure>>;

/// Waits for the end of a run for at most `limit`, looking after its thread meanwhile.
async fn wait(
    runtime: &Arc<dyn Runtime>,
    item: &WorkItem,
    mut has_ended: oneshot::Receiver<Outcome>,
    polls: &AtomicU64,
    limit: Duration,
) -> Option<Outcome> {
    let begun = runtime.now();
    let mut looked = None;
    let mut is_told = false;
    loop {
        let left = limit.saturating_sub(runtime.now().since(begun));
        if left.is_zero() {
            return None;
        }
        match within(runtime, left.min(LOOK_EVERY), &mut has_ended).await {
            Ok(Ok(outcome)) => return Some(outcome),
            // The task is gone without a word: its runtime shuts down.
            Ok(Err(_)) => return Some(Err(Box::new("its task was dropped"))),
            Err(_) => {}
        }
        let now = polls.load(Ordering::Relaxed);
        if holds_thread(now) && looked == Some(now) && !is_told {
            is_told = true;
            tracing::error!(
                instance_id = %item.identity.key.instance, activity = %item.name,
                "[{}] the activity has kept its thread for {LOOK_EVERY:?} without awaiting; it holds up its neighbours: \
                 do such work in tokio::task::spawn_blocking", code::ACTIVITY_BLOCKS
            );
        }
        looked = Some(now);
    }
}

/// Counts when its run takes hold of a thread and when it lets go.
struct Watched {
    /// Odd while a thread is held.
    polls: Arc<AtomicU64>,
    run: BoxFuture<'static, ()>,
}

fn holds_thread(polls: u64) -> bool {
    polls % 2 == 1
}

impl Future for Watched {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        self.polls.fetch_add(1, Ordering::Relaxed);
        let polled = self.run.as_mut().poll(context);
        self.polls.fetch_add(1, Ordering::Relaxed);
        polled
    }
}
