//! Owns `longhaul demo`: the main job on real files, and the smallest one.
//! Never needs a server: the hub is in this process, kept in a directory.

mod backup;
mod progress;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use longhaul_backends::config::Config;
use longhaul_examples::contracts::HELLO_SEQUENCE;
use serde_json::json;

use crate::local::{DIRECTORY, Local, Place};
use crate::output::{self, Output};

/// See a durable job run on this machine, without any server.
#[derive(Debug, clap::Args)]
pub(crate) struct DemoArgs {
    #[command(subcommand)]
    demo: Demo,
}

#[derive(Debug, clap::Subcommand)]
enum Demo {
    /// Copy every file of a directory, one activity a file. Kill it and run it again: it goes on where it was.
    Backup(backup::BackupArgs),
    /// Greet three cities, one after the other.
    Hello,
}

/// Runs a demo to its end; run again after a crash it goes on.
///
/// # Errors
/// When the directory cannot be used or the job fails.
pub(crate) async fn run(args: DemoArgs, config: Config, output: &Output) -> anyhow::Result<ExitCode> {
    let dir = config.store.dir.unwrap_or_else(|| PathBuf::from(DIRECTORY));
    match args.demo {
        Demo::Backup(args) => backup::run(args, &dir, output).await,
        Demo::Hello => hello(&dir, output).await,
    }
}

async fn hello(dir: &Path, output: &Output) -> anyhow::Result<ExitCode> {
    let mut local = Local::start(Place::Directory(dir)).await?;
    let client = local.client.clone();
    let greeted = local.until(async move {
        let handle = client.start(HELLO_SEQUENCE, ()).await?;
        let id = handle.id().clone();
        Ok((id, handle.wait().await?))
    });
    if let Some((id, greetings)) = greeted.await? {
        output.result(&greetings.join("\n"), &json!(greetings))?;
        output.note(&format!(
            "Every step is on record: {} --dir {} history {id}",
            output::as_called(),
            dir.display()
        ));
    }
    local.stop().await;
    Ok(ExitCode::SUCCESS)
}
