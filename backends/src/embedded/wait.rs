//! Owns who waits for which instance to end, and wakes them when it does.
//! Never polls, and never says how an instance ended: whoever is woken reads it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use longhaul_shared::id::InstanceId;
use tokio::sync::Notify;

/// Those who wait, by instance.
#[derive(Clone, Default)]
pub(super) struct Waiters {
    rooms: Arc<Mutex<BTreeMap<InstanceId, Room>>>,
}

struct Room {
    bell: Arc<Notify>,
    guests: usize,
}

/// A place among those who wait for an instance, given up when dropped.
pub(super) struct Seat {
    waiters: Waiters,
    id: InstanceId,
    bell: Arc<Notify>,
}

impl Waiters {
    /// Takes a seat. An end that comes after this rings the seat's bell.
    pub(super) fn sit(&self, id: &InstanceId) -> Seat {
        let mut rooms = self.lock();
        let room = rooms.entry(id.clone()).or_insert_with(|| Room {
            bell: Arc::default(),
            guests: 0,
        });
        room.guests += 1;
        Seat {
            waiters: self.clone(),
            id: id.clone(),
            bell: Arc::clone(&room.bell),
        }
    }

    /// Wakes all that wait for this instance.
    pub(super) fn ended(&self, id: &InstanceId) {
        if let Some(room) = self.lock().get(id) {
            room.bell.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<InstanceId, Room>> {
        self.rooms.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Ready at the first end after this call, awaited or not.
    pub(super) fn bell(&self) -> impl Future<Output = ()> + '_ {
        self.bell.notified()
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut rooms = self.waiters.lock();
        if let Some(room) = rooms.get_mut(&self.id) {
            room.guests -= 1;
            if room.guests == 0 {
                rooms.remove(&self.id);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_room_is_closed() {
        let waiters = Waiters::default();
        let id = InstanceId::new("a").unwrap();
        let (one, other) = (waiters.sit(&id), waiters.sit(&id));
        drop(one);
        assert_eq!(waiters.lock().len(), 1);
        drop(other);
        assert_eq!(waiters.lock().len(), 0);
    }
}
