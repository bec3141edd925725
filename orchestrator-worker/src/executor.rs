//! Owns the seam between host and author: past and new events in, actions out.
//! Never commits, sends or waits for time: whatever runs the author's code, in this process or, one day, in
//! another language, decides only what happens next.

use std::any::Any;

use async_trait::async_trait;
use futures::future::BoxFuture;
use longhaul_sdk::engine::Action;
use longhaul_shared::code::Code;
use longhaul_shared::failure::Failure;
use longhaul_shared::history::HistoryEvent;
use longhaul_shared::id::{ExecutionKey, FunctionName, TaskId};
use longhaul_shared::payload::Payload;

/// Runs orchestrations.
#[async_trait]
pub trait Executor: Send + Sync + 'static {
    /// The orchestrations it hosts, ordered.
    fn hosts(&self) -> Vec<FunctionName>;

    /// Whether it hosts this one.
    fn is_hosted(&self, name: &FunctionName) -> bool;

    /// Brings an execution from where it was to where the new events take it.
    ///
    /// The answer MUST depend on the events alone. It holds every action that is not in the past events,
    /// ordered by task id, completion last.
    ///
    /// # Errors
    /// [`Refused`]: the author's code cannot go on from here. Nothing was decided; whatever was warm is gone.
    async fn execute(&self, execution: Execution) -> Result<Executed, Refused>;

    /// The body of an inline step that the execution has built, once; `None` if the author dropped it.
    fn take_inline(
        &self,
        warm: &mut Warm,
        task: TaskId,
    ) -> Option<BoxFuture<'static, Result<Payload, Failure>>>;
}

/// What an execution was before, kept by the executor between turns. The host only stores it.
pub struct Warm(pub Box<dyn Any + Send>);

/// One step of an execution.
pub struct Execution {
    /// Whose.
    pub key: ExecutionKey,
    /// Which orchestration.
    pub name: FunctionName,
    /// What the last answer returned, if it is still there; then `past` is empty.
    pub warm: Option<Warm>,
    /// The committed events, in full, if nothing is warm.
    pub past: Vec<HistoryEvent>,
    /// What is new: a turn's start and what came in.
    pub new: Vec<HistoryEvent>,
}

/// What an execution wants to happen.
pub struct Executed {
    /// Every action not in history yet.
    pub actions: Vec<Action>,
    /// To be handed in with the next step; valid only once the actions are committed.
    pub warm: Option<Warm>,
}

/// Why the author's code cannot go on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// What it is.
    pub code: Code,
    /// What happened, why, and what to do; may have several lines. Begins with the code.
    pub message: String,
}
