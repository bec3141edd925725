//! Owns what a turn writes: actions become events, sends, timers and a row, cut into parts that a commit can hold.
//! Never performs any of it.
//!
//! A large turn commits in consecutive parts. Only the last one removes what the turn has dealt with (inbox,
//! timers) and closes the turn; the earlier ones keep the instance in the ready set, so whoever owns the
//! partition after a crash in between comes back to it and commits the rest.

use std::time::Duration;

use longhaul_sdk::engine::Action;
use longhaul_shared::codec;
use longhaul_shared::commit::{Ready, RowChange, TimerEntry, TurnCommit};
use longhaul_shared::failure::{Failure, FailureKind};
use longhaul_shared::history::{
    EventKind, ExecutionCompleted, ExecutionTerminated, HistoryEvent, Place, TaskScheduled,
};
use longhaul_shared::id::{CommitId, CommitNumber, Dispatch, EventSeq, LeaseToken, QueueName, TaskId};
use longhaul_shared::instance::{Status, WaitingFor};
use longhaul_shared::limits;
use longhaul_shared::message::{BODY_VERSION, Publication, TaskIdentity, WorkItem};
use longhaul_shared::payload::Payload;
use longhaul_shared::time::Timestamp;

use crate::admit::Admitted;
use crate::ledger::OpenKind;
use crate::session::Session;
use crate::weight::{EVENT_OVERHEAD, payload_bytes};

/// How long an instance whose inline steps run rests before somebody looks whether they still do. After a crash
/// they are started again no sooner than this.
pub(crate) const INLINE_LOOK: Duration = Duration::from_secs(5);

/// One thing to write, small enough for any part.
struct Item {
    event: Option<HistoryEvent>,
    send: Option<Send>,
    timer: Option<TimerEntry>,
}

/// A work item to send.
struct Send {
    seq: EventSeq,
    task: TaskScheduled,
    /// Whether an earlier sending may have been begun.
    again: bool,
}

impl Item {
    fn event(event: HistoryEvent) -> Self {
        Self {
            event: Some(event),
            send: None,
            timer: None,
        }
    }

    /// About how many bytes it takes in a commit, envelope and names included.
    fn bytes(&self) -> usize {
        let event = self.event.as_ref().map_or(0, |event| match &event.kind {
            // The row repeats what an execution returns.
            kind @ EventKind::ExecutionCompleted(_) => 2 * payload_bytes(kind),
            kind => payload_bytes(kind),
        });
        let send = self
            .send
            .as_ref()
            .and_then(|send| send.task.input.as_ref())
            .map_or(0, |input| input.len());
        EVENT_OVERHEAD + event + send
    }
}

/// The events that open the turn: its start, the execution's start if it is the first, and what came in. Empty
/// when there is nothing for the author's code to see.
pub(crate) fn opening(session: &Session, admitted: &Admitted) -> Vec<HistoryEvent> {
    let goes_on = session.start.is_some() || session.ledger.is_turn_open() || admitted.has_events();
    if !goes_on {
        return Vec::new();
    }
    let started = session.start.clone().map(EventKind::ExecutionStarted);
    let kinds = std::iter::once(EventKind::OrchestratorStarted)
        .chain(started)
        .chain(admitted.inbound.clone());
    kinds
        .map(|kind| HistoryEvent {
            time: admitted.now,
            kind,
        })
        .collect()
}

/// Everything that goes into a plan.
pub(crate) struct Draft<'a> {
    pub(crate) session: &'a Session,
    pub(crate) token: &'a LeaseToken,
    pub(crate) admitted: Admitted,
    /// From [`opening`].
    pub(crate) opening: Vec<HistoryEvent>,
    /// What the author's code wants.
    pub(crate) actions: Vec<Action>,
    /// The scheduling events, with their places in history, of the tasks to send again.
    pub(crate) resends: Vec<(EventSeq, TaskScheduled)>,
    /// Whether inline steps will run after this turn.
    pub(crate) runs_inline: bool,
}

