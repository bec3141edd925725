//! Owns the question what is news: which of the gathered inputs change the execution, and which are copies,
//! late or strange. Never changes anything but the session's note of what nobody hosts.
//!
//! Every handler may run twice; this is where it is noticed. A result is news only if the ledger holds its task
//! open, scheduled at the same place under the same fingerprint.

use std::collections::BTreeSet;
use std::time::Duration;

use longhaul_shared::commit::TimerEntry;
use longhaul_shared::history::{EventKind, ExecutionTerminated, TaskCompleted, TaskFailed, TimerFired};
use longhaul_shared::id::{Dispatch, EventSeq, ExecutionKey, FunctionName, MessageId, TaskId};
use longhaul_shared::instance::WaitingFor;
use longhaul_shared::message::{
    Envelope, EnvelopeBody, NotHosted, TaskDone, TaskIdentity, TaskParked, TaskResult,
};
use longhaul_shared::port::DueTimer;
use longhaul_shared::time::Timestamp;

use crate::gather::Input;
use crate::ledger::{OpenKind, Standing};
use crate::mutant::{Broken, is_broken};
use crate::relay::Unsent;
use crate::session::Session;
use crate::settings::Settings;

/// What the inputs amount to.
#[derive(Default)]
pub(crate) struct Admitted {
    /// The turn's time, not before any due time among the inputs.
    pub(crate) now: Timestamp,
    /// What happened, in the order of arrival.
    pub(crate) inbound: Vec<EventKind>,
    /// Answers and reports that came by the queue or from an inline step: to be kept in the inbox if the
    /// execution cannot go on.
    pub(crate) answers: Vec<Envelope>,
    /// Somebody wants its end.
    pub(crate) terminate: Option<ExecutionTerminated>,
    /// Inbox messages dealt with by this turn.
    pub(crate) inbox_remove: Vec<MessageId>,
    /// Timer entries dealt with by this turn.
    pub(crate) timers_remove: Vec<TaskId>,
    /// Times at which activities that nobody hosts are to be sent again.
    pub(crate) timers_add: Vec<TimerEntry>,
    /// Open activities to send again now.
    pub(crate) resend: BTreeSet<TaskId>,
    /// Open inline steps that nobody runs.
    pub(crate) run_inline: BTreeSet<TaskId>,
    /// Results of tasks that history does not know.
    pub(crate) strays: Vec<Envelope>,
    /// Timers of executions that are over.
    pub(crate) stale_timers: Vec<(ExecutionKey, TaskId)>,
    /// Whether the row has something new to say, though nothing happened in the execution.
    pub(crate) row_changes: bool,
    /// Whether a suspect has run for a while and the worker still lives.
    pub(crate) survived: bool,
    /// Results that came too late.
    pub(crate) dropped: u64,
    /// How long runs took whose results are news, as far as their workers said.
    pub(crate) ran: Vec<(FunctionName, Duration)>,
    /// Tasks answered by this very turn.
    answered: BTreeSet<TaskId>,
}

impl Admitted {
    /// Whether the author's code has something to see.
    pub(crate) fn has_events(&self) -> bool {
        !self.inbound.is_empty() || self.terminate.is_some()
    }

    /// Where in history the activities to send again were scheduled.
    pub(crate) fn resend_places(&self, session: &Session) -> Vec<EventSeq> {
        let open = self
            .resend
            .iter()
            .filter_map(|task| session.ledger.open_task(*task));
        open.map(|open| open.scheduled_seq).collect()
    }

    /// Whether there is anything to commit without the author's code.
    pub(crate) fn has_effects(&self) -> bool {
        !(self.inbox_remove.is_empty()
            && self.timers_remove.is_empty()
            && self.timers_add.is_empty()
            && self.resend.is_empty()
            && !self.row_changes
            && !self.survived)
    }
}

