//! Owns what a measurement comes to: a count, a span, latencies by rank.
//! Never averages what should be ranked.

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

/// What one measurement came to.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Instances that ended while it was measured.
    pub(crate) count: usize,
    /// All that ended, also before and after.
    pub(crate) ran: usize,
    /// How long was measured, in seconds.
    pub(crate) seconds: f64,
    /// From a start to its answer, in milliseconds, of half of them and of all but a hundredth.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Figures {
    /// Of what these clients have seen.
    pub(crate) fn of(clients: Vec<Seen>, took: Duration) -> Self {
        let ran = clients.iter().map(|seen| seen.ran).sum();
        let mut latencies: Vec<_> = clients.into_iter().flat_map(|seen| seen.latencies).collect();
        latencies.sort_unstable();
        Self {
            count: latencies.len(),
            ran,
            seconds: took.as_secs_f64(),
            p50: millis(ranked(&latencies, 50)),
            p99: millis(ranked(&latencies, 99)),
        }
    }

    /// Instances a second.
    pub(crate) fn rate(&self) -> f64 {
        self.count as f64 / self.seconds.max(f64::MIN_POSITIVE)
    }
}

/// What one client of a closed loop sees: an instance after the other.
#[derive(Default)]
pub(crate) struct Seen {
    latencies: Vec<Duration>,
    ran: usize,
}

/// What is measured of the time.
#[derive(Clone, Copy)]
pub(crate) struct Window {
    begins: Instant,
    ends: Instant,
}

impl Window {
    /// From now on, after warming up.
    pub(crate) fn after(warm_up: Duration, measure: Duration) -> Self {
        let begins = Instant::now() + warm_up;
        let ends = begins + measure;
        Self { begins, ends }
    }

    /// Runs one instance after the other until the window is over.
    pub(crate) async fn fill(self, mut one: impl AsyncFnMut() -> anyhow::Result<()>) -> anyhow::Result<Seen> {
        let mut seen = Seen::default();
        loop {
            let started = Instant::now();
            one().await?;
            let ended = Instant::now();
            seen.ran += 1;
            if ended >= self.ends {
                return Ok(seen);
            }
            if ended >= self.begins {
                seen.latencies.push(ended - started);
            }
        }
    }
}

/// The latency that so many hundredths do not exceed.
fn ranked(sorted: &[Duration], hundredths: usize) -> Duration {
    let rank = (sorted.len() * hundredths).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1_000.0
}

/// The run of which as many are slower as are faster.
pub(crate) fn median(mut runs: Vec<Figures>) -> Figures {
    runs.sort_by(|one, other| one.rate().total_cmp(&other.rate()));
    let middle = runs.len() / 2;
    if middle < runs.len() {
        runs.swap_remove(middle)
    } else {
        Figures::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_ranked() {
        let latencies = (1..=200).rev().map(Duration::from_millis).collect();
        let seen = Seen { latencies, ran: 300 };
        let figures = Figures::of(vec![seen], Duration::from_secs(4));
        assert_eq!((figures.p50, figures.p99, figures.rate()), (100.0, 198.0, 50.0));
        assert_eq!(figures.ran, 300);
        assert_eq!(Figures::of(Vec::new(), Duration::from_secs(1)).p50, 0.0);
    }

    #[test]
    fn the_median_is_one_of_the_runs() {
        let run = |count| Figures {
            count,
            seconds: 1.0,
            ..Figures::default()
        };
        assert_eq!(median(vec![run(9), run(1), run(5)]).count, 5);
        assert_eq!(median(Vec::new()), Figures::default());
    }
}
