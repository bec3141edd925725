//! Owns the attempt, the story of this program: receive a work item, invoke the activity, report, acknowledge.
//! Never acknowledges before the broker has confirmed the report.
//!
//! A crash before the report makes the broker deliver the item again, and the activity runs again: at least
//! once. A crash after it delivers the report twice; the orchestrator worker believes the first.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use futures::FutureExt;
use longhaul_sdk::context::Canceller;
use longhaul_shared::failure::{Failure, FailureKind};
use longhaul_shared::id::QueueName;
use longhaul_shared::message::{Destination, Envelope, TaskResult, WorkItem};
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::payload::Payload;
use longhaul_shared::port::{Acker, Delivery, Ports, Step, within};
use longhaul_shared::{code, codec};

use crate::counters::{Counters, count};
use crate::invoker::Invoker;
use crate::report::Reporter;

/// What every attempt of a worker works with.
pub(crate) struct Host {
    pub(crate) ports: Ports,
    pub(crate) invoker: Arc<dyn Invoker>,
    pub(crate) reporter: Reporter,
    pub(crate) counters: Arc<Counters>,
}

/// Deals with one delivery of a task queue.
///
/// # Cancel safety
/// Dropping the future abandons the activity at its next await; the delivery comes again.
pub(crate) async fn attempt(host: Arc<Host>, queue: QueueName, delivery: Delivery, acker: Arc<dyn Acker>) {
    // 1. Receive: what cannot be read is set aside with the reason.
    let item = match codec::decode_work_item(&delivery.message.body) {
        Ok(item) => item,
        Err(error) => {
            park(&host, queue, &delivery, &error).await;
            acker.ack(delivery.tag);
            return;
        }
    };

    host.ports.runtime.reached(Step::AttemptReceived);

    // 2. Invoke, if the activity is hosted; otherwise say so: nothing fails, nothing spins.
    let envelope = if host.invoker.is_hosted(&item.name) {
        let result = invoke(&host, &item).await;
        Envelope::task_done(item.identity.clone(), item.dispatch, result)
    } else {
        count(&host.counters.not_hosted);
        tracing::warn!(
            instance_id = %item.identity.key.instance, activity = %item.name, %queue,
            "[{}] this worker does not host the activity; it is sent again later", code::ACTIVITY_NOT_HOSTED
        );
        Envelope::not_hosted(&item)
    };

    host.ports.runtime.reached(Step::AttemptInvoked);

    // 3. Report: the result is out of danger once the broker has confirmed it.
    if host.reporter.report(item.reply_to, envelope).await.is_ok() {
        host.ports.runtime.reached(Step::AttemptReported);
        // 4. Acknowledge.
        acker.ack(delivery.tag);
        host.ports.runtime.reached(Step::AttemptAcked);
    }
}

/// Runs the activity within its time, catching its panics.
#[tracing::instrument(level = "debug", skip_all, fields(instance_id = %item.identity.key.instance, activity = %item.name, task = %item.identity.task))]
async fn invoke(host: &Host, item: &WorkItem) -> TaskResult {
    let (canceller, cancellation) = Canceller::new();
    let run = AssertUnwindSafe(host.invoker.invoke(item.clone(), cancellation)).catch_unwind();
    let outcome = match item.timeout() {
        None => run.await,
        Some(limit) => match within(&host.ports.runtime, limit, run).await {
            Ok(outcome) => outcome,
            Err(elapsed) => {
                canceller.cancel();
                let message = format!("activity {} did not finish within {:?}", item.name, elapsed.limit);
                Ok(Err(Failure::new(FailureKind::TimedOut, message)))
            }
        },
    };
    let result: Result<Payload, Failure> = outcome.unwrap_or_else(|panic| {
        let message = format!("activity {} panicked: {}", item.name, panic_text(&*panic));
        Err(Failure::new(FailureKind::Panicked, message))
    });
    match result {
        Ok(output) => {
            count(&host.counters.completed);
            TaskResult::Completed(output)
        }
        Err(failure) => {
            count(&host.counters.failed);
            tracing::info!(instance_id = %item.identity.key.instance, activity = %item.name, %failure, "activity failed");
            TaskResult::Failed(failure)
        }
    }
}

async fn park(host: &Host, queue: QueueName, delivery: &Delivery, error: &codec::BodyError) {
    let code = match error {
        codec::BodyError::TooNew { .. } => code::MESSAGE_TOO_NEW,
        _ => code::MESSAGE_UNREADABLE,
    };
    tracing::warn!(%queue, %error, "a work item is parked");
    count(&host.counters.parked);
    let origin = Destination::Work(queue);
    let now = host.ports.store.time().await.unwrap_or_default();
    let message = delivery.message.clone();
    host.ports
        .park(ParkedMessage::new(
            origin,
            &code.to_string(),
            error.to_string(),
            now,
            message,
        ))
        .await;
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("a panic without a message")
}
