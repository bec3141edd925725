//! Waiting on a condition with a deadline: the only place in the harness that sleeps.
//! Never waits for time to pass as such: it looks, and looks again.

use std::time::{Duration, Instant};

use anyhow::bail;

const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Looks every 20 ms until `look` returns `Some`, and returns what it found.
///
/// # Errors
/// The error of `look` at once, or after `deadline` one that names `what` was waited for.
#[expect(
    clippy::disallowed_methods,
    reason = "the harness's one door to the clock and to sleep"
)]
pub fn poll_until<T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        if let Some(found) = look()? {
            return Ok(found);
        }
        if begun.elapsed() >= deadline {
            bail!("gave up after {deadline:?} waiting until {what}");
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn returns_what_it_found() {
        let mut looks = 0;
        let found = poll_until("the third look", Duration::from_secs(5), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(found.unwrap(), 3);
    }

    #[test]
    fn names_what_it_waited_for() {
        let error = poll_until("pigs fly", Duration::ZERO, || Ok(None::<()>)).unwrap_err();
        assert_eq!(error.to_string(), "gave up after 0ns waiting until pigs fly");
    }

    #[test]
    fn an_error_ends_the_wait() {
        let error = poll_until(
            "never",
            Duration::from_secs(600),
            || -> anyhow::Result<Option<()>> { bail!("the process is gone") },
        );
        assert_eq!(error.unwrap_err().to_string(), "the process is gone");
    }
}
