//! Owns the confirm channel: one task sends every message and learns what became of it.
//! Never sends a message twice by itself: whatever is unsure is reported, and the caller's outbox sends it again.
//!
//! A shared confirm channel would mix up its confirms, so the task shares it with nobody.

mod ledger;
mod ready;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use lapin::message::BasicReturnMessage;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{Channel, Confirmation};
use longhaul_shared::message::{Destination, Publication};
use longhaul_shared::port::{BrokerError, Monotonic, PublishError, TaskHandle, within};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;

use self::ledger::{Answer, Key, Ledger, Verdict};
use self::ready::Ready;
use super::connection::{Link, Site, Uplink};
use super::properties::{outgoing, short};
use super::refusal;
use super::topology::Topology;

/// Batches that wait in front of the task; beyond it callers wait where they are.
const REQUESTS_MAX: usize = 64;

/// Messages handed to lapin at once, before the task looks at anything else.
const BATCH_MAX: usize = 256;

/// Messages sent and not yet confirmed.
const WINDOW_MESSAGES_MAX: usize = 2_000;

/// Bytes of bodies sent and not yet confirmed; a single larger message travels alone.
const WINDOW_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How often the task looks for what has waited too long.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Longest time that a shutdown waits for confirms that are still out.
const FLUSH_WITHIN: Duration = Duration::from_secs(5);

type Outcome = Result<(), PublishError>;

/// The handle of the publishing task.
#[derive(Debug)]
pub(super) struct Publisher {
    site: Arc<Site>,
    requests: mpsc::Sender<Request>,
    draining: CancellationToken,
    unconfirmed: Unconfirmed,
    task: tokio::sync::Mutex<TaskHandle>,
}

/// Counts the messages of which it is not known yet what became of them.
#[derive(Clone, Debug, Default)]
struct Unconfirmed(Arc<AtomicU64>);

impl Unconfirmed {
    /// Counts one until the answer is dropped.
    fn one(&self) -> OneUnconfirmed {
        self.0.fetch_add(1, Ordering::Relaxed);
        OneUnconfirmed(self.clone())
    }
}

#[derive(Debug)]
struct OneUnconfirmed(Unconfirmed);

impl Drop for OneUnconfirmed {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Request {
    batch: Vec<Publication>,
    since: Monotonic,
    reply: oneshot::Sender<Vec<Outcome>>,
}

impl Publisher {
    pub(super) fn start(
        site: &Arc<Site>,
        uplink: Arc<Uplink>,
        topology: Topology,
        confirm_timeout: Duration,
    ) -> Self {
        let (requests, receiver) = mpsc::channel(REQUESTS_MAX);
        let draining = CancellationToken::new();
        let unconfirmed = Unconfirmed::default();
        let task = Task {
            site: Arc::clone(site),
            uplink,
            topology,
            confirm_timeout,
            draining: draining.clone(),
            requests: receiver,
            waiting: VecDeque::new(),
            unconfirmed: unconfirmed.clone(),
            desk: Desk::default(),
            stuck_since: site.runtime.now(),
        };
        Self {
            site: Arc::clone(site),
            requests,
            draining,
            unconfirmed,
            task: tokio::sync::Mutex::new(site.runtime.spawn("rabbitmq-publisher", task.run().boxed())),
        }
    }

    /// Publishes a batch; outcomes in its order.
    pub(super) async fn publish(&self, batch: Vec<Publication>) -> Vec<Outcome> {
        let messages = batch.len();
        if messages == 0 {
            return Vec::new();
        }
        let (reply, answer) = oneshot::channel();
        let request = Request {
            batch,
            since: self.site.runtime.now(),
            reply,
        };
        if self.requests.send(request).await.is_ok()
            && let Ok(outcomes) = answer.await
        {
            return outcomes;
        }
        vec![unknown("this program is shutting down"); messages]
    }

    /// How many messages were taken in of which it is not known yet what became of them.
    pub(super) fn unconfirmed(&self) -> u64 {
        self.unconfirmed.0.load(Ordering::Relaxed)
    }

