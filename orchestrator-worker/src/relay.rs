//! Owns the road from the outbox to the broker: what was committed is published until it is confirmed.
//! Never publishes what is not committed, and never forgets a message by itself: the committer carries confirmed
//! ones out of the outbox.
//!
//! Publishing twice is harmless, so whatever is in doubt is published again.

mod bundle;
mod held;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use longhaul_shared::codec;
use longhaul_shared::id::{FunctionName, LeaseToken, MessageId, PartitionId, QueueName};
use longhaul_shared::message::{Destination, Publication};
use longhaul_shared::port::{Monotonic, OutboxPage, PageRequest, Ports, PublishError, Step, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::committer::Committer;
use crate::era::Missing;
use crate::mutant::{Broken, is_broken};
use crate::pace::Pace;
use crate::settings::Settings;
use bundle::{Bundle, Sharing, bundled};
use held::Held;
pub(crate) use held::Unsent;

/// Most messages handed to the broker at once.
const BATCH_MAX: usize = 256;
/// Most such batches without an answer.
const BATCHES_MAX: usize = 4;
/// Messages held unconfirmed at which no further turns are begun, until the broker takes some.
pub(crate) const HELD_MAX: usize = 100_000;
/// How many messages a search of the outbox reads at once.
const PAGE: usize = 1_000;
/// Delays between attempts while the broker takes nothing.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// Hands committed messages to the relay. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Relay {
    requests: mpsc::UnboundedSender<Request>,
    held: Arc<AtomicUsize>,
    pace: Arc<Pace>,
}

enum Request {
    Publish {
        partition: PartitionId,
        token: LeaseToken,
        messages: Vec<Publication>,
    },
    Search {
        partition: PartitionId,
        token: LeaseToken,
        then: Option<oneshot::Sender<Unsent>>,
    },
    Drain {
        partition: PartitionId,
        drained: oneshot::Sender<()>,
    },
    Disown(PartitionId),
    Oldest(oneshot::Sender<Option<Monotonic>>),
}

impl Relay {
    /// A handle and the loop behind it, to be run as a task.
    pub(crate) fn new(
        ports: Ports,
        missing: Missing,
        committer: Committer,
        settings: &Settings,
    ) -> (Self, impl Future<Output = ()> + Send + 'static) {
        // Unbounded, but what it can hold is bounded by HELD_MAX and the turns in progress.
        let (requests, inbox) = mpsc::unbounded_channel();
        let held = Arc::new(AtomicUsize::new(0));
        let sharing = Sharing::new(settings);
        let pace = Arc::clone(&sharing.pace);
        let relaying = Loop {
            ports,
            missing,
            sharing,
            introduced: BTreeSet::new(),
            committer,
            inbox,
            count: Arc::clone(&held),
            held: BTreeMap::new(),
            queue: VecDeque::new(),
            publishing: FuturesUnordered::new(),
            searching: FuturesUnordered::new(),
            delay: Duration::ZERO,
        };
        (Self { requests, held, pace }, relaying.run())
    }

    /// Publishes what a commit has put into the outbox of a partition held under this token.
    pub(crate) fn publish(&self, partition: PartitionId, token: &LeaseToken, messages: Vec<Publication>) {
        if !messages.is_empty() {
            self.request(Request::Publish {
                partition,
                token: token.clone(),
                messages,
            });
        }
    }

    /// Searches the outbox of a partition for messages that the relay does not hold, and publishes them.
    pub(crate) fn search(&self, partition: PartitionId, token: &LeaseToken) {
        self.request(Request::Search {
            partition,
            token: token.clone(),
            then: None,
        });
    }

    /// Searches the outbox of a partition and tells which tasks' work items are still to be published: whoever
    /// sends lost work again must leave these out. Waits for the broker's answers to what it was handed before: a
    /// broker that is gone may have confirmed it. `None` if the outbox could not be read.
    pub(crate) async fn unsent(&self, partition: PartitionId, token: &LeaseToken) -> Option<Unsent> {
        let (then, unsent) = oneshot::channel();
        self.request(Request::Search {
            partition,
            token: token.clone(),
            then: Some(then),
        });
        unsent.await.ok()
    }

    /// Waits until the broker has confirmed everything of a partition in which no turn runs any more, so that its
    /// next owner finds nothing to send.
    pub(crate) async fn drain(&self, partition: PartitionId) {
        let (drained, is_drained) = oneshot::channel();
        self.request(Request::Drain { partition, drained });
        // A relay that is gone has nothing left to confirm.
        let _ = is_drained.await;
    }

