//! Owns the server: queues, who consumes them over which connection, and what is lost, repeated or out of order.
//! Never delivers over a connection that has ended, and never takes an ack of one.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longhaul_shared::id::{Epoch, PartitionId, QueueName};
use longhaul_shared::message::{Destination, Incoming, Publication};
use longhaul_shared::port::{BrokerError, Delivery, DeliveryTag, Depth, PublishError};
use tokio::sync::Notify;

use crate::executor::{Executor, Life, Micros};
use crate::faults::FaultCount;
use crate::mutant::Mutant;

/// How often what goes wrong with a message, in a million.
#[derive(Clone, Copy, Debug, Default)]
pub struct BrokerFaults {
    /// A message never arrives and is not confirmed.
    pub message_lost_ppm: u32,
    /// A message arrives and its confirm does not.
    pub confirm_lost_ppm: u32,
    /// A message is refused.
    pub nacked_ppm: u32,
    /// A message is there twice.
    pub doubled_ppm: u32,
    /// A delivery overtakes others.
    pub overtaken_ppm: u32,
    /// The channel of a delivery is closed right after it.
    pub channel_closed_ppm: u32,
}

/// The simulated RabbitMQ. Cheap to clone.
#[derive(Clone)]
pub struct BrokerServer(Arc<Mutex<Server>>);

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct ConsumerId(u64);

struct Server {
    room: Executor,
    mutant: Option<Mutant>,
    queues: BTreeMap<Destination, VecDeque<Queued>>,
    epochs: BTreeSet<Epoch>,
    consumers: BTreeMap<ConsumerId, Consumer>,
    consumers_ever: u64,
    links: BTreeMap<Life, Link>,
    down: bool,
    faults: BrokerFaults,
    faults_so_far: FaultCount,
}

#[derive(Clone)]
struct Queued {
    message: Incoming,
    redelivered: bool,
}

struct Consumer {
    life: Life,
    queue: Destination,
    prefetch: usize,
    unacked: BTreeMap<DeliveryTag, Queued>,
    /// Sent to a process that stood still.
    unread: VecDeque<Delivery>,
    delivered_ever: u64,
    bell: Arc<Notify>,
    /// When its last ack arrives: acks stay in their order.
    last_ack_at: Micros,
}

/// A process's connection.
struct Link {
    up: bool,
    blocked: bool,
    generation: u64,
}

/// What a consumer gets when it looks.
pub(super) enum Look {
    Delivery(Box<Delivery>),
    Nothing(Arc<Notify>),
    Ended,
}

/// The broker's answers to a batch of messages, and when they are heard.
pub(super) struct Published {
    pub(super) results: Vec<Result<(), PublishError>>,
}

pub(super) fn unavailable(reason: &str) -> BrokerError {
    BrokerError::Unavailable {
        address: "simulated".to_owned(),
        reason: reason.to_owned(),
    }
}

pub(super) fn unknown(reason: &str) -> PublishError {
    PublishError::Unknown {
        reason: reason.to_owned(),
    }
}

