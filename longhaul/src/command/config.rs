//! Owns `longhaul config`: what counts and where it was said, and what there is to say.
//! Never shows a password.

use std::process::ExitCode;

use clap::Subcommand;
use longhaul_backends::config::{self, Config, Effective, Origin};
use serde_json::{Value, json};

use crate::output::{Cell, Output, Page, Table};

#[derive(Subcommand, Debug)]
pub(crate) enum ConfigCommand {
    /// Print every key with its value and where that was said.
    Dump,
    /// Print the page of all keys: meaning, form, default and range of each.
    Reference,
}

/// Prints the page of all keys; `json` names each with what there is to know of it.
pub(crate) fn reference(output: &Output) -> anyhow::Result<ExitCode> {
    let keys = config::SECTIONS.iter().flat_map(|section| section.keys);
    let values: Vec<Value> = keys
        .map(|key| {
            json!({
                "key": key.name, "variable": key.variable(), "meaning": key.meaning(), "form": key.form.to_string(),
                "default": key.default, "least": key.range.map(|range| range.0),
                "greatest": key.range.map(|range| range.1),
            })
        })
        .collect();
    output.result(config::reference().trim_end(), &json!({ "keys": values }))?;
    Ok(ExitCode::SUCCESS)
}

pub(crate) fn dump(config: &Config, output: &Output) -> anyhow::Result<ExitCode> {
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
