//! Owns the smallest orchestration: one activity after the other.
//! Never remembers anything itself: the history does.

use longhaul_sdk::{ActivityContext, BoxError, OrchestrationContext, OrchestrationError};

use crate::contracts::SAY_HELLO;

/// Greets Tokyo, Seattle and London, in this order.
///
/// # Errors
/// When an activity fails for good.
pub async fn hello_sequence(ctx: OrchestrationContext, (): ()) -> Result<Vec<String>, OrchestrationError> {
    let mut greetings = Vec::new();
    for city in ["Tokyo", "Seattle", "London"] {
        greetings.push(ctx.activity(SAY_HELLO, city.to_owned()).await?);
    }
    Ok(greetings)
}

/// Greets a city.
///
/// # Errors
/// None.
pub async fn say_hello(_ctx: ActivityContext, city: String) -> Result<String, BoxError> {
    Ok(format!("Hello, {city}!"))
}
