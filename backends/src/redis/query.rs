//! Owns the listing of instances, newest first over all partitions.
//! Never is a snapshot: what changes while the pages are read may show as it was or as it is.

use ::redis::Pipeline;
use longhaul_shared::id::{InstanceId, PartitionId};
use longhaul_shared::instance::Status;
use longhaul_shared::port::{InstanceSummary, Query, QueryPage, StoreError};

use super::hub::Hub;
use super::ready::instance;
use super::row::{self, StoredRow};
use super::walk::{Order, Position, Walk};

/// Most instances of one page.
const PAGE_MAX: usize = 1_000;
/// Most instances looked at for one page: a rare name makes short pages, not long calls.
const LOOKED_AT_MAX: usize = 10_000;
/// Read this many more of each index than its share, since instances are not spread evenly.
const SPARE: usize = 8;

impl Hub {
    /// See [`Store::query`](longhaul_shared::port::Store::query).
    pub(super) async fn query(&self, query: &Query) -> Result<QueryPage, StoreError> {
        let limit = query.page.limit.clamp(1, PAGE_MAX);
        let mut last = Position::of_page(&query.page)?;
        let partitions = self.partitions().await?;
        let mut walks = self.walks(&query.statuses, partitions, last.as_ref());
        let share = limit / walks.len().max(1) + SPARE;
        let mut instances = Vec::new();
        let mut looked_at = 0;
        while self.read_on(&mut walks, share).await? {
            let candidates = merge(&mut walks, limit, last.as_ref());
            looked_at += candidates.len();
            let mut summaries = self.summaries(candidates, partitions).await?.into_iter();
            while instances.len() < limit
                && let Some((position, summary)) = summaries.next()
            {
                last = Some(position);
                instances.extend(summary.filter(|summary| matches(query, summary)));
            }
            if instances.len() == limit || looked_at >= LOOKED_AT_MAX {
                let more = summaries.len() > 0 || walks.iter().any(|walk| !walk.is_over());
                let next = last.filter(|_| more).as_ref().map(Position::cursor);
                return Ok(QueryPage { instances, next });
            }
        }
        Ok(QueryPage {
            instances,
            next: None,
        })
    }

    /// The indexes to read. An instance only moves on in the order of [`Status::ALL`]; read in that order, one
    /// that moves meanwhile is seen in its old place or in its new one.
    fn walks(&self, statuses: &[Status], partitions: u16, after: Option<&Position>) -> Vec<Walk> {
        let walk = |key| Walk::new(key, Order::NewestFirst, after.cloned());
        let indexes = PartitionId::all(partitions).flat_map(|partition| {
            let keys = self.keys.partition(partition);
            if statuses.is_empty() {
                return vec![keys.all()];
            }
            let wanted = Status::ALL.into_iter().filter(|status| statuses.contains(status));
            wanted.map(|status| keys.in_status(status)).collect()
        });
        indexes.map(walk).collect()
    }

    /// What the rows say; `None` for one that is gone, or that cannot be read and is then logged, so that it
    /// does not hide the others.
    async fn summaries(
        &self,
        positions: Vec<Position>,
        partitions: u16,
    ) -> Result<Vec<(Position, Option<InstanceSummary>)>, StoreError> {
        let mut rows: Vec<(Position, InstanceId, String)> = Vec::with_capacity(positions.len());
        let mut pipeline = Pipeline::with_capacity(positions.len());
        pipeline.ignore_errors();
        for position in positions {
            let id = instance("an index", &String::from_utf8_lossy(&position.member))?;
            let row = self.keys.partition(PartitionId::of(&id, partitions)).row(&id);
            pipeline.cmd("HMGET").arg(&row).arg(&row::SUMMARY);
            rows.push((position, id, row));
        }
        if rows.is_empty() {
            return Ok(Vec::new());
        }
        let answers = self.read_all(&pipeline).await?;
        let summaries = rows
            .into_iter()
            .zip(answers)
            .map(|((position, id, row), answer)| {
                let stored = self
                    .answer(&row, answer)
                    .map(|values| StoredRow::of_summary(&row, values));
                let summary = stored.and_then(|stored| match stored.is_absent() {
                    true => Ok(None),
                    false => stored.summary(&id).map(Some),
                });
                let summary = summary.unwrap_or_else(|error| {
                    tracing::error!(instance_id = %id, %error, "an instance is left out of a list");
                    None
                });
                (position, summary)
            });
        Ok(summaries.collect())
    }
}

fn matches(query: &Query, summary: &InstanceSummary) -> bool {
    (query.statuses.is_empty() || query.statuses.contains(&summary.status))
        && query.name.as_ref().is_none_or(|name| *name == summary.name)
}

/// Takes the newest positions of all walks, as far as they are known; each once, though an instance that moves
/// may stand in two indexes.
fn merge(walks: &mut [Walk], count: usize, last: Option<&Position>) -> Vec<Position> {
    let mut merged: Vec<Position> = Vec::with_capacity(count);
    while merged.len() < count && !walks.iter().any(Walk::is_dry) {
        let newest = walks
            .iter_mut()
            .max_by(|one, other| one.peek().cmp(&other.peek()));
        let Some(position) = newest.and_then(Walk::take) else {
            break;
        };
        if merged.last().or(last) != Some(&position) {
            merged.push(position);
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    fn walk(positions: &[(i64, &str)], rest: bool) -> Walk {
        let mut walk = Walk::new("k".to_owned(), Order::NewestFirst, None);
        let count = positions.len() + usize::from(!rest);
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let found = positions
            .iter()
            .map(|(micros, member)| (member.as_bytes().to_vec(), *micros as f64));
        walk.hear(found.collect(), count);
        walk
    }

    #[test]
    fn the_newest_come_first_and_each_once() {
        let mut walks = [
            walk(&[(9, "a"), (5, "b")], false),
            walk(&[(7, "c"), (5, "b"), (1, "d")], false),
        ];
        let members: Vec<_> = merge(&mut walks, 10, None)
            .into_iter()
            .map(|p| p.member)
            .collect();
        assert_eq!(members, [b"a", b"c", b"b", b"d"]);
    }

    #[test]
    fn a_walk_that_may_have_more_stops_the_merge() {
        let mut walks = [walk(&[(9, "a")], true), walk(&[(7, "c")], false)];
        assert_eq!(merge(&mut walks, 10, None).len(), 1);
        assert!(walks[0].is_dry());
    }
}
