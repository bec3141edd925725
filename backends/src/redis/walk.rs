//! Owns reading sorted sets page by page, from a position that stays valid whatever is added or removed.
//! Never knows what the members mean.

use std::collections::VecDeque;

use ::redis::Pipeline;
use longhaul_shared::port::{PageRequest, StoreError};

use super::hub::Hub;
use super::timers::time_of_score;

/// From which end a sorted set is read; equal scores go by member, byte by byte.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    OldestFirst,
    NewestFirst,
}

/// A place in a sorted set whose scores are times.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Position {
    pub(super) micros: i64,
    pub(super) member: Vec<u8>,
}

impl Position {
    /// The position as the cursor of a page.
    pub(super) fn cursor(&self) -> String {
        let digits = self.member.iter().map(|byte| format!("{byte:02x}"));
        format!("{}:{}", self.micros, digits.collect::<String>())
    }

    /// Where a page begins: behind this position, or at the very beginning.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a cursor that no page returned.
    pub(super) fn of_page(page: &PageRequest) -> Result<Option<Self>, StoreError> {
        let Some(cursor) = &page.cursor else {
            return Ok(None);
        };
        Self::parse(cursor).map(Some).ok_or_else(|| StoreError::Refused {
            reason: format!("[LH1601] {cursor:?} is not a cursor that a page returned; begin without one"),
        })
    }

    fn parse(cursor: &str) -> Option<Self> {
        let (micros, digits) = cursor.split_once(':')?;
        // A sign would pass for a digit.
        if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let (pairs, rest) = digits.as_bytes().as_chunks::<2>();
        let byte = |pair: &[u8; 2]| u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok();
        Some(Self {
            micros: micros.parse().ok()?,
            member: pairs
                .iter()
                .map(byte)
                .collect::<Option<_>>()
                .filter(|_| rest.is_empty())?,
        })
    }
}

/// One sorted set on the way.
pub(super) struct Walk {
    key: String,
    order: Order,
    /// The last position read.
    after: Option<Position>,
    /// Members at the score of `after` that are known to lie before it.
    passed: usize,
    read: VecDeque<Position>,
    at_end: bool,
}

impl Walk {
    pub(super) fn new(key: String, order: Order, after: Option<Position>) -> Self {
        Self {
            key,
            order,
            after,
            passed: 0,
            read: VecDeque::new(),
            at_end: false,
        }
    }

    /// The next position read, if any.
    pub(super) fn peek(&self) -> Option<&Position> {
        self.read.front()
    }

    /// Takes the next position read.
    pub(super) fn take(&mut self) -> Option<Position> {
        self.read.pop_front()
    }

    /// Takes everything read.
    pub(super) fn take_all(&mut self) -> Vec<Position> {
        self.read.drain(..).collect()
    }

    /// Whether everything was read and taken.
    pub(super) fn is_over(&self) -> bool {
        self.at_end && self.read.is_empty()
    }

    /// Whether the next position is not known before more is read.
    pub(super) fn is_dry(&self) -> bool {
        self.read.is_empty() && !self.at_end
    }

    fn ask(&self, pipeline: &mut Pipeline, count: usize) {
        let from = self.after.as_ref().map(|after| after.micros.to_string());
        let (from, to, reverse) = match self.order {
            Order::OldestFirst => (from.unwrap_or_else(|| "-inf".to_owned()), "+inf", None),
            Order::NewestFirst => (from.unwrap_or_else(|| "+inf".to_owned()), "-inf", Some("REV")),
        };
        pipeline
            .cmd("ZRANGE")
            .arg(&self.key)
            .arg(from)
            .arg(to)
            .arg("BYSCORE")
            .arg(reverse);
        pipeline
            .arg("LIMIT")
            .arg(self.passed)
            .arg(count)
            .arg("WITHSCORES");
    }

    /// Takes in what was found when asked for `count`.
    pub(super) fn hear(&mut self, found: Vec<(Vec<u8>, f64)>, count: usize) {
        self.at_end = found.len() < count;
        let seen = found.len();
        for (member, score) in found {
            let position = Position {
                micros: time_of_score(score).micros(),
                member,
            };
            let is_new = self.after.as_ref().is_none_or(|after| match self.order {
                Order::OldestFirst => position > *after,
                Order::NewestFirst => position < *after,
            });
            if is_new {
                self.read.push_back(position);
            }
        }
        match self.read.back() {
            Some(last) => {
                self.after = Some(last.clone());
                self.passed = 0;
            }
            None => self.passed += seen,
        }
    }
}

impl Hub {
    /// Reads on wherever nothing is left of what was read, `count` members each; whether there is anything now.
    pub(super) async fn read_on(&self, walks: &mut [Walk], count: usize) -> Result<bool, StoreError> {
        // One more, since the first may be the very position that was read last.
        let count = count + 1;
        loop {
            let mut dry: Vec<&mut Walk> = walks.iter_mut().filter(|walk| walk.is_dry()).collect();
            if dry.is_empty() {
                return Ok(walks.iter().any(|walk| walk.peek().is_some()));
            }
            let mut pipeline = Pipeline::with_capacity(dry.len());
            pipeline.ignore_errors();
            for walk in &dry {
                walk.ask(&mut pipeline, count);
            }
            let answers = self.read_all(&pipeline).await?;
            for (walk, answer) in dry.iter_mut().zip(answers) {
                let found = self.answer(&walk.key, answer)?;
                walk.hear(found, count);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64, member: &str) -> Position {
        Position {
            micros,
            member: member.as_bytes().to_vec(),
        }
    }

    fn page(cursor: &str) -> PageRequest {
        PageRequest {
            cursor: Some(cursor.to_owned()),
            limit: 1,
        }
    }

    #[test]
    fn a_cursor_reads_back() {
        let position = at(-5, "a:ü\n");
        assert_eq!(
            Position::of_page(&page(&position.cursor())).unwrap(),
            Some(position)
        );
        assert_eq!(Position::of_page(&PageRequest::default()).unwrap(), None);
        for wrong in ["", "5", "x:61", "5:6", "5:zz", "5:+1"] {
            assert!(Position::of_page(&page(wrong)).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ties_are_passed_once() {
        let mut walk = Walk::new("k".to_owned(), Order::NewestFirst, Some(at(7, "b")));
        walk.hear(vec![(b"d".to_vec(), 7.0), (b"c".to_vec(), 7.0)], 2);
        assert!(walk.is_dry());
        assert_eq!(walk.passed, 2);
        walk.hear(vec![(b"b".to_vec(), 7.0), (b"a".to_vec(), 7.0)], 2);
        assert_eq!(walk.take_all(), [at(7, "a")]);
        assert_eq!(walk.passed, 0);
        walk.hear(vec![(b"z".to_vec(), 6.0)], 2);
        assert_eq!(walk.take(), Some(at(6, "z")));
        assert!(walk.is_over() && !walk.is_dry());
    }
}
