//! Owns the words of the model: events, messages, work items, and the author's code that turns some into others.
//! Never says who sends or stores them.

/// Proves the right to own the partition; how often the lease had been taken.
pub(crate) type Token = u8;
/// Names a task of the instance.
pub(crate) type Task = u8;

/// The generation of the queues.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub(crate) struct Epoch {
    pub(crate) number: u8,
    /// Tells apart what two workers began under the same number: who it was. One that begins twice under one number
    /// has dropped what it began first, so the same name does no harm.
    pub(crate) nonce: u8,
}

impl Epoch {
    /// The first one; a partition that was never rebuilt needs none for it.
    pub(crate) const FIRST: Self = Self { number: 1, nonce: 0 };

    pub(crate) const fn next(self, nonce: u8) -> Self {
        Self {
            number: self.number + 1,
            nonce,
        }
    }
}

/// An event of the history, without its payload.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Event {
    /// The execution began.
    Started,
    /// A task was scheduled.
    Scheduled(u8),
    /// A task's result was recorded.
    Completed(u8),
    /// Somebody ended the instance.
    Terminated,
    /// The execution is over.
    Ended,
}

/// A message for the instance: on the control queue, or in its inbox.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Message {
    /// Look at the row and the inbox.
    Wake,
    /// A task has this result.
    Done(u8),
    /// Somebody wants the end of the instance.
    Terminate,
}

/// A work item: one sending of a task.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Item {
    /// Which task.
    pub task: u8,
    /// Which sending: the number of the commit that put it into the outbox.
    pub dispatch: u8,
}

/// What gives the instance a turn.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) enum Input {
    /// A message; `tied`: an acknowledgement would still reach the queue that it came from.
    Message {
        message: Message,
        tied: bool,
    },
    Look,
    Resend,
}

/// What the author's code does with its tasks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Shape {
    /// One after the other.
    Sequence(u8),
    /// All at once.
    FanOut(u8),
}

impl Shape {
    /// How many tasks there are.
    pub(crate) const fn tasks(self) -> u8 {
        match self {
            Self::Sequence(tasks) | Self::FanOut(tasks) => tasks,
        }
    }

    /// What the author's code does when it has seen this history; the same every time.
    pub(crate) fn act(self, history: &[Event]) -> Vec<Event> {
        let has = |event| history.contains(&event);
        if has(Event::Ended) {
            return Vec::new();
        }
        if (0..self.tasks()).all(|task| has(Event::Completed(task))) {
            return vec![Event::Ended];
        }
        let may_begin = |task: u8| match self {
            Self::FanOut(_) => true,
            Self::Sequence(_) => task == 0 || has(Event::Completed(task - 1)),
        };
        (0..self.tasks())
            .filter(|task| may_begin(*task) && !has(Event::Scheduled(*task)))
            .map(Event::Scheduled)
            .collect()
    }

    /// Whether a history is one that this code can have: each event once, where it belongs, and nothing behind the end.
    pub(crate) fn allows(self, history: &[Event]) -> bool {
        history.iter().enumerate().all(|(at, event)| {
            let before = history.get(..at).unwrap_or_default();
            let has = |event| before.contains(&event);
            let is_first = !has(*event) && !has(Event::Ended);
            is_first
                && match event {
                    Event::Started => at == 0,
                    Event::Scheduled(_) => self.act(before).contains(event),
                    Event::Completed(task) => has(Event::Scheduled(*task)) && !has(Event::Terminated),
                    Event::Terminated => has(Event::Started),
                    Event::Ended => has(Event::Terminated) || self.act(before) == [Event::Ended],
                }
        })
    }
}

/// The tasks that a history has scheduled and not completed.
pub(crate) fn open_tasks(history: &[Event]) -> Vec<Task> {
    let scheduled = history.iter().filter_map(|event| match event {
        Event::Scheduled(task) => Some(*task),
        _ => None,
    });
    scheduled
        .filter(|task| !history.contains(&Event::Completed(*task)))
        .collect()
}

/// Adds to a bag: what lies in one bag in any order is one state.
pub(crate) fn put<T: Ord>(bag: &mut Vec<T>, what: T) {
    let at = bag.partition_point(|other| *other < what);
    bag.insert(at, what);
}

/// Takes one out of a bag; whether it was there.
pub(crate) fn take<T: PartialEq>(bag: &mut Vec<T>, what: &T) -> bool {
    let at = bag.iter().position(|other| other == what);
    at.map(|at| bag.remove(at)).is_some()
}