    /// The partition is no longer this worker's: its messages are its next owner's business.
    pub(crate) fn disown(&self, partition: PartitionId) {
        self.request(Request::Disown(partition));
    }

    /// Since when the relay has had the message that it has had for longest; `None` if it has none.
    pub(crate) async fn oldest(&self) -> Option<Monotonic> {
        let (tell, oldest) = oneshot::channel();
        self.request(Request::Oldest(tell));
        oldest.await.ok().flatten()
    }

    /// A run of an activity took so long, by its result.
    pub(crate) fn ran(&self, activity: &FunctionName, took: Duration) {
        self.pace.ran(activity, took);
    }

    /// Whether the broker takes so little that no more work should be begun.
    pub(crate) fn is_full(&self) -> bool {
        self.held.load(Ordering::Relaxed) >= HELD_MAX
    }

    fn request(&self, request: Request) {
        // The loop ends only after every handle is gone; an aborted one leaves all in the outbox.
        let _ = self.requests.send(request);
    }
}

/// A message, the partition it belongs to, and the token under which it was committed.
type Sent = (PartitionId, LeaseToken, Publication);

/// The broker's answers to a batch.
struct Answers {
    results: Vec<(Sent, Result<(), PublishError>)>,
    /// Task queues that are known to be declared and noted since.
    introduced: Vec<QueueName>,
}

/// What a search of a partition's outbox has read.
type Page = (PartitionId, LeaseToken, Result<OutboxPage, StoreError>);

struct Loop {
    ports: Ports,
    missing: Missing,
    sharing: Sharing,
    /// Task queues that are known to be declared and noted.
    introduced: BTreeSet<QueueName>,
    committer: Committer,
    inbox: mpsc::UnboundedReceiver<Request>,
    count: Arc<AtomicUsize>,
    held: BTreeMap<PartitionId, Held>,
    queue: VecDeque<Sent>,
    publishing: FuturesUnordered<BoxFuture<'static, Answers>>,
    searching: FuturesUnordered<BoxFuture<'static, Page>>,
    /// How long to wait before the next attempt; zero while the broker takes messages.
    delay: Duration,
}

impl Loop {
    async fn run(mut self) {
        let mut pause: Option<BoxFuture<'static, ()>> = None;
        loop {
            if pause.is_none() {
                self.start_batches();
            }
            tokio::select! {
                biased;
                Some(batch) = self.publishing.next() => {
                    if self.finish(batch).await {
                        pause = Some(self.ports.runtime.sleep(self.delay));
                    }
                }
                request = self.inbox.recv() => {
                    let Some(request) = request else { break };
                    self.take(request).await;
                    while let Ok(request) = self.inbox.try_recv() {
                        self.take(request).await;
                    }
                }
                Some((partition, token, page)) = self.searching.next() => {
                    self.searched(partition, token, page).await;
                }
                () = async { match pause.as_mut() { Some(pause) => pause.await, None => std::future::pending().await } } => {
                    pause = None;
                }
            }
        }
    }

    async fn take(&mut self, request: Request) {
        match request {
            Request::Publish {
                partition,
                token,
                messages,
            } => self.enqueue(partition, &token, messages),
            Request::Search {
                partition,
                token,
                then,
            } => self.search(partition, token, then).await,
            Request::Drain { partition, drained } => {
                if let Some(held) = self.held.get_mut(&partition) {
                    held.draining.push(drained);
                    held.tell_drained();
                }
            }
            Request::Disown(partition) => {
                self.held.remove(&partition);
                self.queue.retain(|(of, _, _)| *of != partition);
                self.recount();
            }
            Request::Oldest(tell) => {
                let held = self.held.values().flat_map(|held| held.unconfirmed.values());
                // Whoever asked may have stopped.
                let _ = tell.send(held.map(|(since, _)| *since).min());
            }
        }
    }

    fn held_under(&mut self, partition: PartitionId, token: &LeaseToken) -> &mut Held {
        let held = self
            .held
            .entry(partition)
            .or_insert_with(|| Held::under(token.clone()));
        if held.token != *token {
            *held = Held::under(token.clone());
            self.queue.retain(|(of, _, _)| *of != partition);
        }
        held
    }

