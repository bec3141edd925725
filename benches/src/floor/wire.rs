//! Owns the floor's plain way to RabbitMQ: one channel that confirms, one consumer a queue.
//! Never connects again: a floor whose broker goes away is measured anew.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Context, ensure};
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, BasicQosOptions, ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, Consumer};
use longhaul_shared::message::{Destination, Publication};
use tokio::sync::{mpsc, oneshot};

type Answer = oneshot::Sender<lapin::Result<Confirmation>>;

/// A connection with one channel to publish on.
#[derive(Clone)]
pub(super) struct Wire {
    connection: Arc<Connection>,
    hub: Arc<str>,
    queue_type: Arc<str>,
    publications: mpsc::UnboundedSender<(Publication, Answer)>,
    published: Arc<AtomicU64>,
}

impl Wire {
    pub(super) async fn connect(url: &str, hub: &str, queue_type: &str) -> anyhow::Result<Self> {
        let connection = Connection::connect(url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        let (publications, inbox) = mpsc::unbounded_channel();
        let wire = Self {
            connection: Arc::new(connection),
            hub: hub.into(),
            queue_type: queue_type.into(),
            publications,
            published: Arc::default(),
        };
        tokio::spawn(send(channel, wire.hub.clone(), inbox));
        Ok(wire)
    }

    /// Publishes, and waits for the confirm.
    pub(super) async fn publish(&self, publication: Publication) -> anyhow::Result<()> {
        let (answer, confirmed) = oneshot::channel();
        self.publications
            .send((publication, answer))
            .ok()
            .context("the channel is gone")?;
        let confirmed = confirmed.await.context("the channel is gone")??;
        ensure!(
            matches!(confirmed, Confirmation::Ack(None)),
            "not taken: {confirmed:?}"
        );
        self.published.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    /// How many messages were confirmed.
    pub(super) fn published(&self) -> u64 {
        self.published.load(Ordering::Relaxed)
    }

    /// Makes a queue as the product makes it.
    pub(super) async fn declare(&self, destination: &Destination) -> anyhow::Result<()> {
        let channel = self.connection.create_channel().await?;
        let mut arguments = FieldTable::default();
        let queue_type = AMQPValue::LongString((&*self.queue_type).into());
        arguments.insert("x-queue-type".into(), queue_type);
        if &*self.queue_type == "quorum" {
            arguments.insert("x-delivery-limit".into(), AMQPValue::LongInt(1_000_000));
        }
        let options = QueueDeclareOptions {
            durable: true,
            ..QueueDeclareOptions::default()
        };
        channel
            .queue_declare(queue(&self.hub, destination)?, options, arguments)
            .await?;
        Ok(())
    }

    /// Consumes from a queue on a channel of its own.
    pub(super) async fn consume(&self, destination: &Destination, prefetch: u16) -> anyhow::Result<Consumer> {
        let channel = self.connection.create_channel().await?;
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let queue = queue(&self.hub, destination)?;
        let (tag, options) = (ShortString::try_new("floor")?, BasicConsumeOptions::default());
        Ok(channel
            .basic_consume(queue, tag, options, FieldTable::default())
            .await?)
    }
}

/// Sends from one task: a confirm channel that several use mixes up its confirms.
async fn send(channel: Channel, hub: Arc<str>, mut inbox: mpsc::UnboundedReceiver<(Publication, Answer)>) {
    while let Some((publication, answer)) = inbox.recv().await {
        let Ok(queue) = queue(&hub, &publication.destination) else {
            continue;
        };
        let options = BasicPublishOptions {
            mandatory: true,
            ..BasicPublishOptions::default()
        };
        let properties = properties(&publication).unwrap_or_default();
        let sent = channel
            .basic_publish(
                ShortString::default(),
                queue,
                options,
                &publication.body,
                properties,
            )
            .await;
        match sent {
            Ok(confirm) => {
                tokio::spawn(async move { answer.send(confirm.await) });
            }
            Err(error) => {
                // Whoever waits has failed by then.
                let _gone = answer.send(Err(error));
            }
        }
    }
}

fn properties(publication: &Publication) -> anyhow::Result<BasicProperties> {
    const PERSISTENT: u8 = 2;
    let mut properties = BasicProperties::default()
        .with_delivery_mode(PERSISTENT)
        .with_message_id(ShortString::try_new(publication.id.to_string())?)
        .with_type(ShortString::try_new(publication.kind.as_str())?)
        .with_content_type(ShortString::try_new(publication.content_type.as_str())?)
        .with_timestamp(u64::try_from(publication.time.micros() / 1_000_000)?);
    if let Some(correlation) = &publication.correlation {
        properties = properties.with_correlation_id(ShortString::try_new(correlation.as_str())?);
    }
    Ok(properties)
}

fn queue(hub: &str, destination: &Destination) -> anyhow::Result<ShortString> {
    let name = match destination {
        Destination::Control(partition) => format!("lh.{hub}.v1.ctl.{partition}"),
        Destination::Work(queue) => format!("lh.{hub}.v1.act.{queue}"),
        other => anyhow::bail!("the floor sends nothing to {other:?}"),
    };
    Ok(ShortString::try_new(name)?)
}
