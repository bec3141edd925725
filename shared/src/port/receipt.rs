//! Owns the sharing of a delivery: it is acknowledged once everything that came in it is dealt with.
//! Never acknowledges by itself: a share that is dropped unsettled leaves the delivery to come again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::broker::{Acker, DeliveryTag};

/// A share in a delivery: the delivery is acknowledged once every share is settled. Dropped unsettled, it is
/// never acknowledged and comes again.
pub struct Receipt(Arc<Unsettled>);

struct Unsettled {
    acker: Arc<dyn Acker>,
    tag: DeliveryTag,
    left: AtomicUsize,
}

impl Receipt {
    /// The only share in a delivery.
    #[must_use]
    pub fn whole(acker: Arc<dyn Acker>, tag: DeliveryTag) -> Self {
        let left = AtomicUsize::new(1);
        Self(Arc::new(Unsettled { acker, tag, left }))
    }

    /// So many shares in a delivery: one for each thing that came in it.
    #[must_use]
    pub fn shares(acker: Arc<dyn Acker>, tag: DeliveryTag, count: usize) -> Vec<Self> {
        let unsettled = Arc::new(Unsettled {
            acker,
            tag,
            left: AtomicUsize::new(count),
        });
        (0..count).map(|_| Self(Arc::clone(&unsettled))).collect()
    }

    /// This share is dealt with: committed or reported, known as a copy, in an inbox, or parked.
    pub fn settle(self) {
        if self.0.left.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.acker.ack(self.0.tag);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[derive(Default)]
    struct Acks(Mutex<Vec<u64>>);

    impl Acker for Acks {
        fn ack(&self, tag: DeliveryTag) {
            self.0.lock().unwrap().push(tag.0);
        }
    }

    #[test]
    fn a_delivery_is_acked_when_its_last_share_is_settled() {
        let acks = Arc::new(Acks::default());
        let mut shares = Receipt::shares(Arc::clone(&acks) as Arc<dyn Acker>, DeliveryTag(7), 2);
        shares.pop().unwrap().settle();
        assert!(acks.0.lock().unwrap().is_empty());
        shares.pop().unwrap().settle();
        assert_eq!(*acks.0.lock().unwrap(), [7]);
    }

    #[test]
    fn a_dropped_share_leaves_the_delivery_unacked() {
        let acks = Arc::new(Acks::default());
        let mut shares = Receipt::shares(Arc::clone(&acks) as Arc<dyn Acker>, DeliveryTag(7), 2);
        drop(shares.pop());
        shares.pop().unwrap().settle();
        assert!(acks.0.lock().unwrap().is_empty());
    }
}
