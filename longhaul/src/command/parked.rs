//! Owns `longhaul parked`: messages that were set aside, and sending them again.
//! Never drops one.

use std::process::ExitCode;

use clap::{Args, Subcommand};
use longhaul_backends::config::{Config, StoreKind};
use longhaul_client::{Client, InstanceId, PageRequest, ParkedId, ParkedMessage, RequeueError, WaitingFor};
use longhaul_shared::codec;
use longhaul_shared::time::Timestamp;
use serde_json::json;

use crate::output::{Output, Page, Record, Table, Usage, clipped, json};
use crate::setup::{Begin, with_session};
use crate::span;

/// Most characters of a reason in a row; `longhaul parked show` has all of it.
const REASON_CHARACTERS_MAX: usize = 80;

/// How many messages are read at a time while all are requeued; each may be a mebibyte.
const REQUEUE_PAGE: usize = 32;

#[derive(Subcommand, Debug)]
pub(crate) enum ParkedCommand {
    /// List parked messages, oldest first.
    List(ListArgs),
    /// Show one, with its body.
    Show {
        /// The message's id, as `longhaul parked list` shows it.
        id: ParkedId,
    },
    /// Send messages to where they came from, once their cause is gone.
    Requeue(RequeueArgs),
}

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// How many to list at a time.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Where to go on, as the page before said.
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Args, Debug)]
#[group(required = true, multiple = false)]
pub(crate) struct RequeueArgs {
    /// The message's id, as `longhaul parked list` shows it; or the id of a parked instance.
    id: Option<String>,
    /// All that are parked now.
    #[arg(long)]
    all: bool,
}

pub(crate) async fn run(
    command: ParkedCommand,
    config: &Config,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let queues = match config.store.kind {
        StoreKind::Embedded => Queues::OfAnotherProcess,
        _ => Queues::OfTheBroker,
    };
    if matches!(&command, ParkedCommand::Requeue(RequeueArgs { all: true, .. })) {
        queues.must_be_reached()?;
    }
    with_session(config, Begin::MustNot, async |session| match &command {
        ParkedCommand::List(args) => list(args, &session.client, output).await,
        ParkedCommand::Show { id } => show(*id, &session.client, output).await,
        ParkedCommand::Requeue(RequeueArgs { id: Some(id), .. }) => {
            requeue(id, queues, &session.client, output).await
        }
        ParkedCommand::Requeue(RequeueArgs { id: None, .. }) => requeue_all(&session.client, output).await,
    })
    .await
}

/// Whose the hub's queues are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Queues {
    OfTheBroker,
    /// In the memory of whoever runs the embedded hub.
    OfAnotherProcess,
}

impl Queues {
    fn must_be_reached(self) -> Result<(), Usage> {
        match self {
            Self::OfTheBroker => Ok(()),
            Self::OfAnotherProcess => Err(Usage::new(
                "the queues of an embedded hub are in the memory of the program that runs it, so a message sent \
                 from here would be lost; it stays parked",
            )),
        }
    }
}

async fn list(args: &ListArgs, client: &Client, output: &Output) -> anyhow::Result<ExitCode> {
    let request = PageRequest {
        cursor: args.cursor.clone(),
        limit: usize::from(args.limit),
    };
    let listed = client.parked(request).await?;
    let now = client.time().await?;
    let page = Page {
        name: "messages",
        table: table(&listed.messages, now),
        values: listed.messages.iter().map(json::parked).collect(),
        next: listed.next,
    };
    output.page(&page)?;
    match &page.next {
        Some(cursor) => output.note(&format!(
            "{} are parked in all. More: --cursor '{cursor}'",
            listed.total
        )),
        None if page.values.is_empty() && output.is_for_people() => {
            output.note(&format!("Nothing is parked in hub {}.", client.hub()));
        }
        None => {}
    }
    Ok(ExitCode::SUCCESS)
}

