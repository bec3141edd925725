//! Owns reading instances: row, inbox and history of one moment.
//! Never keeps anything: the sessions of the orchestrator worker do.
//!
//! Row and inbox are read in one transaction. The history needs no lock: it only grows, and the row says how many
//! events it had, so the first that many events are the history of that moment.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures::StreamExt;
use longhaul_shared::codec;
use longhaul_shared::id::{EventSeq, ExecutionKey, InstanceId};
use longhaul_shared::instance::InstanceRow;
use longhaul_shared::message::Envelope;
use longhaul_shared::port::{LoadRequest, LoadedInstance, StoreError};

use super::error::unreadable;
use super::hub::Hub;
use super::row::StoredRow;

/// Instances read at a time; their commands share the connection.
const LOADS_AT_ONCE: usize = 32;
/// How often an instance is read again that was replaced while its history was read.
const TRIES_MAX: u32 = 3;

impl Hub {
    /// See [`Store::load`](longhaul_shared::port::Store::load).
    pub(super) async fn load(
        &self,
        requests: Vec<LoadRequest>,
    ) -> Vec<Result<Option<LoadedInstance>, StoreError>> {
        futures::stream::iter(requests)
            .map(|request| Box::pin(self.load_one(request)))
            .buffered(LOADS_AT_ONCE)
            .collect()
            .await
    }

    async fn load_one(&self, request: LoadRequest) -> Result<Option<LoadedInstance>, StoreError> {
        let partition = self.partition_of(&request.id).await?;
        let mut tries = 0;
        loop {
            let Some((row, inbox)) = self.row_and_inbox(&request.id).await? else {
                return Ok(None);
            };
            if !request.history || row.last_seq == EventSeq(0) {
                let history = Vec::new();
                return Ok(Some(LoadedInstance { row, inbox, history }));
            }
            let key = ExecutionKey {
                instance: request.id.clone(),
                execution: row.execution,
            };
            let events = usize::try_from(row.last_seq.0).unwrap_or(usize::MAX);
            let history = self
                .read_history(partition, &key, EventSeq(0), Some(row.last_seq), events)
                .await?;
            if history.len() == events {
                return Ok(Some(LoadedInstance { row, inbox, history }));
            }
            // Either a new execution took its place and this history is gone, or events are lost.
            tries += 1;
            if tries == TRIES_MAX {
                return Err(unreadable(
                    &self.keys.partition(partition).history(&key),
                    format!("it holds {} events and the row says {events}", history.len()),
                ));
            }
        }
    }

    /// The row of an instance.
    pub(super) async fn row(&self, id: &InstanceId) -> Result<Option<InstanceRow>, StoreError> {
        let row = self.keys_of(id).await?.row(id);
        let mut get = ::redis::cmd("HGETALL");
        get.arg(&row);
        let fields: BTreeMap<String, Bytes> = self.read(&row, get).await?;
        let stored = StoredRow::new(&row, fields);
        match stored.is_absent() {
            true => Ok(None),
            false => stored.row(id).map(Some),
        }
    }

    async fn row_and_inbox(
        &self,
        id: &InstanceId,
    ) -> Result<Option<(InstanceRow, Vec<Envelope>)>, StoreError> {
        let keys = self.keys_of(id).await?;
        let (row, inbox) = (keys.row(id), keys.inbox(id));
        let mut both = ::redis::pipe();
        both.atomic().ignore_errors();
        both.cmd("HGETALL").arg(&row).cmd("HVALS").arg(&inbox);
        let mut answers = self.read_bulk(&both).await?.into_iter();
        let (Some(fields), Some(messages), None) = (answers.next(), answers.next(), answers.next()) else {
            return Err(unreadable(&row, "the answer is missing"));
        };
        let stored = StoredRow::new(&row, self.answer(&row, fields)?);
        if stored.is_absent() {
            return Ok(None);
        }
        let messages: Vec<Bytes> = self.answer(&inbox, messages)?;
        let messages = messages.iter().map(|message| {
            codec::decode("envelope", message).map_err(|error| unreadable(&inbox, error.to_string()))
        });
        Ok(Some((stored.row(id)?, messages.collect::<Result<_, _>>()?)))
    }
}
