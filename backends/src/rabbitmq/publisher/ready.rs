//! Owns the futures of one channel's publishes, and knows which of them to look at.
//! Never forgets a wake, and never looks at a future before those that were woken earlier had their turn.
//!
//! `FuturesUnordered` promises nothing about that order, and the ledger's proof stands on it.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;

type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Futures by number.
pub(super) struct Ready<T> {
    woken: Arc<Woken>,
    running: BTreeMap<u64, (Waker, Work<T>)>,
}

impl<T: Send + 'static> Ready<T> {
    pub(super) fn new() -> Self {
        Self {
            woken: Arc::default(),
            running: BTreeMap::new(),
        }
    }

    /// Starts a future: looks at it once, at the latest now, and again whenever it is woken. What is ready at
    /// once comes out of the next [`harvest`](Self::harvest) all the same.
    pub(super) fn start(&mut self, number: u64, work: impl Future<Output = T> + Send + 'static) {
        let waker = Waker::from(Arc::new(Call {
            number,
            woken: Arc::clone(&self.woken),
        }));
        let mut work: Work<T> = Box::pin(work);
        match work.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Pending => {}
            Poll::Ready(output) => {
                work = Box::pin(std::future::ready(output));
                waker.wake_by_ref();
            }
        }
        self.running.insert(number, (waker, work));
    }

    /// Looks at the futures woken so far, in that order, and takes out those that are ready. `None` when none
    /// was woken since the last time.
    pub(super) fn harvest(&mut self) -> Option<Vec<(u64, T)>> {
        let woken = self.woken.take()?;
        let mut outputs = Vec::new();
        for number in woken {
            // It may have been woken twice, and be gone the second time.
            let Some((waker, work)) = self.running.get_mut(&number) else {
                continue;
            };
            let mut context = Context::from_waker(waker);
            if let Poll::Ready(output) = work.as_mut().poll(&mut context) {
                self.running.remove(&number);
                outputs.push((number, output));
            }
        }
        Some(outputs)
    }

    /// Completes when a future was woken since the last [`harvest`](Self::harvest).
    pub(super) async fn woken(&mut self) {
        let woken = &self.woken;
        std::future::poll_fn(|context| woken.poll(context)).await;
    }
}

#[derive(Default)]
struct Woken {
    numbers: Mutex<Vec<u64>>,
    task: AtomicWaker,
}

impl Woken {
    fn push(&self, number: u64) {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.push(number);
        let first = numbers.len() == 1;
        drop(numbers);
        if first {
            self.task.wake();
        }
    }

    fn take(&self) -> Option<Vec<u64>> {
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        (!numbers.is_empty()).then(|| std::mem::take(&mut *numbers))
    }

    fn poll(&self, context: &mut Context<'_>) -> Poll<()> {
        self.task.register(context.waker());
        let numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        if numbers.is_empty() {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }
}

struct Call {
    number: u64,
    woken: Arc<Woken>,
}

impl Wake for Call {
    fn wake(self: Arc<Self>) {
        self.woken.push(self.number);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::sync::oneshot;

    use super::*;

    #[test]
    fn futures_come_out_in_the_order_of_their_wakes() {
        let mut ready = Ready::new();
        let mut senders = Vec::new();
        for number in 0..3 {
            let (sender, receiver) = oneshot::channel::<&str>();
            ready.start(number, async move { receiver.await.unwrap() });
            senders.push(sender);
        }
        assert!(ready.harvest().is_none());
        assert!(ready.woken().now_or_never().is_none());
        senders.pop().unwrap().send("last").unwrap();
        senders.remove(0).send("first").unwrap();
        assert!(ready.woken().now_or_never().is_some());
        assert_eq!(ready.harvest().unwrap(), [(2, "last"), (0, "first")]);
        assert!(ready.harvest().is_none());
    }

    #[test]
    fn what_is_ready_at_once_is_harvested_like_anything_else() {
        let mut ready = Ready::new();
        ready.start(7, async { "at once" });
        assert_eq!(ready.harvest().unwrap(), [(7, "at once")]);
        assert!(ready.harvest().is_none());
    }
}
