//! Owns what holds for the outbox: a committed message is kept until it is said to be confirmed.
//! Never sends one.

use std::collections::BTreeSet;

use longhaul_shared::commit::TurnCommit;
use longhaul_shared::id::{LeaseToken, MessageId, QueueName};
use longhaul_shared::message::{Destination, Publication};
use longhaul_shared::port::PageRequest;

use super::{Owned, StoreHub, first_page};
use crate::conformance::sample;

/// Commits messages with these numbers.
async fn send(hub: &StoreHub, owned: &mut Owned, numbers: impl IntoIterator<Item = u64>) -> Vec<Publication> {
    let destination = Destination::Work(QueueName::default());
    let messages: Vec<_> = numbers
        .into_iter()
        .map(|number| sample::publication(destination.clone(), number, owned.now))
        .collect();
    let turn = TurnCommit {
        outbox_add: messages.clone(),
        ..hub.turn(owned, 1)
    };
    hub.apply(turn, owned).await;
    messages
}

/// Messages to every destination read back as they were committed, again and again, until they are forgotten.
pub async fn messages_stay_until_confirmed(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let mut messages: Vec<_> = [
        Destination::Control(owned.partition),
        Destination::Work(sample::queue("gpu")),
        Destination::Intake,
        Destination::Dead,
    ]
    .into_iter()
    .zip(1..)
    .map(|(destination, number)| sample::publication(destination, number, owned.now))
    .collect();
    messages[0].correlation = None;
    messages[1].trace = longhaul_shared::trace::TraceContext::default();
    messages[2].body = bytes::Bytes::new();
    let turn = TurnCommit {
        outbox_add: messages.clone(),
        ..hub.turn(&owned, 1)
    };
    hub.apply(turn, &mut owned).await;
    messages.sort_by_key(|message| message.id);
    for _ in 0..2 {
        let page = hub.store.outbox(owned.partition, first_page()).await;
        let page = page.expect("the outbox can be read");
        assert_eq!(page.next, None);
        let mut kept = page.messages;
        kept.sort_by_key(|message| message.id);
        assert_eq!(kept, messages);
    }
    let confirmed = vec![messages[0].id, messages[2].id, sample::message_id(99)];
    for _ in 0..2 {
        let forgotten = hub
            .store
            .forget_confirmed(owned.partition, &owned.token, confirmed.clone())
            .await;
        assert_eq!(forgotten, Ok(true), "forgetting what is gone is no error");
        assert_eq!(
            hub.outbox_ids(owned.partition).await,
            [messages[1].id, messages[3].id]
        );
    }
}

/// A commit forgets confirmed messages of any instance of its partition.
pub async fn a_commit_confirms_messages_of_any_instance(hub: StoreHub) {
    let mut owned = hub.owned_neighbours(2).await;
    let first = send(&hub, &mut owned[0], [1, 2]).await;
    let turn = TurnCommit {
        outbox_remove: vec![first[0].id, sample::message_id(99)],
        ..hub.turn(&owned[1], 1)
    };
    hub.apply(turn, &mut owned[1]).await;
    assert_eq!(hub.outbox_ids(owned[0].partition).await, [first[1].id]);
}

/// Messages are forgotten for the partition's owner only.
pub async fn forgetting_needs_the_token(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let messages = send(&hub, &mut owned, [1]).await;
    let id = messages[0].id;
    let forget = |token: LeaseToken| {
        let store = std::sync::Arc::clone(&hub.store);
        let partition = owned.partition;
        async move { store.forget_confirmed(partition, &token, vec![id]).await }
    };
    assert_eq!(forget(LeaseToken::new(9, 9)).await, Ok(false));
    assert_eq!(
        hub.outbox_ids(owned.partition).await,
        [id],
        "nothing was forgotten"
    );
    assert_eq!(forget(owned.token.clone()).await, Ok(true));
    assert_eq!(hub.outbox_ids(owned.partition).await, []);
}

/// Reads the outbox to its end; `between` runs after each page.
async fn walk(
    hub: &StoreHub,
    owned: &Owned,
    limit: usize,
    mut between: impl AsyncFnMut(&BTreeSet<MessageId>),
) -> BTreeSet<MessageId> {
    let mut seen = BTreeSet::new();
    let mut cursor = None;
    for _ in 0..10_000 {
        let page = hub
            .store
            .outbox(owned.partition, PageRequest { cursor, limit })
            .await;
        let page = page.expect("the outbox can be read");
        seen.extend(page.messages.iter().map(|message| message.id));
        if page.next.is_none() {
            return seen;
        }
        cursor = page.next;
        between(&seen).await;
    }
    panic!("the pages of the outbox never end");
}

/// Read page by page, everything is seen, whatever the page size.
pub async fn pages_show_everything(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let mut all = BTreeSet::new();
    for turn in 0..10_u64 {
        let sent = send(&hub, &mut owned, turn * 60..(turn + 1) * 60).await;
        all.extend(sent.iter().map(|message| message.id));
    }
    for limit in [1, 7, 100, 600, 601, 5_000] {
        let seen = walk(&hub, &owned, limit, async |_| {}).await;
        assert_eq!(seen.len(), all.len(), "limit {limit}");
        assert_eq!(seen, all, "limit {limit}");
    }
}

/// What is forgotten or added between two pages hides nothing that was there throughout.
pub async fn a_page_survives_what_is_forgotten_meanwhile(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let staying: BTreeSet<_> = send(&hub, &mut owned, 0..300)
        .await
        .iter()
        .map(|message| message.id)
        .collect();
    let leaving: Vec<_> = send(&hub, &mut owned, 300..600)
        .await
        .iter()
        .map(|message| message.id)
        .collect();
    let mut leaving = leaving.chunks(20);
    let mut newcomers = 600;
    let mut other = owned.clone();
    let seen = walk(&hub, &owned, 40, async |_| {
        let turn = TurnCommit {
            outbox_remove: leaving.next().unwrap_or_default().to_vec(),
            outbox_add: (newcomers..newcomers + 2)
                .map(|number| sample::publication(Destination::Intake, number, other.now))
                .collect(),
            ..hub.turn(&other, 0)
        };
        newcomers += 2;
        hub.apply(turn, &mut other).await;
    })
    .await;
    let missed: Vec<_> = staying.difference(&seen).collect();
    assert!(
        missed.is_empty(),
        "{} messages were there and not seen",
        missed.len()
    );
}
