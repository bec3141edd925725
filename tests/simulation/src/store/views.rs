//! Owns what is read of the truth: instances, histories, and lists in pages.
//! Never changes it.

use std::time::Duration;

use longhaul_shared::history::HistoryEvent;
use longhaul_shared::id::{EventSeq, ExecutionKey, InstanceId, MessageId, ParkedId, PartitionId};
use longhaul_shared::instance::InstanceRow;
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::port::{
    Census, DueTimer, DueTimers, InstanceSummary, LoadRequest, LoadedInstance, OutboxPage, PageRequest,
    ParkedPage, Query, QueryPage, StoreError,
};
use longhaul_shared::time::Timestamp;

use super::state::State;
use crate::mutant::Mutant;

fn foreign(cursor: &str) -> StoreError {
    StoreError::Unreadable {
        what: format!("the cursor {cursor:?}"),
        reason: "it is of another list".to_owned(),
    }
}

/// Where a timed list is read on: behind this time and name.
fn timed_cursor(cursor: &str) -> Result<(Timestamp, &str), StoreError> {
    let (time, name) = cursor.split_once(' ').ok_or_else(|| foreign(cursor))?;
    let time = time.parse().map_err(|_| foreign(cursor))?;
    Ok((Timestamp::from_micros(time), name))
}

impl State {
    pub(super) fn row(&self, id: &InstanceId) -> Option<&InstanceRow> {
        self.instances.get(id).map(|instance| &instance.row)
    }

    pub(super) fn load(&self, request: &LoadRequest) -> Option<LoadedInstance> {
        let instance = self.instances.get(&request.id)?;
        let history = if request.history {
            instance.history.iter().map(|event| (**event).clone()).collect()
        } else {
            Vec::new()
        };
        Some(LoadedInstance {
            row: instance.row.clone(),
            inbox: instance.inbox.values().cloned().collect(),
            history,
        })
    }

    /// Whole commits as far as they fit, and at least the first.
    pub(super) fn history(&self, key: &ExecutionKey, after: EventSeq, limit: usize) -> Vec<HistoryEvent> {
        let Some(instance) = self.instances.get(&key.instance) else {
            return Vec::new();
        };
        if instance.row.execution != key.execution {
            return Vec::new();
        }
        let fits = |end: &&u64| **end > after.0 && **end - after.0 <= limit as u64;
        let first = instance.ends.iter().find(|end| **end > after.0);
        let end = instance.ends.iter().filter(fits).max().or(first);
        let skip = usize::try_from(after.0).unwrap_or(usize::MAX);
        let take = usize::try_from(end.map_or(0, |end| end - after.0)).unwrap_or(usize::MAX);
        let events = instance.history.iter().skip(skip).take(take);
        events.map(|event| (**event).clone()).collect()
    }

    pub(super) fn query(&self, query: &Query) -> Result<QueryPage, StoreError> {
        let before = query.page.cursor.as_deref().map(timed_cursor).transpose()?;
        let wanted = |row: &&InstanceRow| {
            let behind = before.is_none_or(|(created, id)| {
                row.created < created || (row.created == created && row.id.as_str() > id)
            });
            behind
                && (query.statuses.is_empty() || query.statuses.contains(&row.status))
                && query.name.as_ref().is_none_or(|name| *name == row.name)
        };
        let mut rows: Vec<_> = self
            .instances
            .values()
            .map(|instance| &instance.row)
            .filter(wanted)
            .collect();
        rows.sort_by(|one, other| (other.created, &one.id).cmp(&(one.created, &other.id)));
        let limit = query.page.limit.max(1);
        let more = rows.len() > limit;
        rows.truncate(limit);
        let next = rows
            .last()
            .filter(|_| more)
            .map(|row| format!("{} {}", row.created.micros(), row.id));
        let instances = rows.into_iter().map(InstanceSummary::from).collect();
        Ok(QueryPage { instances, next })
    }

    pub(super) fn ready(
        &self,
        now: Timestamp,
        partition: PartitionId,
        older_than: Duration,
        limit: usize,
    ) -> Vec<InstanceId> {
        if self.is(Mutant::SweepOff) {
            return Vec::new();
        }
        let partitions = self.hub.as_ref().map_or(1, |hub| hub.partitions);
        let mut ready: Vec<_> = self
            .instances
            .iter()
            .filter(|(id, _)| PartitionId::of(id, partitions) == partition)
            .filter_map(|(id, instance)| Some((instance.ready?, id)))
            .filter(|(since, _)| since.plus(older_than) <= now)
            .collect();
        ready.sort();
        ready.into_iter().take(limit).map(|(_, id)| id.clone()).collect()
    }

