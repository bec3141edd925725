//! Owns what the relay knows of one partition's outbox: what is on its way to the broker, what the broker has
//! confirmed, and who waits to hear of it.
//! Never publishes and never reads the outbox: the relay does, and tells what came of it.

use std::collections::{BTreeMap, BTreeSet};

use longhaul_shared::codec;
use longhaul_shared::id::{ExecutionKey, LeaseToken, MessageId, TaskId};
use longhaul_shared::message::{Destination, Publication};
use longhaul_shared::port::Monotonic;
use tokio::sync::oneshot;

/// The tasks whose work items are committed, and not yet confirmed by the broker.
pub(crate) type Unsent = BTreeSet<(ExecutionKey, TaskId)>;

/// What the relay knows of a partition's outbox.
pub(super) struct Held {
    /// The token under which the messages were committed.
    pub(super) token: LeaseToken,
    /// On their way to the broker, each since when the relay has it.
    pub(super) unconfirmed: BTreeMap<MessageId, (Monotonic, Publication)>,
    /// Of these, the ones handed to the broker and not answered.
    pub(super) handed_over: BTreeSet<MessageId>,
    /// Confirmed, but perhaps still in the outbox: not to be published when a search finds them there. With the
    /// number of the last search begun before the confirm.
    pub(super) confirmed: BTreeMap<MessageId, u64>,
    /// How many searches have begun.
    pub(super) searches: u64,
    /// What the search in progress has found so far.
    pub(super) found: Option<BTreeSet<MessageId>>,
    /// Who waits for that search.
    pub(super) then: Vec<oneshot::Sender<Unsent>>,
    /// Who waits for answers, the search being over.
    pub(super) asking: Vec<Asking>,
    /// Who waits until everything is confirmed.
    pub(super) draining: Vec<oneshot::Sender<()>>,
}

/// Somebody wants to know what will still be published.
pub(super) struct Asking {
    /// What the broker had been handed when the search was over: its answer may be that of a broker that is gone.
    unanswered: BTreeSet<MessageId>,
    then: oneshot::Sender<Unsent>,
}

impl Held {
    pub(super) fn under(token: LeaseToken) -> Self {
        Self {
            token,
            unconfirmed: BTreeMap::new(),
            handed_over: BTreeSet::new(),
            confirmed: BTreeMap::new(),
            searches: 0,
            found: None,
            then: Vec::new(),
            asking: Vec::new(),
            draining: Vec::new(),
        }
    }

    pub(super) fn tell_drained(&mut self) {
        if self.unconfirmed.is_empty() {
            for drained in self.draining.drain(..) {
                // Whoever waited may have run out of patience.
                let _ = drained.send(());
            }
        }
    }

    /// The broker has answered for a message.
    pub(super) fn answered(&mut self, id: MessageId, is_confirmed: bool) {
        self.handed_over.remove(&id);
        for asking in &mut self.asking {
            asking.unanswered.remove(&id);
        }
        if is_confirmed {
            self.unconfirmed.remove(&id);
            self.confirmed.insert(id, self.searches);
        }
    }

    /// Those who waited for the search now wait for the answers that are out.
    pub(super) fn ask(&mut self) {
        let unanswered = &self.handed_over;
        self.asking.extend(self.then.drain(..).map(|then| Asking {
            unanswered: unanswered.clone(),
            then,
        }));
    }

    pub(super) fn tell_unsent(&mut self) {
        for at in (0..self.asking.len()).rev() {
            if self
                .asking
                .get(at)
                .is_some_and(|asking| asking.unanswered.is_empty())
            {
                // A rebuild that was stopped does not listen any more.
                let _ = self.asking.swap_remove(at).then.send(self.unsent());
            }
        }
    }

    /// The tasks whose work items are not confirmed.
    pub(super) fn unsent(&self) -> Unsent {
        let work = |message: &&Publication| matches!(message.destination, Destination::Work(_));
        let items = self
            .unconfirmed
            .values()
            .map(|(_, message)| message)
            .filter(work)
            .filter_map(|message| codec::decode_work_item(&message.body).ok());
        items
            .map(|item| (item.identity.key, item.identity.task))
            .collect()
    }

