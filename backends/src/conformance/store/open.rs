//! Owns what holds for the list of open instances, from which an owner rebuilds its partition.
//! Never expects an order.

use std::collections::BTreeSet;

use longhaul_shared::instance::Status;
use longhaul_shared::port::PageRequest;

use super::StoreHub;

/// An instance is open from its start to the commit that ends it, whatever it does in between.
pub async fn open_instances_are_listed_until_they_end(hub: StoreHub) {
    let mut owned = hub.owned_neighbours(4).await;
    let partition = owned[0].partition;
    let mut ids: Vec<_> = owned.iter().map(|owned| owned.key.instance.clone()).collect();
    ids.sort();
    assert_eq!(hub.open(partition).await, ids, "new ones are open");
    for one in &mut owned {
        hub.apply(hub.turn(one, 1), one).await;
    }
    assert_eq!(hub.open(partition).await, ids, "running ones are open");
    let ends = [Status::Completed, Status::Failed, Status::Terminated];
    for (one, status) in owned.iter_mut().zip(ends) {
        hub.apply(hub.last_turn(one, status), one).await;
        ids.retain(|id| *id != one.key.instance);
        assert_eq!(hub.open(partition).await, ids, "{status} is not open");
    }
}

/// Read page by page, what is open throughout is seen, also while others change or end.
pub async fn pages_show_every_open_instance(hub: StoreHub) {
    let mut owned = hub.owned_neighbours(120).await;
    let partition = owned[0].partition;
    let (staying, moving) = owned.split_at_mut(60);
    for limit in [1, 9, 50] {
        let mut seen = BTreeSet::new();
        let mut cursor = None;
        let mut page_number = 0;
        loop {
            let page = hub
                .store
                .open_instances(partition, PageRequest { cursor, limit })
                .await;
            let (page, next) = page.expect("open instances can be read");
            seen.extend(page);
            if next.is_none() {
                break;
            }
            cursor = next;
            page_number += 1;
            assert!(page_number < 10_000, "the pages never end");
            if let Some(one) = staying.get_mut(page_number % 60) {
                hub.apply(hub.turn(one, 0), one).await;
            }
            let row = hub.load(&moving[page_number % 60].key.instance).await.row;
            if limit == 1 && !row.status.is_terminal() {
                let one = &mut moving[page_number % 60];
                hub.apply(hub.last_turn(one, Status::Completed), one).await;
            }
        }
        for one in &*staying {
            assert!(
                seen.contains(&one.key.instance),
                "limit {limit}: an open one was not seen"
            );
        }
    }
}
