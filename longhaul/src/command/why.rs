//! Owns `longhaul why`: what an instance waits for, since when, and what would unblock it.
//! Never judges by itself: the client does.

use std::process::ExitCode;

use clap::Args;
use longhaul_backends::config::Config;
use longhaul_client::{InstanceId, Owner, Status, Why};

use crate::output::{Cell, Output, Record, json};
use crate::setup::{Begin, with_session};
use crate::span;

/// Most things that an instance waits for and that are told in full; JSON has all of them.
const WAITS_MAX: usize = 8;

#[derive(Args, Debug)]
pub(crate) struct WhyArgs {
    /// The instance's id.
    id: InstanceId,
}

pub(crate) async fn run(args: WhyArgs, config: &Config, output: &Output) -> anyhow::Result<ExitCode> {
    with_session(config, Begin::MustNot, async |session| {
        let why = session.client.why(&args.id).await?;
        output.record(&record(&why), &json::why(&why))?;
        Ok(ExitCode::SUCCESS)
    })
    .await
}

fn record(why: &Why) -> Record {
    let mut record = Record::default();
    let ago = |time| format!("{time} ({} ago)", span::age(why.now, time));
    record.field("id", why.id.as_str());
    record.field("orchestration", why.name.as_str());
    record.field("status", Cell::from(why.status));
    if why.status.is_terminal() {
        record.field("ended", ago(why.changed));
        record.field("waits for", format!("nothing: {}", how_it_ended(why)));
        return record;
    }
    record.field("partition", format!("{}, {}", why.partition, owner(&why.owner)));
    record.field("changed", ago(why.changed));
    for wait in why.waits.iter().take(WAITS_MAX) {
        record.field("", "");
        let told = wait.reason.to_string();
        let told = match wait.reason.needs_a_person() {
            true => Cell::warn(told),
            false => Cell::from(told),
        };
        record.field("waits for", told);
        record.field("since", ago(wait.since));
        record.field("unblocked by", wait.reason.remedy());
    }
    if let Some(more @ 1..) = why.waits.len().checked_sub(WAITS_MAX) {
        record.field("", "");
        record.field("waits for", format!("{more} more: -o json has all of them"));
    }
    record
}

fn owner(owner: &Owner) -> String {
    match owner {
        Owner::Nobody => "owned by nobody".to_owned(),
        Owner::Worker(id) => format!("owned by worker {id}"),
        Owner::Expired(id) => format!("owned by worker {id}, whose lease has run out"),
    }
}

fn how_it_ended(why: &Why) -> String {
    let reason = why.failure.as_ref().map(|failure| failure.message.as_str());
    let reason = reason.filter(|reason| !reason.is_empty());
    match (why.status, reason) {
        (Status::Failed, Some(reason)) => format!("it failed: {reason}"),
        (Status::Failed, None) => "it failed".to_owned(),
        (Status::Terminated, Some(reason)) => format!("it was terminated: {reason}"),
        (Status::Terminated, None) => "it was terminated, without a reason".to_owned(),
        _ => "it has completed".to_owned(),
    }
}
