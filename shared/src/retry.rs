//! Owns retry policies: how often and how long apart a failed task is tried again.
//! Never waits itself: the engine turns each delay into a durable timer, visible in history.
//!
//! Delay before attempt n+1 = `first_delay * backoff^(n-1)`, at most `delay_max`, as in the Durable Task family.

use std::time::Duration;

/// How a failed task is tried again. Every attempt is a task of its own in history, every delay a timer.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryPolicy {
    attempts_max: u32,
    first_delay: Duration,
    backoff: f64,
    delay_max: Duration,
}

impl RetryPolicy {
    /// Default delay before the second attempt.
    pub const FIRST_DELAY: Duration = Duration::from_secs(1);
    /// Default longest delay.
    pub const DELAY_MAX: Duration = Duration::from_secs(60);

    /// Up to `attempts_max` attempts (the first included, at least 1), 1 s, 2 s, 4 s … 60 s apart.
    #[must_use]
    pub fn exponential(attempts_max: u32) -> Self {
        Self {
            backoff: 2.0,
            ..Self::fixed(attempts_max, Self::FIRST_DELAY)
        }
    }

    /// Up to `attempts_max` attempts (the first included, at least 1), each `delay` after the failure before it.
    #[must_use]
    pub fn fixed(attempts_max: u32, delay: Duration) -> Self {
        Self {
            attempts_max: attempts_max.max(1),
            first_delay: delay,
            backoff: 1.0,
            delay_max: delay.max(Self::DELAY_MAX),
        }
    }

    /// The same policy with another delay before the second attempt.
    #[must_use]
    pub fn first_delay(mut self, delay: Duration) -> Self {
        self.first_delay = delay;
        self
    }

    /// The same policy with another longest delay.
    #[must_use]
    pub fn delay_max(mut self, delay: Duration) -> Self {
        self.delay_max = delay;
        self
    }

    /// The same policy whose delays grow by this factor; below 1 or not a number counts as 1.
    #[must_use]
    pub fn backoff(mut self, factor: f64) -> Self {
        self.backoff = if factor >= 1.0 { factor } else { 1.0 };
        self
    }

    /// How long to wait after attempt number `failed` (from 1) failed; `None` when it was the last.
    #[must_use]
    pub fn delay_after(&self, failed: u32) -> Option<Duration> {
        if failed >= self.attempts_max {
            return None;
        }
        let growth = self
            .backoff
            .powi(i32::try_from(failed.saturating_sub(1)).unwrap_or(i32::MAX));
        let delay = Duration::try_from_secs_f64(self.first_delay.as_secs_f64() * growth);
        Some(delay.unwrap_or(self.delay_max).min(self.delay_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exponential_delays_double_up_to_the_cap() {
        let policy = RetryPolicy::exponential(100);
        let delays: Vec<_> = (1..=8)
            .filter_map(|n| policy.delay_after(n))
            .map(|d| d.as_secs())
            .collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(policy.delay_after(99), Some(RetryPolicy::DELAY_MAX));
        assert_eq!(policy.delay_after(100), None);
    }

    #[test]
    fn one_attempt_is_never_repeated() {
        assert_eq!(RetryPolicy::fixed(0, Duration::ZERO).delay_after(1), None);
    }
}
