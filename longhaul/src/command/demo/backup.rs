//! Owns `longhaul demo backup`: start the backup, or go on with the one that did not finish, and tell the report.
//! Never copies a file itself: the `backup` orchestration's activities do.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, ensure};
use longhaul_client::{Client, Handle};
use longhaul_examples::contracts::{BACKUP, BackupReport, BackupRequest};
use longhaul_shared::instance::Status;
use longhaul_shared::port::{PageRequest, Query};

use super::progress::Progress;
use crate::local::{Local, Place};
use crate::output::{self, Output};

/// How many unfinished backups are looked through for the one to go on with.
const UNFINISHED_MAX: usize = 1_000;

#[derive(Debug, clap::Args)]
pub(super) struct BackupArgs {
    /// The directory to copy.
    source: PathBuf,
    /// The directory to copy into; made if it does not exist.
    destination: PathBuf,
}

pub(super) async fn run(args: BackupArgs, dir: &Path, output: &Output) -> anyhow::Result<ExitCode> {
    let request = request(&args)?;
    let mut local = Local::start(Place::Directory(dir)).await?;
    let client = local.client.clone();
    let ports = local.ports.clone();
    let backed_up = local.until(async move {
        let handle = begin(&client, &request, output).await?;
        let progress = Progress::new(ports, handle.id().clone());
        let report = tokio::select! {
            biased;
            report = handle.wait() => report?,
            never = progress.show() => match never? {},
        };
        Ok((handle.id().clone(), report))
    });
    let code = match backed_up.await {
        Ok(Some((id, report))) => {
            tell(&args, &report, output)?;
            output.note(&format!(
                "Every step is on record: {} --dir {} history {id}",
                output::as_called(),
                dir.display()
            ));
            if report.failed == 0 {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Ok(None) => {
            output.note("Stopped. Run the same command again: it goes on where it was.");
            ExitCode::FAILURE
        }
        Err(error) => {
            local.stop().await;
            return Err(error);
        }
    };
    local.stop().await;
    Ok(code)
}

fn request(args: &BackupArgs) -> anyhow::Result<BackupRequest> {
    let source = args.source.canonicalize();
    let source = source.with_context(|| format!("the source {} cannot be read", args.source.display()))?;
    ensure!(
        source.is_dir(),
        "the source {} is not a directory",
        source.display()
    );
    std::fs::create_dir_all(&args.destination)
        .with_context(|| format!("the destination {} cannot be made", args.destination.display()))?;
    let destination = args.destination.canonicalize()?;
    ensure!(
        source != destination,
        "source and destination are the same directory, {}",
        source.display()
    );
    let text = |path: PathBuf| {
        path.into_os_string()
            .into_string()
            .map_err(|path| anyhow::anyhow!("the path {} is not UTF-8", path.display()))
    };
    Ok(BackupRequest {
        source: text(source)?,
        destination: text(destination)?,
    })
}

/// The backup of this request that has not ended, or a new one.
async fn begin(
    client: &Client,
    request: &BackupRequest,
    output: &Output,
) -> anyhow::Result<Handle<BackupReport>> {
    let query = Query {
        statuses: vec![Status::Pending, Status::Running],
        name: Some(BACKUP.function_name()),
        page: PageRequest {
            cursor: None,
            limit: UNFINISHED_MAX,
        },
    };
    for summary in client.list(query).await?.instances {
        let Some(row) = client.get(&summary.id).await? else {
            continue;
        };
        let is_same = row
            .input
            .decode::<BackupRequest>()
            .is_ok_and(|other| other.source == request.source && other.destination == request.destination);
        if is_same {
            output.note(&format!("Going on with {}, which did not finish.", summary.id));
            return Ok(client.handle(summary.id).of(BACKUP));
        }
    }
    let now = client.time().await?.to_string();
    let digits: String = now.chars().filter(char::is_ascii_digit).collect();
    let handle = client
        .start(BACKUP, request.clone())
        .id(format!("backup-{digits}"))
        .await?;
    output.note(&format!(
        "Started {}. Kill this process any time and run the same command again.",
        handle.id()
    ));
    Ok(handle)
}

fn tell(args: &BackupArgs, report: &BackupReport, output: &Output) -> anyhow::Result<()> {
    let took = Duration::from_millis(report.took_ms);
    let mut text = format!(
        "Copied {} files, {} bytes, in {took:.1?} into {}.\nSHA-256 over all: {}",
        report.files,
        report.bytes,
        args.destination.display(),
        report.digest
    );
    if report.failed > 0 {
        text.push_str(&format!("\n{} could not be copied:", report.failed));
    }
    for failure in &report.failures {
        text.push_str(&format!("\n  {}: {}", failure.path, failure.reason));
    }
    output.result(&text, &serde_json::to_value(report)?)?;
    Ok(())
}