impl BrokerServer {
    /// A broker without queues.
    #[must_use]
    pub fn new(room: &Executor, faults_so_far: FaultCount, mutant: Option<Mutant>) -> Self {
        Self(Arc::new(Mutex::new(Server {
            room: room.clone(),
            mutant,
            queues: BTreeMap::new(),
            epochs: BTreeSet::new(),
            consumers: BTreeMap::new(),
            consumers_ever: 0,
            links: BTreeMap::new(),
            down: false,
            faults: BrokerFaults::default(),
            faults_so_far,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Server> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn room(&self) -> Executor {
        self.lock().room.clone()
    }

    pub(super) fn is(&self, mutant: Mutant) -> bool {
        self.lock().mutant == Some(mutant)
    }

    // --- fate ------------------------------------------------------------------------------------------

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: BrokerFaults) {
        self.lock().faults = faults;
    }

    /// Where messages are left, waiting or delivered and not acknowledged.
    #[must_use]
    pub fn left(&self) -> Vec<String> {
        let server = self.lock();
        let waiting = server.queues.iter().filter(|(_, waiting)| !waiting.is_empty());
        let waiting = waiting.map(|(queue, waiting)| format!("{} in {queue:?}", waiting.len()));
        let unacked = server
            .consumers
            .values()
            .filter(|consumer| !consumer.unacked.is_empty());
        let unacked = unacked.map(|consumer| {
            let Consumer {
                life, queue, unacked, ..
            } = consumer;
            format!("{} of {queue:?} at {life:?}", unacked.len())
        });
        waiting.chain(unacked).collect()
    }

    /// A process opens its connection.
    pub fn connect(&self, life: Life) {
        let up = !self.lock().down;
        let link = Link {
            up,
            blocked: false,
            generation: 1,
        };
        self.lock().links.insert(life, link);
        if !up {
            self.reconnect_after(life, 500_000);
        }
    }

    /// A process has died; the broker notices after `span`.
    pub fn died(&self, life: Life, span: Micros) {
        let server = self.clone();
        self.room().after(span, move || {
            let mut server = server.lock();
            server.links.remove(&life);
            server.faults_so_far.add();
            server.end_consumers(|consumer| consumer.life == life);
        });
    }

    /// Breaks the connection of a process, which opens another after a while.
    pub fn cut(&self, life: Life) {
        let room = self.room();
        let pause = room.chance().between(20_000, 3_000_000);
        {
            let mut server = self.lock();
            let Some(link) = server.links.get_mut(&life) else {
                return;
            };
            link.up = false;
            server.faults_so_far.add();
            server.end_consumers(|consumer| consumer.life == life);
        }
        self.reconnect_after(life, pause);
    }

    fn reconnect_after(&self, life: Life, pause: Micros) {
        let server = self.clone();
        self.room().after(pause, move || {
            let mut this = server.lock();
            if this.down {
                drop(this);
                server.reconnect_after(life, 500_000);
            } else if let Some(link) = this.links.get_mut(&life).filter(|link| !link.up) {
                link.up = true;
                link.blocked = false;
                link.generation += 1;
            }
        });
    }

    /// Stops the broker, with its data; every connection ends. It comes back after `span`.
    pub fn restart(&self, span: Micros) {
        self.stop();
        let server = self.clone();
        self.room().after(span, move || server.lock().down = false);
    }

    /// Stops the broker and loses everything in it.
    pub fn wipe(&self, span: Micros) {
        self.restart(span);
        let leaves_no_sign = self.is(Mutant::LossUnnoticed);
        let mut server = self.lock();
        if leaves_no_sign {
            server.queues.values_mut().for_each(VecDeque::clear);
        } else {
            server.queues.clear();
            server.epochs.clear();
        }
    }

    fn stop(&self) {
        let lives: Vec<Life> = {
            let mut server = self.lock();
            server.down = true;
            server.faults_so_far.add();
            server.end_consumers(|_| true);
            server.links.values_mut().for_each(|link| link.up = false);
            server.links.keys().copied().collect()
        };
        let room = self.room();
        for life in lives {
            self.reconnect_after(life, room.chance().between(100_000, 4_000_000));
        }
    }

    /// Loses a queue with all that is in it; its consumers are cancelled.
    pub fn lose_queue(&self, queue: &Destination) {
        let mut server = self.lock();
        server.faults_so_far.add();
        server.queues.remove(queue);
        server.end_consumers(|consumer| consumer.queue == *queue);
    }

    /// The queues there are.
    #[must_use]
    pub fn queues(&self) -> Vec<Destination> {
        self.lock().queues.keys().cloned().collect()
    }

    /// Takes no messages from anybody for a while.
    pub fn block(&self, span: Micros) {
        self.lock()
            .links
            .values_mut()
            .for_each(|link| link.blocked = true);
        let server = self.clone();
        self.room().after(span, move || {
            server
                .lock()
                .links
                .values_mut()
                .for_each(|link| link.blocked = false);
        });
    }

    /// A stopped process is sent what its prefetch allows, and reads it only when it goes on.
    pub fn stuff(&self, life: Life) {
        let mut server = self.lock();
        let ids: Vec<_> = server
            .consumers
            .iter()
            .filter(|(_, consumer)| consumer.life == life)
            .map(|(id, _)| *id)
            .collect();
        for id in ids {
            let often = server.room.chance().below(4);
            for _ in 0..often {
                let sent = server.deliver(id);
                if let Some(consumer) = server.consumers.get_mut(&id) {
                    consumer.unread.extend(sent);
                }
            }
        }
    }

    // --- the port's side -------------------------------------------------------------------------------

    pub(super) fn is_blocked(&self, life: Life) -> bool {
        self.lock().links.get(&life).is_some_and(|link| link.blocked)
    }

    pub(super) fn generation(&self, life: Life) -> u64 {
        self.lock().links.get(&life).map_or(0, |link| link.generation)
    }

    /// Whether the process's connection is the one that it was.
    pub(super) fn is_up(&self, life: Life, generation: u64) -> bool {
        let server = self.lock();
        let link = server.links.get(&life);
        link.is_some_and(|link| link.up && link.generation == generation)
    }

    pub(super) fn check_up(&self, life: Life) -> Result<(), BrokerError> {
        let up = self.lock().links.get(&life).is_some_and(|link| link.up);
        up.then_some(()).ok_or_else(|| unavailable("no connection"))
    }

    /// Takes in a batch that has arrived.
    pub(super) fn take(&self, batch: Vec<Publication>) -> Published {
        let mut server = self.lock();
        let results = batch.into_iter().map(|message| server.take(message)).collect();
        Published { results }
    }

    pub(super) fn subscribe(
        &self,
        life: Life,
        queue: &Destination,
        prefetch: u16,
    ) -> Result<ConsumerId, BrokerError> {
        self.check_up(life)?;
        let mut server = self.lock();
        if !server.queues.contains_key(queue) {
            let queue = format!("{queue:?}");
            return Err(BrokerError::Missing { queue });
        }
        server.consumers_ever += 1;
        let id = ConsumerId(server.consumers_ever);
        let consumer = Consumer {
            life,
            queue: queue.clone(),
            prefetch: usize::from(prefetch.max(1)),
            unacked: BTreeMap::new(),
            unread: VecDeque::new(),
            delivered_ever: 0,
            bell: Arc::new(Notify::new()),
            last_ack_at: 0,
        };
        server.consumers.insert(id, consumer);
        Ok(id)
    }

    pub(super) fn look(&self, id: ConsumerId) -> Look {
        let mut server = self.lock();
        let Some(consumer) = server.consumers.get_mut(&id) else {
            return Look::Ended;
        };
        if let Some(unread) = consumer.unread.pop_front() {
            return Look::Delivery(Box::new(unread));
        }
        let bell = Arc::clone(&consumer.bell);
        match server.deliver(id) {
            Some(delivery) => {
                let often = server.faults.channel_closed_ppm;
                if server.room.chance().ppm(often) {
                    server.faults_so_far.add();
                    server.end_consumers_of(id);
                }
                Look::Delivery(Box::new(delivery))
            }
            None => Look::Nothing(bell),
        }
    }

    pub(super) fn ack(&self, id: ConsumerId, tag: DeliveryTag) {
        let (room, at) = {
            let mut server = self.lock();
            let room = server.room.clone();
            let Some(at) = server.ack_arrives(id) else { return };
            (room, at)
        };
        let server = self.clone();
        room.after(at.saturating_sub(room.now()), move || {
            let mut server = server.lock();
            if let Some(consumer) = server.consumers.get_mut(&id) {
                consumer.unacked.remove(&tag);
                consumer.bell.notify_one();
            }
        });
    }

    /// Ends a consumer in good order, after its last ack; when.
    pub(super) fn close_at(&self, id: ConsumerId) -> Micros {
        let mut server = self.lock();
        let now = server.room.now();
        server.ack_arrives(id).unwrap_or(now).saturating_sub(now)
    }

    pub(super) fn cancel(&self, id: ConsumerId) {
        self.lock().end_consumers_of(id);
    }

    pub(super) fn declare(&self, partitions: u16, queues: &[QueueName]) {
        let mut server = self.lock();
        let controls = PartitionId::all(partitions).map(Destination::Control);
        let works = queues.iter().cloned().map(Destination::Work);
        let all = [Destination::Intake, Destination::Dead].into_iter();
        for queue in all.chain(controls).chain(works) {
            server.queues.entry(queue).or_default();
        }
    }

    pub(super) fn has_epoch(&self, epoch: Epoch) -> bool {
        self.lock().epochs.contains(&epoch)
    }

    pub(super) fn depth(&self, queue: &Destination) -> Option<Depth> {
        let server = self.lock();
        let ready = server.queues.get(queue)?.len() as u64;
        let consumers = server
            .consumers
            .values()
            .filter(|consumer| consumer.queue == *queue);
        Some(Depth {
            ready,
            consumers: u32::try_from(consumers.count()).unwrap_or(u32::MAX),
        })
    }

    pub(super) fn withdraw_epoch(&self, epoch: Epoch) {
        self.lock().epochs.remove(&epoch);
    }

    pub(super) fn declare_epoch(&self, epoch: Epoch) {
        self.lock().epochs.insert(epoch);
    }
}

impl Server {
    fn take(&mut self, message: Publication) -> Result<(), PublishError> {
        let faults = self.faults;
        let trusting = self.mutant == Some(Mutant::ConfirmNotAwaited);
        let chance = self.room.chance().clone();
        let lost = |reason: &str| if trusting { Ok(()) } else { Err(unknown(reason)) };
        if chance.ppm(faults.message_lost_ppm) {
            self.faults_so_far.add();
            return lost("the message was lost");
        }
        if chance.ppm(faults.nacked_ppm) {
            self.faults_so_far.add();
            return if trusting {
                Ok(())
            } else {
                Err(PublishError::Nacked)
            };
        }
        let destination = message.destination.clone();
        let Some(queue) = self.queues.get_mut(&destination) else {
            return Err(PublishError::Unroutable { destination });
        };
        if destination != Destination::Dead {
            let doubled = chance.ppm(faults.doubled_ppm);
            if doubled {
                self.faults_so_far.add();
            }
            let queued = Queued {
                message: message.into(),
                redelivered: false,
            };
            if doubled {
                queue.push_back(queued.clone());
            }
            queue.push_back(queued);
            self.ring(&destination);
        }
        if chance.ppm(faults.confirm_lost_ppm) {
            self.faults_so_far.add();
            return lost("the confirm was lost");
        }
        Ok(())
    }

    fn deliver(&mut self, id: ConsumerId) -> Option<Delivery> {
        let overtaken = self.room.chance().ppm(self.faults.overtaken_ppm);
        let auto_ack = self.mutant == Some(Mutant::AckBeforeCommit);
        let consumer = self.consumers.get_mut(&id)?;
        if consumer.unacked.len() >= consumer.prefetch {
            return None;
        }
        let queue = self.queues.get_mut(&consumer.queue)?;
        let place = if overtaken {
            self.room.chance().below(queue.len())
        } else {
            0
        };
        let queued = queue.remove(place)?;
        consumer.delivered_ever += 1;
        let tag = DeliveryTag(consumer.delivered_ever);
        if !auto_ack {
            consumer.unacked.insert(tag, queued.clone());
        }
        Some(Delivery {
            tag,
            redelivered: queued.redelivered,
            message: queued.message,
        })
    }

    fn ack_arrives(&mut self, id: ConsumerId) -> Option<Micros> {
        let travel = self.room.chance().between(50, 2_000);
        let at = self.room.now() + travel;
        let consumer = self.consumers.get_mut(&id)?;
        consumer.last_ack_at = consumer.last_ack_at.max(at);
        Some(consumer.last_ack_at)
    }

    fn end_consumers_of(&mut self, id: ConsumerId) {
        if let Some(consumer) = self.consumers.remove(&id) {
            self.give_back(consumer);
        }
    }

    fn end_consumers(&mut self, which: impl Fn(&Consumer) -> bool) {
        let ended = |(id, consumer): (&ConsumerId, &Consumer)| which(consumer).then_some(*id);
        let ids: Vec<_> = self.consumers.iter().filter_map(ended).collect();
        for id in ids {
            self.end_consumers_of(id);
        }
    }

    /// What a consumer did not acknowledge stands in its queue again: at the head, or anywhere.
    fn give_back(&mut self, consumer: Consumer) {
        let anywhere = self.room.chance().ppm(self.faults.overtaken_ppm);
        if let Some(queue) = self.queues.get_mut(&consumer.queue) {
            for (_tag, mut queued) in consumer.unacked.into_iter().rev() {
                queued.redelivered = true;
                let place = if anywhere {
                    self.room.chance().below(queue.len() + 1)
                } else {
                    0
                };
                queue.insert(place, queued);
            }
        }
        consumer.bell.notify_one();
        self.ring(&consumer.queue);
    }

    fn ring(&self, queue: &Destination) {
        for consumer in self
            .consumers
            .values()
            .filter(|consumer| consumer.queue == *queue)
        {
            consumer.bell.notify_one();
        }
    }
}
