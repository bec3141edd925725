//! Owns the way in for foreign services: start messages on the intake queue become instances.
//! Never needs a sender to know partitions, hashing or Redis, and never drops a message: it is started, known,
//! or parked with the reason.
//!
//! Create, wake up, confirm, then acknowledge. The start id is the AMQP `message_id`, so a redelivery changes
//! nothing. The message format stands in `docs/protocol.md`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use longhaul_shared::code::{self, Code};
use longhaul_shared::id::{ExecutionId, FunctionName, HubName, InstanceId, MessageId, PartitionId, StartId};
use longhaul_shared::instance::StartInstance;
use longhaul_shared::message::{ContentType, Destination, Incoming};
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::payload::Payload;
use longhaul_shared::port::{Created, Delays, Delivery, HubClock, Ports, Source, Step, Subscription};
use longhaul_shared::{codec, limits};
use serde::Deserialize;
use tokio_util::sync::CancellationToken;

use crate::metrics::{Metrics, Taken};

/// Delays between attempts while the store or the broker takes nothing.
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Intake {
    pub(crate) ports: Ports,
    pub(crate) hub: HubName,
    pub(crate) partitions: u16,
    pub(crate) prefetch: u16,
    pub(crate) clock: Arc<HubClock>,
    pub(crate) metrics: Arc<Metrics>,
}

/// The body of a start message, as JSON or msgpack. Unknown fields are an error: a misspelt one must not be
/// silently passed over.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct StartBody {
    /// Which orchestration.
    orchestration: String,
    /// The instance id; absent = made from the hub and the start id.
    #[serde(default)]
    id: Option<String>,
    /// The start id; absent = the AMQP message id.
    #[serde(default)]
    start_id: Option<String>,
    /// The version asked for.
    #[serde(default)]
    version: Option<String>,
    /// What to give the orchestration; absent = null.
    #[serde(default)]
    input: serde_json::Value,
    /// Tags.
    #[serde(default)]
    tags: BTreeMap<String, String>,
}

/// Why a start message is parked.
struct Refusal {
    code: Code,
    reason: String,
}

impl Refusal {
    fn new(code: Code, reason: impl std::fmt::Display) -> Self {
        Self {
            code,
            reason: format!("[{code}] {reason}"),
        }
    }
}

impl Intake {
    /// Serves the intake queue until `stop`, subscribing again whenever that ends.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut delays = Delays::new(RETRY_FIRST, RETRY_MAX);
        while !stop.is_cancelled() {
            match self.ports.broker.subscribe(Source::Intake, self.prefetch).await {
                Ok(subscription) => {
                    delays.reset();
                    self.serve(subscription, &stop).await;
                }
                Err(error) => {
                    tracing::warn!(%error, "start messages do not come; tried again in {:?}", delays.upcoming())
                }
            }
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                () = self.ports.runtime.sleep(delays.next_delay()) => {}
            }
        }
    }

    async fn serve(&self, mut subscription: Box<dyn Subscription>, stop: &CancellationToken) {
        let acker = subscription.acker();
        let mut starting = FuturesUnordered::new();
        loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break,
                Some(tag) = starting.next() => acker.ack(tag),
                received = subscription.next() => match received {
                    Ok(delivery) => starting.push(self.take(delivery).boxed()),
                    Err(error) => {
                        tracing::warn!(%error, "the intake subscription ended");
                        return;
                    }
                }
            }
        }
        while let Some(tag) = starting.next().await {
            acker.ack(tag);
        }
        subscription.close().await;
    }

    /// Deals with one message for good; it may be acknowledged afterwards.
    async fn take(&self, delivery: Delivery) -> longhaul_shared::port::DeliveryTag {
        let execution = ExecutionId::from_bits(self.ports.runtime.random());
        let start = match read(&self.hub, &delivery.message, execution) {
            Ok(start) => start,
            Err(refusal) => {
                self.park(refusal, delivery.message).await;
                return delivery.tag;
            }
        };
        self.ports.runtime.reached(Step::IntakeReceived);
        let instance = start.id.clone();
        match self.create(start).await {
            Ok(Created::New) => self.metrics.intake(Taken::Started),
            Ok(Created::Repeated(_)) => self.metrics.intake(Taken::Repeated),
            Ok(Created::Taken { by, status }) => {
                let refusal = Refusal::new(
                    code::START_ID_TAKEN,
                    format!(
                        "instance id {instance} is taken by the start {by} ({status}); choose another id"
                    ),
                );
                self.park(refusal, delivery.message).await;
                return delivery.tag;
            }
            Err(refusal) => {
                self.park(refusal, delivery.message).await;
                return delivery.tag;
            }
        }
        self.ports.runtime.reached(Step::IntakeCreated);
        self.wake(instance).await;
        self.ports.runtime.reached(Step::IntakeWoken);
        delivery.tag
    }

    /// Creates the instance, waiting for the store as long as it takes; refuses what the store never takes.
    async fn create(&self, start: StartInstance) -> Result<Created, Refusal> {
        let mut delays = Delays::new(RETRY_FIRST, RETRY_MAX);
        loop {
            match self.ports.store.create(start.clone()).await {
                Ok(created) => return Ok(created),
                Err(error) if error.is_retryable() => {
                    let delay = delays.next_delay();
                    tracing::warn!(instance_id = %start.id, %error, "a start is not accepted yet; tried again in {delay:?}");
                    self.ports.runtime.sleep(delay).await;
                }
                Err(error) => {
                    return Err(Refusal {
                        code: code::START_UNREADABLE,
                        reason: error.to_string(),
                    });
                }
            }
        }
    }

    /// Wakes the instance. A wake-up that cannot be sent is replaced by the sweep of the ready set.
    async fn wake(&self, instance: InstanceId) {
        let partition = PartitionId::of(&instance, self.partitions);
        let wake = codec::wake_message(partition, instance, self.clock.now());
        if let Some(Err(error)) = self.ports.broker.publish(vec![wake]).await.into_iter().next() {
            tracing::debug!(%error, "a wake-up was not confirmed; the sweep will find the instance");
        }
    }

    async fn park(&self, refusal: Refusal, message: Incoming) {
        tracing::warn!(
            message_id = message.message_id.as_deref(),
            "a start message is parked: {}",
            refusal.reason
        );
        let code = refusal.code.to_string();
        let parked = ParkedMessage::new(
            Destination::Intake,
            &code,
            refusal.reason,
            self.clock.now(),
            message,
        );
        self.ports.park(parked).await;
        self.metrics.intake(Taken::Parked);
        self.metrics.parked(&Destination::Intake, refusal.code);
    }
}