/// The commits of a turn that goes on, in the order of writing; one unless the turn is large.
pub(crate) fn decide(draft: Draft<'_>, mut new_id: impl FnMut() -> CommitId) -> Vec<TurnCommit> {
    let Draft {
        session,
        token,
        mut admitted,
        opening,
        actions,
        resends,
        runs_inline,
    } = draft;
    let now = admitted.now;
    let mut seq = session.ledger.last_seq().plus(opening.len() as u64);
    let writes_events = !opening.is_empty();
    let mut items: Vec<Item> = opening.into_iter().map(Item::event).collect();

    let actions = within_history(session, &items, actions);
    let ends_itself = actions
        .iter()
        .any(|action| matches!(action, Action::Complete { .. }));
    let ends = ends_itself || admitted.terminate.is_some();
    for action in actions {
        seq = seq.plus(1);
        items.push(item_of(action, seq, now, ends));
    }
    if let Some(terminated) = admitted.terminate.take().filter(|_| !ends_itself) {
        items.extend(termination(terminated, now));
    }
    if writes_events {
        items.push(Item::event(HistoryEvent {
            time: now,
            kind: EventKind::OrchestratorCompleted,
        }));
    }
    if ends {
        admitted.timers_add.clear();
        // Also those that have just come due: the store is not asked for them again.
        admitted.timers_remove.extend(open_timers(session));
    } else {
        items.extend(resends.into_iter().map(|(seq, task)| Item {
            event: None,
            send: Some(Send {
                seq,
                task,
                again: true,
            }),
            timer: None,
        }));
    }

    let survived = (writes_events || admitted.survived) && session.attempts > 0;
    let row = row_after(session, &items, now);
    let ready = if runs_inline && !ends {
        Ready::At(now.plus(INLINE_LOOK))
    } else {
        Ready::Settle
    };
    let expected = session.commit_number;
    let mut writer = Writer {
        session,
        token,
        row,
        expected,
        seq: session.ledger.last_seq(),
        survived,
    };
    let mut parts = into_parts(items);
    let last = parts.pop().unwrap_or_default();
    let mut commits: Vec<_> = parts
        .into_iter()
        .map(|part| writer.commit(part, new_id(), IsLast::No))
        .collect();
    let mut commit = writer.commit(last, new_id(), IsLast::Yes);
    commit.inbox_remove = admitted.inbox_remove;
    commit.timers_remove = admitted.timers_remove;
    commit.timers_add.append(&mut admitted.timers_add);
    commit.ready = ready;
    commits.push(commit);
    commits
}

/// The events of an end that somebody asked for.
fn termination(terminated: ExecutionTerminated, now: Timestamp) -> impl Iterator<Item = Item> {
    let kind = FailureKind::Other("terminated".to_owned());
    let failure = Some(Failure::new(kind, terminated.reason.clone()));
    let ended = ExecutionCompleted {
        status: Status::Terminated,
        output: None,
        failure,
    };
    let kinds = [
        EventKind::ExecutionTerminated(terminated),
        EventKind::ExecutionCompleted(ended),
    ];
    kinds
        .into_iter()
        .map(move |kind| Item::event(HistoryEvent { time: now, kind }))
}

