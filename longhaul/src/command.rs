//! Owns the command line: which commands there are, and which file runs each.
//! Never does a command's work.

mod start;

mod history;
mod list;
mod show;

mod terminate;
mod wait;

mod parked;

mod doctor;
mod why;

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
  longhaul why first
  longhaul doctor

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
    /// Say what an instance waits for, since when, and what would unblock it.
    Why(why::WhyArgs),
    /// Wait until an instance has ended, and print its output.
    Wait(wait::WaitArgs),
    /// End an instance.
    Terminate(terminate::TerminateArgs),
    /// Messages that were set aside because they could not be processed.
    #[command(subcommand)]
    Parked(parked::ParkedCommand),
    /// Check servers, settings, queues, workers and work, and name the bottleneck.
    Doctor(doctor::DoctorArgs),
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
    if let Command::Config(config::ConfigCommand::Reference) = &cli.command {
        return config::reference(output);
    }
    let config = cli.hub.config()?;
    let voice = match &cli.command {
        Command::Dev(_) => Voice::Server,
        _ => Voice::Command,
    };
    let _log = log::init(&config, voice)?;
    match cli.command {
        Command::Start(args) => start::run(args, &config, output).await,
        Command::List(args) => list::run(args, &config, output).await,
        Command::Show(args) => show::run(args, &config, output).await,
        Command::History(args) => history::run(args, &config, output).await,
        Command::Why(args) => why::run(args, &config, output).await,
        Command::Doctor(args) => doctor::run(args, &config, output).await,
        Command::Wait(args) => wait::run(args, &config, output).await,
        Command::Terminate(args) => terminate::run(args, &config, output).await,
        Command::Parked(command) => parked::run(command, &config, output).await,
        Command::Explain(args) => explain::run(&args, output),
        Command::Metrics => metrics::run(output),
        Command::Config(config::ConfigCommand::Dump) => config::dump(&config, output),
        Command::Config(config::ConfigCommand::Reference) => config::reference(output),
        Command::Dev(args) => dev::run(args, config, output).await,
        Command::Demo(args) => demo::run(args, config, output).await,
    }
}

#[cfg(test)]
mod tests {
    use longhaul_backends::config::SECTIONS;
    use longhaul_shared::code;

    use super::*;

    /// What stands between backticks in the pages of the error codes and in their remedies.
    fn spans() -> Vec<String> {
        let pages = explain::PAGES.iter().map(|(_, page)| (*page).to_owned());
        let remedies = code::ALL.iter().map(|code| code.fix().to_owned());
        let in_text = |text: String| -> Vec<String> {
            let (before_example, _) = text.split_once("## Example").unwrap_or((&text, ""));
            let spans = before_example.split('`').skip(1).step_by(2);
            spans.map(ToOwned::to_owned).collect()
        };
        pages.chain(remedies).flat_map(in_text).collect()
    }

    #[test]
    fn every_command_that_a_remedy_names_is_one() {
        let commands: Vec<String> = spans()
            .into_iter()
            .filter(|span| span.starts_with("longhaul "))
            .collect();
        assert!(commands.len() > 50, "{commands:?}");
        for command in commands {
            // The one id that has a form of its own.
            let words = command.split(' ').map(|word| match word {
                "ID" => "0123456789abcdef0123456789abcdef",
                word => word,
            });
            let parsed = Cli::try_parse_from(words);
            assert!(parsed.is_ok(), "{command}: {}", parsed.unwrap_err());
        }
    }

    #[test]
    fn every_key_that_a_remedy_names_is_one() {
        let is_key = |name: &str| {
            let mut keys = SECTIONS.iter().flat_map(|section| section.keys);
            keys.any(|key| key.name == name)
        };
        let words = spans().into_iter().filter(|span| {
            let (section, key) = span.split_once('.').unwrap_or_default();
            let is_section = SECTIONS.iter().any(|known| known.name == section);
            is_section && key.chars().all(|c| c.is_ascii_lowercase() || c == '_')
        });
        let keys: Vec<String> = words.collect();
        assert!(keys.len() > 10, "{keys:?}");
        for key in keys {
            assert!(is_key(&key), "{key}");
        }
    }
}