/// Sorts the inputs and the inbox into what is news and what is not.
pub(crate) fn admit(
    session: &mut Session,
    inputs: &[Input],
    inbox: &[Envelope],
    now: Timestamp,
    settings: &Settings,
) -> Admitted {
    let mut admitted = Admitted {
        now: now.max(session.not_before),
        ..Admitted::default()
    };
    for message in inbox {
        if admitted.message(session, message, settings) {
            admitted.inbox_remove.push(message.id);
        }
    }
    for input in inputs {
        match input {
            Input::Envelope(envelope, _) => {
                if admitted.message(session, envelope, settings) && is_answer(envelope) {
                    admitted.answers.push(envelope.clone());
                }
            }
            Input::Timer { timer, now } => admitted.timer(session, timer, *now),
            Input::InlineDone { key, task, result } => {
                session.inline_running.remove(task);
                let result = match result {
                    Ok(output) => TaskResult::Completed(output.clone()),
                    Err(failure) => TaskResult::Failed(failure.clone()),
                };
                admitted.inline_done(session, key, *task, result);
            }
            Input::Survived => admitted.survived |= session.attempts > 0,
            Input::Resend(_) | Input::Look => {}
        }
    }
    let running = &session.inline_running;
    let idle = session.ledger.open_tasks().filter(|(task, open)| {
        matches!(open.kind, OpenKind::Inline { .. })
            && !running.contains(task)
            && !admitted.answered.contains(task)
    });
    admitted.run_inline = idle.map(|(task, _)| task).collect();
    admitted
}

fn is_answer(envelope: &Envelope) -> bool {
    matches!(
        envelope.body,
        EnvelopeBody::TaskDone(_) | EnvelopeBody::TaskParked(_)
    )
}

impl Admitted {
    /// Takes a message in; `false` if it is set aside as a stray.
    fn message(&mut self, session: &mut Session, envelope: &Envelope, settings: &Settings) -> bool {
        match &envelope.body {
            EnvelopeBody::Wake {} => true,
            EnvelopeBody::TaskDone(done) => self.task_done(session, done, envelope),
            EnvelopeBody::NotHosted(report) => {
                self.not_hosted(session, report, settings);
                true
            }
            EnvelopeBody::TaskParked(report) => {
                self.task_parked(session, report);
                true
            }
            EnvelopeBody::Terminate { reason } => {
                self.terminate.get_or_insert_with(|| ExecutionTerminated {
                    reason: reason.clone(),
                    message: envelope.id,
                });
                true
            }
        }
    }

    fn task_done(&mut self, session: &mut Session, done: &TaskDone, envelope: &Envelope) -> bool {
        let task = done.identity.task;
        let another = done.identity.key != session.key && !is_broken(Broken::ResultMatchedByTaskOnly);
        if another || self.answered.contains(&task) {
            self.dropped += 1;
            return true;
        }
        match session.ledger.standing(&done.identity) {
            Standing::Open(open) => {
                if let (OpenKind::Activity { name, .. }, Some(micros)) = (&open.kind, done.took_micros) {
                    self.ran.push((name.clone(), Duration::from_micros(micros)));
                }
                session.not_hosted.remove(&task);
                self.answer(task, done.dispatch, done.result.clone());
                true
            }
            Standing::Closed if is_broken(Broken::NoDedupe) => {
                self.answer(task, done.dispatch, done.result.clone());
                true
            }
            Standing::Closed => {
                self.dropped += 1;
                true
            }
            Standing::Unknown => {
                self.strays.push(envelope.clone());
                false
            }
        }
    }

    fn answer(&mut self, task: TaskId, dispatch: Dispatch, result: TaskResult) {
        self.answered.insert(task);
        self.inbound.push(match result {
            TaskResult::Completed(output) => EventKind::TaskCompleted(TaskCompleted {
                task,
                dispatch,
                output,
            }),
            TaskResult::Failed(failure) => EventKind::TaskFailed(TaskFailed {
                task,
                dispatch,
                failure,
            }),
        });
    }

    fn inline_done(&mut self, session: &Session, key: &ExecutionKey, task: TaskId, result: TaskResult) {
        // A session that was put together again starts the step again while the first run still goes on.
        let is_news = *key == session.key && !self.answered.contains(&task);
        let Some(open) = session.ledger.open_task(task).filter(|_| is_news) else {
            self.dropped += 1;
            return;
        };
        let OpenKind::Inline { fingerprint } = open.kind else {
            return;
        };
        let identity = TaskIdentity {
            key: key.clone(),
            task,
            scheduled_seq: open.scheduled_seq,
            fingerprint,
        };
        self.answers
            .push(Envelope::task_done(identity, Dispatch::default(), result.clone()));
        self.answer(task, Dispatch::default(), result);
    }