    /// Takes nothing more, and waits for what is under way.
    pub(super) async fn flush(&self) {
        self.draining.cancel();
        let mut task = self.task.lock().await;
        if within(&self.site.runtime, FLUSH_WITHIN, task.join())
            .await
            .is_err()
        {
            tracing::warn!("shutting down with messages unconfirmed after {FLUSH_WITHIN:?}");
        }
    }
}

fn unknown(reason: impl Into<String>) -> Outcome {
    Err(PublishError::Unknown {
        reason: reason.into(),
    })
}

/// A message's place in the batch it came with.
#[derive(Debug)]
struct Ticket {
    request: u64,
    place: usize,
    destination: Destination,
    /// When it was handed in, and from its sending on, when it was sent.
    since: Monotonic,
    bytes: usize,
    _unconfirmed: OneUnconfirmed,
}

/// The batches that are not answered yet.
#[derive(Default)]
struct Desk {
    last: u64,
    forms: BTreeMap<u64, Form>,
}

struct Form {
    outcomes: Vec<Option<Outcome>>,
    missing: usize,
    reply: oneshot::Sender<Vec<Outcome>>,
}

impl Desk {
    fn open(&mut self, messages: usize, reply: oneshot::Sender<Vec<Outcome>>) -> u64 {
        self.last += 1;
        let form = Form {
            outcomes: vec![None; messages],
            missing: messages,
            reply,
        };
        self.forms.insert(self.last, form);
        self.last
    }

    /// Fills in what became of a message, once; a second outcome changes nothing.
    fn fill(&mut self, ticket: &Ticket, outcome: Outcome) {
        let Some(form) = self.forms.get_mut(&ticket.request) else {
            return;
        };
        let Some(place @ None) = form.outcomes.get_mut(ticket.place) else {
            return;
        };
        *place = Some(outcome);
        form.missing -= 1;
        if form.missing > 0 {
            return;
        }
        if let Some(form) = self.forms.remove(&ticket.request) {
            // Nobody listens any more when the caller was dropped.
            let _ = form.reply.send(form.outcomes.into_iter().flatten().collect());
        }
    }

    fn settle(&mut self, ticket: &Ticket, verdict: Verdict) {
        let outcome = match verdict {
            Verdict::Answered(Answer::Acked) => Ok(()),
            Verdict::Answered(Answer::Nacked) => Err(PublishError::Nacked),
            Verdict::Answered(Answer::Lost(reason)) => unknown(reason),
            Verdict::Returned => Err(PublishError::Unroutable {
                destination: ticket.destination.clone(),
            }),
        };
        self.fill(ticket, outcome);
    }
}

/// What the task owns whether there is a channel or not.
struct Task {
    site: Arc<Site>,
    uplink: Arc<Uplink>,
    topology: Topology,
    confirm_timeout: Duration,
    draining: CancellationToken,
    requests: mpsc::Receiver<Request>,
    /// Not yet handed to lapin.
    waiting: VecDeque<(Publication, Ticket)>,
    unconfirmed: Unconfirmed,
    desk: Desk,
    /// Since when nothing can be sent, while nothing can.
    stuck_since: Monotonic,
}

/// Why a channel is used no longer.
enum End {
    /// It is broken; another one may do.
    Broken { fruitful: bool },
    /// Everything is answered, and nothing more will come.
    Drained,
}

impl Task {
    async fn run(mut self) {
        let mut fruitless = 0;
        loop {
            self.stuck_since = self.site.runtime.now();
            let Some((link, channel)) = self.wait_for_channel(fruitless).await else {
                break;
            };
            let session = Session {
                link,
                channel: Arc::new(channel),
                ready: Ready::new(),
                ledger: Ledger::new(),
                bytes: 0,
                next_look: self.stuck_since,
                fruitful: false,
                broken: None,
            };
            match session.run(&mut self).await {
                End::Broken { fruitful: true } => fruitless = 0,
                End::Broken { fruitful: false } => fruitless += 1,
                End::Drained => break,
            }
        }
        for (_, ticket) in std::mem::take(&mut self.waiting) {
            self.desk.fill(&ticket, unknown("this program is shutting down"));
        }
    }

    /// A fresh channel in confirm mode; until there is one, what waits too long is answered. `None` once nothing
    /// more is to be sent.
    async fn wait_for_channel(&mut self, fruitless: u32) -> Option<(Arc<Link>, Channel)> {
        let mut opening = open_channel(Arc::clone(&self.site), Arc::clone(&self.uplink), fruitless).boxed();
        let mut tick = self.site.runtime.sleep(LOOK_EVERY);
        loop {
            if self.is_drained() {
                return None;
            }
            tokio::select! {
                biased;
                opened = &mut opening => return opened,
                () = self.draining.cancelled(), if !self.requests.is_closed() => self.requests.close(),
                Some(request) = self.requests.recv(), if self.has_room() => self.accept(request),
                () = &mut tick => tick = self.site.runtime.sleep(LOOK_EVERY),
            }
            let trouble = self.uplink.trouble();
            self.expire(&format!(
                "no connection to RabbitMQ: {}",
                trouble.as_deref().unwrap_or("it is being opened")
            ));
        }
    }

