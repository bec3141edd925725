//! Owns what the engine would write and send for the sequence of three activities, event for event.
//! Never asks anybody: which commit follows which message is known.

use longhaul_shared::codec;
use longhaul_shared::commit::{Ready, RowChange, TurnCommit};
use longhaul_shared::history::{
    EventKind, ExecutionCompleted, ExecutionStarted, HistoryEvent, Place, TaskCompleted, TaskScheduled,
};
use longhaul_shared::id::{
    CommitId, CommitNumber, Dispatch, EventSeq, ExecutionId, ExecutionKey, Fingerprint, FunctionName,
    InstanceId, InvalidId, LeaseToken, MessageId, PartitionId, QueueName, StartId, TaskId,
};
use longhaul_shared::instance::{StartInstance, Status};
use longhaul_shared::message::{BODY_VERSION, Envelope, TaskIdentity, TaskResult, WorkItem};
use longhaul_shared::payload::{EncodeError, Payload};
use longhaul_shared::time::Timestamp;
use longhaul_shared::trace::TraceContext;

const CITIES: [&str; 3] = ["Tokyo", "Seattle", "London"];
/// Every turn of the sequence writes so many events: its start, what came, what follows, its end.
const EVENTS_A_TURN: u64 = 4;

/// One for every instance: they differ by their ids.
fn key(instance: InstanceId) -> ExecutionKey {
    let execution = ExecutionId::from_bits(u128::MAX / 3);
    ExecutionKey { instance, execution }
}

/// The start of an instance.
pub(super) fn start(instance: InstanceId, random: u128) -> Result<StartInstance, InvalidId> {
    Ok(StartInstance {
        start_id: StartId::new(format!("{random:032x}"))?,
        name: FunctionName::new("hello_sequence")?,
        version: None,
        input: Payload::unit(),
        tags: [].into(),
        trace: TraceContext::default(),
        execution: key(instance.clone()).execution,
        id: instance,
    })
}

/// The n-th of the four commits, counted from 0: the first answers the wake-up, each other one a result.
pub(super) struct Commit<'a> {
    pub(super) number: u64,
    pub(super) instance: InstanceId,
    pub(super) partition: PartitionId,
    pub(super) token: &'a LeaseToken,
    pub(super) now: Timestamp,
    pub(super) id: CommitId,
    pub(super) confirmed: Vec<MessageId>,
}

impl Commit<'_> {
    pub(super) fn write(self) -> anyhow::Result<TurnCommit> {
        let key = key(self.instance);
        let is_last = self.number >= CITIES.len() as u64;
        let before = EventSeq(self.number * EVENTS_A_TURN);
        let came = match self.number {
            0 => EventKind::ExecutionStarted(ExecutionStarted {
                name: FunctionName::new("hello_sequence")?,
                version: None,
                input: Payload::unit(),
                start_id: StartId::new(format!("{:032x}", self.id.bits()))?,
                tags: [].into(),
                trace: TraceContext::default(),
            }),
            number => EventKind::TaskCompleted(TaskCompleted {
                task: TaskId(u32::try_from(number)?),
                dispatch: Dispatch(number),
                output: greeting(number - 1)?,
            }),
        };
        let output = is_last.then(greetings).transpose()?;
        let follows = if is_last {
            EventKind::ExecutionCompleted(ExecutionCompleted {
                status: Status::Completed,
                output: output.clone(),
                failure: None,
            })
        } else {
            EventKind::TaskScheduled(self::scheduled(self.number)?)
        };
        let kinds = [
            EventKind::OrchestratorStarted,
            came,
            follows,
            EventKind::OrchestratorCompleted,
        ];
        let events = kinds.map(|kind| HistoryEvent { time: self.now, kind });
        let work = (!is_last).then(|| work_item(&key, self.number, self.partition, self.now));
        let work = work.transpose()?.map(|item| codec::work_message(&item, self.now));
        Ok(TurnCommit {
            partition: self.partition,
            token: self.token.clone(),
            instance: key.instance,
            execution: key.execution,
            expected: CommitNumber(self.number),
            id: self.id,
            expected_seq: before,
            events: events.into(),
            row: RowChange {
                status: if is_last {
                    Status::Completed
                } else {
                    Status::Running
                },
                changed: self.now,
                waiting_for: None,
                output,
                failure: None,
            },
            ready: Ready::Settle,
            inbox_add: Vec::new(),
            inbox_remove: Vec::new(),
            outbox_add: work.into_iter().collect(),
            outbox_remove: self.confirmed,
            timers_add: Vec::new(),
            timers_remove: Vec::new(),
            survived: false,
        })
    }
}