    fn enqueue(&mut self, partition: PartitionId, token: &LeaseToken, messages: Vec<Publication>) {
        let now = self.ports.runtime.now();
        let held = self.held_under(partition, token);
        let mut new = Vec::with_capacity(messages.len());
        for message in messages {
            if !held.confirmed.contains_key(&message.id) && !held.unconfirmed.contains_key(&message.id) {
                held.unconfirmed.insert(message.id, (now, message.clone()));
                new.push((partition, token.clone(), message));
            }
        }
        self.queue.extend(new);
        self.recount();
    }

    /// Begins a search, or has another one follow the one in progress, which may have read what is not so any more.
    /// Whoever waits for it says that something was lost.
    async fn search(
        &mut self,
        partition: PartitionId,
        token: LeaseToken,
        then: Option<oneshot::Sender<Unsent>>,
    ) {
        let held = self.held_under(partition, &token);
        let is_loss = then.is_some();
        if is_loss {
            held.lost();
        }
        match held.found {
            Some(_) => held.next.get_or_insert_default().extend(then),
            None => self.begin_search(partition, token, then.into_iter().collect()),
        }
        if is_loss {
            // What is committed again under the same id must not be carried out by a confirm of before.
            self.committer.disown(partition).await;
        }
    }

    fn begin_search(
        &mut self,
        partition: PartitionId,
        token: LeaseToken,
        then: Vec<oneshot::Sender<Unsent>>,
    ) {
        let held = self.held_under(partition, &token);
        held.then.extend(then);
        if !is_broken(Broken::OutboxNotSearched) {
            held.searches += 1;
            held.found = Some(BTreeSet::new());
            self.searching
                .push(Box::pin(page(self.ports.clone(), partition, token, None)));
        }
    }

    async fn searched(
        &mut self,
        partition: PartitionId,
        token: LeaseToken,
        page_read: Result<OutboxPage, StoreError>,
    ) {
        let Some(held) = self.held.get_mut(&partition).filter(|held| held.token == token) else {
            return;
        };
        let outbox = match page_read {
            Ok(outbox) => outbox,
            Err(error) => {
                held.found = None;
                held.then.clear();
                held.next = None;
                tracing::warn!(%partition, %error, "the outbox could not be searched; it will be again");
                return;
            }
        };
        if let Some(found) = held.found.as_mut() {
            found.extend(outbox.messages.iter().map(|message| message.id));
        }
        let is_last = outbox.next.is_none();
        if !is_last {
            let next = page(self.ports.clone(), partition, token.clone(), outbox.next);
            self.searching.push(Box::pin(next));
        }
        let is_new = |message: &Publication| held.is_to_publish(message);
        // Whoever held the partition before may have published it, and somebody may have begun it.
        let unknown = outbox.messages.into_iter().filter(is_new);
        let unknown = unknown.map(codec::published_again).collect();
        self.enqueue(partition, &token, unknown);
        if is_last {
            self.end_search(partition, token).await;
        }
    }

    async fn end_search(&mut self, partition: PartitionId, token: LeaseToken) {
        let Some(held) = self.held.get_mut(&partition) else {
            return;
        };
        let left = held.searched();
        held.ask();
        held.tell_unsent();
        if let Some(waiting) = held.next.take() {
            self.begin_search(partition, token.clone(), waiting);
        }
        if !left.is_empty() {
            self.committer.confirmed(partition, token, left).await;
        }
    }

    fn recount(&self) {
        self.count.store(
            self.held.values().map(|held| held.unconfirmed.len()).sum(),
            Ordering::Relaxed,
        );
    }

    /// The task queues of a batch that this worker has not used yet. The default one is declared with the hub.
    fn first_used(&self, batch: &[Sent]) -> Vec<QueueName> {
        let works = batch
            .iter()
            .filter_map(|(_, _, message)| match &message.destination {
                Destination::Work(queue) => Some(queue),
                _ => None,
            });
        let new = works.filter(|queue| **queue != QueueName::default() && !self.introduced.contains(*queue));
        let new: BTreeSet<_> = new.cloned().collect();
        new.into_iter().collect()
    }

    fn start_batches(&mut self) {
        while self.publishing.len() < BATCHES_MAX && !self.queue.is_empty() {
            let count = self.queue.len().min(BATCH_MAX);
            let batch: Vec<Sent> = self.queue.drain(..count).collect();
            for (partition, token, message) in &batch {
                if let Some(held) = self.held.get_mut(partition).filter(|held| held.token == *token) {
                    held.handed_over.insert(message.id);
                }
            }
            let ports = self.ports.clone();
            let (lost, first) = (self.missing.clone(), self.first_used(&batch));
            let sharing = self.sharing.clone();
            self.publishing
                .push(Box::pin(publish(ports, lost, sharing, batch, first)));
        }
    }

