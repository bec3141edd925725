//! Owns the server around the truth: requests travel, answers get lost, a failover forgets, memory runs out.
//! Never bends a rule of the truth: a request is applied as a whole, once, or never.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::channel::oneshot;
use longhaul_shared::port::{StoreError, StoreRun};
use longhaul_shared::time::Timestamp;

use super::state::State;
use crate::executor::{Executor, Life, Micros};
use crate::faults::FaultCount;
use crate::mutant::Mutant;

/// What the store's clock shows when the world begins.
const BEGINNING: Timestamp = Timestamp::from_micros(1_800_000_000_000_000);
/// How many past versions a failover can fall back to.
const VERSIONS_KEPT: usize = 48;
/// How far the clocks of two servers are apart at most.
const CLOCKS_APART: Micros = 3_000_000;

/// How often what goes wrong with a request, in a million.
#[derive(Clone, Copy, Debug, Default)]
pub struct StoreFaults {
    /// The request never arrives; the caller hears that the connection broke.
    pub request_lost_ppm: u32,
    /// The request is applied; the caller hears that the connection broke.
    pub reply_lost_ppm: u32,
    /// The caller hears of a timeout, and the request is applied afterwards.
    pub late_ppm: u32,
}

/// What a failover may forget.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Failover {
    /// Only what no caller has been told is accepted.
    Unaccepted,
    /// Accepted changes, too: outside of what the durability mode promises.
    Accepted,
}

/// The simulated Redis. Cheap to clone.
#[derive(Clone)]
pub struct StoreServer(Arc<Mutex<Server>>);

struct Server {
    room: Executor,
    state: State,
    /// The number of the last change.
    number: u64,
    /// The highest change that a caller knows to be accepted.
    accepted: u64,
    versions: VecDeque<(u64, State)>,
    keeps_versions: bool,
    /// Rises with every failover: requests of an earlier one are not answered.
    generation: u64,
    clock_ahead: i64,
    down: bool,
    full: bool,
    faults: StoreFaults,
    faults_so_far: FaultCount,
}

/// What a request does to the truth at the moment it arrives.
type Request<T> = Box<dyn FnOnce(&mut State, Timestamp) -> Result<T, StoreError> + Send>;

/// What happens to one request.
enum Fate {
    Answered,
    RequestLost,
    ReplyLost,
    Late,
}

pub(super) fn unavailable(reason: &str) -> StoreError {
    StoreError::Unavailable {
        address: "simulated".to_owned(),
        reason: reason.to_owned(),
    }
}

impl StoreServer {
    /// An empty store. With `keeps_versions` it can fail over.
    #[must_use]
    pub fn new(
        room: &Executor,
        faults_so_far: FaultCount,
        mutant: Option<Mutant>,
        keeps_versions: bool,
    ) -> Self {
        Self(Arc::new(Mutex::new(Server {
            room: room.clone(),
            state: State::broken(mutant),
            number: 0,
            accepted: 0,
            versions: VecDeque::new(),
            keeps_versions,
            generation: 0,
            clock_ahead: 0,
            down: false,
            full: false,
            faults: StoreFaults::default(),
            faults_so_far,
        })))
    }

