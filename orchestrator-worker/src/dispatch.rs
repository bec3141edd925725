//! Owns the loop that gives instances their turns: it holds the partitions' state, the sessions and the inputs.
//! Never awaits anything but its next event: whatever takes time runs beside it.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, Either, select};
use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use longhaul_shared::failure::{Failure, FailureKind, panic_text};
use longhaul_shared::id::{InstanceId, LeaseToken, PartitionId, TaskId};
use longhaul_shared::message::{Destination, Envelope};
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::port::{Acker, Delivery, DueTimers, Receipt, StoreError, TaskHandle};
use longhaul_shared::time::Timestamp;
use longhaul_shared::{code, codec};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::gather::{Gather, Input, Work};
use crate::metrics::Slot;
use crate::relay::Unsent;
use crate::session::{Session, Sessions};
use crate::suspect::Alone;
use crate::tenure::Tenure;
use crate::timer_pump::{self, TimerPump};
use crate::turn::{Host, InlineStep, Turned, turn};

/// Most events waiting for the loop.
pub(crate) const EVENTS_MAX: usize = 4_096;
/// Most instances that one look into the ready set takes.
const READY_MAX: usize = 1_024;
/// How long the store rests after it could not be asked for due timers.
const ASK_AGAIN: Duration = Duration::from_millis(500);
/// The shortest time between two questions for due timers: the estimate of hub time may run ahead a little.
const ALARM_MIN: Duration = Duration::from_millis(1);

/// Everything that can happen to the loop from outside.
pub(crate) enum Event {
    /// A partition is this worker's now. With `unsent`: and is to be rebuilt, as [`Event::Rebuilding`] says.
    Acquired {
        partition: PartitionId,
        token: LeaseToken,
        /// Whether the owner before did not give it back.
        after_expiry: bool,
        unsent: Option<Arc<Unsent>>,
    },
    /// Something was lost: every instance of a partition is to send its open tasks again, but for these. No session
    /// is believed any more: the store may have forgotten what it is of.
    Rebuilding {
        partition: PartitionId,
        unsent: Arc<Unsent>,
    },
    /// Every instance of a partition has done so.
    Rebuilt { partition: PartitionId },
    /// A partition is to be given back: tell when its last turn is over.
    Leave {
        partition: PartitionId,
        left: oneshot::Sender<()>,
    },
    /// A partition is no longer this worker's.
    Lost { partition: PartitionId },
    /// A control message has come.
    Delivered {
        partition: PartitionId,
        delivery: Delivery,
        acker: Arc<dyn Acker>,
    },
    /// An instance of a partition that is being rebuilt is to have a turn.
    Resend {
        partition: PartitionId,
        instance: InstanceId,
        receipt: Receipt,
    },
    /// An inline step has run.
    InlineDone {
        partition: PartitionId,
        instance: InstanceId,
        input: Input,
    },
}

/// What the loop tells the owner of the leases.
pub(crate) struct FencedNotice {
    pub(crate) partition: PartitionId,
    pub(crate) token: LeaseToken,
}

/// A partition that this worker holds.
struct Held {
    tenure: Tenure,
    /// Cancelled when the partition is lost: its turns stop where they are.
    lost: CancellationToken,
    timers: TimerPump,
    looking: bool,
    leaving: Option<oneshot::Sender<()>>,
    rebuild: Option<RebuildState>,
}

/// A rebuild in progress.
struct RebuildState {
    /// What the relay publishes anyway.
    unsent: Arc<Unsent>,
    /// Instances that have sent their open tasks again.
    done: BTreeSet<InstanceId>,
}

impl RebuildState {
    fn new(unsent: Arc<Unsent>) -> Self {
        Self {
            unsent,
            done: BTreeSet::new(),
        }
    }

    /// What to leave out, if this is the instance's first turn of the rebuild.
    fn first_turn(&mut self, instance: &InstanceId) -> Option<Arc<Unsent>> {
        self.done
            .insert(instance.clone())
            .then(|| Arc::clone(&self.unsent))
    }
}

/// The end of something that ran beside the loop.
enum Done {
    Turn(Box<Turned>),
    /// Its partition was lost on the way.
    Abandoned(InstanceId),
    DueTimers(PartitionId, LeaseToken, Result<DueTimers, StoreError>),
    Ready(PartitionId, LeaseToken, Result<Vec<InstanceId>, StoreError>),
    /// The inline steps of a suspect have run for a while.
    Survived(PartitionId, InstanceId),
    Nothing,
}

