//! Owns the gathering of inputs by instance: what has come for an instance waits here until its turn.
//! Never runs a turn, and never lets an instance have two at once.

use std::collections::{BTreeMap, VecDeque};

use longhaul_shared::failure::Failure;
use longhaul_shared::id::{ExecutionKey, InstanceId, PartitionId, TaskId};
use longhaul_shared::message::Envelope;
use longhaul_shared::payload::Payload;
use longhaul_shared::port::{DueTimer, Monotonic, Receipt};
use longhaul_shared::time::Timestamp;

use crate::mutant::{Broken, is_broken};

/// Something that gives an instance a turn.
pub(crate) enum Input {
    /// An envelope of a control message.
    Envelope(Envelope, Receipt),
    /// A timer whose time has come by the store's clock, which showed `now`.
    Timer { timer: DueTimer, now: Timestamp },
    /// Look at the row and the inbox: there may be something new.
    Look,
    /// A suspect's inline steps have run for a while and the worker still lives: no attempt is to be counted any more.
    Survived,
    /// The partition is being rebuilt and the instance has not had a turn yet. The receipt tells when it has.
    Resend(Receipt),
    /// An inline step has run.
    InlineDone {
        key: ExecutionKey,
        task: TaskId,
        result: Result<Payload, Failure>,
    },
}

/// Everything that has come for one instance since its last turn.
pub(crate) struct Work {
    pub(crate) instance: InstanceId,
    pub(crate) partition: PartitionId,
    pub(crate) inputs: Vec<Input>,
    /// When the first of them came.
    pub(crate) since: Monotonic,
}

#[derive(Default)]
struct Mailbox {
    partition: PartitionId,
    inputs: Vec<Input>,
    since: Monotonic,
    running: bool,
}

/// The inputs of all instances, and whose turn is next.
#[derive(Default)]
pub(crate) struct Gather {
    mailboxes: BTreeMap<InstanceId, Mailbox>,
    /// Instances with inputs and no turn in progress, the longest waiting first.
    waiting: VecDeque<InstanceId>,
}

impl Gather {
    /// Adds an input for an instance, which comes now.
    pub(crate) fn offer(
        &mut self,
        partition: PartitionId,
        instance: InstanceId,
        input: Input,
        now: Monotonic,
    ) {
        let mailbox = self.mailboxes.entry(instance.clone()).or_default();
        mailbox.partition = partition;
        if mailbox.inputs.is_empty() {
            mailbox.since = now;
        }
        if mailbox.inputs.is_empty() && (!mailbox.running || is_broken(Broken::TwoTurnsAtOnce)) {
            self.waiting.push_back(instance);
        }
        let is_look = matches!(input, Input::Look);
        if !(is_look && mailbox.inputs.iter().any(|i| matches!(i, Input::Look))) {
            mailbox.inputs.push(input);
        }
    }

    /// Takes everything that has come for the instance that has waited longest; its turn begins.
    pub(crate) fn begin_next(&mut self) -> Option<Work> {
        while let Some(instance) = self.waiting.pop_front() {
            // An instance of a partition that was lost meanwhile is no longer there.
            if let Some(mailbox) = self.mailboxes.get_mut(&instance)
                && (!mailbox.running || is_broken(Broken::TwoTurnsAtOnce))
                && !mailbox.inputs.is_empty()
            {
                mailbox.running = true;
                let inputs = std::mem::take(&mut mailbox.inputs);
                return Some(Work {
                    instance,
                    partition: mailbox.partition,
                    inputs,
                    since: mailbox.since,
                });
            }
        }
        None
    }

    /// The turn of an instance is over; what has come meanwhile gives it another.
    pub(crate) fn end(&mut self, instance: &InstanceId) {
        if let Some(mailbox) = self.mailboxes.get_mut(instance) {
            mailbox.running = false;
            if mailbox.inputs.is_empty() {
                self.mailboxes.remove(instance);
            } else {
                self.waiting.push_back(instance.clone());
            }
        }
    }

    /// Whether an instance has inputs or a turn in progress.
    pub(crate) fn is_busy(&self, instance: &InstanceId) -> bool {
        self.mailboxes.contains_key(instance)
    }

    /// Forgets the waiting inputs of a partition, unsettled. Turns in progress end by themselves.
    pub(crate) fn drop_waiting(&mut self, partition: PartitionId) {
        self.mailboxes.retain(|_, mailbox| {
            if mailbox.partition == partition {
                mailbox.inputs.clear();
            }
            mailbox.running || !mailbox.inputs.is_empty()
        });
    }

    /// Whether a turn of this partition is in progress.
    pub(crate) fn has_running(&self, partition: PartitionId) -> bool {
        self.mailboxes
            .values()
            .any(|mailbox| mailbox.running && mailbox.partition == partition)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Monotonic = Monotonic(std::time::Duration::ZERO);

    fn id(text: &str) -> InstanceId {
        InstanceId::new(text).unwrap()
    }

    #[test]
    fn an_instance_has_one_turn_at_a_time_and_another_for_what_came_meanwhile() {
        let mut gather = Gather::default();
        gather.offer(PartitionId(0), id("a"), Input::Look, NOW);
        gather.offer(PartitionId(0), id("a"), Input::Look, NOW);
        assert_eq!(
            gather.begin_next().unwrap().inputs.len(),
            1,
            "a second look adds nothing"
        );
        gather.offer(PartitionId(0), id("a"), Input::Look, NOW);
        assert!(gather.begin_next().is_none(), "its turn is in progress");
        gather.end(&id("a"));
        assert!(gather.begin_next().is_some());
        gather.end(&id("a"));
        assert!(!gather.is_busy(&id("a")));
    }

    #[test]
    fn a_lost_partition_leaves_nothing_waiting() {
        let mut gather = Gather::default();
        gather.offer(PartitionId(0), id("a"), Input::Look, NOW);
        gather.offer(PartitionId(1), id("b"), Input::Look, NOW);
        gather.drop_waiting(PartitionId(0));
        assert_eq!(gather.begin_next().unwrap().instance, id("b"));
        assert!(gather.begin_next().is_none());
    }
}
