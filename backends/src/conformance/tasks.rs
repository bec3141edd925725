//! Owns how the tests run many things at once and wait for what must happen.
//! Never waits longer than [`DEADLINE`], and sleeps only between two looks.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::channel::oneshot;
use futures::future::{FutureExt, join_all};
use longhaul_shared::port::{Runtime, TaskHandle, within};

use super::DEADLINE;

/// Time between two looks at a condition.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// A future that runs as a task of its own, and whose answer can be awaited.
pub(super) struct Running<T> {
    runtime: Arc<dyn Runtime>,
    answer: oneshot::Receiver<T>,
    _task: TaskHandle,
}

impl<T> Running<T> {
    pub(super) async fn answer(self, what: &str) -> T {
        soon(&self.runtime, what, self.answer)
            .await
            .unwrap_or_else(|_| panic!("the task that should have shown that {what} has failed"))
    }
}

/// Runs a future as a task of its own.
pub(super) fn run<T: Send + 'static>(
    runtime: &Arc<dyn Runtime>,
    future: impl Future<Output = T> + Send + 'static,
) -> Running<T> {
    let (sender, answer) = oneshot::channel();
    let task = async move {
        let _unheard = sender.send(future.await);
    };
    Running {
        runtime: Arc::clone(runtime),
        answer,
        _task: runtime.spawn("conformance", task.boxed()),
    }
}

/// Runs futures as tasks at the same time; their answers, in order.
pub(super) async fn at_once<T: Send + 'static, F: Future<Output = T> + Send + 'static>(
    runtime: &Arc<dyn Runtime>,
    futures: impl IntoIterator<Item = F>,
) -> Vec<T> {
    let running: Vec<_> = futures.into_iter().map(|future| run(runtime, future)).collect();
    join_all(running.into_iter().map(|task| task.answer("all come to an end"))).await
}

/// Waits for a future, at most [`DEADLINE`].
pub(super) async fn soon<F: Future>(runtime: &Arc<dyn Runtime>, what: &str, future: F) -> F::Output {
    within(runtime, DEADLINE, future)
        .await
        .unwrap_or_else(|_| panic!("not within {DEADLINE:?}: {what}"))
}

/// Looks again and again until there is an answer, at most [`DEADLINE`].
pub(super) async fn until<T, F: Future<Output = Option<T>>>(
    runtime: &Arc<dyn Runtime>,
    what: &str,
    mut look: impl FnMut() -> F,
) -> T {
    soon(runtime, what, async {
        loop {
            if let Some(answer) = look().await {
                return answer;
            }
            runtime.sleep(LOOK_EVERY).await;
        }
    })
    .await
}
