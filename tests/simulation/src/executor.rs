//! Owns the simulated machine room: tasks of many processes on one thread, a clock that jumps, and what is due when.
//! Never looks at a real clock and never runs two things at once: the seed decides who is next.
//!
//! A process dies between two polls of its tasks: whatever it awaited is where a crash can hit it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use longhaul_shared::port::TaskHandle;

use crate::chance::Chance;
use crate::trace::Trace;

/// One life of a simulated process; a restarted one gets another.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Life(pub u32);

/// A point in simulated time, in microseconds since the beginning.
pub type Micros = u64;

/// Converts a span; spans of a simulation fit.
pub(crate) fn micros(span: Duration) -> Micros {
    Micros::try_from(span.as_micros()).unwrap_or(Micros::MAX)
}

/// Why the machine room stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Halt {
    /// What was waited for has come.
    Done,
    /// The simulated time is over.
    TimeOver,
    /// Nothing can ever happen again.
    Silence,
    /// So many polls without an end that something spins.
    Spinning,
}

/// A handle of the machine room. Cheap to clone.
#[derive(Clone)]
pub struct Executor(Arc<Room>);

struct Room {
    state: Mutex<State>,
    woken: Mutex<Vec<TaskKey>>,
    chance: Chance,
    trace: Trace,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct TaskKey(u64);

struct Task {
    life: Life,
    future: Option<BoxFuture<'static, ()>>,
    waker: Waker,
    queued: Arc<AtomicBool>,
    aborted: bool,
}

#[derive(Default)]
struct State {
    now: Micros,
    tasks: BTreeMap<TaskKey, Task>,
    tasks_ever: u64,
    due: BinaryHeap<Reverse<Due>>,
    due_ever: u64,
    lives: BTreeMap<Life, LifeState>,
    steps: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum LifeState {
    #[default]
    Running,
    Paused,
}

struct Due {
    at: Micros,
    number: u64,
    what: What,
}

enum What {
    Wake(Arc<Alarm>),
    Do(Box<dyn FnOnce() + Send>),
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.number).cmp(&(other.at, other.number))
    }
}

struct TaskWaker {
    key: TaskKey,
    queued: Arc<AtomicBool>,
    room: Weak<Room>,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if !self.queued.swap(true, Ordering::Relaxed)
            && let Some(room) = self.room.upgrade()
        {
            lock(&room.woken).push(self.key);
        }
    }
}

/// What a sleeping future shares with the clock.
#[derive(Default)]
struct Alarm {
    waker: Mutex<Option<Waker>>,
}

struct Sleep {
    room: Executor,
    until: Micros,
    alarm: Option<Arc<Alarm>>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        if self.room.now() >= self.until {
            return Poll::Ready(());
        }
        match &self.alarm {
            Some(alarm) => *lock(&alarm.waker) = Some(context.waker().clone()),
            None => {
                let alarm = Arc::new(Alarm {
                    waker: Mutex::new(Some(context.waker().clone())),
                });
                self.room.due(self.until, What::Wake(Arc::clone(&alarm)));
                self.alarm = Some(alarm);
            }
        }
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(alarm) = &self.alarm {
            lock(&alarm.waker).take();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Executor {
    /// An empty machine room.
    #[must_use]
    pub fn new(chance: Chance, trace: Trace) -> Self {
        Self(Arc::new(Room {
            state: Mutex::default(),
            woken: Mutex::default(),
            chance,
            trace,
        }))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.0.state)
    }

    /// What the clock shows.
    #[must_use]
    pub fn now(&self) -> Micros {
        self.state().now
    }

    /// The seed's chance.
    #[must_use]
    pub fn chance(&self) -> &Chance {
        &self.0.chance
    }

    /// What happened so far.
    #[must_use]
    pub fn trace(&self) -> &Trace {
        &self.0.trace
    }

    /// How many polls and events there were.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Writes a line into the trace, if it is being kept.
    pub fn note(&self, line: impl FnOnce() -> String) {
        if self.0.trace.is_kept() {
            self.0.trace.write(&line());
        }
    }

    fn due(&self, at: Micros, what: What) {
        let mut state = self.state();
        state.due_ever += 1;
        let number = state.due_ever;
        state.due.push(Reverse(Due { at, number, what }));
    }

    /// Has something happen outside of all processes: in a server, or in the hands of fate.
    pub fn after(&self, span: Micros, event: impl FnOnce() + Send + 'static) {
        let at = self.now().saturating_add(span);
        self.due(at, What::Do(Box::new(event)));
    }

    /// Completes after this span.
    pub(crate) fn sleep(&self, span: Duration) -> BoxFuture<'static, ()> {
        Sleep {
            room: self.clone(),
            until: self.now().saturating_add(micros(span)),
            alarm: None,
        }
        .boxed()
    }

    /// Runs what a process is: it ends with it.
    pub(crate) fn main(&self, life: Life, task: BoxFuture<'static, ()>) {
        self.add(life, task);
    }

    /// Runs a task as part of a process.
    pub(crate) fn spawn(&self, life: Life, task: BoxFuture<'static, ()>) -> TaskHandle {
        let (ended, has_ended) = oneshot::channel::<()>();
        let future = async move {
            let _ended = ended;
            task.await;
        };
        let key = self.add(life, future.boxed());
        let room = Arc::downgrade(&self.0);
        let abort = move || {
            if let Some(room) = room.upgrade() {
                Self(room).abort(key);
            }
        };
        TaskHandle::new(abort, has_ended.map(drop).boxed())
    }

