//! Owns a collector of traces that this test process runs: OTLP over HTTP, kept in memory.
//! Never understands spans: it hands out what came.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use prost::Message;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A span as it came, with the service that sent it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    pub(crate) service: String,
    pub(crate) trace: String,
    pub(crate) id: String,
    /// Empty if it begins its trace.
    pub(crate) parent: String,
    pub(crate) name: String,
    pub(crate) nanos: (u64, u64),
    pub(crate) attributes: BTreeMap<String, String>,
    /// What went wrong, if something did.
    pub(crate) error: Option<String>,
}

/// Runs until it is dropped.
pub(crate) struct Collector {
    pub(crate) url: String,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Collector {
    pub(crate) fn start() -> Self {
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (stop, stopped) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind(("127.0.0.1", 0))).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let kept = Arc::clone(&seen);
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    _ = stopped => {}
                    () = serve(listener, kept) => {}
                }
            });
        });
        Self {
            url,
            seen,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// The spans that came so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Collector {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ended = thread.join();
        }
    }
}

/// One request after the other: a connection that was kept would keep the others waiting.
async fn serve(listener: TcpListener, seen: Arc<Mutex<Vec<Seen>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let answer = service_fn(|request| answer(request, Arc::clone(&seen)));
        let mut connections = http1::Builder::new();
        let _closed = connections
            .keep_alive(false)
            .serve_connection(TokioIo::new(stream), answer)
            .await;
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: Arc<Mutex<Vec<Seen>>>,
) -> Result<Response<Empty<Bytes>>, Infallible> {
    let is_traces = request.uri().path() == "/v1/traces";
    let body = request.into_body().collect().await.map(|body| body.to_bytes());
    let spans = body
        .ok()
        .and_then(|body| ExportTraceServiceRequest::decode(body).ok());
    let mut response = Response::new(Empty::new());
    match spans {
        Some(spans) if is_traces => {
            let spans = read(spans);
            seen.lock().unwrap_or_else(PoisonError::into_inner).extend(spans);
        }
        _ => *response.status_mut() = StatusCode::BAD_REQUEST,
    }
    Ok(response)
}

fn read(request: ExportTraceServiceRequest) -> Vec<Seen> {
    let mut seen = Vec::new();
    for resource in request.resource_spans {
        let of = resource
            .resource
            .map(|resource| texts(resource.attributes))
            .unwrap_or_default();
        let service = of.get("service.name").cloned().unwrap_or_default();
        for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
            let error = span
                .status
                .filter(|status| status.code == 2)
                .map(|status| status.message);
            seen.push(Seen {
                service: service.clone(),
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                name: span.name,
                nanos: (span.start_time_unix_nano, span.end_time_unix_nano),
                attributes: texts(span.attributes),
                error,
            });
        }
    }
    seen
}

fn texts(attributes: Vec<KeyValue>) -> BTreeMap<String, String> {
    let text = |value: Value| match value {
        Value::StringValue(text) => text,
        other => format!("{other:?}"),
    };
    attributes
        .into_iter()
        .filter_map(|pair| Some((pair.key, text(pair.value?.value?))))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
