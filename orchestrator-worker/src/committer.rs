//! Owns the road of commits into the store: batches of what is there, a few batches at once, unknown outcomes
//! settled by sending the very same commit again. Never holds two commits of one instance, since a turn sends
//! its next only after the answer.
//!
//! It also carries confirmed messages out of the outbox: with the partition's next commit, or by themselves once
//! nothing has been committed for a while.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use longhaul_shared::commit::{CommitOutcome, TurnCommit};
use longhaul_shared::id::{LeaseToken, MessageId, PartitionId};
use longhaul_shared::port::{Delays, Ports, Step, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::metrics::Metrics;
use crate::read::Unreadable;

/// Most commits sent to the store at once.
const BATCH_MAX: usize = 256;
/// Most batches on their way at once: one is being written while the next is being gathered.
const BATCHES_MAX: usize = 2;
/// Most commits waiting to be taken up before turns have to wait.
const QUEUE_MAX: usize = 4_096;
/// Most confirmed messages carried out by one commit.
const FORGET_PER_COMMIT_MAX: usize = 256;
/// Delays between attempts to settle a commit while the store does not answer.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Hands commits to the committer. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Committer {
    requests: mpsc::Sender<Request>,
}

enum Request {
    Commit(Box<TurnCommit>, Answer),
    Confirmed {
        partition: PartitionId,
        token: LeaseToken,
        messages: Vec<MessageId>,
    },
    Flush {
        partition: PartitionId,
        flushed: oneshot::Sender<()>,
    },
    Disown(PartitionId),
}

/// Where the outcome of a commit is awaited.
type Answer = oneshot::Sender<Result<CommitOutcome, Unreadable>>;

/// Why the outcome of a commit is not known.
pub(crate) enum Halted {
    /// The worker is stopping.
    Stopped,
    /// The store answers, and the answer is of no use.
    Unreadable,
}

impl From<Unreadable> for Halted {
    fn from(_: Unreadable) -> Self {
        Self::Unreadable
    }
}

impl Committer {
    /// A handle and the loop behind it, to be run as a task.
    pub(crate) fn new(
        ports: Ports,
        metrics: Arc<Metrics>,
        forget_after: Duration,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (requests, inbox) = mpsc::channel(QUEUE_MAX);
        let committing = Loop {
            ports,
            metrics,
            forget_after,
            inbox,
            waiting: VecDeque::new(),
            writing: FuturesUnordered::new(),
            confirmed: BTreeMap::new(),
        };
        (Self { requests }, committing.run())
    }

    /// Commits, repeating while the store does not answer.
    ///
    /// # Errors
    /// [`Halted`]: the outcome is then found by loading the instance.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the commit on its way; its outcome is then found by loading the instance.
    pub(crate) async fn commit(&self, commit: TurnCommit) -> Result<CommitOutcome, Halted> {
        let (answer, outcome) = oneshot::channel();
        self.requests
            .send(Request::Commit(Box::new(commit), answer))
            .await
            .map_err(|_| Halted::Stopped)?;
        Ok(outcome.await.map_err(|_| Halted::Stopped)??)
    }

    /// The broker has confirmed these messages of a partition held under this token.
    pub(crate) async fn confirmed(
        &self,
        partition: PartitionId,
        token: LeaseToken,
        messages: Vec<MessageId>,
    ) {
        // A stopped committer leaves the messages in the outbox, from where they are sent once more.
        let _ = self
            .requests
            .send(Request::Confirmed {
                partition,
                token,
                messages,
            })
            .await;
    }

    /// Takes the confirmed messages of a partition out of the outbox now, and waits until that is tried.
    pub(crate) async fn flush(&self, partition: PartitionId) {
        let (flushed, is_flushed) = oneshot::channel();
        if self
            .requests
            .send(Request::Flush { partition, flushed })
            .await
            .is_ok()
        {
            let _ = is_flushed.await;
        }
    }

    /// The partition is no longer this worker's.
    pub(crate) async fn disown(&self, partition: PartitionId) {
        let _ = self.requests.send(Request::Disown(partition)).await;
    }
}

struct Loop {
    ports: Ports,
    metrics: Arc<Metrics>,
    forget_after: Duration,
    inbox: mpsc::Receiver<Request>,
    waiting: VecDeque<(TurnCommit, Answer)>,
    writing: FuturesUnordered<BoxFuture<'static, ()>>,
    confirmed: BTreeMap<PartitionId, (LeaseToken, Vec<MessageId>)>,
}

