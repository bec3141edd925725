//! Owns what became of each message of one confirm channel, as far as it can be told for sure.
//! Never waits, sends or reads a clock: it is told what came, in the order in which it came.
//!
//! The broker returns an unroutable message before it confirms it, but lapin hands each returned message to
//! whichever confirm it resolves next. So a confirm says nothing about its own message before every return that
//! could concern it has been seen. Why [`Ledger::settle`] knows when that is:
//!
//! * lapin keeps returned messages in a queue, and each confirm takes one out if there is one. A return comes
//!   before its own confirm, so the queue is never longer than there are returned messages without a confirm.
//! * A confirm that carries nothing therefore proves the queue empty: the return of its own message, if any, was
//!   taken by a confirm that was resolved earlier, and that one is seen at the latest in the next look.
//! * A confirm that carries a return leaves open what is behind it in the queue. All of that has been taken out
//!   once every message sent until then is confirmed, again by confirms seen at the latest in the next look.

use std::collections::{BTreeMap, HashMap};

use longhaul_shared::id::MessageId;

/// Tells messages apart as far as the broker can: copies that are on their way to the same queue at the same time
/// share a key and a fate.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Key {
    pub(super) id: MessageId,
    pub(super) queue: String,
}

/// What a confirm says by itself.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// The broker answers for the message, or returned it.
    Acked,
    /// The broker did not take the message.
    Nacked,
    /// There will be no answer, and why.
    Lost(String),
}

/// What became of a message.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    /// As the confirm says.
    Answered(Answer),
    /// It came back: there is no such queue.
    Returned,
}

/// The messages of one channel between being sent and being settled. `T` is whatever the sender wants back.
#[derive(Debug)]
pub(super) struct Ledger<T> {
    last: u64,
    open: BTreeMap<u64, (Key, T)>,
    flights: HashMap<Key, Flight>,
    held: Vec<Held<T>>,
    ripe: Vec<Held<T>>,
}

/// All unsettled messages of one key.
#[derive(Debug, Default)]
struct Flight {
    messages: usize,
    returned: bool,
}

/// An answered message whose return may still turn up.
#[derive(Debug)]
struct Held<T> {
    key: Key,
    answer: Answer,
    /// Messages up to this number must be answered first.
    barrier: u64,
    ticket: T,
}

impl<T> Ledger<T> {
    pub(super) fn new() -> Self {
        Self {
            last: 0,
            open: BTreeMap::new(),
            flights: HashMap::new(),
            held: Vec::new(),
            ripe: Vec::new(),
        }
    }

    /// Takes down a message that is sent now, and gives it its number: from 1, without gaps.
    pub(super) fn sent(&mut self, key: Key, ticket: T) -> u64 {
        self.last += 1;
        self.flights.entry(key.clone()).or_default().messages += 1;
        self.open.insert(self.last, (key, ticket));
        self.last
    }

    /// Takes down the answer to a message, and the returned message that lapin handed out with it. Gives back
    /// a look at the ticket; `None` if the number is not waiting for an answer.
    pub(super) fn answered(&mut self, number: u64, answer: Answer, returned: Option<Key>) -> Option<&T> {
        let (key, ticket) = self.open.remove(&number)?;
        let mut barrier = 0;
        if let Some(returned) = returned {
            barrier = self.last;
            if let Some(flight) = self.flights.get_mut(&returned) {
                flight.returned = true;
            }
        }
        self.held.push(Held {
            key,
            answer,
            barrier,
            ticket,
        });
        self.held.last().map(|held| &held.ticket)
    }

    /// To be called after each look at the confirms, whether it showed any or not. Gives out what has become
    /// certain; what this look showed is certain after the next at the earliest.
    pub(super) fn settle(&mut self) -> Vec<(T, Verdict)> {
        let settled = std::mem::take(&mut self.ripe);
        let oldest = self.open.keys().next().copied();
        let is_ripe = |held: &Held<T>| oldest.is_none_or(|oldest| held.barrier < oldest);
        let (ripe, held) = std::mem::take(&mut self.held).into_iter().partition(is_ripe);
        self.ripe = ripe;
        self.held = held;
        settled.into_iter().map(|held| self.conclude(held)).collect()
    }

