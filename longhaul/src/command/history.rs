//! Owns `longhaul history`: what happened to an instance, decoded.
//! Never judges it.

use std::process::ExitCode;

use clap::Args;
use longhaul_backends::config::Config;
use longhaul_client::{HistoryEvent, InstanceId};
use serde_json::Value;

use crate::output::{Cell, Output, Page, Table, clipped, json};
use crate::setup::{Begin, with_session};

/// Most characters of an event's details in a row; JSON has all of them.
const DETAILS_CHARACTERS_MAX: usize = 100;

#[derive(Args, Debug)]
pub(crate) struct HistoryArgs {
    /// The instance's id.
    id: InstanceId,
}

pub(crate) async fn run(args: HistoryArgs, config: &Config, output: &Output) -> anyhow::Result<ExitCode> {
    with_session(config, Begin::MustNot, async |session| {
        let events = session.client.history(&args.id).await?;
        output.page(&page(&events))?;
        if events.is_empty() && output.is_for_people() {
            output.note(&format!(
                "{} has no history yet: no worker has taken it up.",
                args.id
            ));
        }
        Ok(ExitCode::SUCCESS)
    })
    .await
}

fn page(events: &[HistoryEvent]) -> Page {
    let mut table = Table::new(&["SEQ", "TIME", "EVENT", "TASK", "DETAILS"]);
    let mut values = Vec::with_capacity(events.len());
    for (seq, event) in (1_u64..).zip(events) {
        let task = event.kind.task().map(|task| task.to_string()).unwrap_or_default();
        table.row([
            seq.to_string().into(),
            Cell::dim(event.time.to_string()),
            event.kind.to_string().into(),
            task.into(),
            clipped(&details(event), DETAILS_CHARACTERS_MAX).into(),
        ]);
        values.push(json::event(seq, event));
    }
    Page {
        name: "events",
        table,
        values,
        next: None,
    }
}

/// What is worth a glance first, then what else the event says: `copy_file  input={"from":"a"}`.
fn details(event: &HistoryEvent) -> String {
    let mut fields = json::details(&event.kind);
    fields.remove("start_id");
    let first = ["name", "status", "reason", "due"].map(|field| fields.remove(field));
    let first = first.into_iter().flatten().map(|value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    });
    let failure = fields
        .remove("failure")
        .and_then(|failure| match failure.get("message") {
            Some(Value::String(message)) => Some(message.clone()),
            _ => None,
        });
    let others = fields.iter().map(|(field, value)| match value {
        Value::String(text) if field == "place" => format!("{field}={text}"),
        value => format!("{field}={value}"),
    });
    first.chain(failure).chain(others).collect::<Vec<_>>().join("  ")
}

#[cfg(test)]
mod tests {
    use longhaul_sdk::{Failure, Payload, Timestamp};
    use longhaul_shared::failure::FailureKind;
    use longhaul_shared::history::{EventKind, ExecutionCompleted, Place, TaskScheduled};
    use longhaul_shared::id::{Fingerprint, FunctionName, QueueName, TaskId};
    use longhaul_shared::instance::Status;

    use super::*;

    fn check(kind: EventKind, expected: &str) {
        let time = Timestamp::from_micros(0);
        assert_eq!(details(&HistoryEvent { time, kind }), expected);
    }

    #[test]
    fn details_begin_with_what_is_worth_a_glance() {
        check(EventKind::OrchestratorStarted, "");
        let scheduled = TaskScheduled {
            task: TaskId(1),
            name: FunctionName::new("copy_file").unwrap(),
            fingerprint: Fingerprint(0),
            place: Place::Queue(QueueName::default()),
            input: Some(Payload::json(r#"{"from":"a"}"#).unwrap()),
            timeout: None,
            tags: std::collections::BTreeMap::new(),
        };
        check(
            EventKind::TaskScheduled(scheduled),
            r#"copy_file  input={"from":"a"}  place=queue default"#,
        );
        let failed = ExecutionCompleted {
            status: Status::Failed,
            output: None,
            failure: Some(Failure::new(FailureKind::Application, "disk full")),
        };
        check(EventKind::ExecutionCompleted(failed), "Failed  disk full");
    }
}
