//! Owns the execution of orchestrations in this process: the sdk's engine, on threads of its own.
//! Never blocks the loop that asks: an author's loop without await costs one named thread, its neighbours go on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use futures::future::BoxFuture;
use longhaul_sdk::engine::{Refusal, Session};
use longhaul_sdk::registry::OrchestrationRegistry;
use longhaul_shared::code;
use longhaul_shared::failure::Failure;
use longhaul_shared::id::{FunctionName, TaskId};
use longhaul_shared::payload::Payload;
use longhaul_shared::port::{Runtime, within};
use tokio::sync::oneshot;

use crate::executor::{Executed, Execution, Executor, Refused, Warm};

/// Most threads given up to orchestrations that never return. At the bound a stalled one keeps its neighbours
/// waiting, loudly.
const STALLED_THREADS_MAX: usize = 32;

/// Where turns run.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Threads {
    /// On this many threads of their own; a turn that takes longer than `stall_after` is given up with its thread.
    Own {
        /// How many.
        count: usize,
        /// How long a turn may compute.
        stall_after: Duration,
    },
    /// On the caller's: for simulations, which must own every step. Nothing is watched.
    Caller,
}

/// Runs the orchestrations of a registry.
pub struct LocalExecutor {
    registry: Arc<OrchestrationRegistry>,
    runtime: Arc<dyn Runtime>,
    pool: Option<Pool>,
}

impl LocalExecutor {
    /// An executor of these orchestrations.
    ///
    /// # Errors
    /// When the operating system gives no thread.
    pub fn new(
        registry: OrchestrationRegistry,
        runtime: Arc<dyn Runtime>,
        threads: Threads,
    ) -> std::io::Result<Self> {
        let pool = match threads {
            Threads::Own { count, stall_after } => Some(Pool::start(count.max(1), stall_after)?),
            Threads::Caller => None,
        };
        Ok(Self {
            registry: Arc::new(registry),
            runtime,
            pool,
        })
    }

    fn job(&self, execution: Execution) -> Result<impl FnOnce() -> Answer + Send + 'static, Refused> {
        let Some(function) = self.registry.get(&execution.name) else {
            let code = code::ORCHESTRATION_NOT_HOSTED;
            let message = format!("[{code}] orchestration {} is not hosted here", execution.name);
            return Err(Refused { code, message });
        };
        Ok(move || {
            let Execution {
                key, warm, past, new, ..
            } = execution;
            let warm = warm.and_then(|warm| warm.0.downcast::<Session>().ok());
            let mut session = warm.unwrap_or_else(|| Box::new(Session::open(&function, key)));
            session.replay(&past)?;
            let actions = if new.is_empty() {
                Vec::new()
            } else {
                session.turn(&new)?
            };
            Ok((session, actions))
        })
    }
}

type Answer = Result<(Box<Session>, Vec<longhaul_sdk::engine::Action>), Refusal>;

#[async_trait]
impl Executor for LocalExecutor {
    fn hosts(&self) -> Vec<FunctionName> {
        self.registry.names()
    }

    fn is_hosted(&self, name: &FunctionName) -> bool {
        self.registry.get(name).is_some()
    }

    async fn execute(&self, execution: Execution) -> Result<Executed, Refused> {
        let name = execution.name.clone();
        let job = self.job(execution)?;
        let answer = match &self.pool {
            None => job(),
            Some(pool) => pool.run(&self.runtime, &name, job).await?,
        };
        match answer {
            Ok((session, actions)) => Ok(Executed {
                actions,
                warm: Some(Warm(session)),
            }),
            Err(refusal) => Err(Refused {
                code: refusal.code(),
                message: refusal.to_string(),
            }),
        }
    }

    fn take_inline(
        &self,
        warm: &mut Warm,
        task: TaskId,
    ) -> Option<BoxFuture<'static, Result<Payload, Failure>>> {
        warm.0.downcast_mut::<Session>()?.take_inline(task)
    }
}

type Job = Box<dyn FnOnce() + Send>;

/// Threads that run turns, one at a time each.
struct Pool {
    jobs: mpsc::Sender<Job>,
    source: Arc<Mutex<mpsc::Receiver<Job>>>,
    stall_after: Duration,
    started: AtomicUsize,
    stalled: AtomicUsize,
}

impl Pool {
    fn start(count: usize, stall_after: Duration) -> std::io::Result<Self> {
        let (jobs, source) = mpsc::channel();
        let pool = Self {
            jobs,
            source: Arc::new(Mutex::new(source)),
            stall_after,
            started: AtomicUsize::new(0),
            stalled: AtomicUsize::new(0),
        };
        for _ in 0..count {
            pool.add_thread()?;
        }
        Ok(pool)
    }

    fn add_thread(&self) -> std::io::Result<()> {
        let source = Arc::clone(&self.source);
        let number = self.started.fetch_add(1, Ordering::Relaxed);
        let take = move || source.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let work = move || {
            while let Ok(job) = take() {
                job();
            }
        };
        std::thread::Builder::new()
            .name(format!("turn-{number}"))
            .spawn(work)?;
        Ok(())
    }

    /// Runs a turn on a thread of the pool and waits for it for as long as it may compute.
    async fn run<T: Send + 'static>(
        &self,
        runtime: &Arc<dyn Runtime>,
        name: &FunctionName,
        job: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Refused> {
        let (begun, has_begun) = oneshot::channel();
        let (answer, result) = oneshot::channel();
        let stopped = |_| {
            refuse(format!(
                "[{}] the turn threads are stopped",
                code::ORCHESTRATION_STALLED
            ))
        };
        let work: Job = Box::new(move || {
            let thread = std::thread::current().name().unwrap_or("unnamed").to_owned();
            let _ = begun.send(thread);
            let _ = answer.send(job());
        });
        self.jobs
            .send(work)
            .map_err(|_| refuse("the turn threads are stopped".to_owned()))?;
        let thread = has_begun.await.map_err(stopped)?;
        match within(runtime, self.stall_after, result).await {
            Ok(result) => result.map_err(stopped),
            Err(elapsed) => Err(self.give_up(name, &thread, elapsed.limit)),
        }
    }

    fn give_up(&self, name: &FunctionName, thread: &str, limit: Duration) -> Refused {
        let stalled = self.stalled.fetch_add(1, Ordering::Relaxed) + 1;
        if stalled > STALLED_THREADS_MAX {
            tracing::error!(
                stalled,
                "no thread replaces {thread}: restart this worker after mending {name}"
            );
        } else if let Err(error) = self.add_thread() {
            tracing::error!(%error, "no thread could be started to replace {thread}");
        }
        let code = code::ORCHESTRATION_STALLED;
        refuse(format!(
            "[{code}] orchestration {name} computed for {limit:?} without awaiting; thread {thread} is given up to it.\n\
             A turn only decides what to do next, it takes milliseconds.\n\
             Look for a loop without await, a lock or blocking I/O; move heavy work into an activity."
        ))
    }
}

fn refuse(message: String) -> Refused {
    Refused {
        code: code::ORCHESTRATION_STALLED,
        message,
    }
}
