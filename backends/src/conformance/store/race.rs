//! Owns what holds when many change the same at once.
//! Never counts on an order: it counts what came of all.

use std::collections::BTreeSet;
use std::sync::Arc;

use longhaul_shared::commit::{CommitOutcome, TurnCommit};
use longhaul_shared::id::{CommitId, EventSeq, LeaseToken, PartitionId};
use longhaul_shared::port::{LeaseOutcome, LeaseWish, Posted, Runtime, Store};

use super::{LONG, Owned, PARTITIONS, SHORT, StoreHub, numbers, worker_id};
use crate::conformance::sample;
use crate::conformance::tasks::{at_once, run, soon};

/// Of many different commits of one number at once, exactly one is applied, whole.
pub async fn many_commits_of_one_number_apply_once(hub: StoreHub) {
    let mut owned = hub.owned("contested").await;
    for round in 0..20 {
        let turns: Vec<_> = (1..=8).map(|events| hub.turn(&owned, events)).collect();
        let outcomes = at_once(
            &hub.runtime,
            turns.iter().cloned().map(|turn| {
                let store = Arc::clone(&hub.store);
                async move { store.commit(vec![turn]).await }
            }),
        )
        .await;
        let applied: Vec<_> = (0..turns.len())
            .filter(|at| outcomes[*at] == [Ok(CommitOutcome::Applied)])
            .collect();
        assert_eq!(applied.len(), 1, "round {round}: {outcomes:?}");
        let winner = &turns[applied[0]];
        let others = outcomes.iter().filter(|o| **o == [Ok(CommitOutcome::Conflict)]);
        assert_eq!(others.count(), turns.len() - 1, "round {round}: {outcomes:?}");
        (owned.number, owned.seq) = (winner.expected.next(), winner.last_seq());
        let row = hub.load(&owned.key.instance).await.row;
        assert_eq!((row.last_commit, row.last_seq), (Some(winner.id), owned.seq));
    }
}

/// Two workers take a partition from each other as fast as leases expire, and commit whenever they can, the
/// one that lost it included. Every commit number is applied once, and the history has no gap.
pub async fn two_owners_never_both_apply(hub: StoreHub) {
    let start = hub.create("contested").await;
    let nobody = LeaseToken::new(0, 0);
    let owned = hub.owned_under(start, nobody).await;
    let owners = ["left", "right"].map(|name| {
        let owner = Owner {
            name,
            store: Arc::clone(&hub.store),
            runtime: Arc::clone(&hub.runtime),
            view: owned.clone(),
            goal: EventSeq(60),
        };
        run(&hub.runtime, owner.work())
    });
    let mut applied = BTreeSet::new();
    let mut count = 0;
    for owner in owners {
        let own = owner.answer("an owner reaches the goal").await;
        count += own.len();
        applied.extend(own);
    }
    assert_eq!(applied.len(), count, "no commit number was applied twice");
    let loaded = hub.load(&owned.key.instance).await;
    let commits = loaded.row.commit_number.0;
    assert_eq!(
        applied,
        (1..=commits).collect(),
        "every commit was applied for one owner"
    );
    let seqs: Vec<u64> = (1..=loaded.row.last_seq.0).collect();
    assert_eq!(numbers(&loaded.history), seqs, "no gap, nothing twice");
}

/// A worker that wants one partition.
struct Owner {
    name: &'static str,
    store: Arc<dyn Store>,
    runtime: Arc<dyn Runtime>,
    view: Owned,
    goal: EventSeq,
}

impl Owner {
    /// Commits until the goal is reached; returns the numbers of its commits that were applied.
    async fn work(mut self) -> Vec<u64> {
        let mut applied = Vec::new();
        loop {
            self.reload().await;
            if self.view.seq >= self.goal {
                return applied;
            }
            match self.commit().await {
                CommitOutcome::Applied => applied.push(self.view.number.0 + 1),
                CommitOutcome::Fenced => self.acquire().await,
                CommitOutcome::Conflict | CommitOutcome::Duplicate => {}
            }
        }
    }

    async fn reload(&mut self) {
        let request = longhaul_shared::port::LoadRequest {
            id: self.view.key.instance.clone(),
            history: false,
        };
        let loaded = self.store.load(vec![request]).await.remove(0);
        let row = loaded.expect("readable").expect("there").row;
        (self.view.number, self.view.seq) = (row.commit_number, row.last_seq);
    }