    /// Ends the ledger with its channel: gives out all messages, those without a certain answer as lost.
    pub(super) fn abandon(mut self, why: &str) -> Vec<(T, Verdict)> {
        let lost = || Answer::Lost(why.to_owned());
        let unsure = std::mem::take(&mut self.held);
        let open = std::mem::take(&mut self.open).into_values();
        let rest: Vec<Held<T>> = std::mem::take(&mut self.ripe)
            .into_iter()
            .chain(unsure)
            .map(|held| Held {
                answer: match held.answer {
                    Answer::Acked => lost(),
                    certain => certain,
                },
                ..held
            })
            .chain(open.map(|(key, ticket)| Held {
                key,
                answer: lost(),
                barrier: 0,
                ticket,
            }))
            .collect();
        rest.into_iter().map(|held| self.conclude(held)).collect()
    }

    /// Messages without an answer yet.
    pub(super) fn open(&self) -> usize {
        self.open.len()
    }

    /// Messages without an answer yet, the oldest first.
    pub(super) fn tickets(&self) -> impl Iterator<Item = &T> {
        self.open.values().map(|(_, ticket)| ticket)
    }

    /// Whether every message has been given out.
    pub(super) fn is_empty(&self) -> bool {
        self.flights.is_empty()
    }

    fn conclude(&mut self, held: Held<T>) -> (T, Verdict) {
        let mut returned = false;
        if let Some(flight) = self.flights.get_mut(&held.key) {
            returned = flight.returned;
            flight.messages -= 1;
            if flight.messages == 0 {
                self.flights.remove(&held.key);
            }
        }
        let verdict = if returned {
            Verdict::Returned
        } else {
            Verdict::Answered(held.answer)
        };
        (held.ticket, verdict)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, VecDeque};

    use super::*;

    fn key(id: u128, queue: &str) -> Key {
        Key {
            id: MessageId::from_bits(id),
            queue: queue.to_owned(),
        }
    }

    #[test]
    fn a_clean_ack_is_certain_after_the_next_look() {
        let mut ledger = Ledger::new();
        let number = ledger.sent(key(1, "a"), "one");
        assert!(ledger.answered(number, Answer::Acked, None).is_some());
        assert_eq!(ledger.settle(), []);
        assert_eq!(ledger.settle(), [("one", Verdict::Answered(Answer::Acked))]);
        assert!(ledger.is_empty());
        assert!(ledger.answered(number, Answer::Acked, None).is_none());
    }

    #[test]
    fn a_return_counts_against_its_own_message_whoever_carries_it() {
        let mut ledger = Ledger::new();
        let taken = ledger.sent(key(1, "a"), "taken");
        let lost = ledger.sent(key(2, "nowhere"), "returned");
        ledger.answered(taken, Answer::Acked, Some(key(2, "nowhere")));
        ledger.answered(lost, Answer::Acked, None);
        assert_eq!(ledger.settle(), []);
        let settled = ledger.settle();
        assert!(settled.contains(&("taken", Verdict::Answered(Answer::Acked))));
        assert!(settled.contains(&("returned", Verdict::Returned)));
    }

    #[test]
    fn copies_on_their_way_to_one_queue_share_a_fate_and_other_queues_do_not() {
        let mut ledger = Ledger::new();
        for (ticket, queue) in [("first", "nowhere"), ("second", "nowhere"), ("elsewhere", "a")] {
            ledger.sent(key(1, queue), ticket);
        }
        ledger.answered(1, Answer::Acked, Some(key(1, "nowhere")));
        ledger.answered(2, Answer::Acked, None);
        ledger.answered(3, Answer::Acked, None);
        ledger.settle();
        let settled: BTreeSet<&str> = ledger
            .settle()
            .into_iter()
            .filter(|(_, verdict)| *verdict == Verdict::Returned)
            .map(|(ticket, _)| ticket)
            .collect();
        assert_eq!(settled, BTreeSet::from(["first", "second"]));
    }

