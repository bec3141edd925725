//! Owns how items become messages: one a message, or as many as are there.
//! Never waits for more to come.

use std::collections::BTreeMap;

use anyhow::Context;
use futures::StreamExt;
use futures::future::join_all;
use futures::stream::FuturesUnordered;
use longhaul_shared::message::Publication;
use tokio::sync::{mpsc, oneshot};

use super::wire::Wire;

/// Most rounds of messages without an answer, where items share messages: meanwhile they gather for the next.
const ROUNDS_MAX: usize = 4;
/// Most items taken up at once.
const TAKEN_MAX: usize = 1_024;

type Item<K, T> = (K, T, oneshot::Sender<()>);

/// Sends items that go to the same place, of which `K` tells one from another.
pub(super) struct Batcher<K, T>(mpsc::UnboundedSender<Item<K, T>>);

impl<K: Ord + Copy + Send + Sync + 'static, T: Send + 'static> Batcher<K, T> {
    /// At most so many items share a message.
    pub(super) fn new(
        wire: Wire,
        items: usize,
        message: impl Fn(K, T, Vec<T>) -> Publication + Send + Sync + 'static,
    ) -> Self {
        let (requests, inbox) = mpsc::unbounded_channel();
        tokio::spawn(run(wire, items, message, inbox));
        Self(requests)
    }

    /// Sends one, and waits for the confirm of its message.
    pub(super) async fn send(&self, to: K, item: T) -> anyhow::Result<()> {
        let (sent, is_sent) = oneshot::channel();
        self.0
            .send((to, item, sent))
            .ok()
            .context("the batcher is gone")?;
        is_sent.await.context("a message was not confirmed")
    }
}

async fn run<K: Ord + Copy, T>(
    wire: Wire,
    items: usize,
    message: impl Fn(K, T, Vec<T>) -> Publication,
    mut inbox: mpsc::UnboundedReceiver<Item<K, T>>,
) {
    let mut taken = Vec::new();
    let mut rounds = FuturesUnordered::new();
    loop {
        let has_room = items == 1 || rounds.len() < ROUNDS_MAX;
        tokio::select! {
            Some(()) = rounds.next() => {}
            count = inbox.recv_many(&mut taken, TAKEN_MAX), if has_room => {
                if count == 0 {
                    return;
                }
                let messages = grouped(&mut taken, items).into_iter().map(|group| {
                    let publication = message(group.to, group.first, group.others);
                    publish(wire.clone(), publication, group.waiting)
                });
                let messages: Vec<_> = messages.collect();
                rounds.push(async move {
                    join_all(messages).await;
                });
            }
        }
    }
}

/// What shares a message.
struct Group<K, T> {
    to: K,
    first: T,
    others: Vec<T>,
    waiting: Vec<oneshot::Sender<()>>,
}

/// By destination, and cut to what a message may hold.
fn grouped<K: Ord + Copy, T>(taken: &mut Vec<Item<K, T>>, items: usize) -> Vec<Group<K, T>> {
    let mut groups: BTreeMap<K, Vec<Group<K, T>>> = BTreeMap::new();
    for (to, item, sent) in taken.drain(..) {
        let groups = groups.entry(to).or_default();
        match groups.last_mut().filter(|last| last.waiting.len() < items) {
            Some(last) => {
                last.others.push(item);
                last.waiting.push(sent);
            }
            None => groups.push(Group {
                to,
                first: item,
                others: Vec::new(),
                waiting: vec![sent],
            }),
        }
    }
    groups.into_values().flatten().collect()
}

async fn publish(wire: Wire, message: Publication, waiting: Vec<oneshot::Sender<()>>) {
    match wire.publish(message).await {
        Ok(()) => {
            for sent in waiting {
                // Whoever waited has failed.
                let _gone = sent.send(());
            }
        }
        Err(error) => eprintln!("the floor: {error:#}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_to_the_same_place_shares_messages_up_to_a_bound() {
        let item = |to: u8, item: u8| (to, item, oneshot::channel().0);
        let mut taken = vec![item(2, 1), item(1, 2), item(2, 3), item(2, 4)];
        let groups = grouped(&mut taken, 2).into_iter();
        let groups: Vec<_> = groups
            .map(|group| (group.to, group.first, group.others))
            .collect();
        assert_eq!(groups, [(1, 2, vec![]), (2, 1, vec![3]), (2, 4, vec![])]);
    }
}
