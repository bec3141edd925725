//! Owns what is known of how long activities run, by what their results say: who is so quick that its work items may
//! share a message. Never guesses: what has not run often enough here travels alone.
//!
//! A message goes to one activity worker, and is acknowledged once all that came in it is done. So it carries no more
//! than what takes a moment: sharing it then delays nobody, keeps no work from an idle worker, and brings back little
//! when a worker dies.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use longhaul_shared::id::FunctionName;

/// By which part of its difference a run moves the average of its activity.
const WEIGHT: u32 = 16;
/// Most activities that are told apart; what comes later travels alone.
const ACTIVITIES_MAX: usize = 1_024;

/// The durations of the activities' runs. Shared by turns and relay.
#[derive(Debug)]
pub(crate) struct Pace {
    /// How many runs must be known of an activity before it counts as quick.
    runs_min: u32,
    runs: Mutex<BTreeMap<FunctionName, Runs>>,
}

#[derive(Debug, Default)]
struct Runs {
    known: u32,
    average: Duration,
}

impl Pace {
    /// Nothing is known yet.
    pub(crate) fn new(runs_min: u32) -> Self {
        Self {
            runs_min,
            runs: Mutex::default(),
        }
    }

    /// A run of an activity took so long.
    pub(crate) fn ran(&self, activity: &FunctionName, took: Duration) {
        let mut all = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(runs) = all.get_mut(activity) {
            runs.known = runs.known.saturating_add(1);
            let weight = runs.known.min(WEIGHT);
            runs.average = (runs.average * (weight - 1)).saturating_add(took) / weight;
        } else if all.len() < ACTIVITIES_MAX {
            let runs = Runs {
                known: 1,
                average: took,
            };
            all.insert(activity.clone(), runs);
        }
    }

    /// How long a run of this activity takes, if enough is known of it.
    pub(crate) fn of(&self, activity: &FunctionName) -> Option<Duration> {
        let all = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.get(activity).filter(|runs| runs.known >= self.runs_min);
        known.map(|runs| runs.average)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> FunctionName {
        FunctionName::new(text).unwrap()
    }

    #[test]
    fn an_activity_has_a_pace_once_enough_of_its_runs_are_known() {
        let pace = Pace::new(16);
        let quick = name("quick");
        for _ in 1..16 {
            pace.ran(&quick, Duration::from_micros(10));
            assert_eq!(pace.of(&quick), None, "too little is known");
        }
        pace.ran(&quick, Duration::from_micros(10));
        assert_eq!(pace.of(&quick), Some(Duration::from_micros(10)));
        assert_eq!(pace.of(&name("unknown")), None);

        for _ in 0..3 {
            pace.ran(&quick, Duration::from_secs(1));
        }
        assert!(
            pace.of(&quick).unwrap() > Duration::from_millis(100),
            "it has become slow"
        );
    }

    #[test]
    fn what_waits_now_and_then_is_not_quick() {
        let (pace, name) = (Pace::new(1), name("mostly_quick"));
        for run in 0..1_000 {
            let took = if run % 100 == 0 { 1_000_000 } else { 10 };
            pace.ran(&name, Duration::from_micros(took));
            if run % 100 < 16 {
                assert!(pace.of(&name).unwrap() > Duration::from_millis(1), "run {run}");
            }
        }
    }

    #[test]
    fn names_without_end_take_bounded_room() {
        let pace = Pace::new(1);
        for number in 0..ACTIVITIES_MAX + 10 {
            pace.ran(&name(&format!("f{number}")), Duration::ZERO);
        }
        assert_eq!(pace.of(&name("f0")), Some(Duration::ZERO));
        assert_eq!(pace.of(&name(&format!("f{ACTIVITIES_MAX}"))), None);
    }
}
