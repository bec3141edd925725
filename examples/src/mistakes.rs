//! Owns the mistakes that everybody makes once, to see what Longhaul says to them: nothing is lost, the message
//! says what to do, and the neighbours go on.
//! Never a model to follow.

use longhaul_sdk::{Activity, OrchestrationContext, OrchestrationError};

/// Nobody hosts this: its name is misspelt.
const SAY_HELO: Activity<String, String> = Activity::new("say_helo");

/// More than a payload may hold.
const TOO_MUCH_BYTES: usize = 2 * 1024 * 1024;

/// Panics.
///
/// # Errors
/// None: it does not get that far.
pub async fn panicking(ctx: OrchestrationContext, (): ()) -> Result<(), OrchestrationError> {
    let cities: Vec<String> = Vec::new();
    tracing::debug!(instance = %ctx.instance_id(), "about to index an empty list");
    #[expect(clippy::indexing_slicing, reason = "the mistake to show")]
    let first = &cities[0];
    Err(OrchestrationError::new(format!("never reached: {first}")))
}

/// Counts to n without awaiting; with a large n a worker gives it up.
///
/// # Errors
/// None.
pub async fn spinning(_ctx: OrchestrationContext, n: u64) -> Result<(), OrchestrationError> {
    let mut count = 0_u64;
    while std::hint::black_box(count) < n {
        count += 1;
    }
    Ok(())
}

/// Awaits a channel that nobody ever sends to.
///
/// # Errors
/// None: it does not get that far.
pub async fn not_durable(_ctx: OrchestrationContext, (): ()) -> Result<(), OrchestrationError> {
    futures::future::pending().await
}

/// Calls an activity that nobody hosts; it waits until somebody does.
///
/// # Errors
/// None.
pub async fn misspelt_activity(ctx: OrchestrationContext, (): ()) -> Result<(), OrchestrationError> {
    ctx.activity(SAY_HELO, "Tokyo".to_owned()).await?;
    Ok(())
}

/// Returns more than may be stored.
///
/// # Errors
/// None of its own: Longhaul fails it.
pub async fn over_limit(_ctx: OrchestrationContext, (): ()) -> Result<String, OrchestrationError> {
    Ok("x".repeat(TOO_MUCH_BYTES))
}
