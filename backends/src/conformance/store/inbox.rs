//! Owns what holds for inboxes: a message is kept until a commit deals with it.
//! Never expects an order of messages.

use std::collections::BTreeMap;
use std::sync::Arc;

use longhaul_shared::commit::TurnCommit;
use longhaul_shared::id::{InstanceId, MessageId};
use longhaul_shared::instance::Status;
use longhaul_shared::limits::INBOX_MESSAGES_MAX;
use longhaul_shared::message::Envelope;
use longhaul_shared::port::Posted;

use super::StoreHub;
use crate::conformance::sample;
use crate::conformance::tasks::at_once;

async fn inbox(hub: &StoreHub, id: &InstanceId) -> BTreeMap<MessageId, Envelope> {
    let inbox = hub.load(id).await.inbox;
    let count = inbox.len();
    let by_id: BTreeMap<_, _> = inbox.into_iter().map(|message| (message.id, message)).collect();
    assert_eq!(by_id.len(), count, "no message is twice in an inbox");
    by_id
}

/// Posted and set-aside messages are in the inbox until a commit names them; the others stay.
pub async fn a_message_is_kept_until_it_is_dealt_with(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let id = owned.key.instance.clone();
    let letters: Vec<_> = (0..4).map(|number| sample::letter(&id, number)).collect();
    for letter in &letters[..3] {
        assert_eq!(hub.store.post(letter.clone()).await, Ok(Posted::Accepted));
    }
    let turn = TurnCommit {
        inbox_add: vec![letters[3].clone()],
        inbox_remove: vec![letters[1].id],
        ..hub.turn(&owned, 1)
    };
    hub.apply(turn, &mut owned).await;
    let expected: Vec<_> = [0, 2, 3].map(|at| letters[at].clone()).to_vec();
    let kept = inbox(&hub, &id).await;
    assert_eq!(kept.len(), expected.len());
    for letter in expected {
        assert_eq!(kept.get(&letter.id), Some(&letter));
    }
    let turn = TurnCommit {
        inbox_remove: letters.iter().map(|letter| letter.id).collect(),
        ..hub.turn(&owned, 0)
    };
    hub.apply(turn, &mut owned).await;
    assert_eq!(
        inbox(&hub, &id).await.len(),
        0,
        "removing what is gone is no error"
    );
}

/// Every kind of message reads back as it was, posted or set aside by a commit.
pub async fn every_kind_of_message_reads_back(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let id = owned.key.instance.clone();
    let letters = sample::every_letter(&owned.key);
    let (posted, set_aside) = letters.split_at(2);
    for letter in posted {
        assert_eq!(hub.store.post(letter.clone()).await, Ok(Posted::Accepted));
    }
    let turn = TurnCommit {
        inbox_add: set_aside.to_vec(),
        ..hub.turn(&owned, 0)
    };
    hub.apply(turn, &mut owned).await;
    let kept = inbox(&hub, &id).await;
    let expected = letters.into_iter().map(|letter| (letter.id, letter)).collect();
    assert_eq!(kept, expected);
}

/// A message with the id of one that is there changes nothing.
pub async fn a_copy_changes_nothing(hub: StoreHub) {
    let owned = hub.owned("a").await;
    let letter = sample::letter(&owned.key.instance, 1);
    assert_eq!(hub.store.post(letter.clone()).await, Ok(Posted::Accepted));
    let ids = [owned.key.instance.clone()];
    let before = hub.picture(owned.partition, &ids).await;
    let other_text = Envelope::terminate(letter.id, letter.instance.clone(), "other".to_owned());
    for copy in [letter, other_text] {
        assert_eq!(hub.store.post(copy).await, Ok(Posted::Accepted));
    }
    assert_eq!(hub.picture(owned.partition, &ids).await, before);
}

/// A message to an unknown or ended instance is refused and nothing is written.
pub async fn nobody_is_written_to_who_cannot_read(hub: StoreHub) {
    let nobody = sample::id("nobody");
    let posted = hub.store.post(sample::letter(&nobody, 1)).await;
    assert_eq!(posted, Ok(Posted::Unknown));
    assert_eq!(hub.find(&nobody).await, None, "a message makes no instance");
    for status in [Status::Completed, Status::Failed, Status::Terminated] {
        let start = hub.create(&format!("ended {status}")).await;
        let partition = longhaul_shared::id::PartitionId::of(&start.id, super::PARTITIONS);
        let token = hub.own(partition).await;
        let mut owned = hub.owned_under(start, token.clone()).await;
        hub.apply(hub.last_turn(&owned, status), &mut owned).await;
        let ids = [owned.key.instance.clone()];
        let before = hub.picture(partition, &ids).await;
        let posted = hub.store.post(sample::letter(&owned.key.instance, 1)).await;
        assert_eq!(posted, Ok(Posted::Ended(status)));
        assert_eq!(hub.picture(partition, &ids).await, before);
        hub.store
            .release_lease(partition, &token)
            .await
            .expect("a lease is given back");
    }
}

/// At `INBOX_MESSAGES_MAX` a further message is refused, a copy of one that is there is not; once one is dealt
/// with, there is room for one.
pub async fn an_inbox_is_bounded(hub: StoreHub) {
    let mut owned = hub.owned("popular").await;
    let id = owned.key.instance.clone();
    let bound = INBOX_MESSAGES_MAX as u64;
    for first in (0..bound).step_by(500) {
        let posted = at_once(
            &hub.runtime,
            (first..first + 500).map(|number| {
                let (store, letter) = (Arc::clone(&hub.store), sample::letter(&id, number));
                async move { store.post(letter).await }
            }),
        )
        .await;
        assert!(
            posted.iter().all(|posted| *posted == Ok(Posted::Accepted)),
            "{posted:?}"
        );
    }
    let post = |number| hub.store.post(sample::letter(&id, number));
    assert_eq!(post(bound).await, Ok(Posted::Full));
    assert_eq!(post(7).await, Ok(Posted::Accepted), "a copy needs no room");
    let turn = TurnCommit {
        inbox_remove: vec![sample::message_id(3)],
        ..hub.turn(&owned, 1)
    };
    hub.apply(turn, &mut owned).await;
    assert_eq!(
        post(bound).await,
        Ok(Posted::Accepted),
        "there is room for one again"
    );
    assert_eq!(post(bound + 1).await, Ok(Posted::Full));
    assert_eq!(inbox(&hub, &id).await.len(), INBOX_MESSAGES_MAX);
}

/// However many post one message at once, all are told that it is there, and it is there once.
pub async fn one_message_posted_by_many_is_kept_once(hub: StoreHub) {
    let start = hub.create("a").await;
    let letter = sample::letter(&start.id, 1);
    let posted = at_once(
        &hub.runtime,
        (0..24).map(|_| {
            let (store, letter) = (Arc::clone(&hub.store), letter.clone());
            async move { store.post(letter).await }
        }),
    )
    .await;
    assert!(
        posted.iter().all(|posted| *posted == Ok(Posted::Accepted)),
        "{posted:?}"
    );
    assert_eq!(hub.load(&start.id).await.inbox, [letter]);
}
