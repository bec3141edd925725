//! Owns counting what stands in a partition, for those who look after the system.
//! Never reads what it counts: each number is one command that costs the same however much there is.

use std::time::Duration;

use ::redis::{Pipeline, RedisResult, Value};
use longhaul_shared::id::PartitionId;
use longhaul_shared::instance::Status;
use longhaul_shared::port::{Census, StoreError};
use longhaul_shared::time::Timestamp;

use super::error::unreadable;
use super::hub::Hub;
use super::keys::PartitionKeys;
use super::timers::time_of_score;

/// The first member of a sorted set with its score, if there is one.
type First = Vec<(Vec<u8>, f64)>;

impl Hub {
    /// See [`Store::census`](longhaul_shared::port::Store::census).
    pub(super) async fn census(
        &self,
        partitions: &[PartitionId],
        older_than: Duration,
    ) -> Result<Vec<Census>, StoreError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let now = self.time().await?;
        let age = i64::try_from(older_than.as_micros()).unwrap_or(i64::MAX);
        let overdue_since = Timestamp::from_micros(now.micros().saturating_sub(age));
        let keys: Vec<_> = partitions.iter().map(|id| self.keys.partition(*id)).collect();
        let mut questions = Pipeline::new();
        questions.ignore_errors();
        for keys in &keys {
            ask(&mut questions, keys, overdue_since);
        }
        // Beside the short commands: 512 partitions make thousands of questions.
        let mut answers = self.read_bulk(&questions).await?.into_iter();
        keys.iter()
            .map(|keys| self.counted(keys, now, &mut answers))
            .collect()
    }

    /// What the next answers say of a partition, in the order of [`ask`].
    fn counted(
        &self,
        keys: &PartitionKeys,
        now: Timestamp,
        answers: &mut impl Iterator<Item = RedisResult<Value>>,
    ) -> Result<Census, StoreError> {
        let mut next = |key: &str| {
            let answer = answers.next();
            answer.ok_or_else(|| unreadable(key, "the answer is missing"))
        };
        let mut census = Census::default();
        for status in Status::ALL {
            let key = keys.in_status(status);
            *census.by_status.of_mut(status) = self.answer(&key, next(&key)?)?;
        }
        let ready = keys.ready();
        census.ready_overdue = self.answer(&ready, next(&ready)?)?;
        let first: First = self.answer(&ready, next(&ready)?)?;
        let since = first.first().map(|(_, score)| time_of_score(*score));
        census.ready_oldest = since.filter(|since| *since <= now).map(|since| now.since(since));
        let outbox = keys.outbox();
        census.outbox = self.answer(&outbox, next(&outbox)?)?;
        let timers = keys.timers();
        census.timers = self.answer(&timers, next(&timers)?)?;
        let first: First = self.answer(&timers, next(&timers)?)?;
        census.next_timer = first.first().map(|(_, score)| time_of_score(*score));
        Ok(census)
    }
}

fn ask(questions: &mut Pipeline, keys: &PartitionKeys, overdue_since: Timestamp) {
    for status in Status::ALL {
        questions.cmd("ZCARD").arg(keys.in_status(status));
    }
    let (ready, timers) = (keys.ready(), keys.timers());
    questions
        .cmd("ZCOUNT")
        .arg(&ready)
        .arg("-inf")
        .arg(overdue_since.micros());
    ask_first(questions, &ready);
    questions.cmd("HLEN").arg(keys.outbox());
    questions.cmd("ZCARD").arg(&timers);
    ask_first(questions, &timers);
}

fn ask_first(questions: &mut Pipeline, key: &str) {
    questions.cmd("ZRANGE").arg(key).arg(0).arg(0).arg("WITHSCORES");
}
