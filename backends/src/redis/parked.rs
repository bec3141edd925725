//! Owns the parked messages of a hub: kept with their reasons, listed oldest first, never more than the bound.
//! Never decides to park and never sends one again.

use bytes::Bytes;
use longhaul_shared::id::ParkedId;
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::port::{PageRequest, ParkedPage, StoreError};
use longhaul_shared::{codec, limits};

use super::error::unreadable;
use super::hub::Hub;
use super::script::{Call, Lua};
use super::walk::{Order, Position, Walk};

pub(super) static PARK: Lua = Lua::new(include_str!("park.lua"));

impl Hub {
    /// See [`Store::park`](longhaul_shared::port::Store::park).
    pub(super) async fn park(&self, message: &ParkedMessage) -> Result<(), StoreError> {
        let parked = self.keys.parked();
        let mut call = Call::new(&PARK, &[&parked, &self.keys.parked_bodies()]);
        call.arg(&message.id.bytes())
            .arg(message.time.micros())
            .arg(&codec::encode(message)[..])
            .arg(limits::PARKED_MESSAGES_MAX);
        if self.change(&parked, call).await? {
            return Ok(());
        }
        Err(StoreError::Full {
            reason: format!(
                "the hub has {} parked messages (PARKED_MESSAGES_MAX): requeue some with `longhaul parked requeue ID`",
                limits::PARKED_MESSAGES_MAX
            ),
        })
    }

    /// See [`Store::parked`](longhaul_shared::port::Store::parked).
    pub(super) async fn parked(&self, page: &PageRequest) -> Result<ParkedPage, StoreError> {
        let limit = page.limit.max(1);
        let mut walks = [Walk::new(
            self.keys.parked(),
            Order::OldestFirst,
            Position::of_page(page)?,
        )];
        let mut ids: Vec<Position> = Vec::new();
        while ids.len() < limit && self.read_on(&mut walks, limit).await? {
            ids.extend(walks.iter_mut().flat_map(Walk::take_all));
        }
        let more = ids.len() > limit || walks.iter().any(|walk| !walk.is_over());
        ids.truncate(limit);
        let mut count = ::redis::cmd("ZCARD");
        count.arg(self.keys.parked());
        let total: u64 = self.read(&self.keys.parked(), count).await?;
        let next = ids.last().filter(|_| more).map(Position::cursor);
        Ok(ParkedPage {
            messages: self.parked_bodies(&ids).await?,
            next,
            total,
        })
    }

    /// See [`Store::parked_message`](longhaul_shared::port::Store::parked_message).
    pub(super) async fn parked_message(&self, id: ParkedId) -> Result<Option<ParkedMessage>, StoreError> {
        let bodies = self.keys.parked_bodies();
        let mut get = ::redis::cmd("HGET");
        get.arg(&bodies).arg(&id.bytes());
        let stored: Option<Bytes> = self.read(&bodies, get).await?;
        stored.map(|stored| message(&bodies, &stored)).transpose()
    }

    /// See [`Store::unpark`](longhaul_shared::port::Store::unpark).
    pub(super) async fn unpark(&self, id: ParkedId) -> Result<bool, StoreError> {
        let parked = self.keys.parked();
        let mut removal = ::redis::pipe();
        removal.atomic().ignore_errors();
        removal.cmd("ZREM").arg(&parked).arg(&id.bytes());
        removal
            .cmd("HDEL")
            .arg(self.keys.parked_bodies())
            .arg(&id.bytes());
        let mut was_there = false;
        for answer in self.read_all(&removal).await? {
            was_there |= self.answer::<bool>(&parked, answer)?;
        }
        Ok(was_there)
    }

    /// The messages of these ids; one that was taken away meanwhile is left out.
    async fn parked_bodies(&self, ids: &[Position]) -> Result<Vec<ParkedMessage>, StoreError> {
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let bodies = self.keys.parked_bodies();
        let mut get = ::redis::cmd("HMGET");
        get.arg(&bodies);
        for id in ids {
            get.arg(&id.member[..]);
        }
        let stored: Vec<Option<Bytes>> = self.read(&bodies, get).await?;
        stored
            .iter()
            .flatten()
            .map(|stored| message(&bodies, stored))
            .collect()
    }
}

fn message(key: &str, stored: &[u8]) -> Result<ParkedMessage, StoreError> {
    codec::decode("parked message", stored).map_err(|error| unreadable(key, error.to_string()))
}
