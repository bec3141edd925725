//! Owns which of the messages that are to be published travel as one: work items for the same queue that are known to be
//! quick. Never waits for more to come, and never makes an answer for one out of an answer for another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use longhaul_shared::id::QueueName;
use longhaul_shared::message::{Destination, Publication};
use longhaul_shared::{codec, limits};

use crate::pace::Pace;
use crate::settings::Settings;

/// Messages that travel as one.
pub(super) struct Bundle {
    first: Publication,
    others: Vec<Publication>,
    /// Where they stand in the batch they come from.
    places: Vec<usize>,
}

/// A bundle that has room.
struct Open {
    at: usize,
    bytes: usize,
    /// How long its runs take, one after the other.
    work: Duration,
}

/// Which work items share a message.
#[derive(Clone)]
pub(super) struct Sharing {
    pub(super) pace: Arc<Pace>,
    /// Most that do.
    items_max: usize,
    /// How long their runs take at most, one after the other.
    work_max: Duration,
}

/// Cuts a batch into what travels as one.
pub(super) fn bundled<'a>(batch: impl Iterator<Item = &'a Publication>, sharing: &Sharing) -> Vec<Bundle> {
    let mut bundles: Vec<Bundle> = Vec::new();
    let mut open: BTreeMap<&QueueName, Open> = BTreeMap::new();
    for (place, message) in batch.enumerate() {
        let bytes = message.body.len();
        if let Destination::Work(queue) = &message.destination {
            let work = sharing.work(message);
            if let Some(room) = open.get_mut(queue)
                && room.work + work <= sharing.work_max
                && room.bytes + bytes <= limits::WORK_ITEMS_BYTES_MAX
                && let Some(bundle) = bundles.get_mut(room.at)
                && bundle.places.len() < sharing.items_max
            {
                bundle.others.push(message.clone());
                bundle.places.push(place);
                room.bytes += bytes;
                room.work += work;
                continue;
            }
            if work <= sharing.work_max {
                let room = Open {
                    at: bundles.len(),
                    bytes,
                    work,
                };
                open.insert(queue, room);
            }
        }
        bundles.push(Bundle {
            first: message.clone(),
            others: Vec::new(),
            places: vec![place],
        });
    }
    bundles
}

impl Sharing {
    /// As the settings say; nothing is known of any activity yet.
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            pace: Arc::new(Pace::new(u32::from(settings.quick_after_runs))),
            items_max: usize::from(settings.work_items_max),
            work_max: settings.work_per_message,
        }
    }

    /// How long the run of a work item takes; of what nothing is known, more than may share a message.
    fn work(&self, message: &Publication) -> Duration {
        let pace = || {
            let activity = codec::activity_of(&message.body)?;
            self.pace.of(&activity)
        };
        let known = if self.items_max > 1 { pace() } else { None };
        known.unwrap_or_else(|| self.work_max.saturating_add(Duration::from_nanos(1)))
    }
}

impl Bundle {
    /// The message that carries them all, and their places in the batch.
    pub(super) fn into_message(self) -> (Publication, Vec<usize>) {
        (codec::shared_work_message(self.first, &self.others), self.places)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use longhaul_shared::id::{FunctionName, MessageId, PartitionId};
    use longhaul_shared::time::Timestamp;

    use super::*;

    const QUICK: &[u8] = b"\x82\xa1v\x01\xa1n\xa5quick";
    const SLOW: &[u8] = b"\x82\xa1v\x01\xa1n\xa4slow";

    fn work(queue: &str, body: impl Into<Bytes>) -> Publication {
        let control = codec::control_message(PartitionId(0), body.into(), Timestamp::default());
        Publication {
            destination: Destination::Work(QueueName::new(queue).unwrap()),
            ..control
        }
    }

    fn sharing(items_max: usize) -> Sharing {
        let pace = Pace::new(16);
        for _ in 0..100 {
            pace.ran(&FunctionName::new("quick").unwrap(), Duration::from_micros(10));
            pace.ran(&FunctionName::new("slow").unwrap(), Duration::from_millis(10));
        }
        Sharing {
            pace: Arc::new(pace),
            items_max,
            work_max: Duration::from_millis(1),
        }
    }

    fn places(batch: &[Publication], items_max: usize) -> Vec<Vec<usize>> {
        let bundles = bundled(batch.iter(), &sharing(items_max));
        bundles
            .into_iter()
            .map(|bundle| bundle.into_message().1)
            .collect()
    }

    #[test]
    fn only_what_is_quick_and_goes_to_the_same_queue_travels_together() {
        let control = codec::control_message(PartitionId(0), QUICK.into(), Timestamp::default());
        let batch = [
            work("a", QUICK),
            work("b", QUICK),
            control.clone(),
            work("a", QUICK),
            work("a", SLOW),
            work("a", QUICK),
            work("b", QUICK),
            control,
            work("a", &b"unreadable"[..]),
            work("a", &b"\x82\xa1v\x02\xa1n\xa5quick"[..]),
        ];
        let together: [&[usize]; 7] = [&[0, 3, 5], &[1, 6], &[2], &[4], &[7], &[8], &[9]];
        assert_eq!(places(&batch, 64), together);
        assert_eq!(places(&batch, 1).len(), batch.len());
    }

    #[test]
    fn a_message_takes_no_more_than_its_bounds() {
        let sizes = |batch: &[Publication], items_max| -> Vec<usize> {
            places(batch, items_max).iter().map(Vec::len).collect()
        };
        // Ten microseconds of a millisecond each.
        assert_eq!(sizes(&vec![work("a", QUICK); 150], 1_000), [100, 50]);
        assert_eq!(sizes(&vec![work("a", QUICK); 150], 64), [64, 64, 22]);
        let mut large = b"\x83\xa1v\x01\xa1n\xa5quick\xa1i\xc6\x00\x01\x00\x00".to_vec();
        large.extend(vec![0; 0x1_0000]);
        assert_eq!(sizes(&vec![work("a", large); 5], 64), [3, 2]);
    }

    #[test]
    fn a_bundle_of_one_is_the_message_itself() {
        let batch = [work("a", SLOW)];
        let [bundle] = bundled(batch.iter(), &sharing(64)).try_into().ok().unwrap();
        let (message, _) = bundle.into_message();
        assert_eq!(message, batch[0]);
        assert_ne!(message.id, MessageId::from_bits(0));
    }
}
