//! Owns what a seed means: how many processes and instances there are, what goes wrong, and when.
//! Never looks at the run: all of it is decided before the first step.

use longhaul_shared::message::Destination;
use longhaul_shared::port::Step;

use crate::broker::BrokerFaults;
use crate::chance::Chance;
use crate::executor::Micros;
use crate::store::{Failover, StoreFaults};
use crate::workload::Recipe;

const SECOND: Micros = 1_000_000;
/// How long after the last disaster nothing goes wrong any more.
const CALM_AFTER: Micros = 12 * SECOND;

/// Fewest instances of a run.
pub const INSTANCES_MIN: u64 = 5;
/// Fewest disasters of a run.
pub const DISASTERS_MIN: u64 = 3;

/// Everything that a seed decides beforehand.
#[derive(Clone, Debug)]
pub struct Plan {
    /// How many partitions the hub has.
    pub partitions: u16,
    /// How many orchestrator workers there are.
    pub orchestrators: usize,
    /// How many activity workers there are.
    pub activities: usize,
    /// What is started.
    pub instances: Vec<Planned>,
    /// What goes wrong with requests to the store.
    pub store_faults: StoreFaults,
    /// What goes wrong with messages.
    pub broker_faults: BrokerFaults,
    /// What goes wrong at large, in order.
    pub disasters: Vec<(Micros, Disaster)>,
    /// From when on nothing goes wrong any more.
    pub calm_at: Micros,
    /// Whether some activities are hosted by nobody until then.
    pub hosts_late: bool,
    /// Whether the workers' bounds are so tight that they are felt.
    pub is_tight: bool,
}

/// An instance to be started.
#[derive(Clone, Debug)]
pub struct Planned {
    /// Its id.
    pub id: String,
    /// What it is to do.
    pub recipe: Recipe,
    /// When.
    pub at: Micros,
    /// Whether a foreign service starts it by a message.
    pub by_message: bool,
    /// When somebody wants its end.
    pub terminate_at: Option<Micros>,
}

/// Something that goes wrong at large. Processes are named by their place among their kind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disaster {
    /// A process is killed and comes again after a while; the broker may notice late.
    Kill(Kind, usize, Micros, Micros),
    /// What happens to a process as soon as it comes to this step; after a while in any case.
    At(Step, Box<Disaster>),
    /// A process stands still for a while.
    Pause(Kind, usize, Micros),
    /// A worker is told to stop, and comes again.
    Stop(Kind, usize, Micros),
    /// The connection of a process to the broker breaks.
    Cut(Kind, usize),
    /// The broker restarts.
    BrokerRestarts(Micros),
    /// The broker loses everything.
    BrokerWiped(Micros),
    /// The broker loses one queue.
    QueueLost(Destination),
    /// The broker takes no messages.
    BrokerBlocks(Micros),
    /// The store is away.
    StoreAway(Micros),
    /// The store has no memory left.
    StoreFull(Micros),
    /// Another store takes over.
    StoreFailsOver(Failover),
}

/// What a process is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// An orchestrator worker.
    Orchestrator,
    /// An activity worker.
    Activity,
    /// Those who start instances and wait for them.
    Client,
}

impl Disaster {
    /// Whether the broker may have lost messages that it had confirmed.
    #[must_use]
    pub fn loses_messages(&self) -> bool {
        matches!(self, Self::BrokerWiped(_) | Self::QueueLost(_))
    }
}

impl Plan {
    /// The plan of this chance.
    #[must_use]
    pub fn draw(chance: &Chance) -> Self {
        let partitions = u16::try_from(chance.between(1, 5)).unwrap_or(1);
        let orchestrators = chance.between(1, 4);
        let activities = chance.between(1, 3);
        let hosts_late = chance.below(4) == 0;
        let is_big = chance.below(600) == 0;
        let count = chance.between(INSTANCES_MIN, INSTANCES_MIN + 5);
        let instances = (0..count)
            .map(|number| Planned::draw(chance, number, hosts_late, is_big && number == 0))
            .collect();
        let forgets = chance.below(6) == 0;
        let troubles = chance.between(DISASTERS_MIN, DISASTERS_MIN + 6);
        let mut disasters: Vec<_> = (0..troubles)
            .map(|_| {
                let at = chance.between(SECOND, 25 * SECOND);
                let disaster = draw_disaster(chance, partitions, orchestrators, activities, forgets);
                (at, disaster)
            })
            .collect();
        disasters.sort_by_key(|(at, _)| *at);
        let last = disasters.last().map_or(0, |(at, _)| *at);
        Self {
            partitions,
            orchestrators: usize::try_from(orchestrators).unwrap_or(1),
            activities: usize::try_from(activities).unwrap_or(1),
            instances,
            store_faults: draw_store_faults(chance),
            broker_faults: draw_broker_faults(chance),
            disasters,
            calm_at: last + CALM_AFTER,
            hosts_late,
            is_tight: chance.below(3) == 0,
        }
    }

