//! Owns what authors test their functions with: replay of a stored history, and a run without servers or waiting.
//! Never needed by a worker.

mod script;

pub use script::{Ended, Script, ScriptError};

use std::collections::BTreeMap;
use std::sync::Arc;

use longhaul_shared::history::HistoryEvent;
use longhaul_shared::id::{Dispatch, ExecutionId, ExecutionKey, FunctionName, InstanceId, TaskId};
use longhaul_shared::trace::TraceContext;

use crate::context::{ActivityContext, ActivityInfo, Cancellation};
use crate::engine::{OrchestrationFunction, Refusal, Session};
use crate::registry::ActivityRegistry;

/// Checks that an orchestration still takes the steps of a history: that of a whole execution, or of one that is
/// not over. A deploy whose code passes this for the histories of running instances will not pause them.
///
/// # Errors
/// [`Refusal`] says what was recorded and what the code does now.
pub fn replay(
    function: &Arc<dyn OrchestrationFunction>,
    key: ExecutionKey,
    history: &[HistoryEvent],
) -> Result<(), Refusal> {
    Session::open(function, key).replay(history)
}

/// A context to call an activity's function with, sharing the state of this registry.
#[must_use]
pub fn activity_context(registry: &ActivityRegistry, name: &FunctionName) -> ActivityContext {
    registry.context(activity_info(name, TaskId(1)), Cancellation::never())
}

fn activity_info(name: &FunctionName, task: TaskId) -> ActivityInfo {
    ActivityInfo {
        key: sample_key(),
        task,
        name: name.clone(),
        dispatch: Dispatch(1),
        tags: BTreeMap::new(),
        trace: TraceContext::default(),
    }
}

#[expect(
    clippy::expect_used,
    reason = "a constant text of seven letters is an instance id"
)]
fn sample_key() -> ExecutionKey {
    ExecutionKey {
        instance: InstanceId::new("testing").expect("a valid id"),
        execution: ExecutionId::from_bits(1),
    }
}