    /// Whether nothing waits, and nothing more can come.
    fn is_drained(&self) -> bool {
        self.waiting.is_empty() && self.requests.is_closed() && self.requests.is_empty()
    }

    fn has_room(&self) -> bool {
        self.waiting.len() < WINDOW_MESSAGES_MAX
    }

    fn accept(&mut self, request: Request) {
        let number = self.desk.open(request.batch.len(), request.reply);
        for (place, publication) in request.batch.into_iter().enumerate() {
            let ticket = Ticket {
                request: number,
                place,
                destination: publication.destination.clone(),
                since: request.since,
                bytes: publication.body.len(),
                _unconfirmed: self.unconfirmed.one(),
            };
            self.waiting.push_back((publication, ticket));
        }
    }

    /// Answers what has waited too long while nothing could be sent.
    fn expire(&mut self, why: &str) {
        let now = self.site.runtime.now();
        while let Some((_, ticket)) = self.waiting.front()
            && now.since(ticket.since.max(self.stuck_since)) >= self.site.connection_wait
            && let Some((_, ticket)) = self.waiting.pop_front()
        {
            self.desk.fill(&ticket, unknown(why));
        }
    }
}

/// Tries until it succeeds; `None` once no connection is wanted any more.
async fn open_channel(site: Arc<Site>, uplink: Arc<Uplink>, fruitless: u32) -> Option<(Arc<Link>, Channel)> {
    let mut attempt = fruitless;
    loop {
        if attempt > 0 {
            site.runtime.sleep(site.pause(attempt)).await;
        }
        let link = uplink.wait().await?;
        match confirm_channel(&link).await {
            Ok(channel) => return Some((link, channel)),
            Err(error) => tracing::debug!(%error, attempt, "cannot open a channel to publish on"),
        }
        attempt = attempt.saturating_add(1);
    }
}

async fn confirm_channel(link: &Link) -> Result<Channel, BrokerError> {
    let channel = link.channel().await?;
    link.rpc(
        "confirm.select",
        channel.confirm_select(ConfirmSelectOptions::default()),
    )
    .await?
    .map_err(|error| refusal::unavailable(link.address(), refusal::words(&error)))?;
    Ok(channel)
}

/// One confirm channel, from its opening to its end.
struct Session {
    link: Arc<Link>,
    channel: Arc<Channel>,
    ready: Ready<lapin::Result<Confirmation>>,
    ledger: Ledger<Ticket>,
    /// Bytes of the bodies without an answer yet.
    bytes: usize,
    /// When to look next for what has waited too long.
    next_look: Monotonic,
    /// Whether the broker took anything on it.
    fruitful: bool,
    /// Why it is of no use any more.
    broken: Option<String>,
}

impl Session {
    async fn run(mut self, task: &mut Task) -> End {
        let mut blocked = self.link.watch_blocked();
        let mut tick = task.site.runtime.sleep(LOOK_EVERY);
        loop {
            self.send(task);
            self.look(&mut task.desk);
            self.check_age(task);
            if self.broken.is_some() {
                return self.end(task);
            }
            if task.is_drained() && self.ledger.is_empty() {
                return End::Drained;
            }
            if self.can_send(task) {
                // More than a batch waits: let lapin, and the confirms, have a turn.
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                biased;
                () = self.link.ended() => self.broken = Some("the connection to RabbitMQ was lost".to_owned()),
                () = self.ready.woken() => {}
                Ok(()) = blocked.changed() => self.note_blocked(task),
                () = task.draining.cancelled(), if !task.requests.is_closed() => task.requests.close(),
                Some(request) = task.requests.recv(), if task.has_room() => self.accept(request, task),
                () = &mut tick => tick = task.site.runtime.sleep(LOOK_EVERY),
            }
        }
    }

    /// Takes a batch, and whatever else is there already: they share a turn.
    fn accept(&self, request: Request, task: &mut Task) {
        task.accept(request);
        while task.waiting.len() < BATCH_MAX
            && let Ok(request) = task.requests.try_recv()
        {
            task.accept(request);
        }
    }

    fn can_send(&self, task: &Task) -> bool {
        let Some((_, next)) = task.waiting.front() else {
            return false;
        };
        self.link.blocked().is_none()
            && self.ledger.open() < WINDOW_MESSAGES_MAX
            && (self.bytes == 0 || self.bytes.saturating_add(next.bytes) <= WINDOW_BYTES_MAX)
    }