impl Loop {
    async fn run(mut self) {
        let mut idle = self.ports.runtime.sleep(self.forget_after);
        loop {
            self.start_batches();
            tokio::select! {
                biased;
                request = self.inbox.recv() => {
                    let Some(request) = request else { break };
                    self.take(request);
                    while let Ok(request) = self.inbox.try_recv() {
                        self.take(request);
                    }
                }
                Some(()) = self.writing.next() => {}
                () = &mut idle => {
                    self.forget_idle();
                    idle = self.ports.runtime.sleep(self.forget_after);
                }
            }
        }
        // Every handle is gone, so nobody waits for an answer; what is on its way is still seen through.
        while self.writing.next().await.is_some() {}
    }

    fn take(&mut self, request: Request) {
        match request {
            Request::Commit(commit, answer) => self.waiting.push_back((*commit, answer)),
            Request::Confirmed {
                partition,
                token,
                messages,
            } => {
                let (held, confirmed) = self
                    .confirmed
                    .entry(partition)
                    .or_insert_with(|| (token.clone(), Vec::new()));
                if *held != token {
                    *held = token;
                    confirmed.clear();
                }
                confirmed.extend(messages);
            }
            Request::Flush { partition, flushed } => {
                let confirmed = self.confirmed.remove(&partition);
                let ports = self.ports.clone();
                self.writing.push(Box::pin(async move {
                    if let Some((token, messages)) = confirmed {
                        forget(&ports, partition, &token, messages).await;
                    }
                    let _ = flushed.send(());
                }));
            }
            Request::Disown(partition) => {
                self.confirmed.remove(&partition);
            }
        }
    }

    fn start_batches(&mut self) {
        while self.writing.len() < BATCHES_MAX && !self.waiting.is_empty() {
            let count = self.waiting.len().min(BATCH_MAX);
            let (mut commits, answers): (Vec<_>, Vec<_>) = self.waiting.drain(..count).unzip();
            for commit in &mut commits {
                self.attach_confirmed(commit);
            }
            let (ports, metrics) = (self.ports.clone(), Arc::clone(&self.metrics));
            self.writing
                .push(Box::pin(write(ports, metrics, commits, answers)));
        }
    }

    fn attach_confirmed(&mut self, commit: &mut TurnCommit) {
        if let Some((token, confirmed)) = self.confirmed.get_mut(&commit.partition)
            && *token == commit.token
        {
            let count = confirmed.len().min(FORGET_PER_COMMIT_MAX);
            commit.outbox_remove.extend(confirmed.drain(..count));
        }
    }

    /// Takes confirmed messages out of the outbox by themselves.
    fn forget_idle(&mut self) {
        for (partition, (token, confirmed)) in std::mem::take(&mut self.confirmed) {
            if confirmed.is_empty() {
                continue;
            }
            let ports = self.ports.clone();
            self.writing.push(Box::pin(async move {
                forget(&ports, partition, &token, confirmed).await;
            }));
        }
    }
}

async fn forget(ports: &Ports, partition: PartitionId, token: &LeaseToken, messages: Vec<MessageId>) {
    ports.runtime.reached(Step::RelayForgetting);
    match ports.store.forget_confirmed(partition, token, messages).await {
        Ok(_) => ports.runtime.reached(Step::RelayForgotten),
        // What stays behind is found by the search of the outbox and forgotten then.
        Err(error) => tracing::debug!(%partition, %error, "confirmed messages stay in the outbox for now"),
    }
}

async fn write(ports: Ports, metrics: Arc<Metrics>, mut commits: Vec<TurnCommit>, mut answers: Vec<Answer>) {
    let mut delays = Delays::new(RETRY_FIRST, RETRY_MAX);
    loop {
        let outcomes = ports.store.commit(commits.clone()).await;
        let delay = delays.next_delay();
        let mut unsettled = Vec::new();
        for ((commit, answer), outcome) in commits.into_iter().zip(answers).zip(outcomes) {
            match outcome {
                Ok(outcome) => {
                    metrics.commit_answered(outcome);
                    // A turn that was abandoned meanwhile does not listen any more.
                    let _ = answer.send(Ok(outcome));
                }
                Err(error) if answer.is_closed() => {
                    tracing::debug!(instance_id = %commit.instance, %error, "commit abandoned by its turn");
                }
                Err(error) if !error.is_retryable() => {
                    tracing::error!(instance_id = %commit.instance, %error, "the instance cannot be written; it rests until it can be");
                    let _ = answer.send(Err(Unreadable));
                }
                Err(error) => {
                    warn_unsettled(&commit, &error, delay);
                    unsettled.push((commit, answer));
                }
            }
        }
        if unsettled.is_empty() {
            return;
        }
        (commits, answers) = unsettled.into_iter().unzip();
        ports.runtime.sleep(delay).await;
    }
}

fn warn_unsettled(commit: &TurnCommit, error: &StoreError, delay: Duration) {
    tracing::warn!(
        instance_id = %commit.instance,
        commit = %commit.id,
        %error,
        "the outcome of a commit is not known; it is sent again as it is in {delay:?}"
    );
}
