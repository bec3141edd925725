//! Owns what an activity is told about its task, and the two things it may ask for: shared state, cancellation.
//! Never runs an activity: its host does.

use std::any::{Any, TypeId};
use std::collections::BTreeMap;
use std::fmt;
use std::future::Future;
use std::sync::Arc;

use futures::FutureExt;
use futures::channel::oneshot;
use futures::future::{BoxFuture, Shared};
use longhaul_shared::id::{Dispatch, ExecutionId, ExecutionKey, FunctionName, InstanceId, TaskId};
use longhaul_shared::trace::TraceContext;

/// What an activity may know and ask for. Cheap to clone.
///
/// An activity shares its thread with its neighbours: blocking calls and heavy computation belong into
/// `tokio::task::spawn_blocking`. One that never awaits cannot be given up when its time is over.
#[derive(Clone)]
pub struct ActivityContext {
    info: Arc<ActivityInfo>,
    state: StateMap,
    cancellation: Cancellation,
}

/// Which task a run of an activity is for; filled by the host.
#[derive(Clone, Debug)]
pub struct ActivityInfo {
    /// Whose task.
    pub key: ExecutionKey,
    /// Which.
    pub task: TaskId,
    /// The activity's name.
    pub name: FunctionName,
    /// Which sending of the task.
    pub dispatch: Dispatch,
    /// The task's tags.
    pub tags: BTreeMap<String, String>,
    /// Whose children the calls of this run are.
    pub trace: TraceContext,
}

impl ActivityContext {
    /// The context of one run.
    #[must_use]
    pub fn new(info: ActivityInfo, state: StateMap, cancellation: Cancellation) -> Self {
        Self {
            info: Arc::new(info),
            state,
            cancellation,
        }
    }

    /// The instance that called.
    #[must_use]
    pub fn instance_id(&self) -> &InstanceId {
        &self.info.key.instance
    }

    /// Its execution.
    #[must_use]
    pub fn execution_id(&self) -> ExecutionId {
        self.info.key.execution
    }

    /// The task. Together with instance and execution it makes an idempotency key: a task that runs twice has
    /// the same three both times, a retry has another task id.
    #[must_use]
    pub fn task_id(&self) -> TaskId {
        self.info.task
    }

    /// The activity's name.
    #[must_use]
    pub fn name(&self) -> &FunctionName {
        &self.info.name
    }

    /// Which sending of the task this is; it rises when the task is sent again.
    #[must_use]
    pub fn dispatch(&self) -> Dispatch {
        self.info.dispatch
    }

    /// The tags that the caller gave the task.
    #[must_use]
    pub fn tags(&self) -> &BTreeMap<String, String> {
        &self.info.tags
    }

    /// W3C trace context for those whom the activity calls: this run's own, if the worker sends traces; otherwise
    /// that of whoever started the instance.
    #[must_use]
    pub fn trace(&self) -> &TraceContext {
        &self.info.trace
    }

    /// The value of this type that the worker was given with
    /// [`ActivityRegistry::state`](crate::registry::ActivityRegistry::state).
    #[must_use]
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.state.get()
    }

    /// As [`state`](Self::state), for a value that must be there.
    ///
    /// # Errors
    /// [`StateMissing`] names the type.
    pub fn require_state<T: Send + Sync + 'static>(&self) -> Result<Arc<T>, StateMissing> {
        self.state.get().ok_or(StateMissing {
            wanted: std::any::type_name::<T>(),
        })
    }

    /// Resolves once nobody waits for the result any more: the worker is stopping or the task's time is up.
    /// An activity may stop early then; it need not.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        self.cancellation.cancelled()
    }

    /// Whether [`cancelled`](Self::cancelled) has resolved.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancellation.is_cancelled()
    }
}

impl fmt::Debug for ActivityContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.info, f)
    }
}

/// The worker was not given a value that an activity needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this worker has no state of type {wanted}: hand one over with .state(…) where its activities are registered"
)]
pub struct StateMissing {
    /// The type asked for.
    pub wanted: &'static str,
}

/// Values shared by the activities of a worker, one of a type. Cheap to clone.
#[derive(Clone, Default)]
pub struct StateMap {
    by_type: Arc<BTreeMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

impl StateMap {
    /// Puts a value in, replacing one of the same type.
    pub fn insert<T: Send + Sync + 'static>(&mut self, value: T) {
        Arc::make_mut(&mut self.by_type).insert(TypeId::of::<T>(), Arc::new(value));
    }

    /// The value of this type.
    #[must_use]
    pub fn get<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        let value = self.by_type.get(&TypeId::of::<T>())?;
        Arc::clone(value).downcast().ok()
    }
}

impl fmt::Debug for StateMap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StateMap({} values)", self.by_type.len())
    }
}

/// The host's end of a cancellation. Dropped without a word, it cancels nothing.
#[derive(Debug)]
pub struct Canceller {
    sender: oneshot::Sender<()>,
}

/// The activity's end of a cancellation. Cheap to clone.
#[derive(Clone)]
pub struct Cancellation {
    signal: Shared<BoxFuture<'static, ()>>,
}

impl Canceller {
    /// Both ends.
    #[must_use]
    pub fn new() -> (Self, Cancellation) {
        let (sender, receiver) = oneshot::channel();
        let signal = async move {
            if receiver.await.is_err() {
                futures::future::pending::<()>().await;
            }
        };
        let cancellation = Cancellation {
            signal: signal.boxed().shared(),
        };
        (Self { sender }, cancellation)
    }

    /// Tells the activity to stop.
    pub fn cancel(self) {
        // An activity that is gone has nothing left to stop.
        let _ = self.sender.send(());
    }
}

impl Cancellation {
    /// One that never comes.
    #[must_use]
    pub fn never() -> Self {
        Self {
            signal: futures::future::pending().boxed().shared(),
        }
    }

    /// Resolves once cancelled.
    pub fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        self.signal.clone()
    }

    /// Whether it has been cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.cancelled().now_or_never().is_some()
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancellation")
            .field("cancelled", &self.is_cancelled())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cancelling_reaches_every_clone_and_dropping_the_canceller_cancels_nothing() {
        let (canceller, cancellation) = Canceller::new();
        let other = cancellation.clone();
        assert!(!other.is_cancelled());
        canceller.cancel();
        assert!(other.is_cancelled() && cancellation.is_cancelled());

        let (canceller, cancellation) = Canceller::new();
        drop(canceller);
        assert!(!cancellation.is_cancelled());
        assert!(!Cancellation::never().is_cancelled());
    }

    #[test]
    fn state_is_found_by_its_type() {
        let mut state = StateMap::default();
        state.insert(7_u32);
        state.insert("text".to_owned());
        state.insert(8_u32);
        assert_eq!(state.get::<u32>().as_deref(), Some(&8));
        assert_eq!(state.get::<String>().as_deref().map(String::as_str), Some("text"));
        assert!(state.get::<u64>().is_none());
    }
}
