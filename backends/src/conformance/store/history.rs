//! Owns what holds for history: what was committed reads back, in order, without gaps.
//! Never writes it otherwise than by commits.

use longhaul_shared::commit::TurnCommit;
use longhaul_shared::id::{EventSeq, ExecutionKey};

use super::{Owned, StoreHub, numbers};
use crate::conformance::sample;

/// An instance whose commits had this many events.
async fn with_commits(hub: &StoreHub, commits: &[u64]) -> Owned {
    let mut owned = hub.owned("long").await;
    for events in commits {
        hub.apply(hub.turn(&owned, *events), &mut owned).await;
    }
    owned
}

async fn page(hub: &StoreHub, key: &ExecutionKey, after: u64, limit: usize) -> Vec<u64> {
    let page = hub.store.history(key, EventSeq(after), limit).await;
    numbers(&page.expect("the history can be read"))
}

/// Every kind of event reads back as it was committed, all fields filled.
pub async fn every_kind_of_event_reads_back(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let turn = TurnCommit {
        events: sample::every_event(owned.now),
        ..hub.turn(&owned, 0)
    };
    hub.apply(turn.clone(), &mut owned).await;
    assert_eq!(hub.load(&owned.key.instance).await.history, turn.events);
    let read = hub.store.history(&owned.key, EventSeq(0), 100).await;
    assert_eq!(read, Ok(turn.events));
}

/// Read page by page, the history has every event once and in order, whatever the page size; a page holds no
/// more than was asked for, or than one commit appended.
pub async fn pages_are_gap_free(hub: StoreHub) {
    let commits = [1, 7, 0, 2, 40, 3, 3, 1];
    let owned = with_commits(&hub, &commits).await;
    let total: u64 = commits.iter().sum();
    for limit in [1, 2, 5, 10, 56, 57, 58, 1_000] {
        let mut read: Vec<u64> = Vec::new();
        while (read.len() as u64) < total {
            let page = page(&hub, &owned.key, read.len() as u64, limit).await;
            assert!(
                !page.is_empty(),
                "limit {limit}: the history ends after {}",
                read.len()
            );
            assert!(
                page.len() <= limit.max(40),
                "limit {limit}: {} events",
                page.len()
            );
            read.extend(page);
        }
        assert_eq!(read, (1..=total).collect::<Vec<_>>(), "limit {limit}");
    }
}

/// A page may begin behind any event, also in the middle of what one commit appended.
pub async fn a_page_begins_anywhere(hub: StoreHub) {
    let owned = with_commits(&hub, &[3, 10, 2]).await;
    for after in 0..15 {
        let page = page(&hub, &owned.key, after, 100).await;
        assert_eq!(page, (after + 1..=15).collect::<Vec<_>>(), "behind {after}");
    }
}

/// Behind the last event, and in an execution that never was, there is nothing.
pub async fn nothing_lies_behind_the_end(hub: StoreHub) {
    let owned = with_commits(&hub, &[3]).await;
    assert!(page(&hub, &owned.key, 3, 10).await.is_empty());
    assert!(page(&hub, &owned.key, 4, 10).await.is_empty());
    assert!(page(&hub, &owned.key, u64::from(u32::MAX), 10).await.is_empty());
    let unknown = [
        ExecutionKey {
            execution: hub.execution(),
            ..owned.key.clone()
        },
        ExecutionKey {
            instance: sample::id("nobody"),
            ..owned.key
        },
    ];
    for key in unknown {
        assert!(page(&hub, &key, 0, 10).await.is_empty());
    }
}
