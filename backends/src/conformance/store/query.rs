//! Owns what holds for lists of instances.
//! Never expects full pages: a store may end a page early as long as it says where to read on.

use std::collections::BTreeSet;

use longhaul_shared::commit::{RowChange, TurnCommit};
use longhaul_shared::id::{FunctionName, InstanceId};
use longhaul_shared::instance::{Status, WaitingFor};
use longhaul_shared::port::{Created, InstanceSummary, PageRequest, Query};

use super::{Owned, StoreHub, running};
use crate::conformance::sample;

/// Reads a list to its end; `between` runs after each page.
async fn read(hub: &StoreHub, query: &Query, mut between: impl AsyncFnMut()) -> Vec<InstanceSummary> {
    let mut all = Vec::new();
    let mut query = query.clone();
    for _ in 0..10_000 {
        let page = hub.store.query(query.clone()).await;
        let page = page.expect("instances can be listed");
        let limit = query.page.limit.max(1);
        assert!(
            page.instances.len() <= limit,
            "{} of {limit}",
            page.instances.len()
        );
        all.extend(page.instances);
        if page.next.is_none() {
            return all;
        }
        query.page.cursor = page.next;
        between().await;
    }
    panic!("the pages of a list never end");
}

fn query(limit: usize) -> Query {
    Query {
        page: PageRequest { cursor: None, limit },
        ..Query::default()
    }
}

async fn list(hub: &StoreHub, statuses: &[Status], name: Option<&str>, limit: usize) -> Vec<InstanceId> {
    let query = Query {
        statuses: statuses.to_vec(),
        name: name.map(sample::name),
        ..query(limit)
    };
    let found = read(hub, &query, async || {}).await;
    let newest_first = found.windows(2).all(|pair| pair[0].created >= pair[1].created);
    assert!(newest_first, "newest first: {found:#?}");
    found.into_iter().map(|summary| summary.id).collect()
}

fn as_set(ids: &[InstanceId]) -> BTreeSet<InstanceId> {
    let set: BTreeSet<_> = ids.iter().cloned().collect();
    assert_eq!(set.len(), ids.len(), "an instance is listed once: {ids:?}");
    set
}

/// Instances of all partitions come in one list, the newest first.
pub async fn newest_come_first(hub: StoreHub) {
    assert_eq!(list(&hub, &[], None, 10).await, [], "a fresh hub is empty");
    let mut all = Vec::new();
    for number in 0..30 {
        all.push(hub.create(&format!("instance {number}")).await.id);
    }
    all.reverse();
    assert_eq!(list(&hub, &[], None, 100).await, all);
    assert_eq!(list(&hub, &[], None, 7).await, all, "also page by page");
}

/// A listed instance is shown as its row stands.
pub async fn a_summary_says_what_the_row_says(hub: StoreHub) {
    let mut owned = hub.owned("a").await;
    let paused = RowChange {
        waiting_for: Some(WaitingFor::Orchestration {
            name: sample::name("backup"),
        }),
        ..running(owned.now)
    };
    for row in [paused, running(owned.now)] {
        let turn = TurnCommit {
            row,
            ..hub.turn(&owned, 1)
        };
        hub.apply(turn, &mut owned).await;
        let listed = read(&hub, &query(10), async || {}).await;
        let row = hub.load(&owned.key.instance).await.row;
        assert_eq!(listed, [InstanceSummary::from(&row)]);
    }
    hub.apply(hub.last_turn(&owned, Status::Terminated), &mut owned)
        .await;
    let listed = read(&hub, &query(10), async || {}).await;
    let row = hub.load(&owned.key.instance).await.row;
    assert_eq!(listed, [InstanceSummary::from(&row)]);
}

/// Sixty instances of one partition under two names: twelve of each status.
async fn mixed(hub: &StoreHub) -> Vec<(Owned, FunctionName, Status)> {
    let mut all = Vec::new();
    let token = hub.own(longhaul_shared::id::PartitionId(1)).await;
    let ids = super::neighbours(longhaul_shared::id::PartitionId(1), "mixed", 60);
    for (number, id) in ids.into_iter().enumerate() {
        let mut start = hub.a_start(&id);
        start.name = sample::name(if number % 3 == 0 { "rare" } else { "backup" });
        assert_eq!(hub.store.create(start.clone()).await, Ok(Created::New));
        let name = start.name.clone();
        let mut owned = hub.owned_under(start, token.clone()).await;
        let status = Status::ALL[number % 5];
        if status != Status::Pending {
            hub.apply(hub.turn(&owned, 1), &mut owned).await;
        }
        if status.is_terminal() {
            hub.apply(hub.last_turn(&owned, status), &mut owned).await;
        }
        all.push((owned, name, status));
    }
    all
}

/// Only instances of the statuses and the name asked for are listed, and all of them.
pub async fn statuses_and_names_filter(hub: StoreHub) {
    let all = mixed(&hub).await;
    let mut wishes: Vec<Vec<Status>> = Status::ALL.iter().map(|status| vec![*status]).collect();
    wishes.push(Vec::new());
    wishes.push(vec![Status::Failed, Status::Pending]);
    wishes.push(vec![Status::Running, Status::Running]);
    for statuses in &wishes {
        for wanted in [None, Some("rare"), Some("backup"), Some("unheard-of")] {
            let expected: Vec<_> = all
                .iter()
                .filter(|(_, name, status)| {
                    (statuses.is_empty() || statuses.contains(status))
                        && wanted.is_none_or(|wanted| name.as_str() == wanted)
                })
                .map(|(owned, _, _)| owned.key.instance.clone())
                .collect();
            for limit in [100, 3] {
                let found = list(&hub, statuses, wanted, limit).await;
                assert_eq!(
                    as_set(&found),
                    as_set(&expected),
                    "{statuses:?} {wanted:?} {limit}"
                );
            }
        }
    }
}

/// Whatever the page size, each instance is on one page, and the pages together are the list.
pub async fn pages_show_each_instance_once(hub: StoreHub) {
    mixed(&hub).await;
    let whole = list(&hub, &[], None, 1_000).await;
    assert_eq!(whole.len(), 60);
    for limit in [1, 2, 11, 59, 60, 61] {
        assert_eq!(list(&hub, &[], None, limit).await, whole, "limit {limit}");
    }
}

/// What is started or moves on between two pages neither hides nor repeats what was there throughout.
pub async fn newcomers_do_not_disturb_the_pages(hub: StoreHub) {
    let mut all = mixed(&hub).await;
    let before: Vec<_> = all
        .iter()
        .map(|(owned, _, _)| owned.key.instance.clone())
        .collect();
    let mut page = 0;
    let listed = read(&hub, &query(7), async || {
        hub.create(&format!("newcomer {page}")).await;
        if let Some((owned, _, _)) = all
            .iter_mut()
            .filter(|(_, _, status)| !status.is_terminal())
            .nth(page)
        {
            hub.apply(hub.turn(owned, 1), owned).await;
        }
        page += 1;
    })
    .await;
    let listed: Vec<_> = listed.into_iter().map(|summary| summary.id).collect();
    let mut known = listed;
    known.retain(|id| before.contains(id));
    assert_eq!(as_set(&known), as_set(&before));
}
