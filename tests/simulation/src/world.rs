//! Owns the simulated world: its servers and processes, the disasters as planned, and the calm after them.
//! Never judges: it tells the oracle what happened.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use longhaul_activity_worker::ActivityWorker;
use longhaul_orchestrator_worker::{LocalExecutor, OrchestratorWorker, Threads};
use longhaul_shared::id::QueueName;
use longhaul_shared::port::{HubSettings, Ports, Runtime, Step};
use tokio_util::sync::CancellationToken;

use crate::broker::{BrokerFaults, BrokerServer, SimBroker};
use crate::client;
use crate::executor::{Executor, Life, Micros};
use crate::faults::FaultCount;
use crate::mutant::Mutant;
use crate::oracle::Oracle;
use crate::plan::{Disaster, Kind, Plan};
use crate::runtime::{SimRuntime, Witness};
use crate::stage::{Stage, hub};
use crate::store::{Failover, SimStore, StoreFaults, StoreServer};
use crate::workload;

/// How soon a worker that could not start or was stopped is started again.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long it is waited for a process to come to a step.
const AMBUSH_MAX: Micros = 8_000_000;
/// How long the broker hears nothing of a process before it gives its connection up.
const SILENCE_MAX: Micros = 20_000_000;

/// The world of one seed. Cheap to clone.
#[derive(Clone)]
pub struct World(Arc<Inner>);

struct Inner {
    room: Executor,
    stage: Stage,
    store: StoreServer,
    broker: BrokerServer,
    faults: FaultCount,
    mutant: Option<Mutant>,
    processes: Mutex<Vec<Process>>,
    lives: Mutex<u32>,
    /// What waits for a process at a step.
    ambushes: Mutex<BTreeMap<Life, (Step, Disaster)>>,
}

struct Process {
    kind: Kind,
    place: usize,
    life: Option<Life>,
    stop: CancellationToken,
}

impl World {
    /// A world with its servers, before anything runs.
    #[must_use]
    pub fn new(room: &Executor, plan: Plan, mutant: Option<Mutant>) -> Self {
        let faults = FaultCount::default();
        let fails_over = plan.fails_over();
        let oracle = Oracle::new(room, faults.clone());
        let stage = Stage::new(room, plan, oracle);
        Self(Arc::new(Inner {
            room: room.clone(),
            store: StoreServer::new(room, faults.clone(), mutant, fails_over),
            broker: BrokerServer::new(room, faults.clone(), mutant),
            faults,
            mutant,
            processes: Mutex::default(),
            lives: Mutex::new(0),
            ambushes: Mutex::default(),
            stage,
        }))
    }

    pub(crate) fn room(&self) -> &Executor {
        &self.0.room
    }

    pub(crate) fn plan(&self) -> &Plan {
        self.0.stage.plan()
    }

    /// The judge.
    #[must_use]
    pub fn oracle(&self) -> &Oracle {
        self.0.stage.oracle()
    }

    /// The simulated Redis.
    #[must_use]
    pub fn store(&self) -> &StoreServer {
        &self.0.store
    }

    /// The simulated RabbitMQ.
    #[must_use]
    pub fn broker(&self) -> &BrokerServer {
        &self.0.broker
    }

    /// How much went wrong so far.
    #[must_use]
    pub fn faults(&self) -> u64 {
        self.0.faults.get()
    }

    /// What the processes of this world have in common.
    pub(crate) fn stage(&self) -> &Stage {
        &self.0.stage
    }

    fn processes(&self) -> MutexGuard<'_, Vec<Process>> {
        self.0.processes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts every process and puts the disasters into the calendar.
    pub fn begin(&self) {
        let plan = self.plan();
        self.0.store.set_faults(plan.store_faults);
        self.0.broker.set_faults(plan.broker_faults);
        let orchestrators = (0..plan.orchestrators).map(|place| (Kind::Orchestrator, place));
        let activities = (0..plan.activities).map(|place| (Kind::Activity, place));
        let all: Vec<_> = orchestrators
            .chain(activities)
            .chain([(Kind::Client, 0)])
            .collect();
        for (kind, place) in all {
            self.processes().push(Process {
                kind,
                place,
                life: None,
                stop: CancellationToken::new(),
            });
            // Not all at the same moment.
            let world = self.clone();
            self.room()
                .after(self.room().chance().between(0, 2_000_000), move || {
                    world.start(kind, place);
                });
        }
        for (at, disaster) in plan.disasters.clone() {
            let world = self.clone();
            self.room().after(at, move || world.strike(disaster));
        }
        let world = self.clone();
        self.room().after(plan.calm_at, move || world.calm());
    }

    // --- processes -------------------------------------------------------------------------------------

