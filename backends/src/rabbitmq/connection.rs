//! Owns the connections to the broker: opens them, notices their end, and opens them again, for ever.
//! Never carries anything over from one connection to the next: channels, tags and confirms end with it.
//!
//! lapin's own recovery stays off: after it, an old delivery tag would acknowledge another message.

use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures::StreamExt;
use futures::future::FutureExt;
use lapin::uri::AMQPUri;
use lapin::{AsyncTcpStream, Channel, Connection, ConnectionProperties, Event};
use longhaul_shared::port::{BrokerError, Runtime, TaskHandle, within};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::address::Address;
use super::properties::short;
use super::refusal;
use super::socket::{Lifeline, Socket};
use super::wire::{self, Secured};

/// Longest wait for the broker's answer to one request. Declaring a quorum queue takes up to a second there.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Longest wait for the farewell of a connection that is closed in good order.
const FAREWELL_WITHIN: Duration = Duration::from_secs(2);

/// How often a connection is looked at besides its events: not every way to end makes one.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Pause before the first attempt to connect again; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(100);
/// See [`PAUSE_MIN`].
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Why there is no connection after a shutdown.
const CLOSED: &str = "this program has closed the connection";

/// AMQP's reply code of a close that is no error.
const GOODBYE: u16 = 200;

/// What every connection of one broker adapter has in common.
pub(super) struct Site {
    pub(super) address: Address,
    /// What is needed to encrypt, where the address wants that.
    pub(super) tls: Option<Secured>,
    pub(super) runtime: Arc<dyn Runtime>,
    /// Shown by RabbitMQ's own tools, in front of what the connection is for.
    pub(super) name: String,
    pub(super) connect_timeout: Duration,
    /// Longest wait for a connection that is being opened again.
    pub(super) connection_wait: Duration,
    /// Counts connections but those for the intake: messages that break them tell nothing of the broker.
    pub(super) generation: AtomicU64,
    /// Cancelled when no further connection is wanted.
    pub(super) closing: CancellationToken,
}

impl fmt::Debug for Site {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Site")
            .field("address", &self.address)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Site {
    /// How long to wait before the next attempt: exponential, and nobody waits exactly as long as another.
    pub(super) fn pause(&self, attempt: u32) -> Duration {
        let longest = PAUSE_MIN.saturating_mul(1 << attempt.min(16)).min(PAUSE_MAX);
        let part = u32::try_from(self.runtime.random() & 0xffff).unwrap_or_default();
        longest / 2 + (longest / 2).saturating_mul(part) / 0xffff
    }

    /// Counts a new connection.
    fn count(&self, purpose: Purpose) -> u64 {
        let more = u64::from(purpose != Purpose::Intake);
        self.generation.fetch_add(more, Ordering::SeqCst) + more
    }
}

/// What a connection is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Purpose {
    /// To receive from the hub's own queues, and to declare.
    Consuming,
    /// To publish.
    Publishing,
    /// To receive what foreign services wrote. lapin gives up a connection over a property that is not UTF-8.
    Intake,
}

impl Purpose {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Consuming => "consuming",
            Self::Publishing => "publishing",
            Self::Intake => "intake",
        }
    }
}

/// One connection, from its handshake to its end.
pub(super) struct Link {
    site: Arc<Site>,
    connection: Connection,
    lifeline: Lifeline,
    ended: CancellationToken,
    why: OnceLock<String>,
    blocked: watch::Sender<Option<Arc<str>>>,
}

impl Link {
    async fn open(site: &Arc<Site>, purpose: Purpose) -> Result<Self, BrokerError> {
        let limit = site.address.connect_timeout().unwrap_or(site.connect_timeout);
        // Without it, a thread of lapin would wait for the broker's answer for ever: there is no heartbeat yet.
        let lifeline = Lifeline::default();
        // On the heap: it is large, and seldom.
        let handshake = Box::pin(handshake(site, purpose, lifeline.socket()));
        let connection = within(&site.runtime, limit, handshake)
            .await
            .map_err(|elapsed| refusal::unavailable(&site.address, silence(elapsed.limit)))?
            .map_err(|error| refusal::of_connection(&site.address, &error))?;
        Ok(Self {
            site: Arc::clone(site),
            connection,
            lifeline,
            ended: CancellationToken::new(),
            why: OnceLock::new(),
            blocked: watch::Sender::new(None),
        })
    }

    pub(super) fn address(&self) -> &Address {
        &self.site.address
    }

    pub(super) fn site(&self) -> &Site {
        &self.site
    }

    /// Why the broker takes no messages on this connection, while it does not.
    pub(super) fn blocked(&self) -> Option<Arc<str>> {
        self.blocked.borrow().clone()
    }

    /// Tells when [`blocked`](Self::blocked) changes.
    pub(super) fn watch_blocked(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.blocked.subscribe()
    }

    /// Completes once the connection is of no use any more.
    pub(super) async fn ended(&self) {
        self.ended.cancelled().await;
    }

