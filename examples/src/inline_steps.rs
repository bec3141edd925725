//! Owns the inline step: small work done by the orchestrator worker itself, without a queue in between.
//! Never runs a step again once its result is committed.

use longhaul_sdk::{BoxError, OrchestrationContext, OrchestrationError};

/// Adds one, doubles, and squares, each in a step of its own.
///
/// # Errors
/// When a step fails.
pub async fn inline_steps(ctx: OrchestrationContext, start: u64) -> Result<u64, OrchestrationError> {
    let more = ctx
        .run("add_one", move || async move { Ok::<_, BoxError>(start + 1) })
        .await?;
    let twice = ctx
        .run("double", move || async move { Ok::<_, BoxError>(more * 2) })
        .await?;
    let squared = ctx
        .run("square", move || async move { Ok::<_, BoxError>(twice * twice) })
        .await?;
    Ok(squared)
}
