//! Owns the counts of attempts at instances and at pieces of work, by which poison is told.
//! Never decides how many are too many: the workers do.

use longhaul_shared::id::{InstanceId, LeaseToken, MessageId, PartitionId};
use longhaul_shared::limits::WORK_ATTEMPTS_MEMORY;
use longhaul_shared::port::{Attempted, Requeued, StoreError};

use super::create::status;
use super::error::unreadable;
use super::hub::Hub;
use super::script::{Call, Lua};

pub(super) static COUNT_ATTEMPT: Lua = Lua::new(include_str!("count_attempt.lua"));
pub(super) static REQUEUE: Lua = Lua::new(include_str!("requeue.lua"));
pub(super) static COUNT_WORK: Lua = Lua::new(include_str!("count_work.lua"));

impl Hub {
    /// See [`Store::count_attempt`](longhaul_shared::port::Store::count_attempt).
    pub(super) async fn count_attempt(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        instance: &InstanceId,
    ) -> Result<Attempted, StoreError> {
        let keys = self.keys.partition(partition);
        let row = keys.row(instance);
        let mut call = Call::new(&COUNT_ATTEMPT, &[&keys.lease(), &row]);
        call.arg(token.as_str());
        let answer: Vec<String> = self.call(&row, call).await?;
        let answer: Vec<&str> = answer.iter().map(String::as_str).collect();
        match answer[..] {
            ["counted", attempts] => attempts
                .parse()
                .map(Attempted::Counted)
                .map_err(|_| unreadable(&row, format!("{attempts:?} is no count"))),
            ["fenced"] => Ok(Attempted::Fenced),
            ["gone"] => Ok(Attempted::Gone),
            _ => Err(unreadable(&row, "the count script answered something unknown")),
        }
    }

    /// See [`Store::requeue_instance`](longhaul_shared::port::Store::requeue_instance).
    pub(super) async fn requeue_instance(&self, id: &InstanceId) -> Result<Requeued, StoreError> {
        let keys = self.keys_of(id).await?;
        let row = keys.row(id);
        let mut call = Call::new(&REQUEUE, &[&row, &keys.ready()]);
        call.arg(id.as_str());
        let answer: Vec<String> = self.change(&row, call).await?;
        let answer: Vec<&str> = answer.iter().map(String::as_str).collect();
        match answer[..] {
            ["accepted"] => Ok(Requeued::Accepted),
            ["ended", code] => Ok(Requeued::Ended(status(&row, code)?)),
            ["unknown"] => Ok(Requeued::Unknown),
            _ => Err(unreadable(&row, "the requeue script answered something unknown")),
        }
    }

    /// See [`Store::work_attempts`](longhaul_shared::port::Store::work_attempts).
    pub(super) async fn work_attempts(
        &self,
        partition: PartitionId,
        work: MessageId,
    ) -> Result<u32, StoreError> {
        let key = self.keys.partition(partition).work_attempts(work);
        let mut get = ::redis::cmd("HGET");
        get.arg(&key).arg("n");
        let counted: Option<u32> = self.read(&key, get).await?;
        Ok(counted.unwrap_or_default())
    }

    /// See [`Store::count_work_attempt`](longhaul_shared::port::Store::count_work_attempt).
    pub(super) async fn count_work_attempt(
        &self,
        partition: PartitionId,
        work: MessageId,
        nonce: u128,
    ) -> Result<u32, StoreError> {
        let key = self.keys.partition(partition).work_attempts(work);
        let mut call = Call::new(&COUNT_WORK, &[&key]);
        call.arg(format!("{nonce:032x}"))
            .arg(WORK_ATTEMPTS_MEMORY.as_millis().to_string());
        self.call(&key, call).await
    }

    /// See [`Store::forget_work_attempts`](longhaul_shared::port::Store::forget_work_attempts).
    pub(super) async fn forget_work_attempts(
        &self,
        partition: PartitionId,
        work: MessageId,
    ) -> Result<(), StoreError> {
        let key = self.keys.partition(partition).work_attempts(work);
        let mut unlink = ::redis::cmd("UNLINK");
        unlink.arg(&key);
        self.read::<u32>(&key, unlink).await.map(drop)
    }
}
