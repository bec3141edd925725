//! Owns `longhaul explain`: what an error code means and what to do.
//! Never needs a hub.

mod pages;

use std::process::ExitCode;

use clap::Args;
use longhaul_shared::code::{self, Code};
use serde_json::{Value, json};

#[cfg(test)]
pub(super) use self::pages::PAGES;
use crate::output::{Output, Page, Table, Usage};

#[derive(Args, Debug)]
pub(crate) struct ExplainArgs {
    /// The code, as errors show it: LH1201. Without one, all are listed.
    code: Option<String>,
}

pub(crate) fn run(args: &ExplainArgs, output: &Output) -> anyhow::Result<ExitCode> {
    match &args.code {
        Some(text) => one(text, output)?,
        None => all(output)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn one(text: &str, output: &Output) -> anyhow::Result<()> {
    let code = code::find(text).ok_or_else(|| {
        Usage::new(format!(
            "there is no error code {text:?}: `longhaul explain` without a code lists all"
        ))
    })?;
    let page = pages::page(code).unwrap_or_default();
    let mut told = value(code);
    if let Some(fields) = told.as_object_mut() {
        fields.insert("page".to_owned(), page.into());
    }
    output.result(page, &told)?;
    Ok(())
}

fn all(output: &Output) -> anyhow::Result<()> {
    let mut table = Table::new(&["CODE", "MEANING"]);
    for code in code::ALL {
        table.row([code.to_string().into(), code.title().into()]);
    }
    output.page(&Page {
        name: "codes",
        table,
        values: code::ALL.iter().copied().map(value).collect(),
        next: None,
    })?;
    Ok(())
}

fn value(code: Code) -> Value {
    json!({ "code": code.to_string(), "title": code.title(), "fix": code.fix() })
}
