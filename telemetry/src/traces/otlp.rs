//! Owns how spans become OpenTelemetry's and leave for a collector: OTLP over HTTP, as the `OTEL_*` variables say.
//! Never holds a step up: a span that finds the exporter's queue full is dropped, and the log says so once.

use std::cell::Cell;
use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::{Span as _, SpanKind, Status, TraceContextExt, Tracer, TracerProvider};
use opentelemetry::{Context, KeyValue, SpanId, TraceId};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracer, SdkTracerProvider};
use tracing::{Span, Subscriber};
use tracing_opentelemetry::{OpenTelemetryLayer, OpenTelemetrySpanExt};
use tracing_subscriber::registry::LookupSpan;

use super::place::{Place, Told};
use super::post::Post;
use super::variables::said;

/// Whose spans these are, as a collector sees it.
const SCOPE: &str = "longhaul";
const TRACEPARENT: &str = "traceparent";
const TRACESTATE: &str = "tracestate";
/// How long a program that ends waits for its last spans to leave.
const LEAVE_WITHIN: Duration = Duration::from_secs(3);
/// Ways of speaking that this program does not have.
const PROTOCOL_VARIABLES: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_PROTOCOL",
];
const PROTOCOL: &str = "http/protobuf";

/// Who tells of spans that nobody watched; there once traces are sent.
static TELLER: OnceLock<SdkTracer> = OnceLock::new();

thread_local! {
    /// The ids of the next span that this thread makes, where they were decided before.
    static DECIDED: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// That the `OTEL_*` variables do not say how traces are to be sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TracesError(String);

impl fmt::Display for TracesError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TracesError {}

/// Sends the spans of a process; those that wait are sent when it is dropped, within three seconds.
#[derive(Debug)]
pub struct Traces {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Traces {
    /// Begins to send, to where the `OTEL_*` variables say, as this service; `OTEL_SERVICE_NAME` names it otherwise.
    ///
    /// # Errors
    /// [`TracesError`] if they say what cannot be.
    pub fn start(service: &str, version: &str) -> Result<Self, TracesError> {
        for name in PROTOCOL_VARIABLES {
            if let Some(protocol) = said(name).filter(|protocol| protocol != PROTOCOL) {
                let wrong = format!(
                    "{name} = {protocol:?} is not spoken here: write {PROTOCOL}, and an endpoint that speaks it (a \
                     collector does at port 4318)"
                );
                return Err(TracesError(wrong));
            }
        }
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(Post::new())
            .with_protocol(Protocol::HttpBinary)
            .build()
            .map_err(|error| {
                TracesError(format!(
                    "the variables OTEL_EXPORTER_OTLP_* are not valid: {error}"
                ))
            })?;
        let provider = SdkTracerProvider::builder()
            .with_resource(resource(service, version))
            .with_id_generator(Ids::default())
            .with_batch_exporter(exporter)
            .build();
        let tracer = provider.tracer(SCOPE);
        let _first_one_stays = TELLER.set(tracer.clone());
        Ok(Self { provider, tracer })
    }

    /// What takes the spans of the process's subscriber. Show it only what [`is_shown`](super::is_shown).
    #[must_use]
    pub fn layer<S>(&self) -> OpenTelemetryLayer<S, SdkTracer>
    where
        S: Subscriber + for<'span> LookupSpan<'span>,
    {
        tracing_opentelemetry::layer()
            .with_location(false)
            .with_threads(false)
            .with_tracked_inactivity(false)
            .with_tracer(self.tracer.clone())
    }
}

impl Drop for Traces {
    fn drop(&mut self) {
        if let Err(error) = self.provider.shutdown_with_timeout(LEAVE_WITHIN) {
            tracing::warn!(%error, "the last spans may not have reached the collector");
        }
    }
}

/// What the variables say of the process counts more.
fn resource(service: &str, version: &str) -> Resource {
    let is_named = said("OTEL_SERVICE_NAME").is_some()
        || said("OTEL_RESOURCE_ATTRIBUTES").is_some_and(|attributes| attributes.contains("service.name="));
    let resource = Resource::builder();
    let resource = match is_named {
        true => resource,
        false => resource.with_service_name(service.to_owned()),
    };
    resource
        .with_attribute(KeyValue::new("service.version", version.to_owned()))
        .build()
}

/// Random ids, but for a span whose ids were decided before.
#[derive(Debug, Default)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        DECIDED
            .get()
            .map_or_else(|| self.0.new_trace_id(), |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        DECIDED
            .get()
            .map_or_else(|| self.0.new_span_id(), |(_, span)| span)
    }
}

/// The two headers, for those who read headers.
struct Read<'a>(Place<'a>);

