//! Owns an execution of any length, driven by hand: one activity after the other, without a store or a broker.
//! Never measures: whoever calls does.

use std::sync::Arc;

use anyhow::Context;
use longhaul_sdk::engine::{OrchestrationFunction, Session};
use longhaul_sdk::registry::OrchestrationRegistry;
use longhaul_sdk::{Activity, Orchestration, OrchestrationContext, OrchestrationError};
use longhaul_shared::history::{EventKind, ExecutionStarted, HistoryEvent, TaskCompleted};
use longhaul_shared::id::{Dispatch, ExecutionId, ExecutionKey, FunctionName, InstanceId, StartId, TaskId};
use longhaul_shared::payload::Payload;
use longhaul_shared::time::Timestamp;
use longhaul_shared::trace::TraceContext;

/// So many steps, each given the number before it.
const CHAIN: Orchestration<u64, u64> = Orchestration::new("chain");
const NEXT: Activity<u64, u64> = Activity::new("next");

async fn chain(ctx: OrchestrationContext, steps: u64) -> Result<u64, OrchestrationError> {
    let mut number = 0;
    while number < steps {
        number = ctx.activity(NEXT, number).await?;
    }
    Ok(number)
}

/// An execution of the chain, between two of its turns.
pub struct Chain {
    session: Session,
    history: Vec<HistoryEvent>,
    answered: u64,
}

fn function() -> anyhow::Result<Arc<dyn OrchestrationFunction>> {
    let registry = OrchestrationRegistry::new().register(CHAIN, chain);
    registry
        .get(&FunctionName::new("chain")?)
        .context("it was just registered")
}

fn key() -> anyhow::Result<ExecutionKey> {
    Ok(ExecutionKey {
        instance: InstanceId::new("a-chain-of-many-steps")?,
        execution: ExecutionId::from_bits(7),
    })
}

fn event(kind: EventKind) -> HistoryEvent {
    let time = Timestamp::from_micros(1_700_000_000_000_000);
    HistoryEvent { time, kind }
}

impl Chain {
    /// One of so many steps, after its first turn.
    ///
    /// # Errors
    /// When the engine refuses, which it has no reason to.
    pub fn begin(steps: u64) -> anyhow::Result<Self> {
        let mut chain = Self {
            session: Session::open(&function()?, key()?),
            history: Vec::new(),
            answered: 0,
        };
        chain.turn(EventKind::ExecutionStarted(ExecutionStarted {
            name: FunctionName::new("chain")?,
            version: None,
            input: Payload::encode(&steps)?,
            start_id: StartId::new("start")?,
            tags: [].into(),
            trace: TraceContext::default(),
        }))?;
        Ok(chain)
    }

    /// Answers the step that is open.
    ///
    /// # Errors
    /// As [`Self::begin`].
    pub fn answer(&mut self) -> anyhow::Result<()> {
        self.answered += 1;
        self.turn(EventKind::TaskCompleted(TaskCompleted {
            task: TaskId(u32::try_from(self.answered)?),
            dispatch: Dispatch(self.answered),
            output: Payload::encode(&self.answered)?,
        }))
    }

    fn turn(&mut self, came: EventKind) -> anyhow::Result<()> {
        let new = [event(EventKind::OrchestratorStarted), event(came)];
        let actions = self.session.turn(&new)?;
        self.history.extend(new);
        self.history
            .extend(actions.into_iter().map(|action| event(action.into_event())));
        self.history.push(event(EventKind::OrchestratorCompleted));
        Ok(())
    }

    /// What it has recorded so far.
    #[must_use]
    pub fn history(&self) -> &[HistoryEvent] {
        &self.history
    }
}

/// A chain's history, about so many events long, with steps to come.
///
/// # Errors
/// As [`Chain::begin`].
pub fn history(events: usize) -> anyhow::Result<Vec<HistoryEvent>> {
    let mut chain = Chain::begin(u64::MAX)?;
    while chain.history.len() < events {
        chain.answer()?;
    }
    Ok(chain.history)
}

/// Brings a new session to where this history ends.
///
/// # Errors
/// As [`Chain::begin`].
pub fn replay(history: &[HistoryEvent]) -> anyhow::Result<()> {
    let mut session = Session::open(&function()?, key()?);
    session.replay(history)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_goes_to_its_end_and_replays() {
        let mut chain = Chain::begin(3).unwrap();
        for _ in 0..3 {
            assert!(!chain.session.is_finished());
            chain.answer().unwrap();
        }
        assert!(chain.session.is_finished());
        assert_eq!(chain.history().len(), 16);
        replay(chain.history()).unwrap();
        assert!((1_000..1_004).contains(&history(1_000).unwrap().len()));
    }
}