    pub(super) fn due_timers(&mut self, now: Timestamp, id: PartitionId, limit: usize) -> DueTimers {
        let early = self.is(Mutant::TimerEarly);
        let mut timers: Vec<_> = self.partitions.get(&id).map_or(Vec::new(), |partition| {
            let entry = |((key, task), due): (&(super::state::ExecutionKeyOrd, _), &Timestamp)| DueTimer {
                key: ExecutionKey {
                    instance: key.0.clone(),
                    execution: key.1,
                },
                task: *task,
                due: *due,
            };
            partition.timers.iter().map(entry).collect()
        });
        timers.sort_by_key(|timer| timer.due);
        let is_due = |timer: &DueTimer| timer.due <= now || early;
        let count = timers.iter().filter(|timer| is_due(timer)).count().min(limit);
        let next = timers.get(count).map(|timer| timer.due);
        timers.truncate(count);
        let now = match timers.last() {
            Some(last) if early => now.max(last.due),
            _ => now,
        };
        if self.is(Mutant::TimerRemovedEarly) {
            for timer in &timers {
                let key = (super::state::ordered(&timer.key), timer.task);
                self.partition(id).timers.remove(&key);
            }
        }
        DueTimers {
            now,
            due: timers,
            next,
        }
    }

    pub(super) fn outbox(&self, id: PartitionId, page: &PageRequest) -> Result<OutboxPage, StoreError> {
        let after: Option<MessageId> = match &page.cursor {
            None => None,
            Some(cursor) => Some(cursor.parse().map_err(|_| foreign(cursor))?),
        };
        let Some(partition) = self.partitions.get(&id) else {
            return Ok(OutboxPage::default());
        };
        let behind = |message: &MessageId| after.is_none_or(|after| *message > after);
        let mut left = partition.outbox.iter().filter(|(id, _)| behind(id));
        let limit = page.limit.max(1);
        let messages: Vec<_> = left.by_ref().take(limit).map(|(_, m)| m.clone()).collect();
        let next = messages
            .last()
            .filter(|_| left.next().is_some())
            .map(|m| m.id.to_string());
        Ok(OutboxPage { messages, next })
    }

    pub(super) fn open_instances(
        &self,
        partition: PartitionId,
        page: &PageRequest,
    ) -> (Vec<InstanceId>, Option<String>) {
        let partitions = self.hub.as_ref().map_or(1, |hub| hub.partitions);
        let behind = |id: &InstanceId| page.cursor.as_deref().is_none_or(|after| id.as_str() > after);
        let mut left = self.instances.iter().filter(|(id, instance)| {
            PartitionId::of(id, partitions) == partition && !instance.row.status.is_terminal() && behind(id)
        });
        let ids: Vec<_> = left
            .by_ref()
            .take(page.limit.max(1))
            .map(|(id, _)| id.clone())
            .collect();
        let next = ids
            .last()
            .filter(|_| left.next().is_some())
            .map(ToString::to_string);
        (ids, next)
    }

    pub(super) fn census(&self, now: Timestamp, id: PartitionId, older_than: Duration) -> Census {
        let partitions = self.hub.as_ref().map_or(1, |hub| hub.partitions);
        let mut census = Census::default();
        let of_partition = |(id, _): &(&InstanceId, _)| PartitionId::of(id, partitions);
        for (_, instance) in self.instances.iter().filter(|entry| of_partition(entry) == id) {
            *census.by_status.of_mut(instance.row.status) += 1;
            let due_for = instance
                .ready
                .filter(|since| *since <= now)
                .map(|since| now.since(since));
            census.ready_overdue += u64::from(due_for >= Some(older_than));
            census.ready_oldest = census.ready_oldest.max(due_for);
        }
        if let Some(partition) = self.partitions.get(&id) {
            census.outbox = partition.outbox.len() as u64;
            census.timers = partition.timers.len() as u64;
            census.next_timer = partition.timers.values().min().copied();
        }
        census
    }

    pub(super) fn parked_page(&self, page: &PageRequest) -> Result<ParkedPage, StoreError> {
        let after = match page.cursor.as_deref() {
            None => None,
            Some(cursor) => {
                let (time, id) = timed_cursor(cursor)?;
                let id: ParkedId = id.parse().map_err(|_| foreign(cursor))?;
                Some((time, id))
            }
        };
        let mut left = self
            .parked
            .iter()
            .filter(|(place, _)| after.is_none_or(|after| **place > after));
        let messages: Vec<ParkedMessage> = left
            .by_ref()
            .take(page.limit.max(1))
            .map(|(_, m)| (**m).clone())
            .collect();
        let next = messages
            .last()
            .filter(|_| left.next().is_some())
            .map(|last| format!("{} {}", last.time.micros(), last.id));
        Ok(ParkedPage {
            messages,
            next,
            total: self.parked.len() as u64,
        })
    }

    pub(super) fn parked_message(&self, id: ParkedId) -> Option<ParkedMessage> {
        let found = self.parked.values().find(|message| message.id == id);
        found.map(|message| (**message).clone())
    }
}
