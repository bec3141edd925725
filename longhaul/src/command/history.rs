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

/// The name first, then what else the event says: `copy_file  input={"from":"a"}`.
fn details(event: &HistoryEvent) -> String {
    let fields = json::details(&event.kind);
    let name = fields.get("name").and_then(Value::as_str).map(str::to_owned);
    let others = fields
        .iter()
        .filter(|(field, _)| !matches!(field.as_str(), "name" | "start_id"));
    let others = others.map(|(field, value)| match (field.as_str(), value) {
        ("failure", failure) => format!("failure={}", failure["message"]),
        (field @ ("due" | "status" | "place"), Value::String(text)) => format!("{field}={text}"),
        (field, value) => format!("{field}={value}"),
    });
    name.into_iter().chain(others).collect::<Vec<_>>().join("  ")
}
