//! Owns the work that the simulated hub does: orchestrations made of steps that a seed chooses, and their answers,
//! computed here without Longhaul.
//! Never knows of faults: whatever happens, the answer is the same.
//!
//! A capability joins the proof as a kind of [`Step`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures::future::{Either, join_all, select};
use longhaul_sdk::{
    Activity, ActivityContext, ActivityRegistry, BoxError, Orchestration, OrchestrationContext,
    OrchestrationError, OrchestrationRegistry, RetryPolicy,
};
use longhaul_shared::port::Runtime;
use serde::{Deserialize, Serialize};

use crate::chance::Chance;
use crate::oracle::Oracle;

/// Follows a recipe; returns the sum of what its steps gave.
pub const RECIPE: Orchestration<Recipe, u64> = Orchestration::new("recipe");
/// Takes its time, perhaps fails, and returns a number that only depends on what it was asked.
pub const WORK: Activity<Work, u64> = Activity::new("work");
/// The same, hosted by nobody at first.
pub const LATE: Activity<Work, u64> = Activity::new("late");

/// How soon a failed activity is tried again.
const RETRY_DELAY: Duration = Duration::from_millis(40);

/// A fan-out that one commit cannot hold.
const BIG: u64 = 2_100;

/// What an orchestration does, step by step.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Recipe {
    /// The steps.
    pub steps: Vec<Step>,
}

/// One step of a recipe.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Step {
    /// One activity.
    Call(Work),
    /// Many at once.
    Fan(Vec<Work>),
    /// An activity that fails at first, within a policy that allows so many attempts.
    Flaky(Work, u32),
    /// A durable timer.
    Timer(u64),
    /// An inline step.
    Inline(u64),
    /// An activity against a timer; what comes next depends on who wins.
    Race(Work, u64, Box<Step>, Box<Step>),
    /// An activity that nobody hosts at first.
    Late(Work),
}

/// What an activity is asked.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Work {
    /// Tells it from every other of its instance.
    pub step: u64,
    /// How long it takes.
    pub millis: u64,
    /// How many attempts fail.
    pub failures: u64,
}

/// What a piece of work is worth.
fn worth(step: u64) -> u64 {
    step.wrapping_mul(2_654_435_761) % 100_003
}

/// What may come out of a recipe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Expected {
    /// It completes with one of these.
    OneOf(BTreeSet<u64>),
    /// It completes with one of these, or fails: it depends on a race.
    Either(BTreeSet<u64>),
}

impl Recipe {
    /// The answers that are right.
    #[must_use]
    pub fn expected(&self) -> Expected {
        let mut sums = BTreeSet::from([0]);
        let mut may_fail = false;
        for step in &self.steps {
            let (gains, fails) = gains(step);
            may_fail |= fails;
            sums = sums
                .iter()
                .flat_map(|sum| gains.iter().map(move |gain| sum + gain))
                .collect();
        }
        if may_fail {
            Expected::Either(sums)
        } else {
            Expected::OneOf(sums)
        }
    }

    /// A recipe of this chance.
    #[must_use]
    pub fn draw(chance: &Chance, has_late: bool, is_big: bool) -> Self {
        let mut steps_so_far = 0;
        let count = chance.between(1, 6);
        let mut steps: Vec<_> = (0..count)
            .map(|_| draw_step(chance, &mut steps_so_far, has_late, 0))
            .collect();
        if is_big {
            let work = (0..BIG).map(|_| {
                steps_so_far += 1;
                Work {
                    step: steps_so_far,
                    millis: chance.between(0, 5),
                    failures: 0,
                }
            });
            steps.push(Step::Fan(work.collect()));
        }
        Self { steps }
    }
}

fn draw_work(chance: &Chance, steps: &mut u64) -> Work {
    *steps += 1;
    let millis = match chance.below(8) {
        0 => chance.between(500, 8_000),
        1..3 => 0,
        _ => chance.between(1, 200),
    };
    Work {
        step: *steps,
        millis,
        failures: 0,
    }
}

fn draw_step(chance: &Chance, steps: &mut u64, has_late: bool, depth: u32) -> Step {
    match chance.below(if depth == 0 { 16 } else { 10 }) {
        0..5 => Step::Call(draw_work(chance, steps)),
        5..7 => {
            let count = if chance.below(12) == 0 {
                chance.between(60, 140)
            } else {
                chance.between(2, 9)
            };
            Step::Fan((0..count).map(|_| draw_work(chance, steps)).collect())
        }
        7 => {
            let mut work = draw_work(chance, steps);
            work.failures = chance.between(1, 3);
            let allowed = if chance.below(6) == 0 {
                work.failures
            } else {
                work.failures + 1
            };
            Step::Flaky(work, u32::try_from(allowed).unwrap_or(1))
        }
        8 => Step::Timer(chance.between(1, 6_000)),
        9 => {
            *steps += 1;
            Step::Inline(*steps)
        }
        10..13 => {
            let work = draw_work(chance, steps);
            let millis = chance.between(1, 400);
            let one = draw_step(chance, steps, has_late, depth + 1);
            let other = draw_step(chance, steps, has_late, depth + 1);
            Step::Race(work, millis, Box::new(one), Box::new(other))
        }
        13 if has_late => Step::Late(draw_work(chance, steps)),
        _ => Step::Call(draw_work(chance, steps)),
    }
}