    /// Whether the store fails over at all.
    #[must_use]
    pub fn fails_over(&self) -> bool {
        self.disasters
            .iter()
            .any(|(_, disaster)| matches!(disaster, Disaster::StoreFailsOver(_)))
    }

    /// Whether the broker ever loses what it had confirmed.
    #[must_use]
    pub fn loses_messages(&self) -> bool {
        self.disasters
            .iter()
            .any(|(_, disaster)| disaster.loses_messages())
    }
}

impl Planned {
    fn draw(chance: &Chance, number: u64, has_late: bool, is_big: bool) -> Self {
        Self {
            id: format!("i{number}"),
            recipe: Recipe::draw(chance, has_late, is_big),
            at: chance.between(0, 20 * SECOND),
            by_message: chance.below(4) == 0,
            terminate_at: (chance.below(10) == 0).then(|| chance.between(0, 30 * SECOND)),
        }
    }
}

fn draw_store_faults(chance: &Chance) -> StoreFaults {
    let often = match chance.below(4) {
        0 => 0,
        1 => 300,
        2 => 3_000,
        _ => 15_000,
    };
    StoreFaults {
        request_lost_ppm: often,
        reply_lost_ppm: often,
        late_ppm: often / 2,
    }
}

fn draw_broker_faults(chance: &Chance) -> BrokerFaults {
    let often = match chance.below(4) {
        0 => 0,
        1 => 1_000,
        2 => 10_000,
        _ => 50_000,
    };
    let overtaken_ppm = match chance.below(3) {
        0 => 0,
        _ => 200_000,
    };
    BrokerFaults {
        message_lost_ppm: often,
        confirm_lost_ppm: often,
        nacked_ppm: often / 4,
        doubled_ppm: often / 2,
        overtaken_ppm,
        channel_closed_ppm: often / 10,
    }
}

/// Has half of what happens to workers happen at a step of the protocol.
fn draw_step(chance: &Chance, kind: Kind, disaster: Disaster) -> Disaster {
    let of_activities = |step: &&Step| step.as_str().starts_with("attempt.");
    let steps: Vec<Step> = match kind {
        Kind::Client => return disaster,
        Kind::Activity => Step::ALL.iter().filter(of_activities).copied().collect(),
        Kind::Orchestrator => Step::ALL
            .iter()
            .filter(|step| !of_activities(step))
            .copied()
            .collect(),
    };
    match steps.get(chance.below(2 * steps.len())) {
        Some(step) => Disaster::At(*step, Box::new(disaster)),
        None => disaster,
    }
}

fn draw_disaster(
    chance: &Chance,
    partitions: u16,
    orchestrators: u64,
    activities: u64,
    forgets: bool,
) -> Disaster {
    let short = chance.between(SECOND / 20, 3 * SECOND);
    let long = chance.between(SECOND, 15 * SECOND);
    let (kind, count) = match chance.below(9) {
        0..5 => (Kind::Orchestrator, orchestrators),
        5..8 => (Kind::Activity, activities),
        _ => (Kind::Client, 1),
    };
    let which = chance.below(usize::try_from(count).unwrap_or(1));
    match chance.below(20) {
        0..5 => {
            // A dead process is noticed at once, a dead machine by its silence.
            let noticed = match chance.below(4) {
                0 => chance.between(10 * SECOND, 20 * SECOND),
                _ => chance.between(1_000, 20_000),
            };
            draw_step(chance, kind, Disaster::Kill(kind, which, long, noticed))
        }
        5..8 => {
            let span = chance.between(SECOND / 2, 25 * SECOND);
            draw_step(chance, kind, Disaster::Pause(kind, which, span))
        }
        8 => Disaster::Stop(kind, which, short),
        9..11 => Disaster::Cut(kind, which),
        11 => Disaster::BrokerRestarts(short),
        12..14 => Disaster::BrokerWiped(short),
        14 => {
            let control = u16::try_from(chance.below(usize::from(partitions))).unwrap_or(0);
            Disaster::QueueLost(match chance.below(3) {
                0 => Destination::Control(longhaul_shared::id::PartitionId(control)),
                1 => Destination::Intake,
                _ => Destination::Work(longhaul_shared::id::QueueName::default()),
            })
        }
        15 => Disaster::BrokerBlocks(long),
        16 => Disaster::StoreAway(long),
        17 => Disaster::StoreFull(long),
        _ => Disaster::StoreFailsOver(if forgets {
            Failover::Accepted
        } else {
            Failover::Unaccepted
        }),
    }
}
