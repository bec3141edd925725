//! Owns `longhaul list`: instances, newest first, page by page.
//! Never reads payloads.

use std::process::ExitCode;

use clap::Args;
use longhaul_backends::config::Config;
use longhaul_client::{FunctionName, InstanceSummary, PageRequest, Query, Status};
use longhaul_shared::time::Timestamp;

use crate::output::{Cell, Output, Page, Table, clipped, json};
use crate::setup::{Begin, with_session};
use crate::span;

/// Most characters of what an instance waits for in a row; `longhaul show` has all of it.
const WAITING_CHARACTERS_MAX: usize = 80;

#[derive(Args, Debug)]
pub(crate) struct ListArgs {
    /// Only instances of this status; may be repeated, or several separated by commas.
    #[arg(long, value_name = "STATUS", value_parser = status, value_delimiter = ',')]
    status: Vec<Status>,
    /// Only instances of this orchestration.
    #[arg(long, value_name = "ORCHESTRATION")]
    name: Option<FunctionName>,
    /// How many to list at a time.
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Where to go on, as the page before said.
    #[arg(long)]
    cursor: Option<String>,
}

fn status(text: &str) -> Result<Status, String> {
    Status::ALL
        .into_iter()
        .find(|status| status.name().eq_ignore_ascii_case(text))
        .ok_or_else(|| {
            format!(
                "write one of {}",
                Status::ALL.map(Status::name).join(", ").to_lowercase()
            )
        })
}

pub(crate) async fn run(args: ListArgs, config: &Config, output: &Output) -> anyhow::Result<ExitCode> {
    with_session(config, Begin::MustNot, async |session| {
        let query = Query {
            statuses: args.status.clone(),
            name: args.name.clone(),
            page: PageRequest {
                cursor: args.cursor.clone(),
                limit: usize::from(args.limit),
            },
        };
        let is_filtered = query.name.is_some() || !query.statuses.is_empty();
        let listed = session.client.list(query).await?;
        let now = session.client.time().await?;
        let page = Page {
            name: "instances",
            table: table(&listed.instances, now),
            values: listed.instances.iter().map(json::summary).collect(),
            next: listed.next,
        };
        output.page(&page)?;
        match &page.next {
            Some(cursor) => output.note(&format!("There are more: --cursor '{cursor}'")),
            None if page.values.is_empty() && output.is_for_people() => {
                let hub = session.client.hub();
                let such = if is_filtered { " such" } else { "" };
                output.note(&format!("There is no{such} instance in hub {hub}."));
            }
            None => {}
        }
        Ok(ExitCode::SUCCESS)
    })
    .await
}

fn table(instances: &[InstanceSummary], now: Timestamp) -> Table {
    let mut table = Table::new(&["ID", "ORCHESTRATION", "STATUS", "AGE", "CHANGED", "WAITING FOR"]);
    for instance in instances {
        let waiting_for = instance
            .waiting_for
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default();
        table.row([
            instance.id.as_str().into(),
            instance.name.as_str().into(),
            Cell::from(instance.status),
            span::age(now, instance.created).into(),
            format!("{} ago", span::age(now, instance.changed)).into(),
            clipped(&waiting_for, WAITING_CHARACTERS_MAX).into(),
        ]);
    }
    table
}
