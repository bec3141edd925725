//! Owns the durable timer: a sleep of any length, through crashes and deploys.
//! Never uses a thread or a worker's memory while it sleeps.

use std::time::Duration;

use longhaul_sdk::{OrchestrationContext, OrchestrationError};

use crate::contracts::{Reminded, ReminderRequest};

/// Sleeps, then tells when it was due and when it woke up.
///
/// # Errors
/// None.
pub async fn reminder(
    ctx: OrchestrationContext,
    request: ReminderRequest,
) -> Result<Reminded, OrchestrationError> {
    let timer = ctx.timer(Duration::from_millis(request.after_ms));
    let due_micros = timer.due().micros();
    timer.await;
    Ok(Reminded {
        due_micros,
        woke_micros: ctx.now().micros(),
    })
}
