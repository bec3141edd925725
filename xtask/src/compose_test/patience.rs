//! Waiting for a condition, with a deadline.
//! Never waits for time alone.

use std::time::{Duration, Instant};

use anyhow::{Context, bail};

const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Looks until `look` returns something, and returns it. An error counts as nothing yet, and is told at the deadline.
#[expect(
    clippy::disallowed_methods,
    reason = "this command's one door to the clock and to sleep"
)]
pub(crate) fn wait_until<T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> anyhow::Result<Option<T>>,
) -> anyhow::Result<T> {
    let begun = Instant::now();
    loop {
        let seen = look();
        if let Ok(Some(found)) = seen {
            println!("  {what}: after {:.1} s", begun.elapsed().as_secs_f64());
            return Ok(found);
        }
        if begun.elapsed() >= deadline {
            seen.with_context(|| format!("gave up after {deadline:?} waiting until {what}"))?;
            bail!("gave up after {deadline:?} waiting until {what}");
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_at_the_deadline_is_told_and_one_before_it_is_not() {
        let mut looks = 0;
        let found = wait_until("the second look", Duration::from_secs(60), || {
            looks += 1;
            if looks == 1 {
                bail!("not yet")
            } else {
                Ok(Some(looks))
            }
        });
        assert_eq!(found.unwrap(), 2);
        let never = wait_until("never", Duration::ZERO, || -> anyhow::Result<Option<()>> {
            bail!("it is broken")
        });
        assert!(format!("{:#}", never.unwrap_err()).ends_with("never: it is broken"));
    }
}
