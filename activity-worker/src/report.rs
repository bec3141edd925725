//! Owns the road of results back to the orchestrator workers: those for the same partition travel together.
//! Never waits for more results to come: it sends what is there.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use longhaul_shared::id::PartitionId;
use longhaul_shared::message::{Envelope, Publication};
use longhaul_shared::port::{Delays, Ports, Step};
use longhaul_shared::time::Timestamp;
use longhaul_shared::{codec, limits};
use tokio::sync::{mpsc, oneshot};

/// Most reports waiting to be taken up before activities have to wait with theirs.
const QUEUE_MAX: usize = 4_096;
/// Most publications without an answer: while these are on their way, results gather for the next.
const PUBLISHING_MAX: usize = 4;
/// Most reports taken up at once.
const BATCH_MAX: usize = 1_024;
/// Delays between attempts while the broker takes nothing.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

/// A result on its way, and who waits for its confirm.
struct Report {
    to: PartitionId,
    envelope: Envelope,
    confirmed: oneshot::Sender<()>,
}

/// Hands reports to the reporter. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Reporter {
    reports: mpsc::Sender<Report>,
}

/// The worker was stopped before the report was confirmed: its work item comes again.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Stopped;

impl Reporter {
    /// A handle and the loop behind it, to be run as a task; it ends once every handle is gone and all is sent.
    pub(crate) fn new(ports: Ports) -> (Self, impl Future<Output = ()> + Send + 'static) {
        let (reports, inbox) = mpsc::channel(QUEUE_MAX);
        (Self { reports }, run(ports, inbox))
    }

    /// Sends a report, as often as it takes, until the broker has confirmed it.
    ///
    /// # Cancel safety
    /// Dropping the future leaves the report on its way.
    pub(crate) async fn report(&self, to: PartitionId, envelope: Envelope) -> Result<(), Stopped> {
        let (confirmed, is_confirmed) = oneshot::channel();
        self.reports
            .send(Report {
                to,
                envelope,
                confirmed,
            })
            .await
            .map_err(|_| Stopped)?;
        is_confirmed.await.map_err(|_| Stopped)
    }
}

async fn run(ports: Ports, mut inbox: mpsc::Receiver<Report>) {
    let mut publishing: FuturesUnordered<BoxFuture<'static, ()>> = FuturesUnordered::new();
    let mut batch = Vec::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = publishing.next() => {}
            taken = inbox.recv_many(&mut batch, BATCH_MAX), if publishing.len() < PUBLISHING_MAX => {
                if taken == 0 {
                    break;
                }
                publishing.push(Box::pin(send(ports.clone(), std::mem::take(&mut batch))));
            }
        }
    }
    while publishing.next().await.is_some() {}
}

/// Publishes reports until every one is confirmed.
async fn send(ports: Ports, reports: Vec<Report>) {
    let mut unsent = into_messages(reports);
    let mut delays = Delays::new(RETRY_FIRST, RETRY_MAX);
    loop {
        let messages = unsent.iter().map(|(message, _)| message.clone()).collect();
        ports.runtime.reached(Step::AttemptReporting);
        let results = ports.broker.publish(messages).await;
        let mut failed = Vec::new();
        let mut reason = None;
        for ((message, waiting), result) in unsent.into_iter().zip(results) {
            match result {
                // An activity that was abandoned meanwhile does not listen any more.
                Ok(()) => {
                    for confirmed in waiting {
                        let _ = confirmed.send(());
                    }
                }
                Err(error) => {
                    reason = Some(error);
                    failed.push((message, waiting));
                }
            }
        }
        let Some(error) = reason else { return };
        let delay = delays.next_delay();
        tracing::warn!(%error, results = failed.len(), "results are not confirmed; they are published again in {delay:?}");
        unsent = failed;
        ports.runtime.sleep(delay).await;
    }
}

/// As few control messages as the bounds allow, each with those who wait for its confirm.
fn into_messages(reports: Vec<Report>) -> Vec<(Publication, Vec<oneshot::Sender<()>>)> {
    let mut by_partition: BTreeMap<PartitionId, Vec<Report>> = BTreeMap::new();
    for report in reports {
        by_partition.entry(report.to).or_default().push(report);
    }
    let mut messages = Vec::new();
    for (partition, reports) in by_partition {
        let (envelopes, waiting): (Vec<_>, Vec<_>) = reports
            .into_iter()
            .map(|report| (report.envelope, report.confirmed))
            .unzip();
        let mut waiting = waiting.into_iter();
        for group in codec::group_control(&envelopes) {
            let message = codec::control_message(partition, codec::encode(&group), Timestamp::default());
            messages.push((message, waiting.by_ref().take(group.len()).collect()));
        }
    }
    messages
}

const _: () = assert!(BATCH_MAX >= limits::ENVELOPES_PER_MESSAGE_MAX);
