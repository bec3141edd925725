//! Owns the commit of turns: one script call each, pipelined by partition, all of its effects or none.
//! Never decides what a turn does: it writes down a [`TurnCommit`].

use std::collections::BTreeMap;

use ::redis::{RedisResult, Value};
use bytes::Bytes;
use futures::future::join_all;
use longhaul_shared::codec;
use longhaul_shared::commit::{CommitOutcome, Ready, TurnCommit};
use longhaul_shared::history::encode_events;
use longhaul_shared::id::{ExecutionKey, MessageId, PartitionId};
use longhaul_shared::instance::Status;
use longhaul_shared::port::StoreError;

use super::error::{unavailable, unreadable};
use super::hub::Hub;
use super::row;
use super::script::{Call, Lua};
use super::timers;

pub(super) static COMMIT: Lua = Lua::new(include_str!("commit.lua"));

/// Commits of one pipeline: about as many as Redis reads of a connection at a time.
const COMMITS_PER_PIPELINE: usize = 16;

/// A commit of a batch: its place in it, the row it is about, and the call that applies it.
struct Placed {
    at: usize,
    row: String,
    call: Call,
}

impl Hub {
    /// See [`Store::commit`](longhaul_shared::port::Store::commit).
    pub(super) async fn commit(&self, batch: &[TurnCommit]) -> Vec<Result<CommitOutcome, StoreError>> {
        // Overwritten below; stands only where an answer is missing.
        let missing = unavailable(self.server.address(), "the answer is missing");
        let mut outcomes: Vec<Result<CommitOutcome, StoreError>> = vec![Err(missing); batch.len()];
        let mut partitions: BTreeMap<PartitionId, Vec<Placed>> = BTreeMap::new();
        for (at, commit) in batch.iter().enumerate() {
            let row = self.keys.partition(commit.partition).row(&commit.instance);
            match self.commit_call(&row, commit) {
                Ok(call) => {
                    let placed = Placed { at, row, call };
                    partitions.entry(commit.partition).or_default().push(placed);
                }
                Err(error) => replace(&mut outcomes, at, Err(error)),
            }
        }
        let pipelines = partitions.into_values().flat_map(pipelines);
        let answered = pipelines.map(async |placed| {
            let (places, calls): (Vec<_>, Vec<_>) = placed
                .into_iter()
                .map(|placed| ((placed.at, placed.row), placed.call))
                .unzip();
            (places, self.change_all(calls).await)
        });
        for (places, answers) in join_all(answered).await {
            match answers {
                Ok(answers) => {
                    for ((at, row), answer) in places.into_iter().zip(answers) {
                        replace(&mut outcomes, at, self.outcome(&row, answer));
                    }
                }
                Err(error) => {
                    for (at, _) in places {
                        replace(&mut outcomes, at, Err(error.clone()));
                    }
                }
            }
        }
        outcomes
    }

    fn commit_call(&self, row: &str, commit: &TurnCommit) -> Result<Call, StoreError> {
        let keys = self.keys.partition(commit.partition);
        let id = &commit.instance;
        let execution = ExecutionKey {
            instance: id.clone(),
            execution: commit.execution,
        };
        let status = commit.row.status;
        let mut call = Call::new(
            &COMMIT,
            &[
                &keys.lease(),
                row,
                &keys.history(&execution),
                &keys.inbox(id),
                &keys.outbox(),
                &keys.timers(),
                &keys.ready(),
                &keys.open(),
                &keys.in_status(Status::Pending),
                &keys.in_status(Status::Running),
                &keys.in_status(status),
            ],
        );
        call.arg(commit.token.as_str())
            .arg(&commit.id.bytes())
            .arg(&commit.execution.bytes())
            .arg(commit.expected.0)
            .arg(commit.expected_seq.0)
            .arg(id.as_str())
            .arg(status.code())
            .arg(if status.is_terminal() {
                keys.done()
            } else {
                String::new()
            })
            .arg(match commit.ready {
                Ready::Settle => String::new(),
                Ready::At(time) => time.micros().to_string(),
                Ready::Rest => "-".to_owned(),
            })
            .arg(commit.row.changed.micros());
        add_events(&mut call, row, commit)?;
        add_lists(&mut call, commit, &execution);
        Ok(call)
    }

    fn outcome(&self, row: &str, answer: RedisResult<Value>) -> Result<CommitOutcome, StoreError> {
        let said: String = self.answer(row, answer)?;
        match said.as_str() {
            "applied" => Ok(CommitOutcome::Applied),
            "duplicate" => Ok(CommitOutcome::Duplicate),
            "conflict" => Ok(CommitOutcome::Conflict),
            "fenced" => Ok(CommitOutcome::Fenced),
            other => Err(unreadable(row, format!("the commit script answered {other:?}"))),
        }
    }
}

/// Splits the commits of a partition, which lie in one slot, so that several connections can carry them.
fn pipelines(placed: Vec<Placed>) -> Vec<Vec<Placed>> {
    let mut placed = placed.into_iter();
    let pipelines = std::iter::repeat_with(|| placed.by_ref().take(COMMITS_PER_PIPELINE).collect());
    pipelines
        .take_while(|pipeline: &Vec<Placed>| !pipeline.is_empty())
        .collect()
}

fn replace<T>(outcomes: &mut [T], at: usize, outcome: T) {
    if let Some(slot) = outcomes.get_mut(at) {
        *slot = outcome;
    }
}

/// The history entry: its id and its value, both empty when the turn has no events.
fn add_events(call: &mut Call, row: &str, commit: &TurnCommit) -> Result<(), StoreError> {
    if commit.events.is_empty() {
        call.arg("").arg("");
        return Ok(());
    }
    let events = encode_events(&commit.events).map_err(|error| unreadable(row, error.to_string()))?;
    let first = commit.expected_seq.plus(1);
    call.arg(format!("{first}-{}", commit.events.len()))
        .arg(&events[..]);
    Ok(())
}

/// Eight lists of arguments, each length first, then all of them one behind the other.
fn add_lists(call: &mut Call, commit: &TurnCommit, execution: &ExecutionKey) {
    let (fields, absent) = row::of_commit(commit);
    let text = |text: &'static str| Bytes::from_static(text.as_bytes());
    let by_id = |id: MessageId, value: Bytes| [Bytes::copy_from_slice(&id.bytes()), value];
    let ids = |ids: &[MessageId]| -> Vec<Bytes> {
        ids.iter().map(|id| Bytes::copy_from_slice(&id.bytes())).collect()
    };
    let member = |task| Bytes::from(timers::member(execution, task));
    let lists: [Vec<Bytes>; 8] = [
        fields
            .into_iter()
            .flat_map(|(name, value)| [text(name), value])
            .collect(),
        absent.into_iter().map(text).collect(),
        ids(&commit.inbox_remove),
        commit
            .inbox_add
            .iter()
            .flat_map(|envelope| by_id(envelope.id, codec::encode(envelope)))
            .collect(),
        ids(&commit.outbox_remove),
        commit
            .outbox_add
            .iter()
            .flat_map(|publication| by_id(publication.id, codec::encode(publication)))
            .collect(),
        commit.timers_remove.iter().map(|task| member(*task)).collect(),
        commit
            .timers_add
            .iter()
            .flat_map(|timer| [timer.due.micros().to_string().into(), member(timer.task)])
            .collect(),
    ];
    for list in &lists {
        call.arg(list.len());
    }
    for argument in lists.iter().flatten() {
        call.arg(&argument[..]);
    }
}
