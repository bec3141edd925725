//! Owns a job whose side effects can be counted: every execution of an activity leaves a line in a file.
//! Never hides that activities run at least once: the file shows it.

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::time::Duration;

use longhaul_sdk::context::try_join_all;
use longhaul_sdk::{ActivityContext, BoxError, OrchestrationContext, OrchestrationError, RetryPolicy};

use crate::contracts::{JournalRequest, WRITE_LINE, WriteLine};

/// How soon a failed line is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(20);

fn line(request: &JournalRequest, line: u64) -> WriteLine {
    let JournalRequest {
        file,
        each_ms,
        failures,
        ..
    } = request.clone();
    WriteLine {
        file,
        line,
        each_ms,
        failures,
    }
}

fn policy(request: &JournalRequest) -> RetryPolicy {
    RetryPolicy::fixed(
        u32::try_from(request.failures)
            .unwrap_or(u32::MAX)
            .saturating_add(1),
        RETRY_DELAY,
    )
}

/// Writes the lines one after the other; returns how many.
///
/// # Errors
/// When a line cannot be written.
pub async fn chain(ctx: OrchestrationContext, request: JournalRequest) -> Result<u64, OrchestrationError> {
    let mut written = 0;
    for number in 1..=request.lines {
        written += ctx
            .activity(WRITE_LINE, line(&request, number))
            .retry(policy(&request))
            .await?;
    }
    Ok(written)
}

/// Writes the lines all at once; returns how many.
///
/// # Errors
/// When a line cannot be written.
pub async fn fan_out(ctx: OrchestrationContext, request: JournalRequest) -> Result<u64, OrchestrationError> {
    let calls = (1..=request.lines).map(|n| {
        ctx.activity(WRITE_LINE, line(&request, n))
            .retry(policy(&request))
    });
    Ok(try_join_all(calls).await?.iter().sum())
}

/// Appends `instance line attempt` to the file, takes its time, and fails as often as it is told to.
///
/// # Errors
/// When the file cannot be written, and the first `failures` times.
pub async fn write_line(ctx: ActivityContext, what: WriteLine) -> Result<u64, BoxError> {
    let mark = format!("{} {} ", ctx.instance_id(), what.line);
    let before = if what.failures > 0 {
        count(&what.file, &mark)?
    } else {
        0
    };
    let mut file = OpenOptions::new().create(true).append(true).open(&what.file)?;
    file.write_all(format!("{mark}{}\n", ctx.task_id()).as_bytes())?;
    rest(Duration::from_millis(what.each_ms)).await;
    if before < what.failures {
        return Err(format!(
            "line {} fails {} times, this is time {}",
            what.line,
            what.failures,
            before + 1
        )
        .into());
    }
    Ok(1)
}

#[expect(
    clippy::disallowed_methods,
    reason = "an activity may do anything, taking its time included"
)]
async fn rest(span: Duration) {
    tokio::time::sleep(span).await;
}

fn count(file: &str, mark: &str) -> Result<u64, BoxError> {
    match std::fs::File::open(file) {
        Ok(file) => {
            let lines: Result<Vec<_>, _> = BufReader::new(file).lines().collect();
            Ok(lines?.iter().filter(|line| line.starts_with(mark)).count() as u64)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(0),
        Err(error) => Err(error.into()),
    }
}