    fn not_hosted(&mut self, session: &mut Session, report: &NotHosted, settings: &Settings) {
        let is_open = report.identity.key == session.key
            && matches!(session.ledger.standing(&report.identity), Standing::Open(_));
        if !is_open {
            self.dropped += 1;
            return;
        }
        let task = report.identity.task;
        let waiting_for = WaitingFor::Activity {
            name: report.name.clone(),
            queue: report.queue.clone(),
        };
        session.not_hosted.insert(task, (report.times, waiting_for));
        self.timers_add.push(TimerEntry {
            task,
            due: self.now.plus(settings.retry_delay(report.times)),
        });
    }

    fn task_parked(&mut self, session: &mut Session, report: &TaskParked) {
        let is_open = report.identity.key == session.key
            && matches!(session.ledger.standing(&report.identity), Standing::Open(_));
        if !is_open {
            self.dropped += 1;
            return;
        }
        let task = report.identity.task;
        let waiting_for = WaitingFor::ParkedTask {
            task,
            name: report.name.clone(),
            code: report.code.clone(),
            parked: report.parked,
        };
        session.not_hosted.insert(task, (0, waiting_for));
        self.row_changes = true;
    }

    fn timer(&mut self, session: &Session, timer: &DueTimer, now: Timestamp) {
        if timer.key != session.key {
            self.stale_timers.push((timer.key.clone(), timer.task));
            return;
        }
        self.now = self.now.max(now);
        match session.ledger.open_task(timer.task).map(|open| &open.kind) {
            Some(OpenKind::Timer { due }) if *due > self.now => {
                // The entry came early, e.g. postponed and brought forward: set it right instead of firing.
                self.timers_add.push(TimerEntry {
                    task: timer.task,
                    due: *due,
                });
            }
            Some(OpenKind::Timer { due }) => {
                if self.answered.insert(timer.task) {
                    self.inbound.push(EventKind::TimerFired(TimerFired {
                        task: timer.task,
                        due: *due,
                    }));
                }
                self.timers_remove.push(timer.task);
            }
            Some(OpenKind::Activity { .. }) => {
                self.resend.insert(timer.task);
                self.timers_remove.push(timer.task);
            }
            Some(OpenKind::Inline { .. }) | None => self.timers_remove.push(timer.task),
        }
    }

    /// Every activity that is still open after these inputs is to be sent again, but for those whose work items
    /// are on their way.
    pub(crate) fn resend_open(&mut self, session: &Session, unsent: &Unsent) {
        let is_lost =
            |task: &TaskId| !self.answered.contains(task) && !unsent.contains(&(session.key.clone(), *task));
        let open = session.ledger.open_tasks();
        let activities = open.filter(|(_, open)| matches!(open.kind, OpenKind::Activity { .. }));
        let lost: Vec<_> = activities.map(|(task, _)| task).filter(is_lost).collect();
        self.resend.extend(lost);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use longhaul_shared::history::{HistoryEvent, Place, TaskScheduled};
    use longhaul_shared::id::{Fingerprint, FunctionName};
    use longhaul_shared::payload::Payload;

    use super::*;
    use crate::session::tests::session;

    #[test]
    fn an_inline_step_that_ran_twice_has_one_result() {
        let mut session = session("i");
        let scheduled = EventKind::TaskScheduled(TaskScheduled {
            task: TaskId(1),
            name: FunctionName::new("step").unwrap(),
            fingerprint: Fingerprint(7),
            place: Place::Inline,
            input: None,
            timeout: None,
            tags: BTreeMap::new(),
        });
        session.ledger.record(&[HistoryEvent {
            time: Timestamp::from_micros(1),
            kind: scheduled,
        }]);
        let done = || Input::InlineDone {
            key: session.key.clone(),
            task: TaskId(1),
            result: Ok(Payload::unit()),
        };
        let inputs = [done(), done()];
        let admitted = admit(
            &mut session,
            &inputs,
            &[],
            Timestamp::from_micros(2),
            &Settings::default(),
        );
        assert_eq!(admitted.inbound.len(), 1, "{:?}", admitted.inbound);
        assert_eq!(admitted.answers.len(), 1);
        assert_eq!(admitted.dropped, 1);
    }
}
