//! Owns why a turn or a replay is refused: nothing of it is committed, the instance is paused until a person acts.
//! Never an orchestration's own failure: that is a result like any other, and is committed.

use std::fmt;
use std::panic::Location;

use longhaul_shared::code::{self, Code};
use longhaul_shared::history::{EventKind, Place};
use longhaul_shared::id::{EventSeq, FunctionName, TaskId};
use longhaul_shared::limits;

/// The line of an author's code that built a step.
pub(crate) type Site = &'static Location<'static>;

/// Why the engine refuses to go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The code no longer takes the steps that history recorded.
    Mismatch(Box<Mismatch>),
    /// The code awaited something that the engine cannot wait for.
    NotDurable {
        /// How it was noticed.
        how: NotDurable,
        /// Where the code was last seen.
        last_step: Option<LastStep>,
    },
    /// The code panicked.
    Panicked {
        /// What the panic said.
        message: String,
        /// The event after which it did.
        seq: EventSeq,
        /// Where the code was last seen.
        last_step: Option<LastStep>,
    },
    /// History holds a kind of event that this version does not know.
    UnknownEvent {
        /// Its code.
        code: u8,
        /// Where.
        seq: EventSeq,
    },
    /// One turn takes more than [`limits::TURN_ACTIONS_MAX`] actions.
    TooManyActions {
        /// Where the code was last seen.
        last_step: Option<LastStep>,
    },
    /// The events are not a history: something else wrote them, or the host fed them wrongly.
    Malformed {
        /// The event that does not fit.
        event: EventName,
        /// Where.
        seq: EventSeq,
        /// What would fit, or why it does not.
        reason: &'static str,
    },
}

/// What history recorded, what the code attempted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mismatch {
    /// What stands in history.
    pub recorded: Recorded,
    /// What the code did instead; nothing, if it took no such step.
    pub attempted: Option<Attempted>,
    /// Where the code was last seen.
    pub last_step: Option<LastStep>,
}

/// An event that the code did not meet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recorded {
    /// What it records.
    pub what: RecordedKind,
    /// Of which step, if any.
    pub task: Option<TaskId>,
    /// Where in the execution's history.
    pub seq: EventSeq,
}

/// What a recorded event says, as far as the code could contradict it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum RecordedKind {
    /// A step was taken.
    Step(StepKind),
    /// A task answered.
    Answer,
    /// A timer fired.
    Firing,
    /// The execution ended.
    End,
    /// The turn ended, with nothing recorded beyond what was met.
    Nothing,
}

/// What the code did that history did not record.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Attempted {
    /// It took a step.
    Step {
        /// Which.
        step: StepKind,
        /// Its id.
        task: TaskId,
        /// The line that built it.
        site: Site,
    },
    /// It returned.
    Return {
        /// Whether with an error.
        failed: bool,
    },
}

/// The kind of a durable step, with its name where it has one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum StepKind {
    /// An activity task.
    Activity(FunctionName),
    /// An inline step.
    Run(FunctionName),
    /// A timer.
    Timer,
}

/// How an await of something else than a durable step was noticed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NotDurable {
    /// Another thread, or another task of this one, woke the orchestration.
    ForeignWake,
    /// The orchestration waits, and no durable step is open.
    NothingOpen,
    /// It asked to be polled again too often without taking a step.
    Spinning,
    /// Something in it panicked for want of an async runtime.
    RuntimeMissing {
        /// What the panic said.
        message: String,
    },
}

/// The last step that the code took: a hint where to look.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LastStep {
    /// Its id.
    pub task: TaskId,
    /// The line that built it.
    pub site: Site,
}

/// The name of an event's kind, e.g. `TaskCompleted`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventName(String);

impl EventName {
    pub(super) fn of(event: &EventKind) -> Self {
        Self(event.to_string())
    }
}

impl Refusal {
    /// The stable code of the refusal.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Mismatch(_) => code::NONDETERMINISM,
            Self::NotDurable { .. } => code::NOT_DURABLE,
            Self::Panicked { .. } => code::ORCHESTRATION_PANICKED,
            Self::UnknownEvent { .. } => code::UNKNOWN_EVENT,
            Self::TooManyActions { .. } => code::TURN_TOO_LARGE,
            Self::Malformed { .. } => code::HISTORY_UNREADABLE,
        }
    }
}

impl std::error::Error for Refusal {}

