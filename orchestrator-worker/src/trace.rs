//! Owns how an orchestration shows in a trace: a span from its start to its end, and in it a span for each turn.
//! Never decides whether anything is traced: the program that hosts the worker does.
//!
//! Nobody watches an orchestration from its begin to its end, so the worker that commits the end tells of it. Until
//! then its turns and attempts have a parent that the collector does not know yet.

use longhaul_shared::commit::RowChange;
use longhaul_shared::id::{ExecutionKey, TaskId};
use longhaul_shared::instance::Status;
use longhaul_shared::time::Timestamp;
use longhaul_shared::trace::TraceContext;
use longhaul_telemetry::traces::{self, Place, Told};
use tracing::Span;

use crate::session::Session;

/// The span of one turn.
pub(crate) fn turn_span(session: &Session) -> Span {
    let span = tracing::debug_span!(
        "turn",
        otel.name = format_args!("turn {}", session.name),
        instance_id = %session.key.instance,
        execution_id = %session.key.execution,
        orchestration = %session.name,
        partition = %session.partition,
        after_event = session.ledger.last_seq().0,
    );
    adopt(span, &session.key, &session.trace)
}

/// The span of one run of an inline step.
pub(crate) fn inline_span(key: &ExecutionKey, from: &TraceContext, task: TaskId) -> Span {
    let span = tracing::debug_span!(
        "inline step",
        otel.name = "inline step",
        instance_id = %key.instance,
        execution_id = %key.execution,
        %task,
    );
    adopt(span, key, from)
}

/// Makes a span a child of its orchestration.
fn adopt(span: Span, key: &ExecutionKey, from: &TraceContext) -> Span {
    if !span.is_disabled() {
        let own = from.of_execution(key.execution);
        if let Some(parent) = place(&own) {
            traces::adopt(&span, parent);
        }
    }
    span
}

/// Tells of an orchestration whose end was just committed, if its turns are traced.
pub(crate) fn ended(session: &Session, row: &RowChange) {
    if Span::current().is_disabled() {
        return;
    }
    let own = session.trace.of_execution(session.key.execution);
    let Some(own) = place(&own) else {
        return;
    };
    let failure = row.failure.as_ref().map(ToString::to_string);
    let attributes = [
        ("instance_id", session.key.instance.to_string()),
        ("execution_id", session.key.execution.to_string()),
        ("orchestration", session.name.to_string()),
        ("status", row.status.to_string()),
    ];
    let error = match row.status {
        Status::Completed => None,
        _ => Some(failure.as_deref().unwrap_or("it was terminated")),
    };
    let epoch = Timestamp::from_micros(0);
    traces::tell(&Told {
        name: &format!("orchestration {}", session.name),
        own,
        parent: place(&session.trace),
        times: (session.created.since(epoch), row.changed.since(epoch)),
        attributes: &attributes,
        error,
    });
}

fn place(context: &TraceContext) -> Option<Place<'_>> {
    Some(Place {
        traceparent: context.traceparent.as_deref()?,
        tracestate: context.tracestate.as_deref(),
    })
}
