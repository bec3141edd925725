//! Owns reading on where a page before ended: pages over one range of keys, and the cursors between them.
//! Never keeps anything between two pages: the cursor says it all.

use std::fmt;
use std::ops::ControlFlow;

use longhaul_shared::id::MessageId;
use longhaul_shared::port::{PageRequest, StoreError};
use longhaul_shared::time::Timestamp;

use super::engine::View;
use super::keys;

/// What is done with each entry of a page.
pub(super) type Each<'a> = dyn FnMut(&[u8], &[u8]) -> Result<(), StoreError> + 'a;

/// Visits one page of the entries under `prefix`, those behind the place `after`; returns the last one's place
/// if there are more behind it.
pub(super) fn read(
    view: &dyn View,
    prefix: Vec<u8>,
    after: Option<&[u8]>,
    request: &PageRequest,
    each: &mut Each<'_>,
) -> Result<Option<Vec<u8>>, StoreError> {
    let prefix_bytes = prefix.len();
    let range = match after {
        Some(after) => keys::under_after(prefix, after),
        None => keys::under(prefix),
    };
    let limit = size(request);
    let mut visited = 0;
    let mut last = Vec::new();
    let mut more = None;
    view.scan(range, &mut |key, value| {
        if visited == limit {
            more = Some(std::mem::take(&mut last));
            return Ok(ControlFlow::Break(()));
        }
        each(key, value)?;
        visited += 1;
        if visited == limit {
            last = key.get(prefix_bytes..).unwrap_or_default().to_vec();
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(more)
}

/// How many entries a page holds: at least one, or nobody would get on.
pub(super) fn size(request: &PageRequest) -> usize {
    request.limit.max(1)
}

/// The cursor behind a place that is a message id.
pub(super) fn message_cursor(place: &[u8]) -> String {
    place.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The place of a cursor made by [`message_cursor`].
pub(super) fn after_message(request: &PageRequest) -> Result<Option<Vec<u8>>, StoreError> {
    let Some(cursor) = &request.cursor else {
        return Ok(None);
    };
    let id: MessageId = cursor.parse().map_err(|_| foreign_cursor(cursor))?;
    Ok(Some(id.bytes().to_vec()))
}

/// The cursor of a time and whatever tells equal times apart.
pub(super) fn timed_cursor(time: Timestamp, rest: &dyn fmt::Display) -> String {
    format!("{}:{rest}", time.micros())
}

/// What a cursor made by [`timed_cursor`] says.
pub(super) fn read_timed_cursor(cursor: &str) -> Result<(Timestamp, &str), StoreError> {
    let (micros, rest) = cursor.split_once(':').ok_or_else(|| foreign_cursor(cursor))?;
    let micros = micros.parse().map_err(|_| foreign_cursor(cursor))?;
    Ok((Timestamp::from_micros(micros), rest))
}

pub(super) fn foreign_cursor(cursor: &str) -> StoreError {
    StoreError::Refused {
        reason: format!(
            "the page cursor {cursor:?} is not one that this store gave: read from the first page"
        ),
    }
}