impl fmt::Display for Refusal {
    /// Several lines: what happened, why, what to do.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code();
        writeln!(f, "{code}: {}", code.title())?;
        match self {
            Self::Mismatch(mismatch) => writeln!(f, "{mismatch}")?,
            Self::NotDurable { how, last_step } => {
                writeln!(f, "{how}")?;
                write_last_step(f, *last_step)?;
            }
            Self::Panicked {
                message,
                seq,
                last_step,
            } => {
                writeln!(f, "After event {seq} it panicked: {message}")?;
                write_last_step(f, *last_step)?;
            }
            Self::UnknownEvent { code, seq } => writeln!(f, "Event {seq} has the kind {code}.")?,
            Self::TooManyActions { last_step } => {
                writeln!(
                    f,
                    "At most {} are allowed (TURN_ACTIONS_MAX).",
                    limits::TURN_ACTIONS_MAX
                )?;
                write_last_step(f, *last_step)?;
            }
            Self::Malformed { event, seq, reason } => {
                writeln!(f, "Event {seq} is {}: {reason}.", event.0)?;
            }
        }
        f.write_str(code.fix())
    }
}

fn write_last_step(f: &mut fmt::Formatter<'_>, last_step: Option<LastStep>) -> fmt::Result {
    match last_step {
        Some(LastStep { task, site }) => writeln!(f, "last step: task {task} at {site}"),
        None => writeln!(f, "last step: none was taken yet"),
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (&self.recorded.what, &self.attempted) {
            (RecordedKind::Nothing, _) => "On replay the code went further than history did.",
            (RecordedKind::End, _) => {
                "History holds the end of the execution; on replay the code did not end so."
            }
            (_, None) => "History holds something that the code did not do on replay.",
            (_, Some(_)) => "History holds one thing, and on replay the code did another.",
        })?;
        writeln!(f)?;
        writeln!(f, "recorded: {}", self.recorded)?;
        match &self.attempted {
            Some(attempted) => write!(f, "attempted: {attempted}"),
            None => match self.last_step {
                Some(LastStep { task, site }) => {
                    write!(f, "attempted: nothing (last step: task {task} at {site})")
                }
                None => f.write_str("attempted: nothing"),
            },
        }
    }
}

impl fmt::Display for Recorded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            RecordedKind::Step(step) => write!(f, "{step}")?,
            RecordedKind::Answer => f.write_str("the answer of a task")?,
            RecordedKind::Firing => f.write_str("the firing of a timer")?,
            RecordedKind::End => f.write_str("the end of the execution")?,
            RecordedKind::Nothing => f.write_str("nothing")?,
        }
        match self.task {
            Some(task) => write!(f, " (task {task}, event {})", self.seq),
            None => write!(f, " (event {})", self.seq),
        }
    }
}

impl Recorded {
    pub(super) fn of(event: &EventKind, seq: EventSeq) -> Self {
        let what = match event {
            EventKind::TaskScheduled(scheduled) => RecordedKind::Step(match scheduled.place {
                Place::Queue(_) => StepKind::Activity(scheduled.name.clone()),
                Place::Inline => StepKind::Run(scheduled.name.clone()),
            }),
            EventKind::TimerCreated(_) => RecordedKind::Step(StepKind::Timer),
            EventKind::TaskCompleted(_) | EventKind::TaskFailed(_) => RecordedKind::Answer,
            EventKind::TimerFired(_) => RecordedKind::Firing,
            EventKind::ExecutionCompleted(_) => RecordedKind::End,
            _ => RecordedKind::Nothing,
        };
        Self {
            what,
            task: event.task(),
            seq,
        }
    }
}

impl fmt::Display for Attempted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Step { step, task, site } => write!(f, "{step} (task {task}) at {site}"),
            Self::Return { failed: false } => f.write_str("to return its output"),
            Self::Return { failed: true } => f.write_str("to return an error"),
        }
    }
}

impl fmt::Display for StepKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Activity(name) => write!(f, "activity {:?}", name.as_str()),
            Self::Run(name) => write!(f, "inline step {:?}", name.as_str()),
            Self::Timer => f.write_str("timer"),
        }
    }
}

impl fmt::Display for NotDurable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("It awaited something that is not durable (tokio timer, channel, I/O): use ctx.timer / ctx.run / an activity. Noticed because ")?;
        match self {
            Self::ForeignWake => f.write_str("it was woken from outside its own steps."),
            Self::NothingOpen => f.write_str("it waits while none of its steps is open."),
            Self::Spinning => write!(
                f,
                "it asked to be polled again {} times without taking a step (IDLE_POLLS_MAX).",
                limits::IDLE_POLLS_MAX
            ),
            Self::RuntimeMissing { message } => write!(f, "it panicked: {message}"),
        }
    }
}
