//! Owns reading histories: page by page, and never with a gap.
//! Never writes one: commits do.

use ::redis::Pipeline;
use bytes::Bytes;
use longhaul_shared::history::{HistoryEvent, decode_events};
use longhaul_shared::id::{EventSeq, ExecutionKey, PartitionId};
use longhaul_shared::port::StoreError;

use super::error::unreadable;
use super::hub::Hub;

/// Entries of the first page; the pages after it aim at [`PAGE_BYTES`].
const FIRST_PAGE_ENTRIES: usize = 100;
const PAGE_ENTRIES_MAX: usize = 1_000;
/// About how many bytes a page should have: large enough to be worth the trip, small enough for one answer.
const PAGE_BYTES: usize = 4 * 1024 * 1024;

/// One commit's events as the stream holds them: id, then field and value.
type Entry = (String, Vec<Bytes>);

impl Hub {
    /// See [`Store::history`](longhaul_shared::port::Store::history).
    pub(super) async fn history(
        &self,
        key: &ExecutionKey,
        after: EventSeq,
        limit: usize,
    ) -> Result<Vec<HistoryEvent>, StoreError> {
        let partition = self.partition_of(&key.instance).await?;
        self.read_history(partition, key, after, None, limit.max(1)).await
    }

    /// The events of an execution behind `after`, up to and with `last` where one is given: at most `limit`, and
    /// fewer only if there are no more.
    pub(super) async fn read_history(
        &self,
        partition: PartitionId,
        key: &ExecutionKey,
        after: EventSeq,
        last: Option<EventSeq>,
        limit: usize,
    ) -> Result<Vec<HistoryEvent>, StoreError> {
        let stream = self.keys.partition(partition).history(key);
        let end = last.map_or_else(|| "+".to_owned(), |last| last.to_string());
        let mut reader = Reader::new(&stream, after);
        let mut count = FIRST_PAGE_ENTRIES.min(limit);
        while reader.events.len() < limit {
            let mut pipeline = Pipeline::with_capacity(2);
            pipeline.ignore_errors();
            let next = reader.read.plus(1);
            if reader.is_new() && after.0 > 0 {
                // `after` may lie within an entry, so begin with the one that holds the next event.
                pipeline
                    .cmd("XREVRANGE")
                    .arg(&stream)
                    .arg(next.0)
                    .arg("-")
                    .arg("COUNT")
                    .arg(1);
                let behind = format!("({}-{}", next.0, u64::MAX);
                pipeline.cmd("XRANGE").arg(&stream).arg(behind).arg(&end);
            } else {
                pipeline.cmd("XRANGE").arg(&stream).arg(next.0).arg(&end);
            }
            pipeline.arg("COUNT").arg(count);
            let mut answers = self.read_bulk(&pipeline).await?;
            let page: Vec<Entry> = match answers.pop() {
                Some(answer) => self.answer(&stream, answer)?,
                None => Vec::new(),
            };
            let mut bytes = 0;
            for answer in answers {
                let entries: Vec<Entry> = self.answer(&stream, answer)?;
                bytes += reader.take(entries)?;
            }
            let full = page.len() == count;
            bytes += reader.take(page)?;
            if !full {
                break;
            }
            let bytes_an_entry = (bytes / count).max(1);
            count = (PAGE_BYTES / bytes_an_entry).clamp(1, PAGE_ENTRIES_MAX);
        }
        reader.events.truncate(limit);
        Ok(reader.events)
    }
}

/// Puts entries together and sees to it that none is missing.
struct Reader<'a> {
    stream: &'a str,
    after: EventSeq,
    /// The last event read; before the first entry the one that was asked for.
    read: EventSeq,
    begun: bool,
    events: Vec<HistoryEvent>,
}

impl<'a> Reader<'a> {
    fn new(stream: &'a str, after: EventSeq) -> Self {
        Self {
            stream,
            after,
            read: after,
            begun: false,
            events: Vec::new(),
        }
    }