    /// Hands at most a batch to lapin.
    fn send(&mut self, task: &mut Task) {
        if !self.channel.status().connected() {
            self.broken
                .get_or_insert_with(|| "RabbitMQ closed the channel".to_owned());
            return;
        }
        let now = task.site.runtime.now();
        for _ in 0..BATCH_MAX {
            if !self.can_send(task) {
                return;
            }
            let Some((publication, mut ticket)) = task.waiting.pop_front() else {
                return;
            };
            ticket.since = now;
            self.bytes += ticket.bytes;
            let key = Key {
                id: publication.id,
                queue: task.topology.queue(&publication.destination),
            };
            let sending = transmit(Arc::clone(&self.channel), short(&key.queue), publication);
            let number = self.ledger.sent(key, ticket);
            self.ready.start(number, sending);
        }
    }

    /// Takes in all confirms that are there, and answers what they make certain.
    fn look(&mut self, desk: &mut Desk) {
        loop {
            let confirms = self.ready.harvest();
            let last = confirms.is_none();
            for (number, confirm) in confirms.into_iter().flatten() {
                self.take_in(number, confirm);
            }
            for (ticket, verdict) in self.ledger.settle() {
                desk.settle(&ticket, verdict);
            }
            if last {
                return;
            }
        }
    }

    fn take_in(&mut self, number: u64, confirm: lapin::Result<Confirmation>) {
        let (answer, returned) = match confirm {
            Ok(Confirmation::Ack(returned)) => {
                self.fruitful = true;
                (Answer::Acked, returned)
            }
            Ok(Confirmation::Nack(returned)) => (Answer::Nacked, returned),
            Ok(Confirmation::NotRequested) => (Answer::Lost("the channel confirms nothing".to_owned()), None),
            Err(error) => {
                let why = refusal::words(&error);
                self.broken.get_or_insert_with(|| why.clone());
                (Answer::Lost(why), None)
            }
        };
        let returned = returned.and_then(|message| key_of(&message));
        if let Some(ticket) = self.ledger.answered(number, answer, returned) {
            self.bytes = self.bytes.saturating_sub(ticket.bytes);
        }
    }

    fn note_blocked(&self, task: &mut Task) {
        task.stuck_since = task.site.runtime.now();
    }

    /// Gives up on confirms that do not come. While the broker blocks, that is no reason to leave the channel:
    /// what was sent is still on its way.
    fn check_age(&mut self, task: &mut Task) {
        let now = task.site.runtime.now();
        // Not in the branch of the tick: where there is always something else to do, that is never chosen.
        if now < self.next_look {
            return;
        }
        self.next_look = now.plus(LOOK_EVERY);
        let limit = task.confirm_timeout;
        let overdue = |since: Monotonic| now.since(since) >= limit;
        let blocked = self.link.blocked();
        if let Some(reason) = blocked {
            let why = format!("RabbitMQ takes no messages: {reason}");
            for ticket in self.ledger.tickets().take_while(|ticket| overdue(ticket.since)) {
                task.desk.fill(ticket, unknown(why.as_str()));
            }
            task.expire(&why);
        } else if let Some(oldest) = self.ledger.tickets().next()
            && overdue(oldest.since.max(task.stuck_since))
        {
            tracing::warn!(
                address = %self.link.address(), unconfirmed = self.ledger.open(),
                "RabbitMQ confirmed nothing for {limit:?}; its queues may have lost their majority"
            );
            self.broken = Some(format!("no confirm within {limit:?}"));
        }
    }

    /// Answers everything that was sent, with what is known of it.
    fn end(self, task: &mut Task) -> End {
        let why = self.broken.as_deref().unwrap_or_default();
        for (ticket, verdict) in self.ledger.abandon(why) {
            task.desk.settle(&ticket, verdict);
        }
        End::Broken {
            fruitful: self.fruitful,
        }
    }
}

/// Sends a message and waits for its confirm. Its place on the channel is taken at the first poll.
fn transmit(
    channel: Arc<Channel>,
    queue: lapin::types::ShortString,
    publication: Publication,
) -> BoxFuture<'static, lapin::Result<Confirmation>> {
    async move {
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let properties = outgoing(&publication);
        let confirm = channel
            .basic_publish(short(""), queue, options, &publication.body, properties)
            .await?;
        confirm.await
    }
    .boxed()
}

fn key_of(message: &BasicReturnMessage) -> Option<Key> {
    let id = message.delivery.properties.message_id().as_ref()?;
    Some(Key {
        id: id.as_str().parse().ok()?,
        queue: message.delivery.routing_key.to_string(),
    })
}
