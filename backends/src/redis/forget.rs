//! Owns the removal of what a partition's owner has no more use for: confirmed messages, dead timers.
//! Never removes anything for one who does not own the partition.

use longhaul_shared::id::{LeaseToken, PartitionId};
use longhaul_shared::port::StoreError;

use super::hub::Hub;
use super::script::{Call, Lua};

pub(super) static FORGET: Lua = Lua::new(include_str!("forget.lua"));

/// The command that removes members from a key of its type.
#[derive(Clone, Copy)]
pub(super) enum Removal {
    /// Fields of a hash.
    Fields,
    /// Members of a sorted set.
    Members,
}

impl Hub {
    /// Removes members from a key of a partition; `false`, changing nothing, without its token.
    pub(super) async fn forget(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        key: &str,
        removal: Removal,
        members: &[Vec<u8>],
    ) -> Result<bool, StoreError> {
        let lease = self.keys.partition(partition).lease();
        let mut call = Call::new(&FORGET, &[&lease, key]);
        call.arg(token.as_str()).arg(match removal {
            Removal::Fields => "HDEL",
            Removal::Members => "ZREM",
        });
        for member in members {
            call.arg(&member[..]);
        }
        self.call(key, call).await
    }
}