    async fn commit(&self) -> CommitOutcome {
        let first = self.view.seq.0 + 1;
        let commit = TurnCommit {
            partition: self.view.partition,
            token: self.view.token.clone(),
            instance: self.view.key.instance.clone(),
            execution: self.view.key.execution,
            expected: self.view.number,
            id: CommitId::from_bits(self.runtime.random()),
            expected_seq: self.view.seq,
            events: vec![sample::event(self.view.now, first)],
            row: super::running(self.view.now),
            ready: longhaul_shared::commit::Ready::Settle,
            inbox_add: Vec::new(),
            inbox_remove: Vec::new(),
            outbox_add: Vec::new(),
            outbox_remove: Vec::new(),
            timers_add: Vec::new(),
            timers_remove: Vec::new(),
            survived: false,
        };
        self.store.commit(vec![commit]).await.remove(0).expect("answered")
    }

    /// Takes the lease for so short a time that the other soon has it, or waits as long as it is held.
    async fn acquire(&mut self) {
        let ttl = SHORT / 10;
        let (nonce, worker) = (self.runtime.random(), worker_id(self.name));
        let wish = LeaseWish::new(nonce, ttl);
        let wish = self.store.acquire_lease(self.view.partition, &worker, wish);
        match wish.await.expect("answered") {
            LeaseOutcome::Granted { token, .. } => self.view.token = token,
            LeaseOutcome::Held { expires_in, .. } => self.runtime.sleep(expires_in).await,
        }
    }
}

/// Commits of many instances at once are all applied, whichever partition they are of.
pub async fn instances_do_not_wait_for_each_other(hub: StoreHub) {
    let mut tokens = Vec::new();
    for partition in PartitionId::all(PARTITIONS) {
        tokens.push(hub.acquire(partition, "owner", hub.runtime.random(), LONG).await);
    }
    let mut all = Vec::new();
    for number in 0..64 {
        let start = hub.create(&format!("instance {number}")).await;
        let partition = PartitionId::of(&start.id, PARTITIONS);
        let token = tokens[usize::from(partition.0)].clone();
        all.push(hub.owned_under(start, token).await);
    }
    for turn in 1..=5 {
        let turns: Vec<_> = all.iter().map(|owned| hub.turn(owned, 2)).collect();
        let outcomes = at_once(
            &hub.runtime,
            turns.into_iter().map(|turn| {
                let store = Arc::clone(&hub.store);
                async move { store.commit(vec![turn]).await }
            }),
        )
        .await;
        assert!(
            outcomes
                .iter()
                .all(|outcome| *outcome == [Ok(CommitOutcome::Applied)]),
            "turn {turn}: {outcomes:?}"
        );
        for owned in &mut all {
            (owned.number, owned.seq) = (owned.number.next(), owned.seq.plus(2));
        }
    }
    for owned in &all {
        let loaded = hub.load(&owned.key.instance).await;
        assert_eq!(numbers(&loaded.history), (1..=10).collect::<Vec<_>>());
    }
}

/// Messages posted while their instance commits are each dealt with once or still in the inbox: none is lost.
pub async fn commits_and_posts_lose_no_message(hub: StoreHub) {
    const MESSAGES: u64 = 200;
    let mut owned = hub.owned("busy").await;
    let id = owned.key.instance.clone();
    let posting = run(&hub.runtime, {
        let (store, id) = (Arc::clone(&hub.store), id.clone());
        async move {
            for number in 0..MESSAGES {
                let posted = store.post(sample::letter(&id, number)).await;
                assert_eq!(posted, Ok(Posted::Accepted));
            }
        }
    });
    let mut dealt_with = BTreeSet::new();
    let everything = async {
        while (dealt_with.len() as u64) < MESSAGES {
            let inbox = hub.load(&id).await.inbox;
            let read: Vec<_> = inbox.iter().map(|message| message.id).collect();
            for message in &read {
                assert!(dealt_with.insert(*message), "a removed message came back");
            }
            let turn = TurnCommit {
                inbox_remove: read,
                ..hub.turn(&owned, 1)
            };
            hub.apply(turn, &mut owned).await;
            let left = hub.load(&id).await.inbox;
            let is_ready = hub.ready(owned.partition).await.contains(&id);
            assert!(
                left.is_empty() || is_ready,
                "an unread inbox keeps its instance ready"
            );
        }
    };
    soon(&hub.runtime, "every message is dealt with", everything).await;
    posting.answer("all is posted").await;
    assert_eq!(hub.load(&id).await.inbox, []);
    assert_eq!(hub.ready(owned.partition).await, []);
}
