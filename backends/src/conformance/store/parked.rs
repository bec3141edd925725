//! Owns what holds for parked messages: set aside once, listed, readable, bounded.
//! Never parks two messages at one time where their order matters.

use std::sync::Arc;

use longhaul_shared::limits::PARKED_MESSAGES_MAX;
use longhaul_shared::message::{Destination, Incoming};
use longhaul_shared::parked::ParkedMessage;
use longhaul_shared::port::{PageRequest, StoreError};
use longhaul_shared::time::Timestamp;

use super::{StoreHub, first_page};
use crate::conformance::sample;
use crate::conformance::tasks::at_once;

/// Parked messages of one test differ in number, and in time by that many milliseconds.
fn message(number: i64, time: Timestamp) -> ParkedMessage {
    let received = Incoming {
        message_id: Some(format!("message {number}")),
        kind: Some("start".to_owned()),
        content_type: Some("text/plain; charset=\"ü\"".to_owned()),
        trace: sample::trace(),
        body: sample::body(number.unsigned_abs()),
    };
    let time = Timestamp::from_micros(time.micros() + number * 1_000);
    ParkedMessage::new(
        Destination::Intake,
        "LH1001",
        "not a start\n: ü".to_owned(),
        time,
        received,
    )
}

/// A parked message reads back as it is, alone and in the list.
pub async fn a_parked_message_reads_back(hub: StoreHub) {
    let now = hub.now().await;
    let full = message(1, now);
    let bare = ParkedMessage::new(
        Destination::Work(sample::queue("gpu")),
        "LH1402",
        String::new(),
        now.plus(std::time::Duration::from_secs(1)),
        Incoming::default(),
    );
    for parked in [&full, &bare] {
        assert_eq!(hub.store.park(parked.clone()).await, Ok(()));
        assert_eq!(
            hub.store.parked_message(parked.id).await,
            Ok(Some(parked.clone()))
        );
    }
    let page = hub.store.parked(first_page()).await.expect("a list");
    assert_eq!(page.messages, [full, bare]);
    assert_eq!((page.next, page.total), (None, 2));
    let unknown = message(7, now).id;
    assert_eq!(hub.store.parked_message(unknown).await, Ok(None));
}

/// A copy changes nothing, also when many park it at once and when it is parked later.
pub async fn a_copy_is_kept_once(hub: StoreHub) {
    let now = hub.now().await;
    let parked = message(1, now);
    let answers = at_once(
        &hub.runtime,
        (0..16).map(|_| {
            let (store, message) = (Arc::clone(&hub.store), parked.clone());
            async move { store.park(message).await }
        }),
    )
    .await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
    let later = ParkedMessage {
        time: now.plus(std::time::Duration::from_secs(60)),
        ..parked.clone()
    };
    assert_eq!(hub.store.park(later).await, Ok(()));
    let page = hub.store.parked(first_page()).await.expect("a list");
    assert_eq!(page.messages, [parked]);
    assert_eq!(page.total, 1);
}

/// The list begins with the oldest; page by page, it has each message once.
pub async fn oldest_come_first(hub: StoreHub) {
    let now = hub.now().await;
    let mut all = Vec::new();
    for number in 1..=40 {
        let parked = message(number, now);
        hub.store.park(parked.clone()).await.expect("there is room");
        all.push(parked);
    }
    for limit in [1, 7, 39, 40, 41] {
        let mut listed = Vec::new();
        let mut cursor = None;
        loop {
            let page = hub.store.parked(PageRequest { cursor, limit }).await;
            let page = page.expect("a list");
            assert_eq!(page.total, 40, "limit {limit}");
            listed.extend(page.messages);
            assert!(listed.len() <= all.len(), "limit {limit}: too many");
            if page.next.is_none() {
                break;
            }
            cursor = page.next;
        }
        assert_eq!(listed, all, "limit {limit}");
    }
}

/// An unparked message is gone, once; it may be parked again.
pub async fn an_unparked_message_is_gone(hub: StoreHub) {
    let now = hub.now().await;
    let (gone, stays) = (message(1, now), message(2, now));
    for parked in [&gone, &stays] {
        hub.store.park(parked.clone()).await.expect("there is room");
    }
    for was_there in [true, false] {
        assert_eq!(hub.store.unpark(gone.id).await, Ok(was_there));
        assert_eq!(hub.store.parked_message(gone.id).await, Ok(None));
        let page = hub.store.parked(first_page()).await.expect("a list");
        assert_eq!((page.messages, page.total), (vec![stays.clone()], 1));
    }
    hub.store.park(gone).await.expect("there is room");
    assert_eq!(hub.store.parked(first_page()).await.expect("a list").total, 2);
}

/// At `PARKED_MESSAGES_MAX` no more is taken and nothing is dropped; a copy is no more.
pub async fn parking_is_bounded(hub: StoreHub) {
    let now = hub.now().await;
    let bound = i64::try_from(PARKED_MESSAGES_MAX).expect("a small number");
    let step = 1_000;
    for first in (0..bound).step_by(step) {
        let parked = (first..first + 1_000).map(|number| message(number, now));
        let answers = futures::future::join_all(parked.map(|message| hub.store.park(message))).await;
        assert!(answers.iter().all(Result::is_ok), "there is room behind {first}");
    }
    let over = hub.store.park(message(bound, now)).await;
    assert!(matches!(over, Err(StoreError::Full { .. })), "{over:?}");
    assert_eq!(
        hub.store.park(message(5, now)).await,
        Ok(()),
        "a copy needs no room"
    );
    let page = hub
        .store
        .parked(PageRequest {
            cursor: None,
            limit: 1,
        })
        .await;
    let page = page.expect("a list");
    assert_eq!(page.total, PARKED_MESSAGES_MAX as u64);
    assert_eq!(page.messages, [message(0, now)], "the oldest is still there");
    assert_eq!(hub.store.unpark(message(3, now).id).await, Ok(true));
    assert_eq!(
        hub.store.park(message(bound, now)).await,
        Ok(()),
        "there is room for one"
    );
}