    /// What to say when it is of no use any more.
    pub(super) fn loss(&self) -> BrokerError {
        let why = self.why.get().map_or("the connection was lost", String::as_str);
        refusal::unavailable(self.address(), why)
    }

    /// Waits for the broker's answer to one request, for as long as the connection lives. `method` names it as
    /// AMQP does.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`] when there is none.
    pub(super) async fn rpc<T>(
        &self,
        method: &str,
        request: impl Future<Output = T>,
    ) -> Result<T, BrokerError> {
        let address = self.address();
        tokio::select! {
            biased;
            () = self.ended() => Err(self.loss()),
            answer = within(&self.site.runtime, ANSWER_WITHIN, request) => answer.map_err(|elapsed| {
                refusal::unavailable(address, format!("{} to {method}", silence(elapsed.limit)))
            }),
        }
    }

    /// Opens a channel.
    pub(super) async fn channel(&self) -> Result<Channel, BrokerError> {
        self.rpc("channel.open", self.connection.create_channel())
            .await?
            .map_err(|error| refusal::unavailable(self.address(), refusal::words(&error)))
    }

    /// Closes a channel in good order; what was not acknowledged on it goes back to its queue. The connection
    /// being lost meanwhile has the same effect.
    pub(super) async fn close_channel(&self, channel: &Channel) {
        if let Ok(Err(error)) = self
            .rpc("channel.close", channel.close(GOODBYE, short("bye")))
            .await
        {
            tracing::debug!(%error, "a channel was gone before it was closed");
        }
    }

    /// Watches the connection until it is of no use any more, and returns why.
    async fn watch_over(&self) -> String {
        let mut events = std::pin::pin!(self.connection.events_listener());
        loop {
            let event = tokio::select! {
                biased;
                event = events.next() => event,
                () = self.site.runtime.sleep(LOOK_EVERY) => None,
            };
            let status = self.connection.status();
            match event {
                Some(Event::ConnectionBlocked(reason)) => self.set_blocked(Some(&reason)),
                Some(Event::ConnectionUnblocked) => self.set_blocked(None),
                // An error of a channel comes here too.
                Some(Event::Error(error)) if !status.connected() => return refusal::words(&error),
                _ if !status.connected() => return "the connection was closed".to_owned(),
                // What happened before there was a listener made no event.
                None if status.blocked() && self.blocked().is_none() => {
                    self.set_blocked(Some("no reason given"))
                }
                _ => {}
            }
        }
    }

    fn set_blocked(&self, reason: Option<&str>) {
        let before = self.blocked.send_replace(reason.map(Arc::from));
        let address = self.address();
        match (before, reason) {
            (None, Some(reason)) => {
                tracing::warn!(%address, reason, "RabbitMQ takes no messages until it has room again");
            }
            (Some(_), None) => tracing::info!(%address, "RabbitMQ takes messages again"),
            _ => {}
        }
    }

    /// Says goodbye, at most for [`FAREWELL_WITHIN`].
    async fn close(&self) {
        let goodbye = self.connection.close(GOODBYE, short("bye"));
        if within(&self.site.runtime, FAREWELL_WITHIN, goodbye)
            .await
            .is_err()
        {
            tracing::debug!(address = %self.address(), "no answer to the farewell");
        }
        self.abandon(CLOSED);
    }

    /// Ends everything that still uses the connection, lapin's thread included.
    fn abandon(&self, why: &str) {
        // The first reason stands.
        let _ = self.why.set(why.to_owned());
        self.ended.cancel();
        self.lifeline.sever();
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.ended.cancel();
    }
}

async fn handshake(site: &Site, purpose: Purpose, socket: Socket) -> Result<Connection, lapin::Error> {
    let properties = ConnectionProperties::default()
        .with_connection_name(format!("{} {}", site.name, purpose.as_str()).into());
    let tls = site.tls.clone();
    Connection::connector(
        site.address.uri(),
        wire::reactor(),
        async move |uri: AMQPUri, reactor| {
            // This runs on lapin's thread, which the end of the runtime does not wait for. A timer that is polled
            // there after that end panics; whoever waits for the connection keeps the time instead.
            let stream = tokio::select! {
                biased;
                () = socket.severed() => return Err(std::io::Error::from(std::io::ErrorKind::TimedOut).into()),
                stream = wire::connect(&uri, &reactor, &socket, tls.as_ref()) => stream?,
            };
            Ok(AsyncTcpStream::Plain(stream))
        },
        properties,
    )
    .await
}

fn silence(limit: Duration) -> String {
    format!("no answer within {limit:?}")
}

/// Where a connection stands.
#[derive(Clone)]
enum State {
    Up(Arc<Link>),
    Down(Arc<str>),
    Closed,
}

/// A connection that is opened again whenever it ends.
pub(super) struct Uplink {
    site: Arc<Site>,
    state: watch::Receiver<State>,
    keeper: tokio::sync::Mutex<TaskHandle>,
}