    fn add(&self, life: Life, future: BoxFuture<'static, ()>) -> TaskKey {
        let mut state = self.state();
        state.tasks_ever += 1;
        let key = TaskKey(state.tasks_ever);
        let queued = Arc::new(AtomicBool::new(false));
        let waker = Waker::from(Arc::new(TaskWaker {
            key,
            queued: Arc::clone(&queued),
            room: Arc::downgrade(&self.0),
        }));
        waker.wake_by_ref();
        let task = Task {
            life,
            future: Some(future),
            waker,
            queued,
            aborted: false,
        };
        // A process that is being killed begins nothing any more; what it wanted to begin is dropped without the lock,
        // since it may reach for the room on its way out.
        let unborn = if state.lives.contains_key(&life) {
            state.tasks.insert(key, task)
        } else {
            Some(task)
        };
        drop(state);
        drop(unborn);
        key
    }

    /// Ends every process and forgets everything that is due, so that nothing keeps anything else alive.
    pub fn close(&self) {
        let (tasks, due) = {
            let mut state = self.state();
            state.lives.clear();
            (std::mem::take(&mut state.tasks), std::mem::take(&mut state.due))
        };
        drop(tasks);
        drop(due);
        // What the tasks put into the calendar on their way out.
        let left = std::mem::take(&mut self.state().due);
        drop(left);
    }

    /// Marks a task; it is dropped when it is its turn, never inside of another's.
    fn abort(&self, key: TaskKey) {
        let waker = self.state().tasks.get_mut(&key).map(|task| {
            task.aborted = true;
            task.waker.clone()
        });
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Begins the life of a process.
    pub fn begin(&self, life: Life) {
        self.state().lives.insert(life, LifeState::Running);
    }

    /// A process has died in the middle of a task: it does nothing more, and is to be ended as soon as that task
    /// comes to its next await.
    pub(crate) fn doom(&self, life: Life) {
        self.state().lives.remove(&life);
    }

    /// Ends a process at once: its tasks are gone, whatever they were at.
    pub fn kill(&self, life: Life) {
        let dead: Vec<Task> = {
            let mut state = self.state();
            state.lives.remove(&life);
            let keys: Vec<_> = state
                .tasks
                .iter()
                .filter(|(_, task)| task.life == life)
                .map(|(key, _)| *key)
                .collect();
            keys.iter().filter_map(|key| state.tasks.remove(key)).collect()
        };
        drop(dead);
    }

    /// Stops a process where it is, as SIGSTOP does.
    pub fn pause(&self, life: Life) {
        if let Some(state) = self.state().lives.get_mut(&life) {
            *state = LifeState::Paused;
        }
    }

    /// Lets a stopped process go on; it does not know that time has passed.
    pub fn resume(&self, life: Life) {
        let wakers: Vec<Waker> = {
            let mut state = self.state();
            if let Some(state) = state.lives.get_mut(&life) {
                *state = LifeState::Running;
            }
            let tasks = state.tasks.values().filter(|task| task.life == life);
            tasks.map(|task| task.waker.clone()).collect()
        };
        for waker in wakers {
            waker.wake();
        }
    }

    /// Whether a process lives, stopped or not.
    #[must_use]
    pub fn lives(&self, life: Life) -> bool {
        self.state().lives.contains_key(&life)
    }

    /// Runs until something is done, nothing more can happen, or the clock shows `until`.
    pub fn run(&self, until: Micros, steps_max: u64, done: &AtomicBool) -> Halt {
        let mut ready: Vec<TaskKey> = Vec::new();
        loop {
            if done.load(Ordering::Relaxed) {
                return Halt::Done;
            }
            ready.append(&mut lock(&self.0.woken));
            if ready.is_empty() {
                match self.next_due(until) {
                    Ok(what) => self.happen(what),
                    Err(halt) => return halt,
                }
            } else {
                let chosen = self.0.chance.below(ready.len());
                let key = ready.swap_remove(chosen);
                self.poll(key);
            }
            let mut state = self.state();
            state.steps += 1;
            if state.steps > steps_max {
                return Halt::Spinning;
            }
        }
    }

    /// Moves the clock to the next thing that is due.
    fn next_due(&self, until: Micros) -> Result<What, Halt> {
        let mut state = self.state();
        loop {
            let Some(Reverse(next)) = state.due.pop() else {
                return Err(Halt::Silence);
            };
            if matches!(&next.what, What::Wake(alarm) if lock(&alarm.waker).is_none()) {
                continue;
            }
            if next.at > until {
                state.due.push(Reverse(next));
                return Err(Halt::TimeOver);
            }
            state.now = next.at.max(state.now);
            self.0.trace.tick(state.now);
            return Ok(next.what);
        }
    }

    fn happen(&self, what: What) {
        match what {
            What::Wake(alarm) => {
                let waker = lock(&alarm.waker).take();
                if let Some(waker) = waker {
                    waker.wake();
                }
            }
            What::Do(event) => event(),
        }
    }

    fn poll(&self, key: TaskKey) {
        let taken = {
            let mut state = self.state();
            let Some(task) = state.tasks.get(&key) else { return };
            let paused = state.lives.get(&task.life) == Some(&LifeState::Paused);
            let Some(task) = state.tasks.get_mut(&key) else {
                return;
            };
            task.queued.store(false, Ordering::Relaxed);
            // A stopped process is woken as a whole when it goes on.
            if paused && !task.aborted {
                return;
            }
            let gone = task.aborted;
            let future = task.future.take();
            let waker = task.waker.clone();
            if gone {
                state.tasks.remove(&key);
                None
            } else {
                future.map(|future| (future, waker))
            }
        };
        let Some((mut future, waker)) = taken else { return };
        let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
        let mut state = self.state();
        match (polled, state.tasks.get_mut(&key)) {
            (Poll::Pending, Some(task)) => task.future = Some(future),
            _ => {
                state.tasks.remove(&key);
                drop(state);
                drop(future);
            }
        }
    }
}