    fn lock(&self) -> MutexGuard<'_, Server> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn room(&self) -> Executor {
        self.lock().room.clone()
    }

    /// What goes wrong from now on.
    pub fn set_faults(&self, faults: StoreFaults) {
        self.lock().faults = faults;
    }

    /// Takes the server away, or brings it back as it was.
    pub fn set_down(&self, down: bool) {
        self.lock().down = down;
    }

    /// Fills the memory, or makes room again.
    pub fn set_full(&self, full: bool) {
        self.lock().full = full;
    }

    /// A rebuild begins to send again what was lost: the fault that set it off has not been over until now.
    pub(super) fn rebuild_begins(&self) {
        self.lock().faults_so_far.add();
    }

    /// Names the server that answers now.
    pub(super) fn run(&self) -> StoreRun {
        StoreRun(format!("run-{}", self.lock().generation))
    }

    pub(super) fn is_full(&self) -> bool {
        self.lock().full
    }

    /// Where a pipeline of so many requests breaks: how many are applied, and of how many of these the caller hears.
    pub(super) fn cut(&self, count: usize) -> (usize, usize) {
        let server = self.lock();
        let (room, often) = (server.room.clone(), server.faults.reply_lost_ppm);
        if count < 2 || !room.chance().ppm(often) {
            return (count, count);
        }
        server.faults_so_far.add();
        let applied = room.chance().below(count + 1);
        (applied, room.chance().below(applied + 1))
    }

    /// What the store's clock shows.
    #[must_use]
    pub fn time(&self) -> Timestamp {
        self.lock().time()
    }

    /// Another server takes over, with a clock of its own and perhaps without the latest changes; returns how many
    /// changes it has forgotten.
    pub fn fail_over(&self, forgets: Failover) -> u64 {
        let mut server = self.lock();
        let oldest = server
            .versions
            .front()
            .map_or(server.number, |(number, _)| *number);
        let low = match forgets {
            Failover::Unaccepted => server.accepted.max(oldest),
            Failover::Accepted => oldest,
        };
        let kept = server.room.chance().between(low, server.number + 1);
        let version = server
            .versions
            .iter()
            .find(|(number, _)| *number == kept)
            .map(|(_, state)| state.clone());
        let forgotten = server.number - kept;
        if let Some(state) = version {
            server.state = state;
        }
        server.number = kept;
        server.accepted = server.accepted.min(kept);
        server.versions.retain(|(number, _)| *number <= kept);
        server.generation += 1;
        server.faults_so_far.add();
        let ahead = server.room.chance().between(0, 2 * CLOCKS_APART);
        server.clock_ahead = i64::try_from(ahead).unwrap_or(0) - i64::try_from(CLOCKS_APART).unwrap_or(0);
        forgotten
    }

    /// Looks at the truth as it is, as nobody within the simulation can.
    pub(crate) fn look<T>(&self, look: impl FnOnce(&State) -> T) -> T {
        look(&self.lock().state)
    }

    /// Changes the truth from outside, for a broken rule.
    pub(crate) fn meddle(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.lock().state);
    }

    /// Sends a request and waits for its answer.
    pub(super) async fn call<T: Send + 'static>(
        &self,
        life: Life,
        writes: bool,
        request: impl FnOnce(&mut State, Timestamp) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        if !self.room().lives(life) {
            return std::future::pending().await;
        }
        let (answer, answered) = oneshot::channel();
        self.send(writes, Box::new(request), answer);
        answered
            .await
            .unwrap_or_else(|_| Err(unavailable("the server is gone")))
    }

    fn send<T: Send + 'static>(
        &self,
        writes: bool,
        request: Request<T>,
        answer: oneshot::Sender<Result<T, StoreError>>,
    ) {
        let (room, fate, generation) = self.lock().fate();
        let (there, back) = (room.chance().between(50, 900), room.chance().between(50, 900));
        let server = self.clone();
        match fate {
            Fate::Answered => room.after(there, move || {
                server.arrive(generation, writes, request, Some(answer), back);
            }),
            Fate::RequestLost => room.after(there, move || lose(answer, "the connection broke")),
            Fate::ReplyLost => {
                room.after(there + back, move || lose(answer, "the connection broke"));
                room.after(there, move || {
                    server.arrive(generation, writes, request, None, back);
                });
            }
            Fate::Late => {
                let late = room.chance().between(1_000, 3_000_000);
                room.after(there, move || lose(answer, "no answer in time"));
                room.after(there + late, move || {
                    server.arrive(generation, writes, request, None, back);
                });
            }
        }
    }

    fn arrive<T: Send + 'static>(
        &self,
        generation: u64,
        writes: bool,
        request: Request<T>,
        answer: Option<oneshot::Sender<Result<T, StoreError>>>,
        back: Micros,
    ) {
        let mut server = self.lock();
        let room = server.room.clone();
        if server.down || server.generation != generation {
            drop(server);
            if let Some(answer) = answer {
                room.after(back, move || lose(answer, "the server is away"));
            }
            return;
        }
        let now = server.time();
        let outcome = request(&mut server.state, now);
        let number = server.wrote(writes);
        drop(server);
        let Some(answer) = answer else { return };
        let server = self.clone();
        room.after(back, move || {
            let mut server = server.lock();
            if server.generation == generation {
                server.accepted = server.accepted.max(number);
                drop(server);
                // A caller that died does not listen any more.
                let _ = answer.send(outcome);
            } else {
                drop(server);
                lose(answer, "the server is gone");
            }
        });
    }
}

fn lose<T>(answer: oneshot::Sender<Result<T, StoreError>>, reason: &str) {
    let _ = answer.send(Err(unavailable(reason)));
}

impl Server {
    fn time(&self) -> Timestamp {
        let now = i64::try_from(self.room.now()).unwrap_or(i64::MAX);
        Timestamp::from_micros(
            BEGINNING
                .micros()
                .saturating_add(now)
                .saturating_add(self.clock_ahead),
        )
    }

    fn fate(&mut self) -> (Executor, Fate, u64) {
        let room = self.room.clone();
        let faults = self.faults;
        let fate = if room.chance().ppm(faults.request_lost_ppm) {
            Fate::RequestLost
        } else if room.chance().ppm(faults.reply_lost_ppm) {
            Fate::ReplyLost
        } else if room.chance().ppm(faults.late_ppm) {
            Fate::Late
        } else {
            Fate::Answered
        };
        if !matches!(fate, Fate::Answered) {
            self.faults_so_far.add();
        }
        (room, fate, self.generation)
    }

    /// Numbers a change and keeps the version after it.
    fn wrote(&mut self, writes: bool) -> u64 {
        if writes {
            self.number += 1;
            if self.keeps_versions {
                self.versions.push_back((self.number, self.state.clone()));
                if self.versions.len() > VERSIONS_KEPT {
                    self.versions.pop_front();
                }
            }
        }
        if writes { self.number } else { 0 }
    }
}

/// How often a wait looks whether an instance has ended.
pub(super) const WAIT_LOOKS_EVERY: Duration = Duration::from_secs(1);
