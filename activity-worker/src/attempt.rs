//! Owns the attempt, the story of this program: receive, vet, invoke the activity, report, acknowledge.
//! Never acknowledges before the broker has confirmed the report, of every work item that came in the same message.
//!
//! A crash before the report makes the broker deliver the item again, and the activity runs again: at least
//! once. A crash after it delivers the report twice; the orchestrator worker believes the first.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use longhaul_shared::code::Code;
use longhaul_shared::codec::BodyError;
use longhaul_shared::id::QueueName;
use longhaul_shared::message::{Destination, Envelope, Incoming, TaskResult, WorkItem};
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::port::{Acker, Delays, Delivery, Ports, Receipt, Step, within};
use longhaul_shared::{code, codec, limits};
use tokio::sync::Semaphore;
use tracing::Instrument;

use crate::clock::AskedClock;
use crate::invoker::Invoker;
use crate::metrics::{Metrics, Outcome};
use crate::report::Reporter;
use crate::run::{Ran, run};
use crate::suspect::{Suspects, Vetted};
use crate::trace::{self, attempt_span};

/// How long a work item waits here for a slot, at the cost of whoever else is free.
const SLOT_WAIT: Duration = Duration::from_secs(1);
/// Delays between attempts to send a work item again.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// What every attempt of a worker works with.
pub(crate) struct Host {
    pub(crate) ports: Ports,
    pub(crate) invoker: Arc<dyn Invoker>,
    pub(crate) reporter: Reporter,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) clock: AskedClock,
    pub(crate) suspects: Suspects,
    /// How long one run may take that has no timeout of its own.
    pub(crate) attempt_max: Duration,
}

/// A work item as it came, with its share in the delivery.
pub(crate) struct Received {
    item: WorkItem,
    /// The message it came in, but for the body.
    message: Incoming,
    redelivered: bool,
    receipt: Receipt,
}

/// Reads a delivery of a task queue: the work items in it, each to be attempted by itself.
///
/// # Errors
/// [`BodyError`]: the delivery is to be parked.
pub(crate) fn receive(delivery: &Delivery, acker: &Arc<dyn Acker>) -> Result<Vec<Received>, BodyError> {
    let items = codec::decode_work(&delivery.message.body)?;
    let receipts = Receipt::shares(Arc::clone(acker), delivery.tag, items.len());
    let message = Incoming {
        body: Bytes::new(),
        ..delivery.message.clone()
    };
    let received = items.into_iter().zip(receipts).map(|(item, receipt)| Received {
        item,
        message: message.clone(),
        redelivered: delivery.redelivered,
        receipt,
    });
    Ok(received.collect())
}

/// Deals with one work item of a task queue, once one of the queue's slots is free. If none is for a while, others may
/// have one: the item is sent to them by itself.
///
/// # Cancel safety
/// Dropping the future abandons the activity at its next await; the delivery comes again.
pub(crate) async fn attempt(host: Arc<Host>, queue: QueueName, received: Received, slots: Arc<Semaphore>) {
    let _permit = match within(&host.ports.runtime, SLOT_WAIT, slots.acquire()).await {
        Ok(Ok(permit)) => permit,
        // Never closed; and the delivery comes again if it is.
        Ok(Err(_)) => return,
        Err(_) => return pass_on(&host, received).await,
    };
    let _slot = host.metrics.takes_slot();
    let Received {
        item,
        message,
        redelivered,
        receipt,
    } = received;

    // 1. Receive.
    host.ports.runtime.reached(Step::AttemptReceived);

    // 2. Vet, 3. invoke, if the activity is hosted; otherwise say so: nothing fails, nothing spins.
    let envelope = if host.invoker.is_hosted(&item.name) {
        let invoked = vet_and_invoke(&host, &item, redelivered);
        match invoked.instrument(attempt_span(&item)).await {
            Invoked::Answered { result, took } => {
                Envelope::task_done(item.identity.clone(), item.dispatch, result).that_took(took)
            }
            Invoked::Poisonous { code, reason } => {
                set_aside(&host, &item, message, code, reason).await;
                Envelope::task_parked(&item, code)
            }
            Invoked::Overran => {
                begin_again(&host, &item).await;
                receipt.settle();
                return;
            }
        }
    } else {
        host.metrics.did_not_run(&item.name, Outcome::NotHosted);
        tracing::warn!(
            instance_id = %item.identity.key.instance, activity = %item.name, %queue,
            "[{}] this worker does not host the activity; it is sent again later", code::ACTIVITY_NOT_HOSTED
        );
        Envelope::not_hosted(&item)
    };

    host.ports.runtime.reached(Step::AttemptInvoked);

    // 4. Report: the result is out of danger once the broker has confirmed it.
    if host.reporter.report(item.reply_to, envelope).await.is_ok() {
        host.ports.runtime.reached(Step::AttemptReported);
        // 5. Acknowledge.
        receipt.settle();
        host.ports.runtime.reached(Step::AttemptAcked);
    }
}

