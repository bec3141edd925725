//! Owns the question when to ask the store for due timers of a partition.
//! Never fires one: a due timer is an input like any other, and only its commit removes it.

use longhaul_shared::time::Timestamp;

/// How many due timers are taken at once.
pub(crate) const BATCH: usize = 1_000;

/// What is known of a partition's timers. It asks again only when every timer of the last answer has had its
/// turn, since until then the store would name the same ones.
#[derive(Debug, Default)]
pub(crate) struct TimerPump {
    next: Option<Timestamp>,
    asking: bool,
    firing: usize,
}

impl TimerPump {
    /// The pump of a partition just acquired: it asks at once.
    pub(crate) fn ask_at_once() -> Self {
        Self {
            next: Some(Timestamp::default()),
            ..Self::default()
        }
    }

    /// When to ask, by hub time; `None` while an answer or turns are awaited, or nothing is set.
    pub(crate) fn alarm(&self) -> Option<Timestamp> {
        self.next.filter(|_| !self.asking && self.firing == 0)
    }

    /// The store is being asked.
    pub(crate) fn asked(&mut self) {
        self.asking = true;
        self.next = None;
    }

    /// The store has named so many due timers, each of which now gets a turn; the one behind them is due `next`.
    pub(crate) fn answered(&mut self, due: usize, next: Option<Timestamp>) {
        self.asking = false;
        self.firing += due;
        self.set(next);
    }

    /// The store could not be asked: ask again at this time.
    pub(crate) fn failed(&mut self, retry_at: Timestamp) {
        self.asking = false;
        self.set(Some(retry_at));
    }

    /// A timer was set.
    pub(crate) fn set(&mut self, due: Option<Timestamp>) {
        self.next = self.next.into_iter().chain(due).min();
    }

    /// So many of the named timers have had their turn.
    pub(crate) fn fired(&mut self, count: usize) {
        self.firing = self.firing.saturating_sub(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros)
    }

    #[test]
    fn it_asks_again_only_when_all_have_had_their_turn() {
        let mut pump = TimerPump::ask_at_once();
        assert_eq!(pump.alarm(), Some(at(0)));
        pump.asked();
        assert_eq!(pump.alarm(), None);
        pump.answered(2, Some(at(9)));
        pump.fired(1);
        assert_eq!(pump.alarm(), None);
        pump.fired(1);
        assert_eq!(pump.alarm(), Some(at(9)));
    }

    #[test]
    fn a_nearer_timer_set_while_asking_is_not_forgotten() {
        let mut pump = TimerPump::ask_at_once();
        pump.asked();
        pump.set(Some(at(5)));
        pump.answered(0, Some(at(9)));
        assert_eq!(pump.alarm(), Some(at(5)));
    }
}
