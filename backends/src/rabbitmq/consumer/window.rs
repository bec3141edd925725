//! Owns which deliveries of one channel are to be acknowledged, and how to say it in few frames.
//! Never names a tag twice, nor one that was not handed out: either would cost the channel.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use longhaul_shared::port::Monotonic;

/// How long a delivery may hold up the acknowledgement of later ones, counted from when it was handed out.
/// A slow one must not use up the prefetch.
const HOLD_UP_MAX: Duration = Duration::from_millis(100);

/// One acknowledgement on the wire.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Ack {
    pub(super) tag: u64,
    /// All tags up to this one.
    pub(super) multiple: bool,
}

/// The deliveries of one channel, numbered by RabbitMQ from 1 without gaps. It ends with its channel, and so do
/// its tags.
#[derive(Debug, Default)]
pub(super) struct Window {
    /// Every tag up to this one is acknowledged on the wire.
    settled: u64,
    /// Tags above it that are acknowledged on the wire.
    sent: BTreeSet<u64>,
    /// Tags that are dealt with, and not yet acknowledged on the wire.
    done: BTreeSet<u64>,
    /// Up to which tag deliveries had been handed out at some moments of the last [`HOLD_UP_MAX`].
    moments: VecDeque<(Monotonic, u64)>,
    /// Tags up to this one were handed out longer ago than [`HOLD_UP_MAX`].
    old: u64,
}

impl Window {
    /// Notes that a delivery is dealt with; `handed_out` is the last one there was.
    pub(super) fn done(&mut self, tag: u64, handed_out: u64) {
        if tag > self.settled && tag <= handed_out && !self.sent.contains(&tag) {
            self.done.insert(tag);
        }
    }

    /// Tags waiting to be acknowledged on the wire.
    pub(super) fn waiting(&self) -> usize {
        self.done.len()
    }

    /// What to acknowledge now: everything up to the first tag that is not dealt with and, if that one is old,
    /// everything behind it, each by itself.
    pub(super) fn flush(&mut self, now: Monotonic, handed_out: u64) -> Vec<Ack> {
        self.moments.push_back((now, handed_out));
        while let Some(&(moment, tag)) = self.moments.front()
            && now.since(moment) >= HOLD_UP_MAX
        {
            self.old = tag;
            self.moments.pop_front();
        }
        let mut acks: Vec<Ack> = self.flush_run().into_iter().collect();
        if self.settled < self.old {
            acks.extend(self.flush_stragglers());
        }
        acks
    }

    /// Everything there is to acknowledge.
    pub(super) fn flush_all(&mut self) -> Vec<Ack> {
        let run = self.flush_run();
        run.into_iter().chain(self.flush_stragglers()).collect()
    }

    fn flush_run(&mut self) -> Option<Ack> {
        let mut acked = 0;
        let mut last = None;
        loop {
            let next = self.settled + 1;
            if self.done.remove(&next) {
                acked += 1;
                last = Some(next);
            } else if !self.sent.remove(&next) {
                break;
            }
            self.settled = next;
        }
        // RabbitMQ looks for this very tag, so it must be one that is not acknowledged yet.
        last.map(|tag| Ack {
            tag,
            multiple: acked > 1,
        })
    }

    fn flush_stragglers(&mut self) -> Vec<Ack> {
        let done = std::mem::take(&mut self.done);
        self.sent.extend(&done);
        done.into_iter().map(|tag| Ack { tag, multiple: false }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Monotonic = Monotonic(Duration::ZERO);
    const HANDED_OUT: u64 = 100;

    fn one(tag: u64) -> Ack {
        Ack { tag, multiple: false }
    }

    fn up_to(tag: u64) -> Ack {
        Ack { tag, multiple: true }
    }

    fn window(done: &[u64]) -> Window {
        let mut window = Window::default();
        for &tag in done {
            window.done(tag, HANDED_OUT);
        }
        window
    }

    #[test]
    fn a_contiguous_run_is_one_acknowledgement() {
        let check = |done: &[u64], expected: &[Ack], left: usize| {
            let mut window = window(done);
            assert_eq!(window.flush(NOW, HANDED_OUT), expected, "{done:?}");
            assert_eq!(window.waiting(), left, "{done:?}");
        };
        check(&[], &[], 0);
        check(&[1], &[one(1)], 0);
        check(&[3, 1, 2], &[up_to(3)], 0);
        check(&[2, 3], &[], 2);
        check(&[1, 2, 4], &[up_to(2)], 1);
    }

    #[test]
    fn an_old_delivery_does_not_hold_up_later_ones() {
        let mut window = window(&[2, 4]);
        assert_eq!(window.flush(NOW, 4), []);
        let later = NOW.plus(HOLD_UP_MAX);
        assert_eq!(window.flush(later, 6), [one(2), one(4)]);
        // The first is old now, so nothing waits for it any more.
        window.done(6, HANDED_OUT);
        assert_eq!(window.flush(later, 6), [one(6)]);
        // The run 1 to 4 ends with a tag that was acknowledged before: the wire names the last one that was not.
        for tag in [1, 2, 3] {
            window.done(tag, HANDED_OUT);
        }
        assert_eq!(window.flush(later, 6), [up_to(3)]);
        // 5 is not old yet.
        window.done(7, HANDED_OUT);
        assert_eq!(window.flush(later, 7), []);
        assert_eq!(window.flush_all(), [one(7)]);
        window.done(5, HANDED_OUT);
        assert_eq!(window.flush(later, 7), [one(5)]);
    }

    #[test]
    fn tags_of_nobody_are_passed_over() {
        let mut window = window(&[1]);
        window.flush(NOW, HANDED_OUT);
        for tag in [0, 1, HANDED_OUT + 1, u64::MAX] {
            window.done(tag, HANDED_OUT);
            assert_eq!(window.waiting(), 0, "{tag}");
        }
    }

    #[test]
    fn the_wire_never_hears_a_tag_twice_and_hears_all() {
        let mut chance = 0x9e37_79b9_7f4a_7c15_u64;
        let mut below = |bound: u64| {
            chance ^= chance << 13;
            chance ^= chance >> 7;
            chance ^= chance << 17;
            chance % bound
        };
        for _ in 0..200 {
            let mut open: Vec<u64> = (1..=60).collect();
            let mut unacked: BTreeSet<u64> = open.iter().copied().collect();
            let mut window = Window::default();
            let mut now = NOW;
            let mut hear = |ack: Ack, open: &[u64]| {
                assert!(unacked.contains(&ack.tag), "{ack:?}");
                unacked.retain(|tag| *tag != ack.tag && !(ack.multiple && *tag < ack.tag));
                assert!(open.iter().all(|tag| unacked.contains(tag)), "{ack:?}");
            };
            while !open.is_empty() {
                let chosen = usize::try_from(below(u64::try_from(open.len()).unwrap())).unwrap();
                window.done(open.swap_remove(chosen), 60);
                now = now.plus(Duration::from_millis(below(20)));
                if below(3) == 0 {
                    for ack in window.flush(now, 60) {
                        hear(ack, &open);
                    }
                }
            }
            for ack in window.flush_all() {
                hear(ack, &open);
            }
            assert!(unacked.is_empty(), "{unacked:?}");
        }
    }
}