/// What came of a run.
enum Invoked {
    /// An answer for the instance, after a run of so long.
    Answered { result: TaskResult, took: Duration },
    /// Nothing, and it is to be tried again.
    Overran,
    /// Nothing, as often as it may be tried.
    Poisonous { code: Code, reason: String },
}

/// Runs the activity once, if it was not begun too often.
async fn vet_and_invoke(host: &Host, item: &WorkItem, redelivered: bool) -> Invoked {
    let vetted = host
        .suspects
        .vet(&host.ports, item, redelivered, host.attempt_max)
        .await;
    let _presence = match vetted {
        Vetted::May(presence) => presence,
        Vetted::TooOften(attempts) => {
            let code = code::ACTIVITY_KILLS;
            let reason = format!(
                "[{code}] {attempts} attempts to run activity {} were begun and none came to an end: its worker died \
                 each time",
                item.name
            );
            trace::failed(&reason);
            return Invoked::Poisonous { code, reason };
        }
    };
    let waited = host.clock.now().map(|now| now.since(item.scheduled));
    host.metrics.begun(&item.queue, waited, item.input.len());
    let begun = host.ports.runtime.now();
    let ran = run(&host.ports.runtime, &host.invoker, item, host.attempt_max).await;
    let took = host.ports.runtime.now().since(begun);
    host.metrics.ran(&item.name, outcome_of(&ran), took);
    host.suspects.survived(&host.ports, item).await;
    match ran {
        Ran::Ended(Ok(output)) => {
            host.metrics.returned(output.len());
            let result = TaskResult::Completed(output);
            Invoked::Answered { result, took }
        }
        Ran::Ended(Err(failure)) => {
            trace::failed(&failure);
            tracing::info!(instance_id = %item.identity.key.instance, activity = %item.name, %failure, "activity failed");
            let result = TaskResult::Failed(failure);
            Invoked::Answered { result, took }
        }
        Ran::Blocks(limit) => {
            let code = code::ACTIVITY_BLOCKS;
            let reason = format!(
                "[{code}] activity {} has not returned within {limit:?} (activity.attempt_max) and does not await: \
                 its thread is lost until this worker is restarted, so it is not begun again",
                item.name
            );
            trace::failed(&reason);
            Invoked::Poisonous { code, reason }
        }
        Ran::Overran(limit) => {
            trace::failed(&format_args!(
                "not returned within {limit:?} (activity.attempt_max)"
            ));
            let runs = item.overran.saturating_add(1);
            tracing::warn!(
                instance_id = %item.identity.key.instance, activity = %item.name, runs,
                "the activity has not returned within {limit:?} (activity.attempt_max); the run is given up"
            );
            if runs <= limits::POISON_ATTEMPTS_MAX {
                return Invoked::Overran;
            }
            let code = code::ACTIVITY_NEVER_RETURNS;
            let reason = format!(
                "[{code}] {runs} runs of activity {} were given up: none returned within {limit:?} \
                 (activity.attempt_max)",
                item.name
            );
            Invoked::Poisonous { code, reason }
        }
    }
}

