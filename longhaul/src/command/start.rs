//! Owns `longhaul start`: a start from the command line.
//! Never runs what it starts: a worker does.

use std::io::Read;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use longhaul_backends::config::{Config, StoreKind};
use longhaul_client::{FunctionName, Handle, InstanceId, StartId, TraceContext};
use longhaul_sdk::Payload;
use longhaul_shared::limits;
use serde_json::{Value, json};

use super::wait::{self, ended};
use crate::output::{Output, Usage};
use crate::setup::{Begin, pair, with_session};
use crate::span;

#[derive(Args, Debug)]
pub(crate) struct StartArgs {
    /// The orchestration's name, as its contract says it.
    #[arg(value_name = "NAME")]
    name: FunctionName,
    /// The instance's id; without it one is made from the start id.
    #[arg(long)]
    id: Option<InstanceId>,
    /// Names this start: repeating it under the same name never starts a second instance.
    #[arg(long, value_name = "ID")]
    start_id: Option<StartId>,
    /// The input, as JSON; - reads it from standard input.
    #[arg(
        long,
        short,
        value_name = "JSON",
        conflicts_with = "input_file",
        allow_hyphen_values = true
    )]
    input: Option<String>,
    /// The file that holds the input, as JSON; - reads it from standard input.
    #[arg(long, value_name = "FILE")]
    input_file: Option<PathBuf>,
    /// Ask for this version of the orchestration.
    #[arg(long)]
    version: Option<String>,
    /// Tag the instance; may be repeated.
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    tag: Vec<(String, String)>,
    /// Continue the trace that this W3C header is from.
    #[arg(long, value_name = "HEADER", env = "TRACEPARENT")]
    traceparent: Option<String>,
    /// Wait until it has ended, and print its output.
    #[arg(long)]
    wait: bool,
    /// Wait at most so long, e.g. 30s.
    #[arg(long, value_name = "SPAN", value_parser = span::parse, requires = "wait")]
    timeout: Option<Duration>,
}

pub(crate) async fn run(args: StartArgs, config: &Config, output: &Output) -> anyhow::Result<ExitCode> {
    if args.wait && config.store.kind == StoreKind::Embedded {
        let text = "an embedded hub runs in one process, and this one is no worker, so there is nothing to wait for: \
                    start it without --wait, then run the program that hosts it on this directory";
        return Err(Usage::new(text).into());
    }
    let input = input(&args)?;
    with_session(config, Begin::May, async |session| {
        let mut start = session.client.start_by_name(args.name.clone(), input);
        if let Some(id) = &args.id {
            start = start.id(id.as_str());
        }
        if let Some(start_id) = &args.start_id {
            start = start.start_id(start_id.as_str());
        }
        if let Some(version) = &args.version {
            start = start.version(version);
        }
        for (key, value) in &args.tag {
            start = start.tag(key, value);
        }
        let trace = TraceContext::from_headers(args.traceparent.as_deref(), None);
        let handle = start.trace(trace).await?;
        if args.wait {
            output.note(&told(&args.name, &handle));
            let waited = wait::wait(&handle, args.timeout).await;
            return ended(handle.id(), waited, output);
        }
        output.result(&told(&args.name, &handle), &value(&args.name, &handle))?;
        if session.is_embedded {
            output.note("It waits until a program that hosts it opens this directory.");
        }
        Ok(ExitCode::SUCCESS)
    })
    .await
}

fn told(name: &FunctionName, handle: &Handle<Payload>) -> String {
    match handle.repeated() {
        None => format!("Started {name} as {}", handle.id()),
        Some(status) => format!(
            "{} was started before by this very start; it is {status}",
            handle.id()
        ),
    }
}

fn value(name: &FunctionName, handle: &Handle<Payload>) -> Value {
    json!({
        "id": handle.id().as_str(),
        "orchestration": name.as_str(),
        "status": handle.repeated().map_or("Pending", |status| status.name()),
        "repeated": handle.repeated().is_some(),
    })
}

/// The input, checked to be JSON; nothing = null.
fn input(args: &StartArgs) -> anyhow::Result<Payload> {
    let (text, place) = match (&args.input, &args.input_file) {
        (None, None) => return Ok(Payload::unit()),
        (Some(text), _) if text != "-" => (text.clone(), "--input".to_owned()),
        (None, Some(path)) if path.as_os_str() != "-" => {
            let place = path.display().to_string();
            let read = std::fs::read_to_string(path);
            (
                read.map_err(|error| Usage::new(format!("the input cannot be read from {place}: {error}")))?,
                place,
            )
        }
        _ => {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .context("the input cannot be read from standard input")?;
            (text, "standard input".to_owned())
        }
    };
    let not_json = |why: String| Usage::new(format!("the input ({place}) is not JSON: {why}{}", hint(&text)));
    let value: Value = serde_json::from_str(&text).map_err(|error| not_json(error.to_string()))?;
    if depth(&value) > limits::JSON_DEPTH_MAX {
        let text = format!(
            "the input nests deeper than {} levels (JSON_DEPTH_MAX)",
            limits::JSON_DEPTH_MAX
        );
        return Err(Usage::new(text).into());
    }
    // The text itself, since a value would round its large numbers.
    Ok(Payload::json(text).map_err(|error| Usage::new(error.to_string()))?)
}

/// The usual mistake is a text without its quotes.
fn hint(text: &str) -> String {
    let is_word = text
        .trim()
        .chars()
        .next()
        .is_some_and(|first| first.is_alphabetic() || first == '/');
    if is_word {
        format!(". A text needs its quotes: --input '\"{}\"'", text.trim())
    } else {
        String::new()
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 1,
    }
}
