//! Owns `longhaul dev`: everything in one process, to try things out on a laptop.
//! Never serves another machine.

use std::process::ExitCode;

use longhaul_backends::config::Config;
use longhaul_shared::id::FunctionName;

use crate::local::{Local, Place};
use crate::output::Output;

/// Run a whole hub in this process, with the example functions.
#[derive(Debug, clap::Args)]
pub(crate) struct DevArgs {
    /// Keep nothing on disk: everything is gone on exit.
    #[arg(long)]
    memory: bool,
}

/// Runs until Ctrl-C.
///
/// # Errors
/// When the directory cannot be used.
pub(crate) async fn run(args: DevArgs, config: Config, output: &Output) -> anyhow::Result<ExitCode> {
    let dir = config.store.dir.as_deref().filter(|_| !args.memory);
    let (place, storage) = match dir {
        Some(dir) => (
            Place::Directory(dir),
            format!("{} (durable; delete it to start afresh)", dir.display()),
        ),
        None => (Place::Memory, "in memory: state is lost on exit".to_owned()),
    };
    let mut local = Local::start(place).await?;
    let names = |names: Vec<FunctionName>| {
        names
            .iter()
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" ")
    };
    output.note(&format!(
        "Longhaul {} runs in this process; Ctrl-C stops it\n  \
         storage         {storage}\n  \
         orchestrations  {}\n  \
         activities      {}",
        env!("CARGO_PKG_VERSION"),
        names(longhaul_examples::orchestrations().names()),
        names(longhaul_examples::activities().names()),
    ));
    local.until(std::future::pending::<anyhow::Result<()>>()).await?;
    output.note("stopping");
    local.stop().await;
    Ok(ExitCode::SUCCESS)
}
