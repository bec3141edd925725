//! Owns what holds for reading instances.
//! Never reads page by page: see `history`.

use std::sync::Arc;

use longhaul_shared::commit::TurnCommit;
use longhaul_shared::id::EventSeq;
use longhaul_shared::port::LoadRequest;

use super::StoreHub;
use crate::conformance::sample;
use crate::conformance::tasks::run;

/// Every request has its answer, in the order asked, with the history only where it was asked for.
pub async fn answers_stand_in_the_order_asked(hub: StoreHub) {
    let mut owned = hub.owned_neighbours(3).await;
    for one in &mut owned {
        hub.apply(hub.turn(one, 2), one).await;
    }
    let ids: Vec<_> = owned.iter().map(|one| one.key.instance.clone()).collect();
    let asked = [
        (&ids[2], true),
        (&sample::id("nobody"), true),
        (&ids[0], false),
        (&ids[1], true),
        (&ids[2], false),
    ];
    let requests = asked
        .iter()
        .map(|(id, history)| LoadRequest {
            id: (*id).clone(),
            history: *history,
        })
        .collect();
    let loaded = hub.store.load(requests).await;
    assert_eq!(loaded.len(), asked.len());
    for ((id, history), loaded) in asked.iter().zip(loaded) {
        let Some(loaded) = loaded.expect("readable") else {
            assert_eq!(id.as_str(), "nobody");
            continue;
        };
        assert_eq!(loaded.row.id, **id);
        assert_eq!(loaded.row.last_seq, EventSeq(2));
        assert_eq!(loaded.history.len(), if *history { 2 } else { 0 }, "{id:?}");
    }
    assert_eq!(hub.store.load(Vec::new()).await, []);
}

/// Row, inbox and history of one answer fit together, also while the instance commits: here every commit
/// appends one event and replaces the one message in the inbox.
pub async fn a_load_belongs_to_one_moment(hub: StoreHub) {
    const COMMITS: u64 = 150;
    let mut owned = hub.owned("busy").await;
    let id = owned.key.instance.clone();
    let reading = run(&hub.runtime, {
        let (store, id) = (Arc::clone(&hub.store), id.clone());
        async move {
            let mut seen = 0;
            while seen < COMMITS {
                let request = LoadRequest {
                    id: id.clone(),
                    history: true,
                };
                let loaded = store.load(vec![request]).await.remove(0);
                let loaded = loaded.expect("readable").expect("there");
                let number = loaded.row.commit_number.0;
                assert!(number >= seen, "the row went back from {seen} to {number}");
                seen = number;
                assert_eq!(loaded.row.last_seq.0, number);
                assert_eq!(
                    loaded.history.len() as u64,
                    number,
                    "the history of another moment"
                );
                let inbox: Vec<_> = loaded.inbox.iter().map(|message| message.id).collect();
                let expected: Vec<_> = (number > 0)
                    .then(|| sample::message_id(number))
                    .into_iter()
                    .collect();
                assert_eq!(inbox, expected, "the inbox of another moment");
            }
        }
    });
    for number in 1..=COMMITS {
        let turn = TurnCommit {
            inbox_add: vec![sample::letter(&id, number)],
            inbox_remove: vec![sample::message_id(number - 1)],
            ..hub.turn(&owned, 1)
        };
        hub.apply(turn, &mut owned).await;
    }
    reading.answer("the last commit is seen").await;
}