fn city(number: u64) -> &'static str {
    let place = usize::try_from(number).unwrap_or_default();
    CITIES.get(place).copied().unwrap_or_default()
}

fn greeting(number: u64) -> Result<Payload, EncodeError> {
    Payload::encode(&format!("Hello, {}!", city(number)))
}

fn greetings() -> Result<Payload, EncodeError> {
    Payload::encode(&CITIES.map(|city| format!("Hello, {city}!")))
}

fn fingerprint(number: u64) -> Fingerprint {
    Fingerprint(u64::MAX / 5 + number)
}

fn scheduled(number: u64) -> anyhow::Result<TaskScheduled> {
    Ok(TaskScheduled {
        task: TaskId(u32::try_from(number + 1)?),
        name: FunctionName::new("say_hello")?,
        fingerprint: fingerprint(number),
        place: Place::Queue(QueueName::default()),
        input: Some(Payload::encode(city(number))?),
        timeout: None,
        tags: [].into(),
    })
}

fn work_item(
    key: &ExecutionKey,
    number: u64,
    partition: PartitionId,
    now: Timestamp,
) -> anyhow::Result<WorkItem> {
    let task = scheduled(number)?;
    Ok(WorkItem {
        version: BODY_VERSION,
        identity: TaskIdentity {
            key: key.clone(),
            task: task.task,
            scheduled_seq: EventSeq(number * EVENTS_A_TURN + EVENTS_A_TURN - 1),
            fingerprint: task.fingerprint,
        },
        dispatch: Dispatch(number + 1),
        times_not_hosted: 0,
        resent: false,
        overran: 0,
        name: task.name,
        queue: QueueName::default(),
        reply_to: partition,
        input: task.input.unwrap_or_else(Payload::unit),
        timeout_micros: None,
        tags: [].into(),
        trace: TraceContext::default(),
        scheduled: now,
    })
}

/// What the activity answers.
pub(super) fn answer(item: &WorkItem) -> Result<Envelope, EncodeError> {
    let output = greeting(u64::from(item.identity.task.0.saturating_sub(1)))?;
    let result = TaskResult::Completed(output);
    Ok(Envelope::task_done(item.identity.clone(), item.dispatch, result))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_commits_follow_each_other() {
        let instance = InstanceId::new("a").unwrap();
        let commits = [0, 1, 2, 3].map(|number| {
            let commit = Commit {
                number,
                instance: instance.clone(),
                partition: PartitionId(0),
                token: &LeaseToken::from("t"),
                now: Timestamp::default(),
                id: CommitId::from_bits(1),
                confirmed: Vec::new(),
            };
            commit.write().unwrap()
        });
        for [one, next] in commits.array_windows() {
            assert_eq!(one.last_seq(), next.expected_seq);
            assert_eq!(one.expected.next(), next.expected);
            let [work] = one.outbox_add.as_slice() else {
                panic!("no work")
            };
            let item = codec::decode_work_item(&work.body).unwrap();
            let EventKind::TaskScheduled(scheduled) = &one.events[2].kind else {
                panic!()
            };
            assert_eq!(item.identity.fingerprint, scheduled.fingerprint);
            assert_eq!(item.identity.scheduled_seq, one.expected_seq.plus(3));
        }
        assert_eq!(commits[3].row.status, Status::Completed);
        assert!(commits[3].outbox_add.is_empty());
    }
}
