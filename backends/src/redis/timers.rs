//! Owns reading and dropping timers, and what a member of the timer set looks like.
//! Never fires one: the owner of the partition does, in a commit.

use longhaul_shared::id::{ExecutionId, ExecutionKey, InstanceId, LeaseToken, PartitionId, TaskId};
use longhaul_shared::port::{DueTimer, DueTimers, StoreError};
use longhaul_shared::time::Timestamp;

use super::error::unreadable;
use super::forget::Removal;
use super::hub::Hub;
use super::script::{Call, Lua};

pub(super) static DUE_TIMERS: Lua = Lua::new(include_str!("due_timers.lua"));

/// What the script answers: now, members with their scores, the score of the next one.
type Due = (i64, Vec<(Vec<u8>, f64)>, Option<f64>);

/// The member of a timer: execution, task, instance id. Stored: pinned.
pub(super) fn member(key: &ExecutionKey, task: TaskId) -> Vec<u8> {
    [
        &key.execution.bytes()[..],
        &task.0.to_be_bytes(),
        key.instance.as_str().as_bytes(),
    ]
    .concat()
}

fn parse_member(member: &[u8]) -> Option<(ExecutionKey, TaskId)> {
    let (execution, rest) = member.split_first_chunk::<16>()?;
    let (task, instance) = rest.split_first_chunk::<4>()?;
    let key = ExecutionKey {
        instance: InstanceId::new(str::from_utf8(instance).ok()?).ok()?,
        execution: ExecutionId::from_bits(u128::from_be_bytes(*execution)),
    };
    Some((key, TaskId(u32::from_be_bytes(*task))))
}

/// A score that holds microseconds, back as a point in time. Redis writes large ones with an exponent.
pub(super) fn time_of_score(score: f64) -> Timestamp {
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a score was a whole number of microseconds when it was written; the cast saturates"
    )]
    Timestamp::from_micros(score as i64)
}

impl Hub {
    /// See [`Store::due_timers`](longhaul_shared::port::Store::due_timers).
    pub(super) async fn due_timers(
        &self,
        partition: PartitionId,
        limit: usize,
    ) -> Result<DueTimers, StoreError> {
        let timers = self.keys.partition(partition).timers();
        let mut call = Call::new(&DUE_TIMERS, &[&timers]);
        call.arg(limit.max(1));
        let (now, due, next): Due = self.call(&timers, call).await?;
        let due = due.into_iter().map(|(member, score)| {
            let (key, task) = parse_member(&member).ok_or_else(|| {
                unreadable(&timers, format!("a member of {} bytes is no timer", member.len()))
            })?;
            let due = time_of_score(score);
            Ok(DueTimer { key, task, due })
        });
        Ok(DueTimers {
            now: Timestamp::from_micros(now),
            due: due.collect::<Result<_, StoreError>>()?,
            next: next.map(time_of_score),
        })
    }

    /// See [`Store::drop_timers`](longhaul_shared::port::Store::drop_timers).
    pub(super) async fn drop_timers(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        timers: &[(ExecutionKey, TaskId)],
    ) -> Result<bool, StoreError> {
        let key = self.keys.partition(partition).timers();
        let members: Vec<Vec<u8>> = timers.iter().map(|(key, task)| member(key, *task)).collect();
        self.forget(partition, token, &key, Removal::Members, &members)
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_pinned_and_read_back() {
        let key = ExecutionKey {
            instance: InstanceId::new("a:b").unwrap(),
            execution: ExecutionId::from_bits(0x0102),
        };
        let stored = member(&key, TaskId(0x0304));
        assert_eq!(stored, b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x02\0\0\x03\x04a:b");
        assert_eq!(parse_member(&stored), Some((key, TaskId(0x0304))));
        assert_eq!(parse_member(&stored[..20]), None);
        assert_eq!(parse_member(b"short"), None);
    }
}
