//! Owns `longhaul wait`, and how the end of an instance is told.
//! Never ends anything: a wait that is given up leaves the instance as it is.

use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use longhaul_backends::config::Config;
use longhaul_client::{Handle, InstanceId, Status, WaitError};
use longhaul_sdk::Payload;
use serde_json::json;

use crate::output::{Output, json};
use crate::setup::{Begin, with_session};
use crate::span;

#[derive(Args, Debug)]
pub(crate) struct WaitArgs {
    /// The instance's id.
    id: InstanceId,
    /// Wait at most so long, e.g. 30s; then the exit code is 1.
    #[arg(long, value_name = "SPAN", value_parser = span::parse)]
    timeout: Option<Duration>,
}

pub(crate) async fn run(args: WaitArgs, config: &Config, output: &Output) -> anyhow::Result<ExitCode> {
    with_session(config, Begin::MustNot, async |session| {
        let handle = session.client.handle(args.id.clone());
        // Nothing moves in an embedded hub while this program has it: one look is all the waiting there is.
        let timeout = if session.is_embedded { Some(Duration::ZERO) } else { args.timeout };
        let waited = wait(&handle, timeout).await;
        if let (true, Err(WaitError::TimedOut { id, status, .. })) = (session.is_embedded, &waited) {
            anyhow::bail!(
                "instance {id} is {status}, and cannot end while this program has its hub: run the program that \
                 hosts it on this directory instead"
            );
        }
        ended(&args.id, waited, output)
    })
    .await
}

pub(super) async fn wait(handle: &Handle<Payload>, timeout: Option<Duration>) -> Result<Payload, WaitError> {
    match timeout {
        Some(limit) => handle.wait_for(limit).await,
        None => handle.wait().await,
    }
}

/// Tells how an instance ended: its output alone for people, everything for programs.
pub(super) fn ended(
    id: &InstanceId,
    waited: Result<Payload, WaitError>,
    output: &Output,
) -> anyhow::Result<ExitCode> {
    let (status, value) = match waited {
        Ok(payload) => {
            let value = payload.to_json_value();
            let told = json!({ "id": id.as_str(), "status": Status::Completed.name(), "output": value });
            output.result(&format!("{value:#}"), &told)?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(WaitError::Failed { failure, .. }) if !output.is_for_people() => {
            (Status::Failed, json!({ "failure": json::failure(&failure) }))
        }
        Err(WaitError::Terminated { reason, .. }) if !output.is_for_people() => {
            (Status::Terminated, json!({ "reason": reason }))
        }
        Err(error) => return Err(error.into()),
    };
    let mut told = json!({ "id": id.as_str(), "status": status.name() });
    if let (Some(told), Some(why)) = (told.as_object_mut(), value.as_object()) {
        told.extend(why.clone());
    }
    output.value(&told)?;
    Ok(ExitCode::FAILURE)
}