/// Reads a start message; `execution` names the pass that it begins.
fn read(hub: &HubName, message: &Incoming, execution: ExecutionId) -> Result<StartInstance, Refusal> {
    if message.body.len() > limits::INTAKE_BYTES_MAX {
        let bytes = message.body.len();
        let reason = format!(
            "the body has {bytes} bytes and at most {} are allowed (INTAKE_BYTES_MAX)",
            limits::INTAKE_BYTES_MAX
        );
        return Err(Refusal::new(code::START_TOO_LARGE, reason));
    }
    let body = decode(message)?;
    let invalid = |error| Refusal::new(code::START_NAME_INVALID, error);
    let start_id = body
        .start_id
        .as_deref()
        .or(message.message_id.as_deref())
        .filter(|id| !id.is_empty());
    let start_id = start_id.ok_or_else(|| {
        Refusal::new(
            code::START_WITHOUT_ID,
            "the message has neither the AMQP property message_id nor a start_id in its body",
        )
    })?;
    let start_id = StartId::new(start_id).map_err(invalid)?;
    let id = match body.id {
        Some(id) => InstanceId::new(id).map_err(invalid)?,
        None => default_instance(hub, &start_id).map_err(invalid)?,
    };
    check_tags(&body.tags)?;
    let input = Payload::from_json_value(&body.input)
        .map_err(|error| Refusal::new(code::START_TOO_LARGE, format!("the input: {error}")))?;
    Ok(StartInstance {
        id,
        start_id,
        name: FunctionName::new(body.orchestration).map_err(invalid)?,
        version: body.version,
        input,
        tags: body.tags,
        trace: message.trace.clone(),
        execution,
    })
}

fn decode(message: &Incoming) -> Result<StartBody, Refusal> {
    let unreadable = |reason: String| Refusal::new(code::START_UNREADABLE, reason);
    let content_type = message.content_type.as_deref().unwrap_or_default();
    match ContentType::parse(content_type) {
        Some(ContentType::Json) => serde_json::from_slice(&message.body)
            .map_err(|error| unreadable(format!("the JSON body: {error}"))),
        Some(ContentType::Msgpack) => {
            let mut reader = rmp_serde::Deserializer::from_read_ref(&message.body);
            reader.set_max_depth(limits::BODY_DEPTH_MAX);
            StartBody::deserialize(&mut reader)
                .map_err(|error| unreadable(format!("the msgpack body: {error}")))
        }
        None => Err(unreadable(format!(
            "the content type is {content_type:?}; application/json and application/msgpack are understood"
        ))),
    }
}

