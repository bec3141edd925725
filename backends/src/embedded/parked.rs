//! Owns the messages set aside.
//! Never drops one to make room: at the bound it takes no more.

use longhaul_shared::id::ParkedId;
use longhaul_shared::limits::PARKED_MESSAGES_MAX;
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::port::{PageRequest, ParkedPage, StoreError};
use longhaul_shared::time::Timestamp;

use super::engine::{Batch, View};
use super::keys;
use super::page;
use super::record;

pub(super) fn park(view: &dyn View, message: &ParkedMessage) -> Result<(Batch, ()), StoreError> {
    let mut batch = Batch::default();
    let by_id = keys::parked_time(message.id);
    if view.get(&by_id)?.is_some() {
        return Ok((batch, ()));
    }
    let total = total(view)?;
    if total >= PARKED_MESSAGES_MAX as u64 {
        return Err(StoreError::Full {
            reason: format!(
                "{total} messages are parked, as many as there may be (PARKED_MESSAGES_MAX): requeue some with `longhaul parked requeue ID`"
            ),
        });
    }
    batch.put(by_id, keys::time_bytes(message.time).to_vec());
    batch.put(
        keys::parked_entry(message.time, message.id),
        record::bytes(message),
    );
    put_total(&mut batch, total + 1);
    Ok((batch, ()))
}

pub(super) fn list(view: &dyn View, request: &PageRequest) -> Result<ParkedPage, StoreError> {
    let after = match &request.cursor {
        None => None,
        Some(cursor) => {
            let (time, id) = page::read_timed_cursor(cursor)?;
            let id = id.parse().map_err(|_| page::foreign_cursor(cursor))?;
            Some(keys::parked_place(time, id))
        }
    };
    let mut messages: Vec<ParkedMessage> = Vec::new();
    let more = page::read(
        view,
        keys::parked(),
        after.as_deref(),
        request,
        &mut |_key, value| {
            messages.push(record::parse(value, || "a parked message".to_owned())?);
            Ok(())
        },
    )?;
    let last = messages.last();
    let next = more.and_then(|_place| last.map(|last| page::timed_cursor(last.time, &last.id)));
    Ok(ParkedPage {
        messages,
        next,
        total: total(view)?,
    })
}

pub(super) fn get(view: &dyn View, id: ParkedId) -> Result<Option<ParkedMessage>, StoreError> {
    match time_of(view, id)? {
        None => Ok(None),
        Some(time) => record::read(view, &keys::parked_entry(time, id), || {
            format!("the parked message {id}")
        }),
    }
}

pub(super) fn unpark(view: &dyn View, id: ParkedId) -> Result<(Batch, bool), StoreError> {
    let mut batch = Batch::default();
    let Some(time) = time_of(view, id)? else {
        return Ok((batch, false));
    };
    batch.delete(keys::parked_time(id));
    batch.delete(keys::parked_entry(time, id));
    put_total(&mut batch, total(view)?.saturating_sub(1));
    Ok((batch, true))
}

fn time_of(view: &dyn View, id: ParkedId) -> Result<Option<Timestamp>, StoreError> {
    let key = keys::parked_time(id);
    view.get(&key)?
        .map(|time| keys::read_time(&time).ok_or_else(|| record::foreign_key(&key)))
        .transpose()
}

fn total(view: &dyn View) -> Result<u64, StoreError> {
    record::read_count(view, keys::PARKED_TOTAL)
}

fn put_total(batch: &mut Batch, total: u64) {
    batch.put(keys::PARKED_TOTAL.to_vec(), total.to_be_bytes().to_vec());
}
