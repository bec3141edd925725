//! Owns the `longhaul` program: it reads the command line, runs one command, and tells how it went.
//! Never decides what a command does: those are in `command`, a file each.
//!
//! Exit codes: 0 = it went well; 1 = it did not (the instance failed, is unknown, a server is out of reach); 2 = it
//! was asked wrongly (usage, configuration).

mod command;
mod local;
mod output;
mod setup;
mod span;

use std::process::ExitCode;

use clap::Parser;

use crate::command::Cli;
use crate::output::Output;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(&cli.look);
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(command::run(cli, &output)));
    ended.unwrap_or_else(|error| output.problem(&error))
}