    fn with<T>(&self, kind: Kind, place: usize, act: impl FnOnce(&mut Process) -> T) -> Option<T> {
        let mut processes = self.processes();
        let process = processes
            .iter_mut()
            .find(|process| process.kind == kind && process.place == place)?;
        Some(act(process))
    }

    fn life(&self, kind: Kind, place: usize) -> Option<Life> {
        self.with(kind, place, |process| process.life).flatten()
    }

    /// Starts a process that does not run.
    fn start(&self, kind: Kind, place: usize) {
        if self.life(kind, place).is_some() {
            return;
        }
        let life = {
            let mut lives = self.0.lives.lock().unwrap_or_else(PoisonError::into_inner);
            *lives += 1;
            Life(*lives)
        };
        let stop = CancellationToken::new();
        self.with(kind, place, |process| {
            process.life = Some(life);
            process.stop = stop.clone();
        });
        self.room()
            .note(|| format!("world   {kind:?} {place} starts as {life:?}"));
        self.room().begin(life);
        self.0.broker.connect(life);
        let ports = self.ports(life);
        let world = self.clone();
        let body = match kind {
            Kind::Orchestrator => world.orchestrate(ports, stop).boxed(),
            Kind::Activity => world.act(ports, stop).boxed(),
            Kind::Client => client::run(world.stage().clone(), ports).boxed(),
        };
        let world = self.clone();
        let whole = async move {
            body.await;
            world.left(kind, place, life);
        };
        self.room().main(life, whole.boxed());
    }

    fn ports(&self, life: Life) -> Ports {
        let runtime: Arc<dyn Runtime> =
            Arc::new(SimRuntime::new(self.room(), life, Some(Arc::new(self.clone()))));
        let both = (self.0.mutant == Some(Mutant::OutboxRemovedBeforeConfirm)).then(|| self.0.store.clone());
        Ports {
            store: Arc::new(SimStore::new(
                self.0.store.clone(),
                self.oracle().clone(),
                life,
                Arc::clone(&runtime),
            )),
            broker: Arc::new(SimBroker::new(self.0.broker.clone(), life, both)),
            runtime,
        }
    }

    async fn orchestrate(self, ports: Ports, stop: CancellationToken) {
        let mut settings = longhaul_orchestrator_worker::Settings {
            sample_every: Duration::ZERO,
            // Runs take milliseconds here, and there are few: yet work is to share messages.
            work_per_message: Duration::from_secs(60),
            quick_after_runs: 1,
            ..longhaul_orchestrator_worker::Settings::default()
        };
        if self.plan().is_tight {
            settings.turns_max = 3;
            settings.sessions_max = 2;
            settings.replays_max = 1;
            settings.control_prefetch = 4;
            settings.intake_prefetch = 2;
        }
        let hub_settings = HubSettings {
            partitions: self.plan().partitions,
        };
        loop {
            let registry = workload::orchestrations(self.oracle());
            let executor = LocalExecutor::new(registry, Arc::clone(&ports.runtime), Threads::Caller);
            let Ok(executor) = executor else { return };
            let worker =
                OrchestratorWorker::with_executor(ports.clone(), hub(), Arc::new(executor), settings.clone())
                    .hub_settings(hub_settings);
            match worker.run(stop.clone()).await {
                Ok(()) => return,
                Err(error) => {
                    self.room()
                        .note(|| format!("world   a worker could not start: {error}"));
                    ports.runtime.sleep(AGAIN_AFTER).await;
                }
            }
        }
    }

    async fn act(self, ports: Ports, stop: CancellationToken) {
        let late = !self.plan().hosts_late || self.stage().is_calm();
        let settings = longhaul_activity_worker::Settings {
            queues: vec![QueueName::default()],
            concurrency: if self.plan().is_tight { 2 } else { 64 },
            sample_every: Duration::ZERO,
            ..longhaul_activity_worker::Settings::default()
        };
        let registry = workload::activities(self.oracle(), &ports.runtime, late);
        ActivityWorker::new(ports, registry, settings).run(stop).await;
    }

    /// A process has ended by itself.
    fn left(&self, kind: Kind, place: usize, life: Life) {
        let world = self.clone();
        self.room().note(|| format!("world   {kind:?} {place} has left"));
        self.room().after(0, move || {
            if world.life(kind, place) == Some(life) {
                world.end(kind, place, 1_000);
            }
        });
    }

    /// Ends a process at once; the broker notices after `noticed`.
    fn end(&self, kind: Kind, place: usize, noticed: Micros) {
        if let Some(life) = self.with(kind, place, |process| process.life.take()).flatten() {
            self.0.faults.add();
            self.0.broker.died(life, noticed);
            self.room().kill(life);
        }
    }

    fn start_after(&self, kind: Kind, place: usize, span: Micros) {
        let world = self.clone();
        self.room().after(span, move || world.start(kind, place));
    }

    // --- disasters -------------------------------------------------------------------------------------

