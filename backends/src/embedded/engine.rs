//! Owns the seam below the store: ordered keys, and changes applied one after the other, each as a whole.
//! Never knows what a key means.
//!
//! A change looks before it writes: a [`Step`] sees the state all earlier steps left and answers with what to
//! write, so a step that refuses has written nothing. Many steps share one durable write; each is told apart
//! from the others how it went, and only after that write is as safe as the engine makes it.

use std::ops::{ControlFlow, Range};

use bytes::Bytes;
use futures::future::BoxFuture;
use longhaul_shared::port::StoreError;
use longhaul_shared::time::Timestamp;
use tokio::sync::oneshot;

/// What is done with each entry of a scan; it says when to stop.
pub(super) type Visit<'a> = dyn FnMut(&[u8], &[u8]) -> Result<ControlFlow<()>, StoreError> + 'a;

/// The state at one moment.
pub(super) trait View {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError>;

    /// Visits the entries of a range, in the order of their keys.
    fn scan(&self, range: Range<Vec<u8>>, visit: &mut Visit<'_>) -> Result<(), StoreError>;
}

/// Writes, in order.
#[derive(Default)]
pub(super) struct Batch {
    writes: Vec<(Vec<u8>, Option<Bytes>)>,
}

impl Batch {
    pub(super) fn put(&mut self, key: Vec<u8>, value: impl Into<Bytes>) {
        self.writes.push((key, Some(value.into())));
    }

    pub(super) fn delete(&mut self, key: Vec<u8>) {
        self.writes.push((key, None));
    }

    pub(super) fn into_writes(self) -> Vec<(Vec<u8>, Option<Bytes>)> {
        self.writes
    }
}

/// Told whether a step's writes are kept.
pub(super) type Done = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

/// One change: looks at the state and the hub's time, and decides what to write.
pub(super) type Step = Box<dyn FnOnce(&dyn View, Timestamp) -> (Batch, Done) + Send>;

/// Keeps the state.
pub(super) trait Engine: Send + Sync + 'static {
    /// The state as it is now.
    fn view(&self) -> Result<Box<dyn View + '_>, StoreError>;

    /// Hands over changes to be applied in this order and in one durable write; their `Done`s tell the outcome.
    /// A step dropped without being called was not applied.
    ///
    /// # Cancel safety
    /// Dropping the future before it is ready hands over nothing; afterwards it changes nothing.
    fn apply(&self, steps: Vec<Step>) -> BoxFuture<'_, ()>;
}

/// The answer of a step, once there is one.
pub(super) type Answer<T> = oneshot::Receiver<Result<T, StoreError>>;

/// Makes a step of a decision. `then` runs once the decision is kept, even when nobody waits for the answer.
pub(super) fn step<T: Send + 'static>(
    decide: impl FnOnce(&dyn View, Timestamp) -> Result<(Batch, T), StoreError> + Send + 'static,
    then: impl FnOnce(&T) + Send + 'static,
) -> (Step, Answer<T>) {
    let (sender, answer) = oneshot::channel();
    let step: Step = Box::new(move |view, now| {
        let (batch, decided) = match decide(view, now) {
            Ok((batch, value)) => (batch, Ok(value)),
            Err(error) => (Batch::default(), Err(error)),
        };
        let done: Done = Box::new(move |kept| {
            let outcome = decided.and_then(|value| kept.map(|()| value));
            if let Ok(value) = &outcome {
                then(value);
            }
            // Whoever asked may be gone; the change stands all the same.
            let _unheard = sender.send(outcome);
        });
        (batch, done)
    });
    (step, answer)
}

/// The answer of a step, or why there is none.
pub(super) async fn answered<T>(answer: Answer<T>, address: &str) -> Result<T, StoreError> {
    answer.await.unwrap_or_else(|_dropped| {
        Err(StoreError::Unavailable {
            address: address.to_owned(),
            reason: "the change was given up before it was written: see the log for the error before it"
                .to_owned(),
        })
    })
}
