//! Owns what a measurement comes to: a count, a span, latencies by rank.
//! Never averages what should be ranked.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What one measurement came to.
#[derive(Clone, PartialEq, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Figures {
    /// Instances that ended while it was measured.
    pub(crate) count: usize,
    /// How long was measured, in seconds.
    pub(crate) seconds: f64,
    /// From a start to its answer, in milliseconds, of half of them and of all but a hundredth.
    pub(crate) p50: f64,
    pub(crate) p99: f64,
}

impl Figures {
    /// Of these latencies.
    pub(crate) fn of(mut latencies: Vec<Duration>, took: Duration) -> Self {
        latencies.sort_unstable();
        Self {
            count: latencies.len(),
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
        let figures = Figures::of(latencies, Duration::from_secs(4));
        assert_eq!((figures.p50, figures.p99, figures.rate()), (100.0, 198.0, 50.0));
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