pub(crate) struct Dispatch {
    host: Arc<Host>,
    partitions_total: u16,
    events: mpsc::Receiver<Event>,
    inline_done: mpsc::Sender<Event>,
    fenced: mpsc::UnboundedSender<FencedNotice>,
    held: BTreeMap<PartitionId, Held>,
    gather: Gather,
    sessions: Sessions,
    turns: usize,
    running: FuturesUnordered<BoxFuture<'static, Done>>,
    inline: BTreeMap<(PartitionId, InstanceId, TaskId), TaskHandle>,
}

impl Dispatch {
    pub(crate) fn new(
        host: Arc<Host>,
        partitions_total: u16,
        events: mpsc::Receiver<Event>,
        inline_done: mpsc::Sender<Event>,
        fenced: mpsc::UnboundedSender<FencedNotice>,
    ) -> Self {
        let sessions = Sessions::new(host.settings.sessions_max);
        Self {
            host,
            partitions_total,
            events,
            inline_done,
            fenced,
            held: BTreeMap::new(),
            gather: Gather::default(),
            sessions,
            turns: 0,
            running: FuturesUnordered::new(),
            inline: BTreeMap::new(),
        }
    }

    /// Runs until `stop`, which is to come only after every partition was left.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let runtime = Arc::clone(&self.host.ports.runtime);
        let mut sweep = runtime.sleep(self.host.settings.sweep_every);
        let mut search = runtime.sleep(self.host.settings.outbox_every);
        loop {
            self.begin_turns();
            let alarm = self.alarm();
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(done) = self.running.next() => self.done(done),
                Some(event) = self.events.recv() => self.event(event),
                () = alarm => self.ask_for_due_timers(),
                () = &mut sweep => {
                    self.look_for_ready();
                    sweep = runtime.sleep(self.host.settings.sweep_every);
                }
                () = &mut search => {
                    self.search_outboxes();
                    search = runtime.sleep(self.host.settings.outbox_every);
                }
            }
        }
    }

    // --- events ----------------------------------------------------------------------------------------

    fn event(&mut self, event: Event) {
        match event {
            Event::Acquired {
                partition,
                token,
                after_expiry,
                unsent,
            } => {
                let unclean_since = after_expiry.then(|| self.host.clock.now());
                let tenure = Tenure { token, unclean_since };
                self.acquired(partition, tenure, unsent);
            }
            Event::Rebuilding { partition, unsent } => self.set_rebuild(partition, Some(unsent)),
            Event::Rebuilt { partition } => self.set_rebuild(partition, None),
            Event::Leave { partition, left } => self.leave(partition, left),
            Event::Lost { partition } => self.lost(partition),
            Event::Delivered {
                partition,
                delivery,
                acker,
            } => self.delivered(partition, delivery, acker),
            Event::Resend {
                partition,
                instance,
                receipt,
            } => {
                self.offer(partition, instance, Input::Resend(receipt));
            }
            Event::InlineDone {
                partition,
                instance,
                input,
            } => {
                if let Input::InlineDone { task, .. } = &input {
                    self.inline.remove(&(partition, instance.clone(), *task));
                }
                self.offer(partition, instance, input);
            }
        }
    }

    fn acquired(&mut self, partition: PartitionId, tenure: Tenure, unsent: Option<Arc<Unsent>>) {
        self.lost(partition);
        self.host.relay.search(partition, &tenure.token);
        let held = Held {
            tenure,
            lost: CancellationToken::new(),
            timers: TimerPump::ask_at_once(),
            looking: false,
            leaving: None,
            rebuild: unsent.map(RebuildState::new),
        };
        self.held.insert(partition, held);
        self.look_into(partition, Duration::ZERO);
    }

    fn set_rebuild(&mut self, partition: PartitionId, unsent: Option<Arc<Unsent>>) {
        if let Some(held) = self.held.get_mut(&partition) {
            if unsent.is_some() {
                // A store that fell behind holds timers again that were known to have fired.
                held.timers.set(Some(Timestamp::default()));
            }
            held.rebuild = unsent.map(RebuildState::new);
        }
    }

    fn leave(&mut self, partition: PartitionId, left: oneshot::Sender<()>) {
        self.gather.drop_waiting(partition);
        if let Some(held) = self.held.get_mut(&partition) {
            held.leaving = Some(left);
        }
        self.finish_leaving(partition);
    }

    /// A partition whose turns are over is left; dropping the sender of an unknown one tells the same.
    fn finish_leaving(&mut self, partition: PartitionId) {
        let is_leaving = self
            .held
            .get(&partition)
            .is_some_and(|held| held.leaving.is_some());
        if !is_leaving || self.gather.has_running(partition) {
            return;
        }
        if let Some(left) = self.held.get_mut(&partition).and_then(|held| held.leaving.take()) {
            self.forget(partition);
            let _ = left.send(());
        }
    }

    fn lost(&mut self, partition: PartitionId) {
        if let Some(held) = self.held.get(&partition) {
            held.lost.cancel();
            self.gather.drop_waiting(partition);
            self.forget(partition);
            self.host.relay.disown(partition);
        }
    }

    fn forget(&mut self, partition: PartitionId) {
        self.held.remove(&partition);
        self.sessions.drop_partition(partition);
        self.inline.retain(|(of, _, _), _| *of != partition);
    }

    fn delivered(&mut self, partition: PartitionId, delivery: Delivery, acker: Arc<dyn Acker>) {
        if !self.serves(partition) {
            return;
        }
        match codec::decode_control(&delivery.message.body) {
            Ok(envelopes) => {
                let receipts = Receipt::shares(acker, delivery.tag, envelopes.len());
                for (envelope, receipt) in envelopes.into_iter().zip(receipts) {
                    self.route(partition, envelope, receipt);
                }
            }
            Err(error) => self.park_unreadable(partition, delivery, acker, &error),
        }
    }

    fn route(&mut self, partition: PartitionId, envelope: Envelope, receipt: Receipt) {
        if PartitionId::of(&envelope.instance, self.partitions_total) == partition {
            let instance = envelope.instance.clone();
            self.offer(partition, instance, Input::Envelope(envelope, receipt));
        } else {
            tracing::warn!(instance_id = %envelope.instance, %partition, "a message came to another partition's queue; it changes nothing");
            receipt.settle();
        }
    }

    fn park_unreadable(
        &mut self,
        partition: PartitionId,
        delivery: Delivery,
        acker: Arc<dyn Acker>,
        error: &codec::BodyError,
    ) {
        let code = match error {
            codec::BodyError::TooNew { .. } => code::MESSAGE_TOO_NEW,
            _ => code::MESSAGE_UNREADABLE,
        };
        tracing::warn!(%partition, %error, "a control message is parked");
        let origin = Destination::Control(partition);
        let now = self.host.clock.now();
        let parked = ParkedMessage::new(
            origin,
            &code.to_string(),
            error.to_string(),
            now,
            delivery.message,
        );
        let host = Arc::clone(&self.host);
        self.running.push(Box::pin(async move {
            host.metrics.parked(&parked.origin, code);
            host.ports.park(parked).await;
            acker.ack(delivery.tag);
            Done::Nothing
        }));
    }

    fn serves(&self, partition: PartitionId) -> bool {
        self.held
            .get(&partition)
            .is_some_and(|held| held.leaving.is_none())
    }

    fn offer(&mut self, partition: PartitionId, instance: InstanceId, input: Input) {
        if self.serves(partition) {
            let now = self.host.ports.runtime.now();
            self.gather.offer(partition, instance, input, now);
        }
    }

    // --- turns -----------------------------------------------------------------------------------------

    fn begin_turns(&mut self) {
        while self.turns < self.host.settings.turns_max && !self.host.relay.is_full() {
            let Some(work) = self.gather.begin_next() else {
                return;
            };
            self.begin(work);
        }
    }

    fn begin(&mut self, work: Work) {
        let mut session = self.sessions.take(&work.instance);
        let Some(held) = self.held.get_mut(&work.partition) else {
            self.gather.end(&work.instance);
            return;
        };
        // Each instance sends its open tasks again once, in its first turn of a rebuild, whatever gave it the turn.
        let resend = held
            .rebuild
            .as_mut()
            .and_then(|rebuild| rebuild.first_turn(&work.instance));
        if resend.is_some() {
            session = None;
        }
        let (host, tenure, lost) = (Arc::clone(&self.host), held.tenure.clone(), held.lost.clone());
        self.turns += 1;
        self.running.push(Box::pin(async move {
            let instance = work.instance.clone();
            let turn = std::pin::pin!(turn(&host, &tenure, work, session, resend.as_deref()));
            let cancelled = std::pin::pin!(lost.cancelled());
            match select(turn, cancelled).await {
                Either::Left((turned, _)) => Done::Turn(Box::new(turned)),
                Either::Right(((), _)) => Done::Abandoned(instance),
            }
        }));
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Turn(turned) => self.turned(*turned),
            Done::Abandoned(instance) => {
                self.turns -= 1;
                self.gather.end(&instance);
            }
            Done::DueTimers(partition, token, answer) => self.due_timers(partition, &token, answer),
            Done::Ready(partition, token, answer) => self.ready(partition, &token, answer),
            Done::Survived(partition, instance) => {
                if self.sessions.runs_inline(&instance) {
                    self.offer(partition, instance, Input::Survived);
                }
            }
            Done::Nothing => {}
        }
    }

    fn turned(&mut self, turned: Turned) {
        self.turns -= 1;
        self.gather.end(&turned.instance);
        let partition = turned.partition;
        let Some(held) = self.held.get_mut(&partition) else {
            return;
        };
        if let (false, Some(rebuild)) = (turned.settled, held.rebuild.as_mut()) {
            rebuild.done.remove(&turned.instance);
        }
        held.timers.fired(turned.timers);
        held.timers.set(turned.next_due);
        if !turned.settled && turned.timers > 0 {
            // They are still in the store, where nobody would look for them.
            held.timers.set(Some(self.host.clock.now().plus(ASK_AGAIN)));
        }
        for input in turned.again {
            self.offer(partition, turned.instance.clone(), input);
        }
        let Some(held) = self.held.get_mut(&partition) else {
            return;
        };
        if turned.fenced {
            let notice = FencedNotice {
                partition,
                token: held.tenure.token.clone(),
            };
            tracing::warn!(%partition, "this worker is no longer the owner; it drops everything and acknowledges nothing");
            self.lost(partition);
            // The owner of the leases is there as long as this loop runs.
            let _ = self.fenced.send(notice);
            return;
        }
        let running = CancellationToken::new();
        let last_one = Arc::new(running.clone().drop_guard());
        if let Some(alone) = turned.alone {
            self.watch_inline(partition, turned.instance, running, alone);
        }
        for step in turned.inline {
            self.run_inline(partition, turned.session.as_ref(), step, Arc::clone(&last_one));
        }
        if turned.session.is_some_and(|session| self.sessions.put(session)) {
            self.host.metrics.session_evicted();
        }
        self.finish_leaving(partition);
    }

    /// Keeps everybody else waiting while the inline steps of a suspect run, for as long as a turn may compute.
    fn watch_inline(
        &mut self,
        partition: PartitionId,
        instance: InstanceId,
        over: CancellationToken,
        alone: Alone,
    ) {
        let runtime = Arc::clone(&self.host.ports.runtime);
        let at_most = self.host.settings.stall_after;
        self.running.push(Box::pin(async move {
            let over = std::pin::pin!(over.cancelled());
            select(over, runtime.sleep(at_most)).await;
            drop(alone);
            Done::Survived(partition, instance)
        }));
    }

    fn run_inline(
        &mut self,
        partition: PartitionId,
        session: Option<&Session>,
        step: InlineStep,
        last_one: Arc<DropGuard>,
    ) {
        let Some(session) = session else { return };
        let key = session.key.clone();
        let instance = key.instance.clone();
        let task = step.task;
        let done = self.inline_done.clone();
        let run = async move {
            let result = AssertUnwindSafe(step.run)
                .catch_unwind()
                .await
                .unwrap_or_else(|panic| {
                    let said = panic_text(&*panic).unwrap_or("a panic without a message");
                    let message = format!("the inline step panicked: {said}");
                    Err(Failure::new(FailureKind::Panicked, message))
                });
            drop(last_one);
            let instance = key.instance.clone();
            let input = Input::InlineDone { key, task, result };
            // If the loop is gone the step runs again elsewhere, as after any crash.
            let _ = done
                .send(Event::InlineDone {
                    partition,
                    instance,
                    input,
                })
                .await;
        };
        let handle = self.host.ports.runtime.spawn("inline step", Box::pin(run));
        self.inline.insert((partition, instance, task), handle);
    }

    // --- timers, ready set, outbox ---------------------------------------------------------------------

    /// Completes when the store is to be asked for due timers.
    fn alarm(&self) -> BoxFuture<'static, ()> {
        match self.held.values().filter_map(|held| held.timers.alarm()).min() {
            None => Box::pin(std::future::pending()),
            Some(at) => {
                let span = at.since(self.host.clock.now());
                self.host.ports.runtime.sleep(span.max(ALARM_MIN))
            }
        }
    }

    fn ask_for_due_timers(&mut self) {
        let now = self.host.clock.now();
        for (partition, held) in &mut self.held {
            if held.timers.alarm().is_some_and(|at| at <= now) {
                held.timers.asked();
                let (host, partition, token) =
                    (Arc::clone(&self.host), *partition, held.tenure.token.clone());
                self.running.push(Box::pin(async move {
                    let answer = host.ports.store.due_timers(partition, timer_pump::BATCH).await;
                    Done::DueTimers(partition, token, answer)
                }));
            }
        }
    }

    fn due_timers(
        &mut self,
        partition: PartitionId,
        token: &LeaseToken,
        answer: Result<DueTimers, StoreError>,
    ) {
        let Some(held) = self
            .held
            .get_mut(&partition)
            .filter(|held| held.tenure.token == *token)
        else {
            return;
        };
        match answer {
            Ok(DueTimers { now, due, next }) => {
                self.host.clock.set(now);
                if held.leaving.is_some() {
                    return;
                }
                held.timers.answered(due.len(), next);
                let came = self.host.ports.runtime.now();
                for timer in due {
                    let instance = timer.key.instance.clone();
                    let input = Input::Timer { timer, now };
                    self.gather.offer(partition, instance, input, came);
                }
            }
            Err(error) => {
                tracing::warn!(%partition, %error, "the store could not be asked for due timers");
                held.timers.failed(self.host.clock.now().plus(ASK_AGAIN));
            }
        }
    }

    fn look_for_ready(&mut self) {
        let turns_max = self.host.settings.turns_max;
        self.host.metrics.slots(Slot::Turns, self.turns, turns_max);
        let (replays, replays_max) = (self.host.replays.running(), self.host.settings.replays_max);
        self.host.metrics.slots(Slot::Replays, replays, replays_max);
        self.host.metrics.sessions(self.sessions.len());
        let partitions: Vec<_> = self.held.keys().copied().collect();
        for partition in partitions {
            self.look_into(partition, self.host.settings.sweep_age);
        }
    }

    fn look_into(&mut self, partition: PartitionId, age: Duration) {
        let Some(held) = self
            .held
            .get_mut(&partition)
            .filter(|held| !held.looking && held.leaving.is_none())
        else {
            return;
        };
        held.looking = true;
        let (host, token) = (Arc::clone(&self.host), held.tenure.token.clone());
        self.running.push(Box::pin(async move {
            let answer = host.ports.store.ready(partition, age, READY_MAX).await;
            Done::Ready(partition, token, answer)
        }));
    }

    fn ready(
        &mut self,
        partition: PartitionId,
        token: &LeaseToken,
        answer: Result<Vec<InstanceId>, StoreError>,
    ) {
        let Some(held) = self
            .held
            .get_mut(&partition)
            .filter(|held| held.tenure.token == *token)
        else {
            return;
        };
        held.looking = false;
        match answer {
            Ok(instances) => {
                for instance in instances {
                    if !self.gather.is_busy(&instance) && !self.sessions.runs_inline(&instance) {
                        self.offer(partition, instance, Input::Look);
                    }
                }
            }
            Err(error) => {
                tracing::warn!(%partition, %error, "the ready set could not be read; it will be again")
            }
        }
    }

    fn search_outboxes(&self) {
        for (partition, held) in self.held.iter().filter(|(_, held)| held.leaving.is_none()) {
            self.host.relay.search(*partition, &held.tenure.token);
        }
    }
}
