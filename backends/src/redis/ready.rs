//! Owns reading the ready set and the open set of a partition.
//! Never changes either: creates, posts and commits do.

use std::time::Duration;

use longhaul_shared::id::{InstanceId, PartitionId};
use longhaul_shared::port::{PageRequest, StoreError};

use super::error::unreadable;
use super::hub::Hub;
use super::script::{Call, Lua};

pub(super) static READY: Lua = Lua::new(include_str!("ready.lua"));

impl Hub {
    /// See [`Store::ready`](longhaul_shared::port::Store::ready).
    pub(super) async fn ready(
        &self,
        partition: PartitionId,
        older_than: Duration,
        limit: usize,
    ) -> Result<Vec<InstanceId>, StoreError> {
        let ready = self.keys.partition(partition).ready();
        let mut call = Call::new(&READY, &[&ready]);
        call.arg(older_than.as_micros().to_string()).arg(limit.max(1));
        let ids: Vec<String> = self.call(&ready, call).await?;
        ids.iter().map(|id| instance(&ready, id)).collect()
    }

    /// See [`Store::open_instances`](longhaul_shared::port::Store::open_instances).
    pub(super) async fn open_instances(
        &self,
        partition: PartitionId,
        page: &PageRequest,
    ) -> Result<(Vec<InstanceId>, Option<String>), StoreError> {
        let open = self.keys.partition(partition).open();
        let mut scan = ::redis::cmd("ZSCAN");
        scan.arg(&open)
            .arg(page.cursor.as_deref().unwrap_or("0"))
            .arg("COUNT")
            .arg(page.limit.max(1));
        let (cursor, found): (String, Vec<(String, f64)>) = self.read(&open, scan).await?;
        let ids = found.iter().map(|(id, _)| instance(&open, id));
        Ok((ids.collect::<Result<_, _>>()?, next_cursor(cursor)))
    }
}

/// An instance id as a member tells it.
pub(super) fn instance(key: &str, id: &str) -> Result<InstanceId, StoreError> {
    InstanceId::new(id).map_err(|error| unreadable(key, error.to_string()))
}

/// The cursor of a SCAN command as a page's: Redis says 0 at the end.
pub(super) fn next_cursor(cursor: String) -> Option<String> {
    (cursor != "0").then_some(cursor)
}
