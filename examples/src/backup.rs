//! Owns a real job: back a directory up, one activity a file, and report. It survives any crash on the way.
//! Never touches a file itself: activities do.

use longhaul_sdk::context::join_all;
use longhaul_sdk::{OrchestrationContext, OrchestrationError, RetryPolicy};
use sha2::{Digest, Sha256};

use crate::contracts::{
    BackupReport, BackupRequest, COPY_FILE, Copied, CopyFile, FileFailure, LIST_FILES, ListFiles,
};

/// How many failures the report tells in full; the rest are counted.
const FAILURES_TOLD_MAX: usize = 100;

/// Copies every file below the source. A file that cannot be copied is in the report, it stops nothing.
///
/// # Errors
/// When the source cannot be listed.
pub async fn backup(
    ctx: OrchestrationContext,
    request: BackupRequest,
) -> Result<BackupReport, OrchestrationError> {
    let began = ctx.now();
    let (files, mut failures) = list(&ctx, &request).await?;

    let copies = files.iter().map(|path| {
        let copy = CopyFile {
            source: request.source.clone(),
            destination: request.destination.clone(),
            path: path.clone(),
        };
        ctx.activity(COPY_FILE, copy).retry(RetryPolicy::exponential(3))
    });
    let outcomes = join_all(copies).await;

    let mut report = BackupReport {
        files: 0,
        bytes: 0,
        digest: String::new(),
        took_ms: 0,
        failed: 0,
        failures: Vec::new(),
    };
    let mut digest = Sha256::new();
    for (path, outcome) in files.into_iter().zip(outcomes) {
        match outcome {
            Ok(Copied { bytes, sha256 }) => {
                report.files += 1;
                report.bytes += bytes;
                digest.update(format!("{path}\0{sha256}\n"));
            }
            Err(error) => failures.push(FileFailure {
                path,
                reason: error.failure().to_string(),
            }),
        }
    }
    report.digest = format!("{:x}", digest.finalize());
    report.failed = failures.len() as u64;
    failures.truncate(FAILURES_TOLD_MAX);
    report.failures = failures;
    report.took_ms = u64::try_from(ctx.now().since(began).as_millis())?;
    Ok(report)
}

/// All files, page by page, and what could not be read on the way.
async fn list(
    ctx: &OrchestrationContext,
    request: &BackupRequest,
) -> Result<(Vec<String>, Vec<FileFailure>), OrchestrationError> {
    let (mut files, mut unreadable) = (Vec::new(), Vec::new());
    loop {
        let which = ListFiles {
            source: request.source.clone(),
            destination: request.destination.clone(),
            after: files.last().cloned(),
        };
        let page = ctx
            .activity(LIST_FILES, which)
            .retry(RetryPolicy::exponential(3))
            .await?;
        files.extend(page.files);
        unreadable.extend(page.unreadable);
        if !page.has_more {
            return Ok((files, unreadable));
        }
    }
}
