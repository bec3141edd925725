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

use std::io::{self, Write as _};
use std::process::ExitCode;

use clap::Parser;
use longhaul_backends::config::without_secrets;

use crate::command::Cli;
use crate::output::Output;

/// What clap says of the command line: help, or an error that repeats what was written.
fn told(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        error.exit();
    }
    let _unread = io::stderr().write_all(without_secrets(&error.render().to_string()).as_bytes());
    ExitCode::from(2)
}

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return told(&error),
    };
    let output = Output::new(&cli.look);
    let ended = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(anyhow::Error::from)
        .and_then(|runtime| runtime.block_on(command::run(cli, &output)));
    ended.unwrap_or_else(|error| output.problem(&error))
}