const fn outcome_of(ran: &Ran) -> Outcome {
    match ran {
        Ran::Ended(Ok(_)) => Outcome::Completed,
        Ran::Ended(Err(_)) => Outcome::Failed,
        Ran::Overran(_) | Ran::Blocks(_) => Outcome::Overran,
    }
}

/// Sends the work item once more, to whoever is free: a delivery that is held for another run would be held for too
/// long.
async fn begin_again(host: &Host, item: &WorkItem) {
    let again = WorkItem {
        overran: item.overran.saturating_add(1),
        resent: false,
        ..item.clone()
    };
    send(host, &again).await;
}

/// Sends a work item that was not begun to whoever is free, so that the message that it came in is not held for the
/// runs of others.
async fn pass_on(host: &Host, received: Received) {
    let Received {
        item,
        redelivered,
        receipt,
        ..
    } = received;
    let by_itself = WorkItem {
        // Whoever had it before may have begun it.
        resent: item.resent || redelivered,
        ..item
    };
    send(host, &by_itself).await;
    receipt.settle();
}

/// Publishes a work item until that is confirmed. A crash before the acknowledgement of what it came in leaves two
/// copies, as any fault may.
async fn send(host: &Host, item: &WorkItem) {
    let message = codec::work_message(item, item.scheduled);
    let mut delays = Delays::new(RETRY_FIRST, RETRY_MAX);
    loop {
        let outcome = host.ports.broker.publish(vec![message.clone()]).await;
        let Some(Err(error)) = outcome.into_iter().next() else {
            return;
        };
        let delay = delays.next_delay();
        tracing::warn!(activity = %item.name, %error, "a work item is not sent again yet; tried again in {delay:?}");
        host.ports.runtime.sleep(delay).await;
    }
}

/// Parks a task that cannot be run, as if it had never been tried: so it is when it is requeued.
async fn set_aside(host: &Host, item: &WorkItem, message: Incoming, code: Code, reason: String) {
    tracing::error!(
        instance_id = %item.identity.key.instance, activity = %item.name,
        "{reason}; the task is parked: longhaul parked requeue {}", item.identity.parked_id()
    );
    host.metrics.did_not_run(&item.name, Outcome::Parked);
    host.metrics.parked(code);
    let fresh = WorkItem {
        resent: false,
        overran: 0,
        ..item.clone()
    };
    let message = Incoming {
        // Of the task, if it did not come alone.
        message_id: Some(item.message_id().to_string()),
        trace: item.trace.clone(),
        body: codec::encode(&fresh),
        ..message
    };
    let origin = Destination::Work(item.queue.clone());
    let now = host.ports.store.time().await.unwrap_or_default();
    let parked = ParkedMessage::new(origin, &code.to_string(), reason, now, message);
    let id = item.identity.parked_id();
    host.ports.park(ParkedMessage { id, ..parked }).await;
}

/// Sets a delivery aside that cannot be read.
pub(crate) async fn park(
    host: Arc<Host>,
    queue: QueueName,
    delivery: Delivery,
    error: BodyError,
    acker: Arc<dyn Acker>,
) {
    let code = match error {
        BodyError::TooNew { .. } => code::MESSAGE_TOO_NEW,
        _ => code::MESSAGE_UNREADABLE,
    };
    tracing::warn!(%queue, %error, "a work item is parked");
    host.metrics.parked(code);
    let origin = Destination::Work(queue);
    let now = host.ports.store.time().await.unwrap_or_default();
    let message = delivery.message;
    host.ports
        .park(ParkedMessage::new(
            origin,
            &code.to_string(),
            error.to_string(),
            now,
            message,
        ))
        .await;
    acker.ack(delivery.tag);
}
