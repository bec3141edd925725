//! Owns the leases of partitions: who may commit, for how long, and under which token.
//! Never decides who should own what: the orchestrator workers do.
//!
//! The expiry only says when somebody else may take a lease. The fence is the token alone, so an owner whose
//! lease ran out goes on until another one takes it.

use std::time::Duration;

use longhaul_shared::id::{Epoch, LeaseToken, PartitionId, WorkerId};
use longhaul_shared::port::{Era, HeldLease, LeaseOutcome, LeaseRenewal, LeaseWish, StoreError, StoreRun};

use super::error::unreadable;
use super::hub::Hub;
use super::script::{Call, Lua};

pub(super) static ACQUIRE: Lua = Lua::new(include_str!("acquire.lua"));
pub(super) static HOLDER: Lua = Lua::new(include_str!("holder.lua"));
pub(super) static RENEW: Lua = Lua::new(include_str!("renew.lua"));
pub(super) static RELEASE: Lua = Lua::new(include_str!("release.lua"));
pub(super) static MARK_REBUILT: Lua = Lua::new(include_str!("mark_rebuilt.lua"));

impl Hub {
    /// See [`Store::acquire_lease`](longhaul_shared::port::Store::acquire_lease).
    pub(super) async fn acquire_lease(
        &self,
        partition: PartitionId,
        worker: &WorkerId,
        wish: &LeaseWish,
    ) -> Result<LeaseOutcome, StoreError> {
        let lease = self.keys.partition(partition).lease();
        let mut call = Call::new(&ACQUIRE, &[&lease]);
        call.arg(worker.as_str())
            .arg(format!("{:032x}", wish.nonce))
            .arg(wish.ttl.as_micros().to_string())
            .arg(wish.early.as_ref().map_or("", LeaseToken::as_str));
        let answer: Vec<String> = self.call(&lease, call).await?;
        let answer: Vec<&str> = answer.iter().map(String::as_str).collect();
        let number = |text: &str| {
            text.parse::<u64>()
                .map_err(|_| unreadable(&lease, format!("{text:?} is no number")))
        };
        match answer[..] {
            ["granted", acquisition, after_expiry, epoch, run] => Ok(LeaseOutcome::Granted {
                token: LeaseToken::new(number(acquisition)?, wish.nonce),
                after_expiry: after_expiry == "1",
                rebuilt: Era {
                    epoch: Epoch::new(number(epoch)?),
                    run: StoreRun(run.to_owned()),
                },
            }),
            ["held", owner, micros] => Ok(LeaseOutcome::Held {
                owner: WorkerId::new(owner).map_err(|error| unreadable(&lease, error.to_string()))?,
                expires_in: Duration::from_micros(number(micros)?),
            }),
            _ => Err(unreadable(
                &lease,
                "the acquire script answered something unknown",
            )),
        }
    }

    /// See [`Store::leases`](longhaul_shared::port::Store::leases).
    pub(super) async fn leases(
        &self,
        partitions: &[PartitionId],
    ) -> Result<Vec<Option<HeldLease>>, StoreError> {
        if partitions.is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<_> = partitions
            .iter()
            .map(|partition| self.keys.partition(*partition).lease())
            .collect();
        let calls = keys.iter().map(|key| Call::new(&HOLDER, &[key])).collect();
        let answers = self.call_all(calls).await?;
        let leases = keys.iter().zip(answers).map(|(key, answer)| {
            let held: Option<(String, String, bool, u64)> = self.answer(key, answer)?;
            held.map(|(owner, token, consuming, micros)| {
                Ok(HeldLease {
                    owner: WorkerId::new(owner).map_err(|error| unreadable(key, error.to_string()))?,
                    token: LeaseToken::from(token.as_str()),
                    consuming,
                    expires_in: Duration::from_micros(micros),
                })
            })
            .transpose()
        });
        leases.collect()
    }

    /// See [`Store::renew_leases`](longhaul_shared::port::Store::renew_leases).
    pub(super) async fn renew_leases(
        &self,
        renewals: &[LeaseRenewal],
        ttl: Duration,
    ) -> Result<Vec<bool>, StoreError> {
        if renewals.is_empty() {
            return Ok(Vec::new());
        }
        let calls = renewals.iter().map(|renewal| {
            let mut call = Call::new(&RENEW, &[&self.keys.partition(renewal.partition).lease()]);
            call.arg(renewal.token.as_str())
                .arg(ttl.as_micros().to_string())
                .arg(u8::from(renewal.consuming));
            call
        });
        let answers = self.call_all(calls.collect()).await?;
        let renewed = renewals
            .iter()
            .zip(answers)
            .map(|(renewal, answer)| self.answer(&self.keys.partition(renewal.partition).lease(), answer));
        renewed.collect()
    }

    /// See [`Store::mark_rebuilt`](longhaul_shared::port::Store::mark_rebuilt).
    pub(super) async fn mark_rebuilt(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        era: &Era,
    ) -> Result<bool, StoreError> {
        let lease = self.keys.partition(partition).lease();
        let mut call = Call::new(&MARK_REBUILT, &[&lease]);
        call.arg(token.as_str()).arg(era.epoch.number).arg(&era.run.0);
        self.change(&lease, call).await
    }

    /// See [`Store::release_lease`](longhaul_shared::port::Store::release_lease).
    pub(super) async fn release_lease(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
    ) -> Result<(), StoreError> {
        let lease = self.keys.partition(partition).lease();
        let mut call = Call::new(&RELEASE, &[&lease]);
        call.arg(token.as_str());
        self.call(&lease, call).await
    }
}
