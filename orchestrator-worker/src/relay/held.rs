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
    /// Confirmed before something was lost, and perhaps still in the outbox: of these the work items are the
    /// rebuild's, which sends their tasks again. Numbered alike.
    pub(super) confirmed_before: BTreeMap<MessageId, u64>,
    /// How many searches have begun.
    pub(super) searches: u64,
    /// What the search in progress has found so far.
    pub(super) found: Option<BTreeSet<MessageId>>,
    /// Who waits for that search.
    pub(super) then: Vec<oneshot::Sender<Unsent>>,
    /// Another is wanted once it is over, because it may have read what is no longer true; who waits for that one.
    pub(super) next: Option<Vec<oneshot::Sender<Unsent>>>,
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
            confirmed_before: BTreeMap::new(),
            searches: 0,
            found: None,
            then: Vec::new(),
            next: None,
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

    /// Something was lost: what was confirmed may be gone, and what a store that fell behind is told again is to be
    /// published again. Nothing counts as sent.
    pub(super) fn lost(&mut self) {
        self.confirmed_before.append(&mut self.confirmed);
    }

    /// Whether a message that was found in the outbox is to be published.
    pub(super) fn is_to_publish(&self, message: &Publication) -> bool {
        let is_work = matches!(message.destination, Destination::Work(_));
        let is_the_rebuilds = is_work && self.confirmed_before.contains_key(&message.id);
        !self.confirmed.contains_key(&message.id) && !is_the_rebuilds
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
        for confirmed in [&mut self.confirmed, &mut self.confirmed_before] {
            confirmed.retain(|id, before| *before >= search || found.contains(id));
        }
        self.confirmed
            .iter()
            .chain(&self.confirmed_before)
            .filter(|(id, before)| **before < search && found.contains(id))
            .map(|(id, _)| *id)
            .filter(|id| !self.unconfirmed.contains_key(id))
            .collect()
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

    #[test]
    fn what_was_confirmed_before_a_loss_is_the_rebuilds_and_leaves_the_outbox() {
        let mut held = Held::under(LeaseToken::from("t"));
        let message = work(1);
        held.unconfirmed
            .insert(message.id, (Monotonic::default(), message.clone()));
        assert!(held.is_to_publish(&message));
        held.answered(message.id, true);
        assert!(!held.is_to_publish(&message));

        held.lost();
        assert!(!held.is_to_publish(&message), "the rebuild sends its task again");
        assert!(held.unsent().is_empty());
        held.searches = 1;
        held.found = Some(BTreeSet::from([message.id]));
        assert_eq!(held.searched(), [message.id]);

        held.searches = 2;
        held.found = Some(BTreeSet::new());
        assert!(held.searched().is_empty());
        assert!(
            held.is_to_publish(&message),
            "found anew, it is of a commit since"
        );
    }

    #[test]
    fn a_loss_during_a_search_does_not_make_it_forget_what_was_confirmed_meanwhile() {
        let mut held = Held::under(LeaseToken::from("t"));
        let message = work(1);
        held.searches = 1;
        held.found = Some(BTreeSet::new());
        held.answered(message.id, true);
        held.lost();
        assert!(held.searched().is_empty());
        assert!(
            !held.is_to_publish(&message),
            "the search may have read the outbox before the message was committed"
        );
    }

    #[test]
    fn what_is_committed_again_after_a_loss_stays_in_the_outbox_until_it_is_confirmed_again() {
        let mut held = Held::under(LeaseToken::from("t"));
        let message = work(1);
        held.answered(message.id, true);
        held.lost();
        assert!(!held.confirmed.contains_key(&message.id), "a commit may send it");
        held.unconfirmed
            .insert(message.id, (Monotonic::default(), message.clone()));
        held.searches = 1;
        held.found = Some(BTreeSet::from([message.id]));
        assert!(held.searched().is_empty());
        assert_eq!(held.unsent(), BTreeSet::from([(key(), TaskId(1))]));

        held.answered(message.id, true);
        held.searches = 2;
        held.found = Some(BTreeSet::from([message.id]));
        assert_eq!(BTreeSet::from_iter(held.searched()), BTreeSet::from([message.id]));
    }
}
