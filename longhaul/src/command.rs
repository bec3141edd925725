//! Owns the command line: which commands there are, and which file runs each.
//! Never does a command's work.

mod start;

mod history;
mod list;
mod show;

mod terminate;
mod wait;

mod parked;

mod config;
mod explain;
mod metrics;

mod demo;
mod dev;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::output::log::{self, Voice};
use crate::output::{LookArgs, Output};
use crate::setup::HubArgs;

/// Durable orchestrations on RabbitMQ and Redis, or in one process.
#[derive(Parser, Debug)]
#[command(version, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    hub: HubArgs,
    #[command(flatten)]
    pub(crate) look: LookArgs,
}

const EXAMPLES: &str = "\
Examples:
  longhaul start hello_sequence --id first --wait
  longhaul list --status failed
  longhaul history first -o jsonl | jq .kind

Exit codes: 0 = it went well, 1 = it did not, 2 = it was asked wrongly.";

#[derive(Subcommand, Debug)]
enum Command {
    /// Start an instance of an orchestration.
    Start(start::StartArgs),
    /// List instances, newest first.
    List(list::ListArgs),
    /// Show everything known of an instance but its history.
    Show(show::ShowArgs),
    /// Show what happened to an instance, event by event.
    History(history::HistoryArgs),
    /// Wait until an instance has ended, and print its output.
    Wait(wait::WaitArgs),
    /// End an instance.
    Terminate(terminate::TerminateArgs),
    /// Messages that were set aside because they could not be processed.
    #[command(subcommand)]
    Parked(parked::ParkedCommand),
    /// Tell what an error code means and what to do about it.
    Explain(explain::ExplainArgs),
    /// List what the workers measure.
    Metrics,
    /// The configuration.
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Run a whole hub in this process: for developing.
    Dev(dev::DevArgs),
    /// Watch an orchestration survive.
    Demo(demo::DemoArgs),
}

/// Runs the command that the command line names.
///
/// # Errors
/// Why it did not go well, to be told to whoever called it.
pub(crate) async fn run(cli: Cli, output: &Output) -> anyhow::Result<ExitCode> {
    // What needs neither a hub nor a valid configuration.
    if let Command::Explain(args) = &cli.command {
        return explain::run(args, output);
    }
    if matches!(cli.command, Command::Metrics) {
        return metrics::run(output);
    }
    let config = cli.hub.config()?;
    let voice = match &cli.command {
        Command::Dev(_) => Voice::Server,
        _ => Voice::Command,
    };
    log::init(&config, voice)?;
    match cli.command {
        Command::Start(args) => start::run(args, &config, output).await,
        Command::List(args) => list::run(args, &config, output).await,
        Command::Show(args) => show::run(args, &config, output).await,
        Command::History(args) => history::run(args, &config, output).await,
        Command::Wait(args) => wait::run(args, &config, output).await,
        Command::Terminate(args) => terminate::run(args, &config, output).await,
        Command::Parked(command) => parked::run(command, &config, output).await,
        Command::Explain(args) => explain::run(&args, output),
        Command::Metrics => metrics::run(output),
        Command::Config(command) => config::run(&command, &config, output),
        Command::Dev(args) => dev::run(args, config, output).await,
        Command::Demo(args) => demo::run(args, config, output).await,
    }
}
