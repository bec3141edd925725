//! Owns how a step of an orchestration shows in a trace: as whose child, and, with the feature `otlp`, where to.
//! Never knows what the steps are: a worker makes the spans, and says here whose children they are.
//!
//! Without the feature nothing is sent and all of this does nothing; a program says so if it was asked to send.
//!
//! A span of Longhaul's own goes into a trace by having a field `otel.name`. So do spans and events of level `INFO`
//! and above of anybody else, whatever the log shows.

use tracing::{Level, Metadata};

#[cfg(not(feature = "otlp"))]
mod nowhere;
#[cfg(feature = "otlp")]
mod otlp;
mod place;
#[cfg(feature = "otlp")]
mod post;
mod variables;

#[cfg(not(feature = "otlp"))]
use nowhere as to;
#[cfg(feature = "otlp")]
use otlp as to;
#[cfg(feature = "otlp")]
pub use otlp::{Traces, TracesError};
pub use place::{Place, Told};
pub use to::{adopt, headers, tell};
use variables::said;

/// The variables that name a collector. One of them asks for traces: the default of the OpenTelemetry specification,
/// a collector on this machine, would have every program without one complain.
pub const ENDPOINT_VARIABLES: [&str; 2] = [
    "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
];

/// Whether the process's environment asks for traces: it names a collector, and does not say
/// `OTEL_SDK_DISABLED=true` or `OTEL_TRACES_EXPORTER=none`.
#[must_use]
pub fn are_asked_for() -> bool {
    let is_off = said("OTEL_SDK_DISABLED").is_some_and(|text| text.eq_ignore_ascii_case("true"))
        || said("OTEL_TRACES_EXPORTER").is_some_and(|text| text == "none");
    !is_off && ENDPOINT_VARIABLES.into_iter().any(|name| said(name).is_some())
}

/// Whether a span or an event is for a trace.
#[must_use]
pub fn is_shown(metadata: &Metadata<'_>) -> bool {
    // The runtime's spans of tasks last as long as the program, and would be the parents of all else.
    if metadata.is_span() && metadata.target().split("::").next() == Some("longhaul_backends") {
        return false;
    }
    let is_ours = metadata.is_span() && metadata.fields().field("otel.name").is_some();
    // What the exporter says of itself would be exported, and so on.
    let is_the_exporters = metadata.target().starts_with("opentelemetry");
    is_ours || (*metadata.level() <= Level::INFO && !is_the_exporters)
}