    fn is_new(&self) -> bool {
        !self.begun
    }

    /// Takes in entries in their order; how many bytes they had.
    fn take(&mut self, entries: Vec<Entry>) -> Result<usize, StoreError> {
        let mut bytes = 0;
        for (id, fields) in entries {
            let value = match &fields[..] {
                [field, value] if field[..] == *b"e" => value,
                _ => return Err(self.broken(&id, "it has other fields than e")),
            };
            bytes += value.len();
            let (first, count) =
                parse_id(&id).ok_or_else(|| self.broken(&id, "its id is not <seq>-<count>"))?;
            let events = decode_events(value).map_err(|error| self.broken(&id, &error.to_string()))?;
            if events.len() as u64 != count {
                return Err(self.broken(&id, &format!("it holds {} events", events.len())));
            }
            let last = first + count - 1;
            let follows = first == self.read.0 + 1 || (!self.begun && first <= self.read.0);
            if !follows {
                return Err(self.broken(&id, &format!("event {} is missing before it", self.read.0 + 1)));
            }
            let known = (self.after.0 + 1).saturating_sub(first);
            let known = usize::try_from(known).unwrap_or(usize::MAX);
            self.events.extend(events.into_iter().skip(known));
            self.read = EventSeq(self.read.0.max(last));
            self.begun = true;
        }
        Ok(bytes)
    }

    fn broken(&self, id: &str, why: &str) -> StoreError {
        unreadable(self.stream, format!("entry {id}: {why}"))
    }
}

/// First event and count of an entry.
fn parse_id(id: &str) -> Option<(u64, u64)> {
    let (first, count) = id.split_once('-')?;
    let (first, count) = (first.parse().ok()?, count.parse().ok()?);
    (first >= 1 && count >= 1).then_some((first, count))
}

#[cfg(test)]
mod tests {
    use super::*;
    use longhaul_shared::history::{EventKind, encode_events};
    use longhaul_shared::time::Timestamp;

    fn entry(first: u64, count: usize) -> Entry {
        let events: Vec<_> = (0..count as u64)
            .map(|at| HistoryEvent {
                time: Timestamp::from_micros(i64::try_from(first + at).unwrap()),
                kind: EventKind::OrchestratorStarted,
            })
            .collect();
        let value = encode_events(&events).unwrap();
        (format!("{first}-{count}"), vec![Bytes::from_static(b"e"), value])
    }

    fn seqs(reader: &Reader<'_>) -> Vec<i64> {
        reader.events.iter().map(|event| event.time.micros()).collect()
    }

    #[test]
    fn reading_may_begin_within_an_entry() {
        let mut reader = Reader::new("key", EventSeq(4));
        reader.take(vec![entry(3, 3)]).unwrap();
        reader.take(vec![entry(6, 1)]).unwrap();
        assert_eq!(seqs(&reader), [5, 6]);
    }

    #[test]
    fn an_entry_that_ends_before_adds_nothing() {
        let mut reader = Reader::new("key", EventSeq(4));
        reader.take(vec![entry(3, 2), entry(5, 2)]).unwrap();
        assert_eq!(seqs(&reader), [5, 6]);
    }

    #[test]
    fn a_gap_or_a_wrong_count_names_the_entry() {
        let check = |entries: Vec<Entry>, expected: &str| {
            let error = Reader::new("the-key", EventSeq(0))
                .take(entries)
                .unwrap_err()
                .to_string();
            assert!(error.contains("the-key") && error.contains(expected), "{error}");
        };
        check(vec![entry(2, 1)], "event 1 is missing");
        check(vec![entry(1, 2), entry(4, 1)], "event 3 is missing");
        check(vec![("1-3".to_owned(), entry(1, 2).1)], "2 events");
        check(vec![("0-1".to_owned(), entry(1, 1).1)], "id");
    }
}