    #[test]
    fn a_lost_channel_leaves_nothing_unsaid() {
        let mut ledger = Ledger::new();
        for id in 1..=4 {
            ledger.sent(key(id, "a"), id);
        }
        ledger.answered(1, Answer::Nacked, None);
        ledger.answered(2, Answer::Acked, Some(key(4, "a")));
        ledger.settle();
        let lost = || Verdict::Answered(Answer::Lost("gone".to_owned()));
        let mut verdicts = ledger.abandon("gone");
        verdicts.sort_by_key(|(id, _)| *id);
        assert_eq!(
            verdicts,
            [
                (1, Verdict::Answered(Answer::Nacked)),
                (2, lost()),
                (3, lost()),
                (4, Verdict::Returned),
            ]
        );
    }

    /// lapin and the broker in small: returns before their confirms, confirms in any order, each return handed to
    /// whichever confirm is resolved next; and a reader that sees a confirm now or at its next look.
    struct Lapin {
        chance: u64,
        unconfirmed: Vec<u64>,
        returned: VecDeque<Key>,
        fresh: Vec<(u64, Option<Key>)>,
        overdue: Vec<(u64, Option<Key>)>,
    }

    impl Lapin {
        fn new(seed: u64) -> Self {
            Self {
                chance: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15),
                unconfirmed: Vec::new(),
                returned: VecDeque::new(),
                fresh: Vec::new(),
                overdue: Vec::new(),
            }
        }

        fn below(&mut self, bound: usize) -> usize {
            self.chance ^= self.chance << 13;
            self.chance ^= self.chance >> 7;
            self.chance ^= self.chance << 17;
            usize::try_from(self.chance % u64::try_from(bound).unwrap()).unwrap()
        }

        fn publish(&mut self, number: u64, key: Key, routable: bool) {
            if !routable {
                self.returned.push_back(key);
            }
            self.unconfirmed.push(number);
        }

        fn confirm(&mut self, count: usize) {
            for _ in 0..count.min(self.unconfirmed.len()) {
                let chosen = self.below(self.unconfirmed.len());
                let number = self.unconfirmed.swap_remove(chosen);
                let carried = self.returned.pop_front();
                self.fresh.push((number, carried));
            }
        }

        fn look(&mut self) -> Vec<(u64, Option<Key>)> {
            let mut seen = std::mem::take(&mut self.overdue);
            for resolved in std::mem::take(&mut self.fresh) {
                if self.below(2) == 0 {
                    let place = self.below(seen.len() + 1);
                    seen.insert(place, resolved);
                } else {
                    self.overdue.push(resolved);
                }
            }
            seen
        }
    }

    #[test]
    fn no_order_of_confirms_makes_a_returned_message_pass_for_taken() {
        const MESSAGES: u128 = 200;
        for seed in 1..=1_000 {
            let mut lapin = Lapin::new(seed);
            let mut ledger = Ledger::new();
            let (mut published, mut settled) = (0, 0);
            while published < MESSAGES || !ledger.is_empty() {
                match lapin.below(3) {
                    0 if published < MESSAGES => {
                        published += 1;
                        let routable = lapin.below(3) > 0;
                        let key = key(published, if routable { "a" } else { "nowhere" });
                        let number = ledger.sent(key.clone(), routable);
                        lapin.publish(number, key, routable);
                    }
                    1 => {
                        let count = lapin.below(6);
                        lapin.confirm(count);
                    }
                    _ => {
                        for (number, carried) in lapin.look() {
                            ledger.answered(number, Answer::Acked, carried);
                        }
                        for (routable, verdict) in ledger.settle() {
                            assert_eq!(verdict == Verdict::Returned, !routable, "seed {seed}");
                            settled += 1;
                        }
                    }
                }
            }
            assert_eq!(settled, MESSAGES, "seed {seed}");
        }
    }
}
