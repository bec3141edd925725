//! Owns the [`Broker`] on RabbitMQ: durable queues, publishing with confirms, consuming with acks.
//! Never decides what a message means, and never keeps one: what is unsure goes back to the caller.
//!
//! A connection to publish, since a broker that is short of room stops all that such a connection sends, acks too;
//! one to consume; and one for the intake, since what foreign services write there may break it.

mod address;
mod connection;
mod consumer;
mod epoch;
mod properties;
mod publisher;
mod refusal;
mod socket;
mod topology;
mod wire;

pub use topology::QueueType;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use longhaul_shared::id::{Epoch, HubName, QueueName};
use longhaul_shared::message::{Destination, Publication};
use longhaul_shared::port::{
    Broker, BrokerCondition, BrokerError, Depth, PublishError, Runtime, Source, Subscription,
};
use tokio::sync::OnceCell;
use tokio_util::sync::CancellationToken;

use self::address::Address;
use self::connection::{Link, Purpose, Site, Uplink};
use self::publisher::Publisher;
use self::topology::Topology;
use crate::tls::Tls;

/// Longest time to open a connection, unless the URL's `connection_timeout` or the configuration says otherwise.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Longest wait of a call for a connection that is being opened again.
pub const CONNECTION_WAIT: Duration = Duration::from_secs(5);

/// Longest wait for the confirm of a message. A quorum queue without a majority never confirms.
pub const CONFIRM_TIMEOUT: Duration = Duration::from_secs(30);

/// What a program may do to the hub's queues.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Role {
    /// Declares them: orchestrator workers.
    Orchestrator,
    /// Only looks whether they are there: clients and activity workers. A queue that came from them would hide
    /// from the orchestrator workers that the broker lost its data.
    Client,
}

/// Where the broker is, whose queues to use, and how long to wait.
#[derive(Clone)]
pub struct RabbitConfig {
    /// `amqp://user:password@host:port/vhost`, or `amqps`, with `heartbeat` (seconds, default 5), `connection_timeout`
    /// (milliseconds), `channel_max` and `frame_max` as query parameters.
    pub url: String,
    /// The hub.
    pub hub: HubName,
    /// What kind of queues the hub was made with.
    pub queue_type: QueueType,
    /// What this program may do to them.
    pub role: Role,
    /// Whom to trust, and what to show, where the URL says `amqps`.
    pub tls: Tls,
    /// See [`CONNECT_TIMEOUT`].
    pub connect_timeout: Duration,
    /// See [`CONNECTION_WAIT`].
    pub connection_wait: Duration,
    /// See [`CONFIRM_TIMEOUT`].
    pub confirm_timeout: Duration,
}

impl RabbitConfig {
    /// A configuration with the default times.
    #[must_use]
    pub fn new(url: impl Into<String>, hub: HubName, queue_type: QueueType, role: Role) -> Self {
        Self {
            url: url.into(),
            hub,
            queue_type,
            role,
            tls: Tls::default(),
            connect_timeout: CONNECT_TIMEOUT,
            connection_wait: CONNECTION_WAIT,
            confirm_timeout: CONFIRM_TIMEOUT,
        }
    }
}

impl fmt::Debug for RabbitConfig {
    /// Without the URL, which holds a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RabbitConfig")
            .field("hub", &self.hub)
            .field("queue_type", &self.queue_type)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// The [`Broker`] of one hub on RabbitMQ. Connections that end are opened again for as long as it lives.
#[derive(Debug)]
pub struct RabbitBroker {
    site: Arc<Site>,
    topology: Topology,
    role: Role,
    consuming: Uplink,
    publishing: Arc<Uplink>,
    /// Opened when somebody subscribes to the intake.
    intake: OnceCell<Uplink>,
    publisher: Publisher,
}

impl RabbitBroker {
    /// Connects, once: what fails now fails at once, with a sentence for whoever started the program.
    ///
    /// # Errors
    /// [`BrokerError::Refused`] for an unusable URL, credentials or a virtual host that RabbitMQ does not take;
    /// [`BrokerError::Untrusted`] for certificates that are not accepted; [`BrokerError::Unavailable`] when it does
    /// not answer in time.
    ///
    /// # Cancel safety
    /// Dropping the future closes whatever it had opened.
    pub async fn connect(config: RabbitConfig, runtime: Arc<dyn Runtime>) -> Result<Arc<Self>, BrokerError> {
        let address = Address::parse(&config.url)?;
        let tls = wire::secured(&address, &config.tls)?;
        let site = Arc::new(Site {
            address,
            tls,
            runtime,
            name: format!("longhaul {}", config.hub),
            connect_timeout: config.connect_timeout,
            connection_wait: config.connection_wait,
            generation: AtomicU64::new(0),
            closing: CancellationToken::new(),
        });
        let (consuming, publishing) = futures::try_join!(
            Uplink::open(&site, Purpose::Consuming),
            Uplink::open(&site, Purpose::Publishing)
        )?;
        let publishing = Arc::new(publishing);
        let topology = Topology::new(config.hub, config.queue_type);
        let publisher = Publisher::start(
            &site,
            Arc::clone(&publishing),
            topology.clone(),
            config.confirm_timeout,
        );
        Ok(Arc::new(Self {
            site,
            topology,
            role: config.role,
            consuming,
            publishing,
            intake: OnceCell::new(),
            publisher,
        }))
    }