impl Uplink {
    /// Opens the connection, or says why it cannot be opened; from then on it is kept open.
    pub(super) async fn open(site: &Arc<Site>, purpose: Purpose) -> Result<Self, BrokerError> {
        if site.closing.is_cancelled() {
            return Err(refusal::unavailable(&site.address, CLOSED));
        }
        let link = Arc::new(Link::open(site, purpose).await?);
        site.count(purpose);
        let (sender, state) = watch::channel(State::Up(Arc::clone(&link)));
        let keeper = Keeper {
            site: Arc::clone(site),
            purpose,
            state: sender,
        };
        let keeper = site
            .runtime
            .spawn("rabbitmq-connection", keeper.run(link).boxed());
        Ok(Self {
            site: Arc::clone(site),
            state,
            keeper: tokio::sync::Mutex::new(keeper),
        })
    }

    /// The connection, waited for if it is being opened again.
    ///
    /// # Errors
    /// [`BrokerError::Unavailable`] when it does not come back in time, or was closed for good.
    pub(super) async fn link(&self) -> Result<Arc<Link>, BrokerError> {
        let waited = within(&self.site.runtime, self.site.connection_wait, self.wait()).await;
        let address = &self.site.address;
        match waited {
            Ok(Some(link)) => Ok(link),
            Ok(None) => Err(refusal::unavailable(address, CLOSED)),
            Err(_) => Err(refusal::unavailable(address, self.trouble().unwrap_or_default())),
        }
    }

    /// The connection, waited for however long it takes; `None` once it is closed for good.
    pub(super) async fn wait(&self) -> Option<Arc<Link>> {
        let mut state = self.state.clone();
        loop {
            let now = state.borrow_and_update().clone();
            match now {
                State::Up(link) => return Some(link),
                State::Closed => return None,
                State::Down(_) => state.changed().await.ok()?,
            }
        }
    }

    /// Why there is no connection now, if there is none.
    pub(super) fn trouble(&self) -> Option<String> {
        match &*self.state.borrow() {
            State::Up(_) => None,
            State::Down(why) => Some(why.to_string()),
            State::Closed => Some(CLOSED.to_owned()),
        }
    }

    /// Why the broker takes no messages on the connection, while it does not.
    pub(super) fn blocked(&self) -> Option<Arc<str>> {
        match &*self.state.borrow() {
            State::Up(link) => link.blocked(),
            State::Down(_) | State::Closed => None,
        }
    }

    /// Waits until the keeper has closed the connection, which [`Site::closing`] tells it to do.
    pub(super) async fn closed(&self) {
        self.keeper.lock().await.join().await;
    }
}

impl fmt::Debug for Uplink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Uplink")
            .field("address", &self.site.address)
            .finish_non_exhaustive()
    }
}

/// The task behind an [`Uplink`].
struct Keeper {
    site: Arc<Site>,
    purpose: Purpose,
    state: watch::Sender<State>,
}

impl Keeper {
    async fn run(self, first: Arc<Link>) {
        let mut link = first;
        loop {
            let why = tokio::select! {
                biased;
                () = self.site.closing.cancelled() => {
                    self.state.send_replace(State::Closed);
                    return link.close().await;
                }
                why = link.watch_over() => why,
            };
            tracing::warn!(
                address = %self.site.address, connection = self.purpose.as_str(), reason = why,
                "lost the connection to RabbitMQ"
            );
            link.abandon(&why);
            self.state.send_replace(State::Down(Arc::from(why)));
            drop(link);
            match self.open_again().await {
                Some(again) => link = again,
                None => return,
            }
        }
    }

    /// Tries until it succeeds; `None` once no connection is wanted any more.
    async fn open_again(&self) -> Option<Arc<Link>> {
        let mut attempt = 0;
        let mut last = None;
        loop {
            let pause = self.site.runtime.sleep(self.site.pause(attempt));
            let opened = tokio::select! {
                biased;
                () = self.site.closing.cancelled() => {
                    self.state.send_replace(State::Closed);
                    return None;
                }
                opened = pause.then(|()| Link::open(&self.site, self.purpose)) => opened,
            };
            match opened {
                Ok(link) => {
                    let link = Arc::new(link);
                    // First the number, then the connection: who uses the new one must see the new number.
                    let generation = self.site.count(self.purpose);
                    self.state.send_replace(State::Up(Arc::clone(&link)));
                    tracing::info!(
                        address = %self.site.address, connection = self.purpose.as_str(), generation,
                        "connected to RabbitMQ again"
                    );
                    return Some(link);
                }
                Err(error) => {
                    // Once a reason: a password that is refused now is news, the hundredth refusal is not.
                    if last.as_ref() != Some(&error) {
                        tracing::warn!(connection = self.purpose.as_str(), "{error}; trying on");
                    }
                    self.state
                        .send_replace(State::Down(Arc::from(reason(error.clone()))));
                    last = Some(error);
                    attempt = attempt.saturating_add(1);
                }
            }
        }
    }
}

fn reason(error: BrokerError) -> String {
    match error {
        BrokerError::Unavailable { reason, .. }
        | BrokerError::Untrusted { reason, .. }
        | BrokerError::Refused { reason, .. } => reason,
        BrokerError::Missing { .. } => error.to_string(),
    }
}
