//! The steps of a chore: each named, timed, and listed at the end with its outcome.
//! Never stops at a failure: whoever asked wants to see all of them.

use std::time::{Duration, Instant};

/// What has been done so far.
#[derive(Default)]
pub(crate) struct Steps {
    done: Vec<Done>,
}

struct Done {
    name: &'static str,
    outcome: Outcome,
    took: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    Failed,
    Skipped,
}

impl Outcome {
    pub(crate) fn of(passed: bool) -> Self {
        if passed { Self::Passed } else { Self::Failed }
    }
}

impl Steps {
    /// Does a step; an error is shown and is a failure.
    #[expect(
        clippy::disallowed_methods,
        reason = "people want to know where the time went"
    )]
    pub(crate) fn run(
        &mut self,
        name: &'static str,
        work: impl FnOnce() -> anyhow::Result<Outcome>,
    ) -> Outcome {
        println!("\n== {name}");
        let begun = Instant::now();
        let outcome = work().unwrap_or_else(|error| {
            println!("error: {error:#}");
            Outcome::Failed
        });
        self.done.push(Done {
            name,
            outcome,
            took: begun.elapsed(),
        });
        outcome
    }

    pub(crate) fn skip(&mut self, name: &'static str) {
        self.done.push(Done {
            name,
            outcome: Outcome::Skipped,
            took: Duration::ZERO,
        });
    }

    /// Prints the list; returns whether nothing failed.
    pub(crate) fn finish(self) -> bool {
        println!();
        for Done { name, outcome, took } in &self.done {
            let word = match outcome {
                Outcome::Passed => "ok",
                Outcome::Failed => "FAILED",
                Outcome::Skipped => "skipped",
            };
            println!("{word:>8}  {name:<10} {:>7.1} s", took.as_secs_f64());
        }
        self.done.iter().all(|done| done.outcome != Outcome::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_or_error_fails_the_chore() {
        for (outcome, fine) in [
            (Ok(Outcome::Passed), true),
            (Ok(Outcome::Failed), false),
            (Err(()), false),
        ] {
            let mut steps = Steps::default();
            steps.run("good", || Ok(Outcome::Passed));
            steps.run("tested", || outcome.map_err(|()| anyhow::anyhow!("it broke")));
            steps.skip("left out");
            assert_eq!(steps.finish(), fine);
        }
    }
}