    /// A search is over: what was confirmed before it began and is not in the outbox any more can be forgotten;
    /// what is still there (its removal was lost) is to be removed once more.
    pub(super) fn searched(&mut self) -> Vec<MessageId> {
        let found = self.found.take().unwrap_or_default();
        let search = self.searches;
        self.confirmed
            .retain(|id, before| *before >= search || found.contains(id));
        let left = self
            .confirmed
            .iter()
            .filter(|(id, before)| **before < search && found.contains(id));
        left.map(|(id, _)| *id).collect()
    }
}

#[cfg(test)]
mod tests {
    use longhaul_shared::id::{
        Dispatch, EventSeq, ExecutionId, Fingerprint, FunctionName, InstanceId, PartitionId, QueueName,
    };
    use longhaul_shared::message::{BODY_VERSION, TaskIdentity, WorkItem};
    use longhaul_shared::payload::Payload;
    use longhaul_shared::time::Timestamp;
    use longhaul_shared::trace::TraceContext;

    use super::*;

    #[test]
    fn a_confirmed_message_is_remembered_until_a_later_search_misses_it() {
        let id = MessageId::from_bits;
        let mut held = Held::under(LeaseToken::from("t"));
        held.searches = 1;
        held.found = Some(BTreeSet::from([id(1), id(2)]));
        held.confirmed.insert(id(1), 1);
        assert!(
            held.searched().is_empty(),
            "confirmed while the search ran: its removal is on its way"
        );
        assert!(held.confirmed.contains_key(&id(1)));

        held.searches = 2;
        held.found = Some(BTreeSet::from([id(1)]));
        assert_eq!(held.searched(), [id(1)], "still there: to be removed once more");

        held.searches = 3;
        held.found = Some(BTreeSet::new());
        assert!(held.searched().is_empty());
        assert!(held.confirmed.is_empty(), "gone from the outbox: forgotten");
    }

    fn work(task: u32) -> Publication {
        let item = WorkItem {
            version: BODY_VERSION,
            identity: TaskIdentity {
                key: key(),
                task: TaskId(task),
                scheduled_seq: EventSeq(u64::from(task)),
                fingerprint: Fingerprint(0),
            },
            overran: 0,
            resent: false,
            dispatch: Dispatch(1),
            times_not_hosted: 0,
            name: FunctionName::new("f").unwrap(),
            queue: QueueName::default(),
            reply_to: PartitionId(0),
            input: Payload::unit(),
            timeout_micros: None,
            tags: BTreeMap::new(),
            trace: TraceContext::default(),
            scheduled: Timestamp::default(),
        };
        codec::work_message(&item, Timestamp::default())
    }

    fn key() -> ExecutionKey {
        ExecutionKey {
            instance: InstanceId::new("a").unwrap(),
            execution: ExecutionId::from_bits(1),
        }
    }

    #[test]
    fn what_a_broker_that_is_gone_has_confirmed_is_not_left_to_the_relay() {
        let mut held = Held::under(LeaseToken::from("t"));
        let [confirmed, refused, queued] = [work(1), work(2), work(3)];
        for message in [&confirmed, &refused, &queued] {
            held.unconfirmed
                .insert(message.id, (Monotonic::default(), message.clone()));
        }
        held.handed_over.extend([confirmed.id, refused.id]);

        let (then, mut unsent) = oneshot::channel();
        held.then.push(then);
        held.ask();
        held.tell_unsent();
        assert!(unsent.try_recv().is_err(), "two answers are out");
        held.answered(confirmed.id, true);
        held.tell_unsent();
        assert!(unsent.try_recv().is_err(), "one answer is out");
        held.answered(refused.id, false);
        held.tell_unsent();
        let left_out = unsent.try_recv().unwrap();
        assert_eq!(left_out, BTreeSet::from([(key(), TaskId(2)), (key(), TaskId(3))]));
    }
}