/// Plans the commit of an execution that cannot go on: nothing enters history, what came is kept for later.
pub(crate) fn block(
    session: &Session,
    token: &LeaseToken,
    admitted: Admitted,
    resends: Vec<(EventSeq, TaskScheduled)>,
    waiting_for: WaitingFor,
    retry_after: Duration,
    id: CommitId,
) -> TurnCommit {
    let now = admitted.now;
    let retry_at = now.plus(retry_after);
    // Whoever refuses the code has run it, or tried to.
    let is_refused = matches!(waiting_for, WaitingFor::Paused { .. });
    let ready = match waiting_for {
        WaitingFor::Stuck { .. } => Ready::Rest,
        _ => Ready::At(retry_at),
    };
    let row = RowChange {
        status: session.status,
        changed: now,
        waiting_for: Some(waiting_for),
        output: None,
        failure: None,
    };
    let is_timer = |task: &TaskId| {
        session
            .ledger
            .open_task(*task)
            .is_some_and(|open| matches!(open.kind, OpenKind::Timer { .. }))
    };
    let (postponed, done): (Vec<_>, Vec<_>) = admitted.timers_remove.into_iter().partition(is_timer);
    let timers = postponed
        .into_iter()
        .map(|task| TimerEntry { task, due: retry_at })
        .chain(admitted.timers_add);
    let dispatch = Dispatch(session.commit_number.next().0);
    let sends = resends
        .into_iter()
        .map(|(seq, task)| {
            let send = Send {
                seq,
                task,
                again: true,
            };
            work_publication(session, send, dispatch, now)
        })
        .collect();
    TurnCommit {
        ready,
        inbox_add: admitted.answers,
        outbox_add: sends,
        timers_add: timers.collect(),
        timers_remove: done,
        survived: is_refused && session.attempts > 0,
        ..empty_commit(session, token, row, id)
    }
}

/// The actions, unless they would take history past its bound: then the execution fails instead.
fn within_history(session: &Session, opening: &[Item], actions: Vec<Action>) -> Vec<Action> {
    const CLOSING: u64 = 3;
    let events = session.ledger.last_seq().0 + (opening.len() + actions.len()) as u64 + CLOSING;
    if events <= limits::HISTORY_EVENTS_MAX || opening.is_empty() {
        return actions;
    }
    let failure = Failure::new(
        FailureKind::OverLimit,
        format!(
            "[LH1107] the history would have {events} events and at most {} are allowed (HISTORY_EVENTS_MAX): split the work over several instances",
            limits::HISTORY_EVENTS_MAX
        ),
    );
    vec![Action::Complete {
        outcome: Err(failure),
    }]
}

fn item_of(action: Action, seq: EventSeq, now: Timestamp, ends: bool) -> Item {
    let kind = action.into_event();
    let mut send = None;
    let mut timer = None;
    match &kind {
        EventKind::TaskScheduled(task) if matches!(task.place, Place::Queue(_)) => {
            send = Some(Send {
                seq,
                task: task.clone(),
                again: false,
            });
        }
        EventKind::TimerCreated(created) if !ends => {
            timer = Some(TimerEntry {
                task: created.task,
                due: created.due,
            });
        }
        _ => {}
    }
    Item {
        event: Some(HistoryEvent { time: now, kind }),
        send,
        timer,
    }
}

fn open_timers(session: &Session) -> Vec<TaskId> {
    let timers = session.ledger.open_tasks().filter(|(task, open)| {
        matches!(open.kind, OpenKind::Timer { .. }) || session.not_hosted.contains_key(task)
    });
    timers.map(|(task, _)| task).collect()
}

fn row_after(session: &Session, items: &[Item], now: Timestamp) -> RowChange {
    let ended = items
        .iter()
        .rev()
        .find_map(|item| match item.event.as_ref().map(|event| &event.kind) {
            Some(EventKind::ExecutionCompleted(ended)) => Some(ended.clone()),
            _ => None,
        });
    match ended {
        Some(ExecutionCompleted {
            status,
            output,
            failure,
        }) => RowChange {
            status,
            changed: now,
            waiting_for: None,
            output,
            failure,
        },
        None => {
            let has_run = session.ledger.is_started() || items.iter().any(|item| item.event.is_some());
            let status = if has_run { Status::Running } else { session.status };
            let waiting_for = session
                .not_hosted
                .values()
                .next()
                .map(|(_, waiting_for)| waiting_for.clone());
            RowChange {
                status,
                changed: now,
                waiting_for,
                output: None,
                failure: None,
            }
        }
    }
}

