//! Owns `longhaul show`: one instance in full, without its history.
//! Never changes anything.

use std::process::ExitCode;

use clap::Args;
use longhaul_backends::config::Config;
use longhaul_client::{InstanceId, InstanceRow, LookError, Status, WaitingFor};
use longhaul_sdk::{Failure, Payload};
use longhaul_shared::time::Timestamp;

use crate::output::{Cell, Output, Record, json};
use crate::setup::{Begin, with_session};
use crate::span;

#[derive(Args, Debug)]
pub(crate) struct ShowArgs {
    /// The instance's id.
    id: InstanceId,
}

pub(crate) async fn run(args: ShowArgs, config: &Config, output: &Output) -> anyhow::Result<ExitCode> {
    with_session(config, Begin::MustNot, async |session| {
        let row = session.client.get(&args.id).await?;
        let row = row.ok_or_else(|| LookError::Unknown {
            id: args.id.clone(),
            hub: session.client.hub().clone(),
        })?;
        let now = session.client.time().await?;
        output.record(&record(&row, now), &json::instance(&row))?;
        Ok(ExitCode::SUCCESS)
    })
    .await
}

fn record(row: &InstanceRow, now: Timestamp) -> Record {
    let mut record = Record::default();
    let when = |time: Timestamp| format!("{time} ({} ago)", span::age(now, time));
    record.field("id", row.id.as_str());
    record.field("orchestration", row.name.as_str());
    if let Some(version) = &row.version {
        record.field("version", version.as_str());
    }
    record.field("status", Cell::from(row.status));
    if let Some(waiting_for) = &row.waiting_for {
        record.field("waiting for", in_full(waiting_for));
    }
    record.field("created", when(row.created));
    record.field("changed", when(row.changed));
    record.field("events", row.last_seq.to_string());
    record.field("execution", row.execution.to_string());
    record.field("start id", row.start_id.as_str());
    for (key, value) in &row.tags {
        record.field("tag", format!("{key}={value}"));
    }
    if let Some(traceparent) = &row.trace.traceparent {
        record.field("traceparent", traceparent.as_str());
    }
    record.field("input", laid_out(&row.input));
    if let Some(output) = &row.output {
        record.field("output", laid_out(output));
    }
    match &row.failure {
        Some(failure) if row.status == Status::Terminated => {
            let reason = Some(failure.message.as_str()).filter(|reason| !reason.is_empty());
            record.field("reason", reason.unwrap_or("none was given"));
        }
        Some(failure) => causes(&mut record, failure),
        None => {}
    }
    record
}

/// As its `Display`, but with everything that a pause says.
fn in_full(waiting_for: &WaitingFor) -> String {
    match waiting_for {
        WaitingFor::Paused { code, message } if message.contains(code.as_str()) => {
            format!("paused: {message}")
        }
        WaitingFor::Paused { code, message } => format!("paused: [{code}] {message}"),
        other => other.to_string(),
    }
}

fn causes(record: &mut Record, failure: &Failure) {
    let mut name = "failure";
    let mut next = Some(failure);
    while let Some(failure) = next {
        let kind = match (failure.kind.as_str(), failure.error_type.as_str()) {
            (kind, "") => kind.to_owned(),
            (kind, error_type) => format!("{kind}, {error_type}"),
        };
        record.field(name, format!("{} ({kind})", failure.message));
        if let Some(details) = &failure.details {
            record.field("details", laid_out(details));
        }
        name = "caused by";
        next = failure.cause.as_deref();
    }
}

fn laid_out(payload: &Payload) -> String {
    format!("{:#}", payload.to_json_value())
}