impl opentelemetry::propagation::Extractor for Read<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        match key {
            TRACEPARENT => Some(self.0.traceparent),
            TRACESTATE => self.0.tracestate,
            _ => None,
        }
    }

    fn keys(&self) -> Vec<&str> {
        vec![TRACEPARENT, TRACESTATE]
    }
}

/// The two headers, for those who write headers.
#[derive(Default)]
struct Written {
    traceparent: Option<String>,
    tracestate: Option<String>,
}

impl opentelemetry::propagation::Injector for Written {
    fn set(&mut self, key: &str, value: String) {
        match key {
            TRACEPARENT => self.traceparent = Some(value),
            TRACESTATE if !value.is_empty() => self.tracestate = Some(value),
            _ => {}
        }
    }
}

fn remote(place: Place<'_>) -> Context {
    TraceContextPropagator::new().extract_with_context(&Context::new(), &Read(place))
}

/// Makes a span, not yet entered, a child of this place.
pub fn adopt(span: &Span, parent: Place<'_>) {
    let parent = remote(parent);
    if parent.span().span_context().is_valid() {
        // A span that is in no trace has nobody to refuse or take a parent.
        let _no_layer = span.set_parent(parent);
    }
}

/// The headers `traceparent` and `tracestate` by which others become children of this span; `None` for a span that
/// is in no trace.
#[must_use]
pub fn headers(span: &Span) -> Option<(String, Option<String>)> {
    if span.is_disabled() {
        return None;
    }
    let mut written = Written::default();
    TraceContextPropagator::new().inject_context(&span.context(), &mut written);
    Some((written.traceparent?, written.tracestate))
}

/// Puts a span into its trace.
pub fn tell(told: &Told<'_>) {
    let Some(tracer) = TELLER.get() else {
        return;
    };
    let own = remote(told.own);
    let own = own.span().span_context().clone();
    if !own.is_valid() {
        return;
    }
    let parent = told.parent.map_or_else(Context::new, remote);
    let (began, ended) = told.times;
    let attributes = told.attributes.iter();
    let attributes = attributes.map(|(key, value)| KeyValue::new(*key, value.clone()));
    DECIDED.set(Some((own.trace_id(), own.span_id())));
    let mut span = tracer
        .span_builder(told.name.to_owned())
        .with_kind(SpanKind::Internal)
        .with_start_time(SystemTime::UNIX_EPOCH + began)
        .with_attributes(attributes)
        .start_with_context(tracer, &parent);
    DECIDED.set(None);
    if let Some(error) = told.error {
        span.set_status(Status::error(error.to_owned()));
    }
    span.end_with_timestamp(SystemTime::UNIX_EPOCH + ended);
}

#[cfg(test)]
mod tests {
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    const CALLER: Place<'_> = Place {
        traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        tracestate: Some("a=b"),
    };

    /// Does this in a subscriber whose spans are somebody's traces.
    fn traced(what: impl FnOnce()) {
        let provider = SdkTracerProvider::builder()
            .with_id_generator(Ids::default())
            .build();
        let layer = tracing_opentelemetry::layer().with_tracer(provider.tracer(SCOPE));
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), what);
    }

    #[test]
    fn those_whom_a_span_calls_are_its_children_in_the_trace_of_its_parent() {
        traced(|| {
            let span = tracing::info_span!("attempt");
            adopt(&span, CALLER);
            let (traceparent, tracestate) = headers(&span).unwrap();
            assert!(
                traceparent.starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"),
                "{traceparent}"
            );
            assert!(
                !traceparent.contains("00f067aa0ba902b7") && traceparent.ends_with("-01"),
                "{traceparent}"
            );
            assert_eq!(tracestate.as_deref(), Some("a=b"));
        });
    }

    #[test]
    fn a_caller_that_is_none_leaves_a_span_as_it_is() {
        traced(|| {
            let span = tracing::info_span!("attempt");
            let nonsense = Place {
                traceparent: "nonsense",
                tracestate: None,
            };
            adopt(&span, nonsense);
            assert!(
                !headers(&span)
                    .unwrap()
                    .0
                    .contains("4bf92f3577b34da6a3ce929d0e0e4736")
            );
        });
    }

    #[test]
    fn a_span_in_no_trace_has_nothing_to_hand_on() {
        let span = tracing::info_span!("attempt");
        adopt(&span, CALLER);
        assert_eq!(headers(&span), None);
    }
}
