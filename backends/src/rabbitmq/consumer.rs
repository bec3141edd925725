//! Owns what is received: a channel for each subscription, its deliveries, and the sending of their acks.
//! Never acknowledges for another channel: tags begin anew on each, and an old one would hit a stranger.
//!
//! Acks gather for a few milliseconds, since one frame can tell many.

mod window;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt, join_all};
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Consumer};
use longhaul_shared::port::{Acker, BrokerError, Delivery, DeliveryTag, Subscription, TaskHandle, within};
use tokio::sync::mpsc;

use self::window::{Ack, Window};
use super::connection::Link;
use super::properties::{incoming, short};
use super::refusal;
use super::topology::look_for;

/// Longest time that an ack waits for company.
const FLUSH_AFTER: Duration = Duration::from_millis(5);

/// Acks that are company enough.
const FLUSH_ACKS: usize = 64;

/// Longest time that the end of a subscription waits for the broker.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);

/// Starts to receive from a queue.
///
/// # Errors
/// [`BrokerError::Missing`] when the queue does not exist; otherwise whatever keeps the broker from serving.
pub(super) async fn subscribe(
    link: Arc<Link>,
    queue: String,
    prefetch: u16,
) -> Result<Box<dyn Subscription>, BrokerError> {
    let refused = |error: lapin::Error| refusal::of_queue(link.address(), &queue, &error);
    let channel = link.channel().await?;
    // Consuming from a missing queue would say the same, but this way it is told apart from all else.
    look_for(&link, &channel, &queue).await?;
    // Zero would mean: without a bound.
    let qos = channel.basic_qos(prefetch.max(1), BasicQosOptions { global: false });
    link.rpc("basic.qos", qos).await?.map_err(refused)?;
    let consume = channel.basic_consume(
        short(&queue),
        short(""),
        BasicConsumeOptions::default(),
        FieldTable::default(),
    );
    let consumer = link.rpc("basic.consume", consume).await?.map_err(refused)?;

    let handed_out = Arc::new(AtomicU64::new(0));
    let (orders, receiver) = mpsc::unbounded_channel();
    let clerk = Clerk {
        link: Arc::clone(&link),
        channel,
        orders: receiver,
        handed_out: Arc::clone(&handed_out),
        window: Window::default(),
    };
    let task = link.site().runtime.spawn("rabbitmq-acks", clerk.run().boxed());
    Ok(Box::new(QueueSubscription {
        link,
        queue,
        consumer,
        handed_out,
        orders,
        task,
        ended: None,
    }))
}

struct QueueSubscription {
    link: Arc<Link>,
    queue: String,
    consumer: Consumer,
    /// The highest tag given to the caller; no other may be acknowledged.
    handed_out: Arc<AtomicU64>,
    orders: mpsc::UnboundedSender<Order>,
    task: TaskHandle,
    ended: Option<BrokerError>,
}

#[async_trait]
impl Subscription for QueueSubscription {
    async fn next(&mut self) -> Result<Delivery, BrokerError> {
        if let Some(error) = &self.ended {
            return Err(error.clone());
        }
        let cancelled = |why: String| refusal::unavailable(self.link.address(), why);
        let error = tokio::select! {
            biased;
            () = self.link.ended() => self.link.loss(),
            item = self.consumer.next() => match item {
                Some(Ok(delivery)) => return Ok(self.hand_out(delivery)),
                Some(Err(error)) => cancelled(refusal::words(&error)),
                // The channel may live on, and hold what was not acknowledged: it is closed below.
                None => cancelled(format!("the consumer of {} was cancelled", self.queue)),
            },
        };
        self.ended = Some(error.clone());
        self.order(Order::Close);
        Err(error)
    }

    fn acker(&self) -> Arc<dyn Acker> {
        Arc::new(QueueAcker(self.orders.clone()))
    }

    async fn close(mut self: Box<Self>) {
        self.order(Order::Close);
        let runtime = &self.link.site().runtime;
        if within(runtime, CLOSE_WITHIN, self.task.join()).await.is_err() {
            // Once the connection is found dead, everything goes back to the queue as well.
            tracing::warn!(
                queue = self.queue,
                "RabbitMQ did not answer the end of a subscription"
            );
        }
    }
}

impl QueueSubscription {
    fn hand_out(&self, delivery: lapin::message::Delivery) -> Delivery {
        let tag = delivery.delivery_tag;
        self.handed_out.fetch_max(tag, Ordering::Release);
        Delivery {
            tag: DeliveryTag(tag),
            redelivered: delivery.redelivered,
            message: incoming(delivery),
        }
    }

    fn order(&self, order: Order) {
        // The task is gone when the channel is: there is nothing left to order then.
        let _ = self.orders.send(order);
    }
}

struct QueueAcker(mpsc::UnboundedSender<Order>);

impl Acker for QueueAcker {
    fn ack(&self, tag: DeliveryTag) {
        // An ack that comes after the end of its channel makes a redelivery.
        let _ = self.0.send(Order::Ack(tag.0));
    }
}

/// What the acknowledging task is told. There are never more acks under way than the prefetch allows deliveries.
enum Order {
    Ack(u64),
    Close,
}

/// The task that acknowledges on one channel, and closes it.
struct Clerk {
    link: Arc<Link>,
    channel: Channel,
    orders: mpsc::UnboundedReceiver<Order>,
    handed_out: Arc<AtomicU64>,
    window: Window,
}

impl Clerk {
    async fn run(mut self) {
        let mut timer: Option<BoxFuture<'static, ()>> = None;
        loop {
            let order = tokio::select! {
                biased;
                () = self.link.ended() => return,
                order = self.orders.recv() => order,
                () = wait_for(&mut timer) => {
                    timer = None;
                    Some(Order::Ack(0))
                }
            };
            let due = timer.is_none() && self.window.waiting() > 0;
            if !self.take_in(order) {
                let rest = self.window.flush_all();
                self.send(rest).await;
                return self.link.close_channel(&self.channel).await;
            }
            if due || self.window.waiting() >= FLUSH_ACKS {
                let now = self.link.site().runtime.now();
                let acks = self.window.flush(now, self.handed_out.load(Ordering::Acquire));
                if !self.send(acks).await {
                    return;
                }
            }
            if timer.is_none() && self.window.waiting() > 0 {
                timer = Some(self.link.site().runtime.sleep(FLUSH_AFTER));
            }
        }
    }

    /// Takes an order and whatever else is there already; `false` for the last one.
    fn take_in(&mut self, order: Option<Order>) -> bool {
        let mut next = order;
        loop {
            match next {
                Some(Order::Ack(tag)) => self.window.done(tag, self.handed_out.load(Ordering::Acquire)),
                Some(Order::Close) | None => return false,
            }
            match self.orders.try_recv() {
                Ok(order) => next = Some(order),
                Err(_) => return true,
            }
        }
    }

    /// Sends acknowledgements; `false` when the channel is gone, and with it all they were for.
    async fn send(&self, acks: Vec<Ack>) -> bool {
        let frames = acks.into_iter().map(|ack| {
            let multiple = ack.multiple;
            self.channel.basic_ack(ack.tag, BasicAckOptions { multiple })
        });
        match self.link.rpc("basic.ack", join_all(frames)).await {
            Ok(sent) => sent.iter().all(Result::is_ok),
            Err(_) => false,
        }
    }
}

async fn wait_for(timer: &mut Option<BoxFuture<'static, ()>>) {
    match timer {
        Some(timer) => timer.await,
        None => std::future::pending().await,
    }
}