/// What a step may add, and whether it may make the whole fail.
fn gains(step: &Step) -> (BTreeSet<u64>, bool) {
    match step {
        Step::Call(work) | Step::Late(work) => (BTreeSet::from([worth(work.step)]), false),
        Step::Fan(works) => {
            let sum = works.iter().map(|work| worth(work.step)).sum();
            (BTreeSet::from([sum]), false)
        }
        Step::Flaky(work, allowed) => {
            let fails = u64::from(*allowed) <= work.failures;
            (BTreeSet::from([worth(work.step)]), fails)
        }
        Step::Timer(_) => (BTreeSet::from([1]), false),
        Step::Inline(step) => (BTreeSet::from([worth(*step)]), false),
        Step::Race(work, _, one, other) => {
            let (won, won_fails) = gains(one);
            let (lost, lost_fails) = gains(other);
            let mut all: BTreeSet<u64> = won.iter().map(|gain| gain + worth(work.step)).collect();
            all.extend(lost);
            (all, won_fails || lost_fails)
        }
    }
}

/// The orchestrations of a worker.
#[must_use]
pub fn orchestrations(oracle: &Oracle) -> OrchestrationRegistry {
    let oracle = oracle.clone();
    OrchestrationRegistry::new().register(RECIPE, move |ctx, recipe| follow(oracle.clone(), ctx, recipe))
}

async fn follow(
    oracle: Oracle,
    ctx: OrchestrationContext,
    recipe: Recipe,
) -> Result<u64, OrchestrationError> {
    let mut sum = 0;
    for step in &recipe.steps {
        sum += take(&oracle, &ctx, step).await?;
    }
    Ok(sum)
}

async fn take(oracle: &Oracle, ctx: &OrchestrationContext, step: &Step) -> Result<u64, OrchestrationError> {
    Ok(match step {
        Step::Race(work, millis, one, other) => {
            let call = ctx.activity(WORK, work);
            let timer = ctx.timer(Duration::from_millis(*millis));
            match select(std::pin::pin!(call), std::pin::pin!(timer)).await {
                Either::Left((answer, _)) => answer? + take_plain(oracle, ctx, one).await?,
                Either::Right(_) => take_plain(oracle, ctx, other).await?,
            }
        }
        plain => take_plain(oracle, ctx, plain).await?,
    })
}

async fn take_plain(
    oracle: &Oracle,
    ctx: &OrchestrationContext,
    step: &Step,
) -> Result<u64, OrchestrationError> {
    Ok(match step {
        Step::Call(work) => ctx.activity(WORK, work).await?,
        Step::Late(work) => ctx.activity(LATE, work).await?,
        Step::Fan(works) => {
            let calls = works.iter().map(|work| ctx.activity(WORK, work));
            let mut sum = 0;
            for answer in join_all(calls).await {
                sum += answer?;
            }
            sum
        }
        Step::Flaky(work, allowed) => {
            let policy = RetryPolicy::fixed(*allowed, RETRY_DELAY);
            ctx.activity(WORK, work).retry(policy).await?
        }
        Step::Timer(millis) => {
            ctx.timer(Duration::from_millis(*millis)).await;
            1
        }
        Step::Inline(step) => {
            let (step, oracle) = (*step, oracle.clone());
            let instance = ctx.instance_id().clone();
            ctx.run("inline", move || async move {
                oracle.runs_inline(&instance, step);
                Ok::<_, BoxError>(worth(step))
            })
            .await?
        }
        Step::Race(..) => return Err(OrchestrationError::new("a race within a race")),
    })
}

/// The activities of a worker; with `late`, all of them.
#[must_use]
pub fn activities(oracle: &Oracle, runtime: &Arc<dyn Runtime>, late: bool) -> ActivityRegistry {
    let doing = |oracle: &Oracle| {
        let (oracle, runtime) = (oracle.clone(), Arc::clone(runtime));
        move |ctx, work| perform(oracle.clone(), Arc::clone(&runtime), ctx, work)
    };
    let registry = ActivityRegistry::new().register(WORK, doing(oracle));
    if late {
        registry.register(LATE, doing(oracle))
    } else {
        registry
    }
}

async fn perform(
    oracle: Oracle,
    runtime: Arc<dyn Runtime>,
    ctx: ActivityContext,
    work: Work,
) -> Result<u64, BoxError> {
    let attempt = oracle.executes(ctx.instance_id(), ctx.execution_id(), ctx.task_id(), work.step);
    if work.millis > 0 {
        runtime.sleep(Duration::from_millis(work.millis)).await;
    }
    if attempt <= work.failures {
        return Err(format!("attempt {attempt} of step {} fails", work.step).into());
    }
    Ok(worth(work.step))
}
