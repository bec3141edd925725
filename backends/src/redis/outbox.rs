//! Owns reading the outbox of a partition, and forgetting what the broker has confirmed.
//! Never publishes anything, and never adds to it: commits do.

use bytes::Bytes;
use longhaul_shared::codec;
use longhaul_shared::id::{LeaseToken, MessageId, PartitionId};
use longhaul_shared::port::{OutboxPage, PageRequest, StoreError};

use super::error::unreadable;
use super::forget::Removal;
use super::hub::Hub;
use super::ready::next_cursor;

impl Hub {
    /// See [`Store::outbox`](longhaul_shared::port::Store::outbox).
    pub(super) async fn outbox(
        &self,
        partition: PartitionId,
        page: &PageRequest,
    ) -> Result<OutboxPage, StoreError> {
        let outbox = self.keys.partition(partition).outbox();
        let mut scan = ::redis::cmd("HSCAN");
        scan.arg(&outbox)
            .arg(page.cursor.as_deref().unwrap_or("0"))
            .arg("COUNT")
            .arg(page.limit.max(1));
        let (cursor, found): (String, Vec<(Bytes, Bytes)>) = self.read(&outbox, scan).await?;
        let messages = found.iter().map(|(_, stored)| {
            codec::decode("publication", stored).map_err(|error| unreadable(&outbox, error.to_string()))
        });
        Ok(OutboxPage {
            messages: messages.collect::<Result<_, _>>()?,
            next: next_cursor(cursor),
        })
    }

    /// See [`Store::forget_confirmed`](longhaul_shared::port::Store::forget_confirmed).
    pub(super) async fn forget_confirmed(
        &self,
        partition: PartitionId,
        token: &LeaseToken,
        messages: &[MessageId],
    ) -> Result<bool, StoreError> {
        let outbox = self.keys.partition(partition).outbox();
        let fields: Vec<Vec<u8>> = messages.iter().map(|id| id.bytes().to_vec()).collect();
        self.forget(partition, token, &outbox, Removal::Fields, &fields)
            .await
    }
}
