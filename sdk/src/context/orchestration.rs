//! Owns what an orchestration may call: steps, the turn's time, ids that replay alike.
//! Never does any of it: a call is a future that asks the engine's steps.

use std::borrow::Borrow;
use std::fmt;
use std::future::Future;
use std::panic::Location;
use std::time::Duration;

use longhaul_shared::id::{ExecutionId, InstanceId, QueueName};
use longhaul_shared::limits;
use longhaul_shared::payload::Payload;
use longhaul_shared::time::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::call::ActivityCall;
use super::misuse::outside;
use super::run::RunCall;
use super::timer::Timer;
use crate::contract::Activity;
use crate::engine::Steps;
use crate::error::BoxError;

/// What an orchestration is given to act with. Cheap to clone.
///
/// A step takes its id when its call is *built* and becomes an action at its first poll; one that is never polled
/// does nothing and leaves no trace. Calls work only inside the orchestration itself: not in an inline step, not
/// in a spawned task.
#[derive(Clone)]
pub struct OrchestrationContext {
    steps: Steps,
}

impl OrchestrationContext {
    /// The context of an execution with these steps.
    #[must_use]
    pub fn new(steps: Steps) -> Self {
        Self { steps }
    }

    /// Calls an activity. It runs on an activity worker, at least once; its result is recorded once.
    ///
    /// An input that cannot be encoded or is over [`limits::PAYLOAD_BYTES_MAX`] is an error when awaited.
    #[track_caller]
    pub fn activity<I, O>(&self, contract: Activity<I, O>, input: impl Borrow<I>) -> ActivityCall<O>
    where
        I: Serialize + 'static,
        O: DeserializeOwned + 'static,
    {
        ActivityCall::new(
            self.steps.clone(),
            contract.name(),
            contract.queue(),
            input.borrow(),
            Location::caller(),
        )
    }

    /// Calls an activity without a contract. The input is a [`Payload`], or a value to be encoded as one.
    #[track_caller]
    pub fn activity_by_name<I: Serialize + 'static>(&self, name: &str, input: I) -> ActivityCall<Payload> {
        ActivityCall::new(
            self.steps.clone(),
            name,
            QueueName::default(),
            &input,
            Location::caller(),
        )
    }

    /// Waits this long, from [`now`](Self::now). Never fires early; survives restarts.
    ///
    /// # Panics
    /// Over [`limits::TIMER_DURATION_MAX`]: the instance is paused then.
    #[track_caller]
    pub fn timer(&self, delay: Duration) -> Timer {
        self.timer_at(self.now().plus(delay))
    }

    /// Waits until this time. One that is past fires at once, in a later turn.
    ///
    /// # Panics
    /// Over [`limits::TIMER_DURATION_MAX`] in the future: the instance is paused then.
    #[track_caller]
    pub fn timer_at(&self, due: Timestamp) -> Timer {
        assert!(
            due.since(self.now()) <= limits::TIMER_DURATION_MAX,
            "a timer may lie at most {} days in the future (TIMER_DURATION_MAX)",
            limits::TIMER_DURATION_MAX.as_secs() / 86_400
        );
        Timer::new(self.steps.clone(), due, Location::caller())
    }

    /// Runs an inline step: the closure runs on the orchestrator worker itself, at least once, without a queue
    /// between; its result is recorded once, before any later step starts. For what is quick; it may do I/O.
    ///
    /// ```
    /// # use longhaul_sdk::{OrchestrationContext, OrchestrationError};
    /// # async fn orchestration(ctx: OrchestrationContext, _: ()) -> Result<u16, OrchestrationError> {
    /// let port = ctx.run("pick_port", || async { "8080".parse::<u16>() }).await?;
    /// # Ok(port)
    /// # }
    /// ```
    #[track_caller]
    pub fn run<T, E, F, Fut>(&self, name: &str, step: F) -> RunCall<T>
    where
        T: Serialize + DeserializeOwned + 'static,
        E: Into<BoxError>,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, E>> + Send + 'static,
    {
        RunCall::new(self.steps.clone(), name, step, Location::caller())
    }

    /// The time of this turn, by the hub's clock: the same on every replay. It stands still within a turn.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.steps.now()
    }

    /// A new UUID, the same on every replay: version 5, in the namespace of the execution id, of the name
    /// `<instance id>:<n>`, where n counts from 1.
    ///
    /// # Panics
    /// Outside the orchestration itself, e.g. in an inline step: take it before and move it in.
    #[must_use]
    pub fn uuid(&self) -> Uuid {
        let Some(uuid) = self.steps.take_uuid() else {
            outside("ctx.uuid()")
        };
        uuid
    }

    /// The instance.
    #[must_use]
    pub fn instance_id(&self) -> &InstanceId {
        &self.steps.key().instance
    }

    /// This pass of it.
    #[must_use]
    pub fn execution_id(&self) -> ExecutionId {
        self.steps.key().execution
    }

    /// Whether what happens now has happened before. For effects outside Longhaul that may be left out on replay,
    /// never for choosing steps; `tracing` is muted by itself.
    #[must_use]
    pub fn is_replaying(&self) -> bool {
        self.steps.is_replaying()
    }
}

impl fmt::Debug for OrchestrationContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("OrchestrationContext")
            .field(self.steps.key())
            .finish()
    }
}
