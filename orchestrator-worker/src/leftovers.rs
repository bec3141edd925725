//! Owns what is done with inputs that can change nothing: results of tasks that history does not know, timers and
//! results of instances that are not there or have ended.
//! Never drops one without counting it or setting it aside.

use std::time::Duration;

use longhaul_shared::code;
use longhaul_shared::codec;
use longhaul_shared::id::{ExecutionKey, LeaseToken, PartitionId, TaskId};
use longhaul_shared::message::{ContentType, Destination, EnvelopeBody, Incoming};
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::port::{Delays, Ports};

use crate::admit::Admitted;
use crate::gather::Input;
use crate::metrics::Metrics;

/// Delays between attempts to forget timers while the store does not answer.
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(2);

/// Inputs of an instance that is not there or has ended change nothing: results are counted, timers removed.
pub(crate) async fn forget_inputs_of_the_gone(
    ports: &Ports,
    metrics: &Metrics,
    token: &LeaseToken,
    partition: PartitionId,
    inputs: &[Input],
) {
    let results = inputs.iter().filter(|input| match input {
        Input::Envelope(envelope, _) => {
            matches!(envelope.body, EnvelopeBody::TaskDone(_))
        }
        Input::InlineDone { .. } => true,
        _ => false,
    });
    metrics.duplicates_dropped(results.count() as u64);
    let timers: Vec<_> = inputs
        .iter()
        .filter_map(|input| match input {
            Input::Timer { timer, .. } => Some((timer.key.clone(), timer.task)),
            _ => None,
        })
        .collect();
    drop_timers(ports, token, partition, timers).await;
}

/// Forgets timers that mean nothing any more, waiting for the store as long as it takes: it is asked for due timers
/// again only when one is known to be set.
pub(crate) async fn drop_timers(
    ports: &Ports,
    token: &LeaseToken,
    partition: PartitionId,
    timers: Vec<(ExecutionKey, TaskId)>,
) {
    if timers.is_empty() {
        return;
    }
    let mut delays = Delays::new(RETRY_FIRST, RETRY_MAX);
    while let Err(error) = ports.store.drop_timers(partition, token, timers.clone()).await {
        let delay = delays.next_delay();
        tracing::debug!(%partition, %error, "timers of ended executions stay for now; tried again in {delay:?}");
        ports.runtime.sleep(delay).await;
    }
}

/// Sets results aside whose tasks history does not know, although it has just been read.
pub(crate) async fn park_strays(
    ports: &Ports,
    metrics: &Metrics,
    partition: PartitionId,
    admitted: &mut Admitted,
) {
    for stray in std::mem::take(&mut admitted.strays) {
        let reason = format!(
            "[{}] a result for instance {} names a task that its history never scheduled",
            code::RESULT_UNKNOWN,
            stray.instance
        );
        tracing::warn!(instance_id = %stray.instance, "{reason}");
        let message = Incoming {
            message_id: Some(stray.id.to_string()),
            kind: Some("control".to_owned()),
            content_type: Some(ContentType::Msgpack.as_str().to_owned()),
            trace: stray.trace.clone(),
            body: codec::encode(&[&stray]),
        };
        let origin = Destination::Control(partition);
        let code = code::RESULT_UNKNOWN.to_string();
        let parked = ParkedMessage::new(origin, &code, reason, admitted.now, message);
        metrics.parked(&parked.origin, code::RESULT_UNKNOWN);
        ports.park(parked).await;
        admitted.inbox_remove.push(stray.id);
    }
}
