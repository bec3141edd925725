//! Owns what must hold of every history, whatever was done to the hub: read after every test, for every instance.
//! Never knows what an orchestration is for; it only replays it.

use longhaul_shared::history::HistoryEvent;
use longhaul_shared::id::EventSeq;
use longhaul_shared::port::{LoadedInstance, PageRequest};
use longhaul_simulation::history;

use crate::site::{DEADLINE, Site};

/// Checks every instance of the hub, then that no loss was made up, and that nothing sent is unconfirmed for ever.
pub(crate) async fn check(site: &Site) {
    let orchestrations = longhaul_examples::orchestrations();
    for listed in site.list().await {
        let loaded = site.load(listed.id.as_str()).await;
        if let Err(violation) = history::check(&loaded, &orchestrations) {
            panic!("{}: {violation}\n{}", listed.id, history::told(&loaded));
        }
        check_pages(site, &loaded).await;
        let row = &loaded.row;
        if row.status.is_terminal() {
            assert_eq!(
                (listed.status, listed.execution),
                (row.status, row.execution),
                "{}",
                row.id
            );
        }
    }
    assert_eq!(
        site.epoch().await,
        site.epoch_expected(),
        "work is sent again only if the broker lost it"
    );
    for partition in site.partitions() {
        let what = format!("the outbox of partition {partition} is empty");
        site.wait_until(&what, DEADLINE, async || {
            let page = PageRequest {
                cursor: None,
                limit: 1,
            };
            let outbox = site.ports.store.outbox(partition, page).await.ok()?;
            outbox.messages.is_empty().then_some(())
        })
        .await;
    }
}

/// Read in pages, from wherever, a history is what it is as a whole: no place is missing and none is there twice.
async fn check_pages(site: &Site, loaded: &LoadedInstance) {
    let key = history::key_of(&loaded.row);
    let mut pages: Vec<HistoryEvent> = Vec::new();
    loop {
        let after = EventSeq(pages.len() as u64);
        let page = site.ports.store.history(&key, after, 100).await.unwrap();
        if page.is_empty() {
            break;
        }
        pages.extend(page);
    }
    // An instance that is still open may have gone on meanwhile.
    let known = pages.get(..loaded.history.len());
    assert_eq!(
        known,
        Some(&*loaded.history),
        "{}: its pages differ",
        loaded.row.id
    );
    if loaded.row.status.is_terminal() {
        assert_eq!(
            pages.len(),
            loaded.history.len(),
            "{}: it grew after its end",
            loaded.row.id
        );
    }
}
