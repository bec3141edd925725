//! Owns one run: from a seed to a verdict.
//! Never depends on anything but the seed, the broken rule and this code.

use longhaul_orchestrator_worker::mutant;

use crate::chance::Chance;
use crate::executor::{Executor, Halt, Micros};
use crate::mutant::Mutant;
use crate::plan::Plan;
use crate::trace::Trace;
use crate::verdict;
use crate::world::World;

const SECOND: Micros = 1_000_000;
/// How long after the last fault everything must have ended. The longest honest work is two instances of some 130
/// steps on one slot of one worker, sent three times over because the store forgot twice: about 250 s.
pub const ENDS_WITHIN: Micros = 600 * SECOND;
/// How long after that the servers must have come to rest.
pub const RESTS_WITHIN: Micros = 600 * SECOND;
/// How often it is looked whether they have.
const LOOK_EVERY: Micros = SECOND;
/// Most steps of a run: beyond, something spins.
const STEPS_MAX: u64 = 20_000_000;

/// What is special about a run, besides its seed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Case {
    /// The rule that is broken.
    pub broken: Option<Mutant>,
    /// Whether the store forgets, again and again, what it had accepted.
    pub is_forgetful: bool,
}

impl Case {
    /// A run with this rule broken, in a world where that does harm.
    #[must_use]
    pub fn breaking(rule: Mutant) -> Self {
        Self {
            broken: Some(rule),
            is_forgetful: rule.needs_a_forgetful_store(),
        }
    }
}

/// What came out of a run.
#[derive(Clone, Debug)]
pub struct Report {
    /// Which.
    pub seed: u64,
    /// How many polls and events there were.
    pub steps: u64,
    /// How many commits were applied.
    pub commits: u64,
    /// How many instances were started.
    pub instances: u64,
    /// How much went wrong.
    pub faults: u64,
    /// How long it took by the simulated clock.
    pub simulated: Micros,
    /// What was found wrong.
    pub violations: Vec<String>,
    /// What happened, if it was kept.
    pub trace: String,
}

impl Report {
    /// Whether nothing was found wrong.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty()
    }
}

/// Runs a seed.
#[must_use]
pub fn run(seed: u64, case: Case, trace: Trace) -> Report {
    let broken = case.broken;
    let chance = Chance::of(seed);
    let room = Executor::new(chance.clone(), trace.clone());
    let plan = Plan::draw(&chance, case.is_forgetful);
    room.note(|| format!("plan    seed {seed}: {plan:#?}"));
    mutant::break_rule(broken.and_then(Mutant::in_loops));
    let world = World::new(&room, plan, broken);
    world.begin();
    let calm_at = world.plan().calm_at;
    let halt = room.run(calm_at + ENDS_WITHIN, STEPS_MAX, world.stage().all_ended());
    match halt {
        Halt::Done => settle(&room, &world),
        Halt::TimeOver => world.oracle().accuse(format!(
            "not everything ended within {} s of calm",
            ENDS_WITHIN / SECOND
        )),
        Halt::Silence | Halt::Spinning => world.oracle().accuse(format!("the run ended in {halt:?}")),
    }
    verdict::judge(&world);
    mutant::break_rule(None);
    let report = Report {
        seed,
        steps: room.steps(),
        commits: world.oracle().commits(),
        instances: world.plan().instances.len() as u64,
        faults: world.faults(),
        simulated: room.now(),
        violations: world.oracle().violations(),
        trace: trace.text(),
    };
    room.close();
    report
}

/// Runs on until the calm and until nothing is under way any more.
fn settle(room: &Executor, world: &World) {
    let never = std::sync::atomic::AtomicBool::new(false);
    let mut until = room.now().max(world.plan().calm_at);
    let last = until + RESTS_WITHIN;
    loop {
        until += LOOK_EVERY;
        let halt = room.run(until, STEPS_MAX, &never);
        let rests = world.stage().is_calm() && verdict::is_at_rest(world);
        if rests || until >= last || !matches!(halt, Halt::TimeOver) {
            return;
        }
    }
}