    /// Lies in wait for a process; one that does not come to the step in time is struck wherever it is.
    fn lie_in_wait(&self, step: Step, disaster: Disaster) {
        let (Disaster::Kill(kind, place, ..) | Disaster::Pause(kind, place, _)) = disaster else {
            return;
        };
        let Some(life) = self.life(kind, place) else {
            return;
        };
        self.ambushes().insert(life, (step, disaster));
        let world = self.clone();
        self.room().after(AMBUSH_MAX, move || {
            let missed = world.ambushes().remove(&life);
            if let Some((_, disaster)) = missed.filter(|_| world.life(kind, place) == Some(life)) {
                world.strike(disaster);
            }
        });
    }

    fn ambushes(&self) -> MutexGuard<'_, BTreeMap<Life, (Step, Disaster)>> {
        self.0.ambushes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn strike(&self, disaster: Disaster) {
        self.room().note(|| format!("world   {disaster:?}"));
        if let Disaster::At(step, disaster) = disaster {
            return self.lie_in_wait(step, *disaster);
        }
        self.0.faults.add();
        match disaster {
            Disaster::Kill(kind, place, again, noticed) => {
                self.end(kind, place, noticed);
                self.start_after(kind, place, again);
            }
            Disaster::At(..) => {}
            Disaster::Pause(kind, place, span) => self.pause(kind, place, span),
            Disaster::Stop(kind, place, again) => self.stop(kind, place, again),
            Disaster::Cut(kind, place) => {
                if let Some(life) = self.life(kind, place) {
                    self.0.broker.cut(life);
                }
            }
            Disaster::BrokerRestarts(span) => self.0.broker.restart(span),
            Disaster::BrokerWiped(span) => self.0.broker.wipe(span),
            Disaster::QueueLost(queue) => self.0.broker.lose_queue(&queue),
            Disaster::BrokerBlocks(span) => self.0.broker.block(span),
            Disaster::StoreAway(span) => {
                self.0.store.set_down(true);
                let world = self.clone();
                self.room().after(span, move || world.0.store.set_down(false));
            }
            Disaster::StoreFull(span) => {
                self.0.store.set_full(true);
                let world = self.clone();
                self.room().after(span, move || world.0.store.set_full(false));
            }
            Disaster::StoreFailsOver(forgets) => {
                let forgotten = self.0.store.fail_over(forgets);
                match forgets {
                    Failover::Unaccepted => self.oracle().failed_over(),
                    Failover::Accepted => self.oracle().amnesia(),
                }
                self.room()
                    .note(|| format!("world   the store has forgotten {forgotten} changes"));
            }
        }
    }

    fn pause(&self, kind: Kind, place: usize, span: Micros) {
        let Some(life) = self.life(kind, place) else {
            return;
        };
        self.0.broker.stuff(life);
        self.room().pause(life);
        if span > SILENCE_MAX {
            let broker = self.0.broker.clone();
            self.room().after(SILENCE_MAX, move || broker.cut(life));
        }
        // A fault lasts: what is begun meanwhile meets its end.
        let world = self.clone();
        self.room().after(span, move || {
            world.0.faults.add();
            world.room().resume(life);
        });
    }

    fn stop(&self, kind: Kind, place: usize, again: Micros) {
        if kind == Kind::Client {
            return;
        }
        self.with(kind, place, |process| process.stop.cancel());
        self.start_after(kind, place, again + 15_000_000);
    }

    /// Nothing goes wrong from now on; what is dead lives again.
    fn calm(&self) {
        self.room().note(|| "world   calm".to_owned());
        self.stage().calm();
        self.0.store.set_faults(StoreFaults::default());
        self.0.broker.set_faults(BrokerFaults::default());
        self.0.store.set_down(false);
        self.0.store.set_full(false);
        let all: Vec<_> = self
            .processes()
            .iter()
            .map(|process| (process.kind, process.place, process.life))
            .collect();
        for (kind, place, life) in all {
            if let Some(life) = life {
                self.room().resume(life);
            }
            if kind == Kind::Activity && self.plan().hosts_late {
                // A deploy: from now on every activity is hosted.
                self.end(kind, place, 1_000);
            }
            self.start_after(kind, place, 100_000);
            self.start_after(kind, place, 20_000_000);
        }
    }
}

impl Witness for World {
    fn reached(&self, life: Life, step: Step) {
        let hit = self.ambushes().get(&life).is_some_and(|(at, _)| *at == step);
        if !hit {
            return;
        }
        let Some((_, disaster)) = self.ambushes().remove(&life) else {
            return;
        };
        self.room()
            .note(|| format!("world   {life:?} comes to {}", step.as_str()));
        match disaster {
            Disaster::Kill(..) => self.room().doom(life),
            _ => self.room().pause(life),
        }
        let world = self.clone();
        self.room().after(0, move || world.strike(disaster));
    }
}
