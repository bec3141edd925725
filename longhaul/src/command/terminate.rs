//! Owns `longhaul terminate`: the wish to end an instance.
//! Never waits for the end: `longhaul wait` does.

use std::process::ExitCode;

use clap::Args;
use longhaul_backends::config::Config;
use longhaul_client::InstanceId;
use serde_json::json;

use crate::output::Output;
use crate::setup::{Begin, with_session};

#[derive(Args, Debug)]
pub(crate) struct TerminateArgs {
    /// The instance's id.
    id: InstanceId,
    /// Why, for its history.
    #[arg(long, default_value = "", hide_default_value = true)]
    reason: String,
}

pub(crate) async fn run(args: TerminateArgs, config: &Config, output: &Output) -> anyhow::Result<ExitCode> {
    with_session(config, Begin::MustNot, async |session| {
        session.client.terminate(&args.id, args.reason.as_str()).await?;
        let told = if session.is_embedded {
            format!(
                "{} ends as soon as a program that hosts it opens this directory",
                args.id
            )
        } else {
            format!("{} ends with its next turn", args.id)
        };
        output.result(&told, &json!({ "id": args.id.as_str(), "accepted": true }))?;
        Ok(ExitCode::SUCCESS)
    })
    .await
}
