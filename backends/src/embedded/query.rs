//! Owns lists of instances: newest first, by status and name.
//! Never reads an instance to find out that it is not wanted: the index says status, age and name.
//!
//! Each status has its own index in the same order, so a page merges one piece of each. A piece ends early when
//! a name is rare; the page then ends at the nearest such end, and says where to read on.

use std::ops::ControlFlow;

use longhaul_shared::instance::Status;
use longhaul_shared::port::{InstanceSummary, Query, QueryPage, StoreError};

use super::engine::View;
use super::keys;
use super::page;
use super::record::{self, Head, read_head};

/// Most index entries looked at for one page and status, so that a rare name cannot hold a reader for long.
const ENTRIES_LOOKED_AT_MAX: usize = 20_000;

/// What one status has to offer for a page.
struct Piece {
    /// The places of what matches, in order.
    places: Vec<Vec<u8>>,
    /// The last place looked at; `None` = there is nothing behind.
    until: Option<Vec<u8>>,
}

pub(super) fn run(view: &dyn View, query: &Query) -> Result<QueryPage, StoreError> {
    run_within(view, query, ENTRIES_LOOKED_AT_MAX)
}

fn run_within(view: &dyn View, query: &Query, looked_at_max: usize) -> Result<QueryPage, StoreError> {
    let after = match &query.page.cursor {
        None => None,
        Some(cursor) => {
            let (created, id) = page::read_timed_cursor(cursor)?;
            let id = id.parse().map_err(|_| page::foreign_cursor(cursor))?;
            Some(keys::place(created, &id))
        }
    };
    let limit = page::size(&query.page);
    let wanted = Status::ALL
        .into_iter()
        .filter(|status| query.statuses.is_empty() || query.statuses.contains(status));
    let mut places = Vec::new();
    let mut until: Option<Vec<u8>> = None;
    for status in wanted {
        let piece = piece(view, query, status, after.as_deref(), looked_at_max)?;
        places.extend(piece.places);
        until = match (until, piece.until) {
            (Some(one), Some(other)) => Some(one.min(other)),
            (one, other) => one.or(other),
        };
    }
    places.sort();
    if let Some(until) = &until {
        places.retain(|place| place <= until);
    }
    if places.len() > limit {
        places.truncate(limit);
        until = places.last().cloned();
    }
    let instances = places
        .iter()
        .map(|place| summary(view, place))
        .collect::<Result<_, _>>()?;
    let next = until.as_deref().map(cursor).transpose()?;
    Ok(QueryPage { instances, next })
}

fn piece(
    view: &dyn View,
    query: &Query,
    status: Status,
    after: Option<&[u8]>,
    looked_at_max: usize,
) -> Result<Piece, StoreError> {
    let limit = page::size(&query.page);
    let range = match after {
        Some(after) => keys::under_after(keys::index(status), after),
        None => keys::under(keys::index(status)),
    };
    let mut looked_at = 0;
    let mut last = Vec::new();
    let mut piece = Piece {
        places: Vec::new(),
        until: None,
    };
    view.scan(range, &mut |key, name| {
        if looked_at == looked_at_max || piece.places.len() == limit {
            piece.until = Some(std::mem::take(&mut last));
            return Ok(ControlFlow::Break(()));
        }
        looked_at += 1;
        last = keys::place_of(key)
            .ok_or_else(|| record::foreign_key(key))?
            .to_vec();
        let is_wanted = query
            .name
            .as_ref()
            .is_none_or(|wanted| wanted.as_str().as_bytes() == name);
        if is_wanted {
            piece.places.push(last.clone());
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(piece)
}

fn summary(view: &dyn View, place: &[u8]) -> Result<InstanceSummary, StoreError> {
    let (_created, id) = keys::read_place(place).ok_or_else(|| record::foreign_key(place))?;
    let head: Head = read_head(view, &id)?.ok_or_else(|| {
        record::unreadable(format!("the row of instance {id}"), &"it is listed but missing")
    })?;
    Ok(InstanceSummary {
        id,
        name: head.name,
        execution: head.execution,
        status: head.status,
        created: head.created,
        changed: head.changed,
        waiting_for: head.waiting_for,
    })
}

fn cursor(place: &[u8]) -> Result<String, StoreError> {
    let (created, id) = keys::read_place(place).ok_or_else(|| record::foreign_key(place))?;
    Ok(page::timed_cursor(created, &id))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use bytes::Bytes;
    use longhaul_shared::id::{CommitNumber, EventSeq, ExecutionId, FunctionName, InstanceId};
    use longhaul_shared::port::PageRequest;
    use longhaul_shared::time::Timestamp;

    use super::*;

    /// Instances of every status, every seventh of them under a rare name.
    fn hub(instances: i64) -> BTreeMap<Vec<u8>, Bytes> {
        let mut entries = BTreeMap::new();
        for number in 0..instances {
            let id = InstanceId::new(number.to_string()).unwrap();
            let name = if number % 7 == 0 { "rare" } else { "common" };
            let at = usize::try_from(number * number / 3).unwrap();
            let head = Head {
                name: FunctionName::new(name).unwrap(),
                created: Timestamp::from_micros(number),
                execution: ExecutionId::from_bits(1),
                status: Status::ALL[at % 5],
                commit_number: CommitNumber(0),
                last_commit: None,
                last_seq: EventSeq(0),
                changed: Timestamp::from_micros(number),
                waiting_for: None,
                ready: None,
                inbox: 0,
                has_ending: false,
                attempts: 0,
                counted: None,
            };
            let key = keys::index_entry(head.status, head.created, &id);
            entries.insert(key, Bytes::copy_from_slice(name.as_bytes()));
            entries.insert(keys::head(&id), record::bytes(&head));
        }
        entries
    }

    #[test]
    fn pages_that_end_early_neither_skip_nor_repeat() {
        let hub = hub(200);
        for (limit, looked_at_max) in [(1, 1), (3, 2), (10, 3), (10, 50), (100, 7), (1, 1_000)] {
            let mut query = Query {
                name: Some(FunctionName::new("rare").unwrap()),
                page: PageRequest { cursor: None, limit },
                ..Query::default()
            };
            let mut seen = Vec::new();
            loop {
                let page = run_within(&hub, &query, looked_at_max).unwrap();
                seen.extend(page.instances.iter().map(|instance| instance.created.micros()));
                if page.next.is_none() {
                    break;
                }
                query.page.cursor = page.next;
            }
            let rare: Vec<_> = (0..200).rev().filter(|number| number % 7 == 0).collect();
            assert_eq!(seen, rare, "limit {limit}, looked at {looked_at_max}");
        }
    }
}
