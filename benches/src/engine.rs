//! Owns how long the engine by itself takes: to replay a history, and for one more event behind a long one.
//! Never asks a store.

use std::time::{Duration, Instant};

use longhaul_benches::chain::{Chain, history, replay};

/// Lengths of the histories that are replayed.
const LENGTHS: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];
/// Lengths behind which a turn is measured.
const BEHIND: [usize; 3] = [10, 1_000, 10_000];
/// How often each is measured: the median counts.
const RUNS: usize = 9;
/// So many turns are one measurement.
const TURNS: u32 = 64;

/// What one measurement came to.
pub(crate) struct Taken {
    pub(crate) events: usize,
    pub(crate) took: Duration,
}

/// Bringing a new session to the end of a history.
pub(crate) fn replays() -> anyhow::Result<Vec<Taken>> {
    let one = |events| {
        let history = history(events)?;
        let took = median(|| {
            let begun = Instant::now();
            replay(&history)?;
            Ok(begun.elapsed())
        })?;
        Ok(Taken {
            events: history.len(),
            took,
        })
    };
    LENGTHS.into_iter().map(one).collect()
}

/// One turn of a warm session, behind so many events.
pub(crate) fn turns() -> anyhow::Result<Vec<Taken>> {
    let one = |events| {
        let mut chain = Chain::begin(u64::MAX)?;
        while chain.history().len() < events {
            chain.answer()?;
        }
        let took = median(|| {
            let begun = Instant::now();
            for _ in 0..TURNS {
                chain.answer()?;
            }
            Ok(begun.elapsed() / TURNS)
        })?;
        Ok(Taken { events, took })
    };
    BEHIND.into_iter().map(one).collect()
}

fn median(mut one: impl FnMut() -> anyhow::Result<Duration>) -> anyhow::Result<Duration> {
    let mut all = (0..RUNS).map(|_| one()).collect::<anyhow::Result<Vec<_>>>()?;
    all.sort_unstable();
    Ok(all.get(RUNS / 2).copied().unwrap_or_default())
}