/// Cuts the items into parts within the bounds of a commit; at least one part.
fn into_parts(items: Vec<Item>) -> Vec<Vec<Item>> {
    let mut parts = Vec::new();
    let mut part = Vec::new();
    let mut part_bytes = 0;
    for item in items {
        let bytes = item.bytes();
        let is_full =
            part.len() >= limits::COMMIT_ACTIONS_MAX || part_bytes + bytes > limits::COMMIT_BYTES_MAX;
        if is_full && !part.is_empty() {
            parts.push(std::mem::take(&mut part));
            part_bytes = 0;
        }
        part_bytes += bytes;
        part.push(item);
    }
    parts.push(part);
    parts
}

/// Whether a part closes its turn.
enum IsLast {
    Yes,
    No,
}

/// Writes one part after the other, each on top of the one before.
struct Writer<'a> {
    session: &'a Session,
    token: &'a LeaseToken,
    row: RowChange,
    expected: CommitNumber,
    seq: EventSeq,
    survived: bool,
}

impl Writer<'_> {
    fn commit(&mut self, part: Vec<Item>, id: CommitId, is_last: IsLast) -> TurnCommit {
        let row = match is_last {
            IsLast::Yes => self.row.clone(),
            IsLast::No => self.row_between(),
        };
        let mut commit = empty_commit(self.session, self.token, row, id);
        commit.expected = self.expected;
        commit.expected_seq = self.seq;
        commit.survived = self.survived;
        commit.ready = Ready::At(self.row.changed);
        let dispatch = Dispatch(self.expected.next().0);
        for item in part {
            commit.events.extend(item.event);
            commit.timers_add.extend(item.timer);
            commit.outbox_add.extend(
                item.send
                    .map(|send| work_publication(self.session, send, dispatch, self.row.changed)),
            );
        }
        self.expected = self.expected.next();
        self.seq = commit.last_seq();
        commit
    }

    fn row_between(&self) -> RowChange {
        RowChange {
            status: Status::Running,
            output: None,
            failure: None,
            ..self.row.clone()
        }
    }
}

fn empty_commit(session: &Session, token: &LeaseToken, row: RowChange, id: CommitId) -> TurnCommit {
    TurnCommit {
        partition: session.partition,
        token: token.clone(),
        instance: session.key.instance.clone(),
        execution: session.key.execution,
        expected: session.commit_number,
        id,
        expected_seq: session.ledger.last_seq(),
        events: Vec::new(),
        row,
        ready: Ready::Settle,
        inbox_add: Vec::new(),
        inbox_remove: Vec::new(),
        outbox_add: Vec::new(),
        outbox_remove: Vec::new(),
        timers_add: Vec::new(),
        timers_remove: Vec::new(),
        survived: false,
    }
}

fn work_publication(session: &Session, send: Send, dispatch: Dispatch, now: Timestamp) -> Publication {
    let Send { seq, task, again } = send;
    let queue = match task.place {
        Place::Queue(queue) => queue,
        Place::Inline => QueueName::default(),
    };
    let times_not_hosted = session.not_hosted.get(&task.task).map_or(0, |(times, _)| *times);
    let item = WorkItem {
        version: BODY_VERSION,
        identity: TaskIdentity {
            key: session.key.clone(),
            task: task.task,
            scheduled_seq: seq,
            fingerprint: task.fingerprint,
        },
        dispatch,
        times_not_hosted,
        // What came back as not hosted was not begun.
        resent: again && times_not_hosted == 0,
        overran: 0,
        name: task.name,
        queue,
        reply_to: session.partition,
        input: task.input.unwrap_or_else(Payload::unit),
        timeout_micros: task
            .timeout
            .map(|timeout| u64::try_from(timeout.as_micros()).unwrap_or(u64::MAX)),
        tags: task.tags,
        trace: session.trace.clone(),
        scheduled: now,
    };
    codec::work_message(&item, now)
}