fn table(messages: &[ParkedMessage], now: Timestamp) -> Table {
    let mut table = Table::new(&["ID", "PARKED", "FROM", "CODE", "REASON"]);
    for message in messages {
        table.row([
            message.id.to_string().into(),
            format!("{} ago", span::age(now, message.time)).into(),
            json::origin(&message.origin).into(),
            message.code.as_str().into(),
            clipped(reason(message), REASON_CHARACTERS_MAX).into(),
        ]);
    }
    table
}

/// The reason without the code that has a column of its own.
fn reason(message: &ParkedMessage) -> &str {
    let code = format!("[{}]", message.code);
    message
        .reason
        .strip_prefix(&code)
        .unwrap_or(&message.reason)
        .trim_start()
}

async fn show(id: ParkedId, client: &Client, output: &Output) -> anyhow::Result<ExitCode> {
    let message = client
        .parked_message(id)
        .await?
        .ok_or(RequeueError::Unknown { id })?;
    let now = client.time().await?;
    let body = json::body(&message);
    let mut record = Record::default();
    record.field("id", message.id.to_string());
    record.field(
        "parked",
        format!("{} ({} ago)", message.time, span::age(now, message.time)),
    );
    record.field("from", json::origin(&message.origin));
    record.field("code", message.code.as_str());
    record.field("reason", reason(&message));
    for (name, value) in [
        ("message id", &message.message_id),
        ("type", &message.kind),
        ("content type", &message.content_type),
        ("traceparent", &message.trace.traceparent),
    ] {
        if let Some(value) = value {
            record.field(name, value.as_str());
        }
    }
    record.field("body", format!("{body:#}"));
    let mut value = json::parked(&message);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("body".to_owned(), body);
    }
    output.record(&record, &value)?;
    Ok(ExitCode::SUCCESS)
}

async fn requeue(id: &str, queues: Queues, client: &Client, output: &Output) -> anyhow::Result<ExitCode> {
    let parked: Option<ParkedId> = id.parse().ok();
    let message = match parked {
        Some(parked) => client.parked_message(parked).await?,
        None => None,
    };
    match (message, InstanceId::new(id)) {
        (Some(message), _) => {
            // An instance is waited for in the store, not in a queue.
            if codec::instance_parked_as(&message).is_none() {
                queues.must_be_reached()?;
            }
            client.requeue(message.id).await?;
        }
        (None, Ok(instance)) if is_stuck(client, &instance).await? => {
            client.requeue_instance(&instance).await?
        }
        (None, _) => match parked {
            Some(id) => return Err(RequeueError::Unknown { id }.into()),
            None => anyhow::bail!("nothing of the id {id} is parked: neither a message nor an instance"),
        },
    }
    output.result(
        &format!("Requeued {id}"),
        &json!({ "requeued": [id.to_string()] }),
    )?;
    Ok(ExitCode::SUCCESS)
}

async fn is_stuck(client: &Client, id: &InstanceId) -> anyhow::Result<bool> {
    let row = client.get(id).await?;
    Ok(row.is_some_and(|row| matches!(row.waiting_for, Some(WaitingFor::Stuck { .. }))))
}

/// Requeues what was parked before the command began: what is parked again meanwhile would never come to an end.
async fn requeue_all(client: &Client, output: &Output) -> anyhow::Result<ExitCode> {
    let begun = client.time().await?;
    let mut requeued: Vec<String> = Vec::new();
    let mut cursor = None;
    loop {
        let request = PageRequest {
            cursor,
            limit: REQUEUE_PAGE,
        };
        let page = client.parked(request).await?;
        for message in page.messages.iter().filter(|message| message.time < begun) {
            match client.requeue(message.id).await {
                Ok(()) => requeued.push(message.id.to_string()),
                // Somebody else was faster.
                Err(RequeueError::Unknown { .. }) => {}
                Err(error) => {
                    output.note(&format!("{} were requeued before this happened:", requeued.len()));
                    return Err(error.into());
                }
            }
        }
        let is_past = page.messages.last().is_some_and(|message| message.time >= begun);
        cursor = page.next;
        if cursor.is_none() || is_past {
            break;
        }
    }
    let told = format!("Requeued {} messages", requeued.len());
    output.result(&told, &json!({ "requeued": requeued }))?;
    Ok(ExitCode::SUCCESS)
}
