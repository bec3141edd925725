//! Owns the runs of the checker, and what they say.
//! Never knows the protocol.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use stateright::{Checker, HasDiscoveries, Model};

use crate::promise::WITNESSES;
use crate::protocol::{Action, Protocol, State};

/// What a check has gone through.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Different states.
    pub states: usize,
    /// Steps from state to state.
    pub steps: usize,
    /// The longest of the shortest ways to a state.
    pub depth: usize,
    /// Which of [`WITNESSES`](crate::WITNESSES) came about.
    pub seen: Vec<&'static str>,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            states, steps, depth, ..
        } = self;
        write!(f, "{states} states, {steps} steps, depth {depth}")
    }
}

/// A promise that is not kept, and the way to where it is not.
#[derive(Clone, Debug)]
pub struct Violation {
    /// Which promise.
    pub promise: &'static str,
    /// Step by step.
    pub path: Vec<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "not kept: {}", self.promise)?;
        for (at, step) in self.path.iter().enumerate() {
            writeln!(f, "{:3}. {step}", at + 1)?;
        }
        Ok(())
    }
}

/// Visits every state within the bounds, as far as the time goes, and stops at the first violation.
///
/// # Errors
/// [`Violation`]: the shortest found.
pub fn check(protocol: &Protocol, threads: usize, at_most: Duration) -> Result<Figures, Box<Violation>> {
    let checker = protocol
        .clone()
        .checker()
        .threads(threads)
        .timeout(at_most)
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let discoveries = checker.discoveries();
    let is_witness = |name: &str| WITNESSES.contains(&name);
    let figures = Figures {
        states: checker.unique_state_count(),
        steps: checker.state_count(),
        depth: checker.max_depth(),
        seen: discoveries
            .keys()
            .copied()
            .filter(|name| is_witness(name))
            .collect(),
    };
    let wrong = discoveries.into_iter().filter(|(name, _)| !is_witness(name));
    let wrong = wrong.map(|(name, path)| {
        let steps = path.into_actions();
        (name, steps.iter().map(|action| format!("{action:?}")).collect())
    });
    let shortest = wrong.min_by_key(|(name, path): &(_, Vec<_>)| (path.len(), *name));
    match shortest {
        Some((promise, path)) => Err(Box::new(Violation { promise, path })),
        None => Ok(figures),
    }
}

/// The longest run within the bounds, in steps.
///
/// # Errors
/// [`Violation`]: a run that comes back to where it was, and so need not end.
pub fn longest_run(protocol: &Protocol) -> Result<usize, Box<Violation>> {
    let mut longest: BTreeMap<u64, usize> = BTreeMap::new();
    let mut way: Vec<Visit> = protocol
        .init_states()
        .into_iter()
        .map(|state| Visit::of(protocol, state))
        .collect();
    let mut on_the_way: BTreeSet<u64> = way.iter().map(|visit| visit.name).collect();
    let mut most = 0;
    while let Some(visit) = way.last_mut() {
        let Some(action) = visit.actions.pop() else {
            let (name, behind) = (visit.name, visit.behind);
            longest.insert(name, behind);
            on_the_way.remove(&name);
            way.pop();
            most = most.max(behind);
            if let Some(before) = way.last_mut() {
                before.behind = before.behind.max(behind + 1);
            }
            continue;
        };
        let Some(next) = protocol.next_state(&visit.state, action) else {
            continue;
        };
        visit.taken = Some(action);
        let next = Visit::of(protocol, next);
        if let Some(behind) = longest.get(&next.name) {
            visit.behind = visit.behind.max(behind + 1);
        } else if on_the_way.insert(next.name) {
            way.push(next);
        } else {
            let path = way.iter().filter_map(|visit| visit.taken);
            return Err(Box::new(Violation {
                promise: "every run ends",
                path: path.map(|action| format!("{action:?}")).collect(),
            }));
        }
    }
    Ok(most)
}

/// A state on the way, and what is still to be tried from it.
struct Visit {
    state: State,
    /// Two states have the same name with a chance that nobody need fear.
    name: u64,
    actions: Vec<Action>,
    taken: Option<Action>,
    /// The longest run from here, as far as it is known.
    behind: usize,
}

impl Visit {
    fn of(protocol: &Protocol, state: State) -> Self {
        let mut hasher = DefaultHasher::new();
        state.hash(&mut hasher);
        let mut actions = Vec::new();
        protocol.actions(&state, &mut actions);
        Self {
            state,
            name: hasher.finish(),
            actions,
            taken: None,
            behind: 0,
        }
    }
}
