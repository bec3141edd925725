//! `cargo xtask bench [--quick] [--peers]`: how fast Longhaul is on this machine, and with `--peers` how fast others are
//! beside it, written into `docs/performance.md`; with `--only TEXT` some of it, written nowhere.
//! Never part of what Longhaul ships, and never switches durability off: the servers sync every write.
//!
//! The driver starts workers and loads as processes of their own; `load` is what such a load runs.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_methods,
    clippy::cast_precision_loss,
    reason = "a command line program that measures time"
)]

mod engine;
mod figures;
mod fleet;
mod floor;
mod load;
mod metering;
mod peers;
mod place;
mod plan;
mod report;
mod rest;
mod workload;

use std::io::Write;
use std::process::ExitCode;

use anyhow::Context;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> anyhow::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["load", plan] => {
            let plan: load::Plan = serde_json::from_str(plan).context("the plan of a load")?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            let figures = runtime.block_on(load::run(&plan))?;
            serde_json::to_writer(std::io::stdout(), &figures)?;
            std::io::stdout().flush()?;
        }
        ["floor", plan] => {
            let plan: floor::Plan = serde_json::from_str(plan).context("the plan of a floor")?;
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
            runtime.block_on(floor::run(plan))?;
        }
        options => {
            let Some(effort) = plan::Effort::from_options(options) else {
                eprintln!("usage: bench [--quick] [--peers] [--only TEXT]");
                return Ok(ExitCode::from(2));
            };
            drive(&effort)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Measures everything, and writes it down.
fn drive(effort: &plan::Effort) -> anyhow::Result<()> {
    let before = report::Conditions::now()?;
    let measured = plan::measure(effort)?;
    let rest = if effort.only.is_empty() || "rest".contains(&effort.only) {
        Some(plan::at_rest()?)
    } else {
        None
    };
    let alone = report::Alone {
        rest,
        replays: engine::replays()?,
        turns: engine::turns()?,
        record: metering::cost_of_record()?,
    };
    let text = report::write(effort, &before, &measured, &alone);
    println!("{text}");
    if !effort.only.is_empty() {
        return Ok(());
    }
    let path = std::path::Path::new("docs/performance.md");
    std::fs::write(path, text).with_context(|| format!("{} cannot be written", path.display()))
}
