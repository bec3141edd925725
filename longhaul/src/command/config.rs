//! Owns `longhaul config`: what counts, and where it was said.
//! Never shows a password.

use std::process::ExitCode;

use clap::Subcommand;
use longhaul_backends::config::{Config, Effective, Origin};
use serde_json::{Value, json};

use crate::output::{Cell, Output, Page, Table};

#[derive(Subcommand, Debug)]
pub(crate) enum ConfigCommand {
    /// Print every key with its value and where that was said.
    Dump,
}

pub(crate) fn run(command: &ConfigCommand, config: &Config, output: &Output) -> anyhow::Result<ExitCode> {
    let ConfigCommand::Dump = command;
    let mut table = Table::new(&["KEY", "VALUE", "ORIGIN"]);
    for effective in config.effective() {
        let origin = match &effective.origin {
            Origin::Default => Cell::dim("default"),
            said => said.to_string().into(),
        };
        table.row([effective.key.into(), effective.value.as_str().into(), origin]);
    }
    output.page(&Page {
        name: "keys",
        table,
        values: config.effective().iter().map(value).collect(),
        next: None,
    })?;
    Ok(ExitCode::SUCCESS)
}

fn value(effective: &Effective) -> Value {
    json!({ "key": effective.key, "value": effective.value, "origin": effective.origin.to_string() })
}