    /// Host, port and virtual host, without credentials.
    #[must_use]
    pub fn address(&self) -> &str {
        self.site.address.shown()
    }

    /// Why RabbitMQ takes no messages from this program, while it does not: it is short of memory or disk.
    /// Messages are still received and acknowledged meanwhile.
    #[must_use]
    pub fn blocked(&self) -> Option<String> {
        self.publishing.blocked().map(|reason| reason.to_string())
    }

    /// Why there is no connection at the moment, if there is none.
    #[must_use]
    pub fn disconnected(&self) -> Option<String> {
        self.publishing.trouble().or_else(|| self.consuming.trouble())
    }

    /// Waits for the confirms that are still out, up to five seconds, and closes the connections. Subscriptions
    /// should be closed before; those that are not end now. Nothing can be published or received afterwards.
    pub async fn shutdown(&self) {
        self.publisher.flush().await;
        self.site.closing.cancel();
        futures::join!(self.consuming.closed(), self.publishing.closed());
        if let Some(intake) = self.intake.get() {
            intake.closed().await;
        }
    }

    async fn link_for(&self, source: &Source) -> Result<Arc<Link>, BrokerError> {
        let uplink = match source {
            Source::Control(_) | Source::Work(_) => &self.consuming,
            Source::Intake => {
                let open = || Uplink::open(&self.site, Purpose::Intake);
                self.intake.get_or_try_init(open).await?
            }
        };
        uplink.link().await
    }

    fn must_declare(&self, what: &str) -> Result<(), BrokerError> {
        match self.role {
            Role::Orchestrator => Ok(()),
            Role::Client => Err(BrokerError::Refused {
                address: self.address().to_owned(),
                reason: format!("only orchestrator workers declare {what}"),
            }),
        }
    }
}

#[async_trait]
impl Broker for RabbitBroker {
    async fn publish(&self, batch: Vec<Publication>) -> Vec<Result<(), PublishError>> {
        self.publisher.publish(batch).await
    }

    async fn subscribe(&self, source: Source, prefetch: u16) -> Result<Box<dyn Subscription>, BrokerError> {
        let link = self.link_for(&source).await?;
        consumer::subscribe(link, self.topology.queue(&source.destination()), prefetch).await
    }

    async fn declare(&self, partitions: u16, queues: &[QueueName]) -> Result<(), BrokerError> {
        let link = self.consuming.link().await?;
        let channel = link.channel().await?;
        for queue in self.topology.queues(partitions, queues) {
            match self.role {
                Role::Orchestrator => self.topology.declare(&link, &channel, &queue).await?,
                Role::Client => drop(topology::look_for(&link, &channel, &queue).await?),
            }
        }
        link.close_channel(&channel).await;
        Ok(())
    }

    async fn has_epoch(&self, epoch: Epoch) -> Result<bool, BrokerError> {
        epoch::has(&*self.consuming.link().await?, &self.topology, epoch).await
    }

    async fn declare_epoch(&self, epoch: Epoch) -> Result<(), BrokerError> {
        self.must_declare("epochs")?;
        epoch::declare(&*self.consuming.link().await?, &self.topology, epoch).await
    }

    async fn withdraw_epoch(&self, epoch: Epoch) -> Result<(), BrokerError> {
        self.must_declare("epochs")?;
        epoch::withdraw(&*self.consuming.link().await?, &self.topology, epoch).await
    }

    async fn depth(&self, destination: &Destination) -> Result<Option<Depth>, BrokerError> {
        let link = self.consuming.link().await?;
        let channel = link.channel().await?;
        match topology::look_for(&link, &channel, &self.topology.queue(destination)).await {
            Ok(depth) => {
                link.close_channel(&channel).await;
                Ok(Some(depth))
            }
            // The channel is gone.
            Err(BrokerError::Missing { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn condition(&self) -> BrokerCondition {
        BrokerCondition {
            kind: "rabbitmq",
            // lapin keeps what the server says of itself to itself.
            version: None,
            is_connected: self.disconnected().is_none(),
            is_blocked: self.blocked().is_some(),
            unconfirmed: self.publisher.unconfirmed(),
        }
    }

    fn connection_generation(&self) -> u64 {
        self.site.generation.load(Ordering::SeqCst)
    }
}
