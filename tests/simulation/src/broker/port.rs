//! Owns the [`Broker`] port of the simulated RabbitMQ.
//! Never decides what goes wrong: the server does.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::channel::oneshot;
use longhaul_shared::id::{Epoch, QueueName};
use longhaul_shared::message::{Destination, Publication};
use longhaul_shared::port::{
    Acker, Broker, BrokerCondition, BrokerError, Delivery, DeliveryTag, Depth, PublishError, Source,
    Subscription,
};

use super::server::{BrokerServer, ConsumerId, Look, unavailable, unknown};
use crate::executor::Life;
use crate::mutant::Mutant;
use crate::store::StoreServer;

/// How long a publisher waits for a broker that takes nothing before it gives up on the confirm.
const CONFIRM_WITHIN: Duration = Duration::from_secs(30);
/// How often it looks meanwhile.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// One process's door to the simulated RabbitMQ.
pub struct SimBroker {
    server: BrokerServer,
    life: Life,
    /// For the rule that is broken at both ends.
    store: Option<StoreServer>,
}

impl SimBroker {
    /// A door for a process that is connected.
    #[must_use]
    pub fn new(server: BrokerServer, life: Life, store: Option<StoreServer>) -> Self {
        Self { server, life, store }
    }

    fn note(&self, line: impl FnOnce() -> String) {
        self.server
            .room()
            .note(|| format!("broker  {:?} {}", self.life, line()));
    }

    /// The time a request takes to the broker and back.
    async fn travel(&self) {
        let room = self.server.room();
        let span = room.chance().between(100, 3_000);
        room.sleep(Duration::from_micros(span)).await;
    }

    async fn ask<T>(&self, request: impl FnOnce(&BrokerServer) -> T) -> Result<T, BrokerError> {
        self.server.check_up(self.life)?;
        self.travel().await;
        self.server.check_up(self.life)?;
        let answer = request(&self.server);
        self.travel().await;
        self.server.check_up(self.life)?;
        Ok(answer)
    }

    /// Waits while the broker takes nothing; whether it does in the end.
    async fn is_taken(&self) -> bool {
        let room = self.server.room();
        let mut waited = Duration::ZERO;
        while self.server.is_blocked(self.life) && waited < CONFIRM_WITHIN {
            room.sleep(LOOK_EVERY).await;
            waited += LOOK_EVERY;
        }
        !self.server.is_blocked(self.life)
    }
}

#[async_trait]
impl Broker for SimBroker {
    async fn publish(&self, batch: Vec<Publication>) -> Vec<Result<(), PublishError>> {
        let count = batch.len();
        let nothing = |reason: &str| (0..count).map(|_| Err(unknown(reason))).collect();
        if self.server.is(Mutant::OutboxRemovedBeforeConfirm)
            && let Some(store) = &self.store
        {
            store.meddle(|state| {
                batch
                    .iter()
                    .for_each(|message| state.forget_everywhere(message.id))
            });
        }
        if self.server.check_up(self.life).is_err() || !self.is_taken().await {
            return nothing("no connection");
        }
        let generation = self.server.generation(self.life);
        let room = self.server.room();
        if !room.lives(self.life) {
            return std::future::pending().await;
        }
        let (there, back) = (
            room.chance().between(100, 3_000),
            room.chance().between(100, 3_000),
        );
        let (answer, answered) = oneshot::channel();
        let (server, life, after) = (self.server.clone(), self.life, room.clone());
        // On its way it needs nobody: a publisher that dies meanwhile has published all the same.
        room.after(there, move || {
            if server.is_up(life, generation) {
                let published = server.take(batch);
                after.after(back, move || {
                    if server.is_up(life, generation) {
                        let _ = answer.send(published.results);
                    }
                });
            }
        });
        answered.await.unwrap_or_else(|_| nothing("the connection broke"))
    }

    async fn subscribe(&self, source: Source, prefetch: u16) -> Result<Box<dyn Subscription>, BrokerError> {
        let queue = source.destination();
        let life = self.life;
        self.server.check_up(life)?;
        self.travel().await;
        let subscribed = self.server.subscribe(life, &queue, prefetch);
        self.note(|| format!("subscribes to {queue:?}: {subscribed:?}"));
        let id = subscribed?;
        let tap = Arc::new(Tap {
            server: self.server.clone(),
            life,
            id,
        });
        Ok(Box::new(SimSubscription {
            tap,
            is_closed: false,
        }))
    }

    async fn declare(&self, partitions: u16, queues: &[QueueName]) -> Result<(), BrokerError> {
        self.note(|| format!("declares {partitions} partitions, queues {queues:?}"));
        self.ask(|server| server.declare(partitions, queues)).await
    }

    async fn has_epoch(&self, epoch: Epoch) -> Result<bool, BrokerError> {
        self.ask(|server| server.has_epoch(epoch)).await
    }

    async fn declare_epoch(&self, epoch: Epoch) -> Result<(), BrokerError> {
        self.note(|| format!("declares epoch {epoch}"));
        self.ask(|server| server.declare_epoch(epoch)).await
    }

    async fn withdraw_epoch(&self, epoch: Epoch) -> Result<(), BrokerError> {
        self.note(|| format!("withdraws epoch {epoch}"));
        self.ask(|server| server.withdraw_epoch(epoch)).await
    }

    async fn depth(&self, destination: &Destination) -> Result<Option<Depth>, BrokerError> {
        self.ask(|server| server.depth(destination)).await
    }

    fn condition(&self) -> BrokerCondition {
        BrokerCondition {
            kind: "simulated",
            version: None,
            is_connected: self.server.check_up(self.life).is_ok(),
            is_blocked: self.server.is_blocked(self.life),
            // A message on its way is nobody's until it arrives.
            unconfirmed: 0,
        }
    }

    fn connection_generation(&self) -> u64 {
        self.server.generation(self.life)
    }
}

struct SimSubscription {
    tap: Arc<Tap>,
    is_closed: bool,
}

struct Tap {
    server: BrokerServer,
    life: Life,
    id: ConsumerId,
}

#[async_trait]
impl Subscription for SimSubscription {
    async fn next(&mut self) -> Result<Delivery, BrokerError> {
        loop {
            match self.tap.server.look(self.tap.id) {
                Look::Delivery(delivery) => return Ok(*delivery),
                Look::Nothing(bell) => bell.notified().await,
                Look::Ended => return Err(unavailable("the subscription ended")),
            }
        }
    }

    fn acker(&self) -> Arc<dyn Acker> {
        Arc::clone(&self.tap) as Arc<dyn Acker>
    }

    async fn close(mut self: Box<Self>) {
        self.is_closed = true;
        let room = self.tap.server.room();
        let span = self.tap.server.close_at(self.tap.id);
        room.sleep(Duration::from_micros(span)).await;
        self.tap.server.cancel(self.tap.id);
    }
}

impl Drop for SimSubscription {
    fn drop(&mut self) {
        // The channel of a dropped subscription closes a little later.
        let (server, id) = (self.tap.server.clone(), self.tap.id);
        let room = server.room();
        let span = room.chance().between(100, 20_000);
        room.after(span, move || server.cancel(id));
    }
}

impl Acker for Tap {
    fn ack(&self, tag: DeliveryTag) {
        if self.server.room().lives(self.life) {
            self.server.ack(self.id, tag);
        }
    }
}