fn check_tags(tags: &BTreeMap<String, String>) -> Result<(), Refusal> {
    let too_long = tags
        .iter()
        .any(|(key, value)| key.len().max(value.len()) > limits::TAG_BYTES_MAX);
    if tags.len() > limits::TAGS_MAX || too_long {
        let reason = format!(
            "at most {} tags of {} bytes each are allowed (TAGS_MAX, TAG_BYTES_MAX)",
            limits::TAGS_MAX,
            limits::TAG_BYTES_MAX
        );
        return Err(Refusal::new(code::START_TOO_LARGE, reason));
    }
    Ok(())
}

/// The instance id of a start that names none: the same for every redelivery, another in another hub.
fn default_instance(hub: &HubName, start: &StartId) -> Result<InstanceId, longhaul_shared::id::InvalidId> {
    let digest = MessageId::of(&[b"instance", hub.as_str().as_bytes(), start.as_str().as_bytes()]);
    InstanceId::new(
        uuid::Builder::from_custom_bytes(digest.bytes())
            .into_uuid()
            .to_string(),
    )
}

/// What must hold for any start message: reading it never panics, a refusal says why, and what was read twice is the
/// same. The first line is the content type, the second the message id, the rest the body.
#[cfg(any(test, feature = "fuzz"))]
#[doc(hidden)]
#[cfg_attr(
    not(feature = "fuzz"),
    expect(unreachable_pub, reason = "exported for the fuzz target only")
)]
pub fn check_intake(bytes: &[u8]) {
    let mut parts = bytes.splitn(3, |byte| *byte == b'\n');
    let mut line = || {
        let line = String::from_utf8_lossy(parts.next()?).into_owned();
        (!line.is_empty()).then_some(line)
    };
    let (content_type, message_id) = (line(), line());
    let message = Incoming {
        message_id,
        content_type,
        body: parts.next().unwrap_or_default().to_vec().into(),
        ..Incoming::default()
    };
    let Ok(hub) = HubName::new("fuzz") else { return };
    let read = || read(&hub, &message, ExecutionId::from_bits(1)).map_err(|refusal| refusal.reason);
    let first = read();
    assert_eq!(first, read(), "read twice");
    if let Err(reason) = first {
        assert!(reason.starts_with("[LH"), "{reason}");
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(content_type: &str, body: impl Into<Bytes>) -> Incoming {
        Incoming {
            content_type: Some(content_type.to_owned()),
            body: body.into(),
            ..Incoming::default()
        }
    }

    #[test]
    fn json_and_msgpack_say_the_same() {
        let value = serde_json::json!({ "orchestration": "hello", "input": { "a": 1 }, "id": "x" });
        let packed = rmp_serde::to_vec_named(&value).unwrap();
        for message in [
            message("application/json", value.to_string()),
            message("application/msgpack", packed),
        ] {
            let body = decode(&message).ok().unwrap();
            assert_eq!(
                (body.orchestration.as_str(), body.id.as_deref()),
                ("hello", Some("x"))
            );
            assert_eq!(body.input, serde_json::json!({ "a": 1 }));
        }
    }

    #[test]
    fn what_cannot_be_read_says_why() {
        let reason = |message| decode(&message).err().unwrap().reason;
        assert!(reason(message("text/plain", "x")).contains("text/plain"));
        assert!(reason(message("application/json", "{")).contains("JSON"));
        let misspelt = r#"{"orchestration":"a","inptu":1}"#;
        assert!(reason(message("application/json", misspelt)).contains("inptu"));
    }

    #[test]
    fn a_deep_body_is_refused_before_the_stack_ends() {
        // {"orchestration": "a", "input": [[[…]]]}
        let mut body = b"\x82\xadorchestration\xa1a\xa5input".to_vec();
        body.extend(std::iter::repeat_n(0x91, 100_000));
        let refusal = decode(&message("application/msgpack", body)).err().unwrap();
        assert!(refusal.reason.contains("depth"), "{}", refusal.reason);
    }

    #[test]
    fn the_default_instance_id_follows_hub_and_start() {
        let start = StartId::new("m-1").unwrap();
        let id = |hub: &str| default_instance(&HubName::new(hub).unwrap(), &start).unwrap();
        assert_eq!(id("a"), id("a"));
        assert_ne!(id("a"), id("b"));
    }

    #[test]
    fn every_start_message_of_the_corpus_is_read_or_refused() {
        let corpus = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/intake");
        let files: Vec<_> = std::fs::read_dir(corpus).unwrap().collect();
        assert!(files.len() >= 20, "the corpus is there");
        for file in files {
            check_intake(&std::fs::read(file.unwrap().path()).unwrap());
        }
    }
}
