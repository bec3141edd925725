//! Owns how an attempt shows in a trace: as a child of the orchestration that wants the task done.
//! Never decides whether anything is traced: the program that hosts the worker does.

use longhaul_shared::message::WorkItem;
use longhaul_shared::trace::TraceContext;
use longhaul_telemetry::traces::{self, Place};
use tracing::Span;
use tracing::field::Empty;

/// The span of one attempt at a task.
pub(crate) fn attempt_span(item: &WorkItem) -> Span {
    let key = &item.identity.key;
    let span = tracing::debug_span!(
        "attempt",
        otel.name = format_args!("activity {}", item.name),
        otel.kind = "consumer",
        otel.status_code = Empty,
        otel.status_description = Empty,
        instance_id = %key.instance,
        execution_id = %key.execution,
        activity = %item.name,
        task = %item.identity.task,
        dispatch = %item.dispatch,
        queue = %item.queue,
    );
    if !span.is_disabled() {
        let parent = item.trace.of_execution(key.execution);
        if let Some(traceparent) = &parent.traceparent {
            let tracestate = parent.tracestate.as_deref();
            traces::adopt(
                &span,
                Place {
                    traceparent,
                    tracestate,
                },
            );
        }
    }
    span
}

/// Says in the current attempt's span that it failed.
pub(crate) fn failed(why: &dyn std::fmt::Display) {
    let span = Span::current();
    span.record("otel.status_code", "ERROR");
    span.record("otel.status_description", tracing::field::display(why));
}

/// What the activity is to hand on to those it calls: the current attempt, if it is traced.
pub(crate) fn handed_on() -> Option<TraceContext> {
    let (traceparent, tracestate) = traces::headers(&Span::current())?;
    Some(TraceContext::from_headers(
        Some(&traceparent),
        tracestate.as_deref(),
    ))
}
