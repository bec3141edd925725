//! Owns the fan-out and fan-in: many activities at once, one answer.
//! Never cares in which order the results come.

use longhaul_sdk::context::try_join_all;
use longhaul_sdk::{ActivityContext, BoxError, OrchestrationContext, OrchestrationError};

use crate::contracts::SQUARE;

/// 1² + 2² + … + n², each square computed by an activity of its own.
///
/// # Errors
/// When an activity fails.
pub async fn sum_of_squares(ctx: OrchestrationContext, n: u64) -> Result<u64, OrchestrationError> {
    let squares = try_join_all((1..=n).map(|number| ctx.activity(SQUARE, number))).await?;
    Ok(squares.iter().sum())
}

/// Squares a number.
///
/// # Errors
/// When the square is too large.
pub async fn square(_ctx: ActivityContext, number: u64) -> Result<u64, BoxError> {
    number
        .checked_mul(number)
        .ok_or_else(|| format!("{number}² does not fit").into())
}