    /// Takes in the broker's answers; whether the next attempt should wait.
    async fn finish(&mut self, batch: Answers) -> bool {
        let mut confirmed: BTreeMap<PartitionId, (LeaseToken, Vec<MessageId>)> = BTreeMap::new();
        let mut failure = None;
        self.introduced.extend(batch.introduced);
        for ((partition, token, message), result) in batch.results {
            let Some(held) = self.held.get_mut(&partition).filter(|held| held.token == token) else {
                continue;
            };
            held.answered(message.id, result.is_ok());
            match result {
                Ok(()) => {
                    confirmed
                        .entry(partition)
                        .or_insert_with(|| (token, Vec::new()))
                        .1
                        .push(message.id);
                }
                Err(error) => {
                    failure = Some(error);
                    self.queue.push_back((partition, token, message));
                }
            }
        }
        self.recount();
        if !confirmed.is_empty() {
            self.ports.runtime.reached(Step::RelayConfirmed);
        }
        for (partition, (token, messages)) in confirmed {
            self.committer.confirmed(partition, token, messages).await;
        }
        for held in self.held.values_mut() {
            held.tell_unsent();
            held.tell_drained();
        }
        match failure {
            Some(error) => {
                self.delay = (self.delay * 2).clamp(RETRY_FIRST, RETRY_MAX);
                tracing::warn!(%error, held = self.held(), "messages are not confirmed; they are published again in {:?}", self.delay);
                true
            }
            None => {
                self.delay = Duration::ZERO;
                false
            }
        }
    }

    fn held(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

async fn publish(
    ports: Ports,
    lost: Missing,
    sharing: Sharing,
    batch: Vec<Sent>,
    first: Vec<QueueName>,
) -> Answers {
    let introduced = introduce(&ports, first).await;
    let messages = batch.iter().map(|(_, _, message)| message);
    let bundles = bundled(messages, &sharing);
    let (carried, places): (Vec<_>, Vec<_>) = bundles.into_iter().map(Bundle::into_message).unzip();
    ports.runtime.reached(Step::RelayPublishing);
    let answers = ports.broker.publish(carried).await;
    for queue in missing_queues(&answers) {
        // It was declared and is not there: to declare it again here would hide what was lost with it.
        lost.tell(Destination::Work(queue));
    }
    let each = places.into_iter().zip(answers);
    let mut each: Vec<_> = each
        .flat_map(|(places, answer)| places.into_iter().map(move |place| (place, answer.clone())))
        .collect();
    each.sort_unstable_by_key(|(place, _)| *place);
    let results = batch.into_iter().zip(each.into_iter().map(|(_, answer)| answer));
    Answers {
        results: results.collect(),
        introduced,
    }
}

/// Declares and notes the task queues that nobody has used yet, and returns those that are known now. First the
/// declaration, then the note, then the first message: one that is noted and missing was lost, and one that is not
/// noted holds nothing.
async fn introduce(ports: &Ports, first: Vec<QueueName>) -> Vec<QueueName> {
    if first.is_empty() {
        return first;
    }
    let known = match ports.store.pulse().await {
        Ok(pulse) => pulse.queues,
        Err(error) => {
            tracing::warn!(%error, "it could not be asked which task queues there are; tried again");
            return Vec::new();
        }
    };
    let mut introduced = Vec::new();
    for queue in first {
        if !known.contains(&queue) {
            if let Err(error) = ports.broker.declare(0, std::slice::from_ref(&queue)).await {
                tracing::warn!(%queue, %error, "the task queue could not be declared; tried again");
                continue;
            }
            if let Err(error) = ports.store.note_queue(&queue).await {
                tracing::warn!(%queue, %error, "the task queue could not be noted; tried again");
                continue;
            }
        }
        introduced.push(queue);
    }
    introduced
}

fn missing_queues(results: &[Result<(), PublishError>]) -> Vec<QueueName> {
    let queues: BTreeSet<_> = results
        .iter()
        .filter_map(|result| match result {
            Err(PublishError::Unroutable {
                destination: Destination::Work(queue),
            }) => Some(queue.clone()),
            _ => None,
        })
        .collect();
    queues.into_iter().collect()
}

async fn page(ports: Ports, partition: PartitionId, token: LeaseToken, cursor: Option<String>) -> Page {
    let page = ports
        .store
        .outbox(partition, PageRequest { cursor, limit: PAGE })
        .await;
    (partition, token, page)
}
