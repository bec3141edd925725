//! Owns what holds for leases: one owner a partition, tokens that never repeat, expiry by the store's clock.
//! Never expects a lease to be refused to the one whose own has expired and whom nobody followed.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use longhaul_shared::id::{Epoch, LeaseToken, PartitionId};
use longhaul_shared::port::{Era, HeldLease, LeaseOutcome, LeaseRenewal, LeaseWish};

use super::{LONG, SHORT, StoreHub, worker_id};
use crate::conformance::tasks::{at_once, until};

const P: PartitionId = PartitionId(2);

fn granted(outcome: LeaseOutcome) -> (LeaseToken, bool, Era) {
    match outcome {
        LeaseOutcome::Granted {
            token,
            after_expiry,
            rebuilt,
        } => (token, after_expiry, rebuilt),
        held => panic!("the lease should be granted: {held:?}"),
    }
}

fn assert_held(outcome: LeaseOutcome, by: &str) -> Duration {
    match outcome {
        LeaseOutcome::Held { owner, expires_in } => {
            assert_eq!(owner, worker_id(by));
            expires_in
        }
        granted => panic!("the lease should be held by {by}: {granted:?}"),
    }
}

/// Waits until somebody's short lease has expired and takes it.
async fn take_over(hub: &StoreHub, worker: &str, nonce: u128) -> (LeaseToken, bool, Era) {
    until(&hub.runtime, "the lease expires", || async {
        match hub.try_acquire(P, worker, nonce, LONG).await {
            LeaseOutcome::Held { expires_in, .. } => {
                assert!(expires_in <= SHORT, "it expires in {expires_in:?}");
                None
            }
            outcome => Some(granted(outcome)),
        }
    })
    .await
}

async fn renew(hub: &StoreHub, wishes: &[(PartitionId, &LeaseToken)], ttl: Duration) -> Vec<bool> {
    let renewals = wishes
        .iter()
        .map(|(partition, token)| LeaseRenewal {
            partition: *partition,
            token: (*token).clone(),
            consuming: true,
        })
        .collect();
    let renewed = hub.store.renew_leases(renewals, ttl).await;
    renewed.expect("a renewal is answered")
}

/// A free lease is granted; then it is held by that worker, also for itself under another nonce, and other
/// partitions are free.
pub async fn a_free_lease_is_granted_once(hub: StoreHub) {
    let (_token, after_expiry, rebuilt) = granted(hub.try_acquire(P, "one", 1, LONG).await);
    assert!(!after_expiry, "nobody had it before");
    assert_eq!(rebuilt.epoch, Epoch::new(0), "nothing was ever rebuilt");
    for worker in ["two", "one"] {
        let expires_in = assert_held(hub.try_acquire(P, worker, 2, LONG).await, "one");
        assert!(expires_in <= LONG && expires_in > LONG / 2, "{expires_in:?}");
    }
    granted(hub.try_acquire(PartitionId(3), "two", 3, LONG).await);
}

/// Of many workers at once, exactly one gets the lease; the others are told who.
pub async fn one_of_many_gets_the_lease(hub: StoreHub) {
    for partition in PartitionId::all(super::PARTITIONS) {
        let outcomes = at_once(
            &hub.runtime,
            (0..16).map(|number| {
                let (store, nonce) = (Arc::clone(&hub.store), hub.runtime.random());
                async move {
                    let worker = worker_id(&format!("worker-{number}"));
                    let wish = LeaseWish::new(nonce, LONG);
                    let outcome = store.acquire_lease(partition, &worker, wish).await;
                    (worker, outcome.expect("a wish for a lease is answered"))
                }
            }),
        )
        .await;
        let is_granted = |outcome: &LeaseOutcome| matches!(outcome, LeaseOutcome::Granted { .. });
        let winners: Vec<_> = outcomes
            .iter()
            .filter(|(_, outcome)| is_granted(outcome))
            .collect();
        assert_eq!(winners.len(), 1, "{outcomes:?}");
        for (_, outcome) in outcomes.iter().filter(|(_, outcome)| !is_granted(outcome)) {
            assert_held(outcome.clone(), winners[0].0.as_str());
        }
    }
}

/// A wish with a nonce that has the lease already is granted again under the same token: its first answer may
/// have been lost.
pub async fn a_repeated_wish_is_granted_again(hub: StoreHub) {
    let first = granted(hub.try_acquire(P, "one", 7, LONG).await);
    for _ in 0..2 {
        assert_eq!(granted(hub.try_acquire(P, "one", 7, LONG).await), first);
    }
}

/// Every acquisition has a token of its own, even under the same nonce.
pub async fn no_token_is_given_twice(hub: StoreHub) {
    let mut tokens = BTreeSet::new();
    for round in 0..20 {
        let nonce = if round % 2 == 0 { 1 } else { hub.runtime.random() };
        let (token, _, _) = granted(hub.try_acquire(P, "one", nonce, LONG).await);
        assert!(
            tokens.insert(token.as_str().to_owned()),
            "{token:?} was given before"
        );
        hub.store
            .release_lease(P, &token)
            .await
            .expect("a lease is given back");
    }
}

/// A lease given back is free at once, and was not left to expire.
pub async fn a_lease_given_back_is_free(hub: StoreHub) {
    let (token, _, _) = granted(hub.try_acquire(P, "one", 1, LONG).await);
    for _ in 0..2 {
        let released = hub.store.release_lease(P, &token).await;
        assert_eq!(released, Ok(()), "giving back twice is no error");
    }
    assert_eq!(renew(&hub, &[(P, &token)], LONG).await, [false]);
    let (_, after_expiry, _) = granted(hub.try_acquire(P, "two", 2, LONG).await);
    assert!(!after_expiry, "it was given back");
}

/// A token that is not the lease's gives nothing back.
pub async fn only_the_holder_gives_back(hub: StoreHub) {
    let (first, _, _) = granted(hub.try_acquire(P, "one", 1, LONG).await);
    hub.store
        .release_lease(P, &first)
        .await
        .expect("a lease is given back");
    let (second, _, _) = granted(hub.try_acquire(P, "two", 2, LONG).await);
    for stranger in [first, LeaseToken::new(9, 9)] {
        assert_eq!(hub.store.release_lease(P, &stranger).await, Ok(()));
        assert_held(hub.try_acquire(P, "three", 3, LONG).await, "two");
    }
    assert_eq!(renew(&hub, &[(P, &second)], LONG).await, [true]);
}

/// An expired lease goes to whoever asks, who is told that it had expired; the old token is worth nothing then.
pub async fn an_expired_lease_goes_to_another(hub: StoreHub) {
    let (lost, _, _) = granted(hub.try_acquire(P, "one", 1, SHORT).await);
    let (token, after_expiry, _) = take_over(&hub, "two", 2).await;
    assert!(after_expiry, "it had expired");
    assert_ne!(token, lost);
    assert_eq!(renew(&hub, &[(P, &lost)], LONG).await, [false]);
    assert_eq!(hub.store.release_lease(P, &lost).await, Ok(()));
    assert_held(hub.try_acquire(P, "three", 3, LONG).await, "two");
}

/// A lease that is renewed outlives its first time.
pub async fn renewal_keeps_a_lease(hub: StoreHub) {
    let (token, _, _) = granted(hub.try_acquire(P, "one", 1, LONG).await);
    let again = LONG * 3;
    for _ in 0..2 {
        assert_eq!(renew(&hub, &[(P, &token)], again).await, [true]);
        let expires_in = assert_held(hub.try_acquire(P, "two", 2, LONG).await, "one");
        assert!(
            expires_in > LONG,
            "renewed for {again:?}, it expires in {expires_in:?}"
        );
    }
    assert_eq!(renew(&hub, &[(P, &token)], SHORT).await, [true]);
    let (_, after_expiry, _) = take_over(&hub, "two", 3).await;
    assert!(after_expiry, "a renewed lease expires too");
}

/// Each renewal is told for itself whether its lease is still held, in the order asked.
pub async fn renewal_tells_what_is_lost(hub: StoreHub) {
    let mut tokens = Vec::new();
    for partition in PartitionId::all(3) {
        tokens.push(
            granted(
                hub.try_acquire(partition, "one", hub.runtime.random(), LONG)
                    .await,
            )
            .0,
        );
    }
    hub.store
        .release_lease(PartitionId(1), &tokens[1])
        .await
        .expect("a lease is given back");
    let nobodys = LeaseToken::new(1, 1);
    let renewed = renew(
        &hub,
        &[
            (PartitionId(2), &tokens[2]),
            (PartitionId(1), &tokens[1]),
            (PartitionId(3), &nobodys),
            (PartitionId(0), &tokens[2]),
            (PartitionId(0), &tokens[0]),
        ],
        LONG,
    )
    .await;
    assert_eq!(renewed, [true, false, false, false, true]);
    assert_eq!(renew(&hub, &[], LONG).await, [] as [bool; 0]);
}

/// The era marked as rebuilt is told to the next owners; only the owner marks it, and the epoch never goes back.
pub async fn what_was_rebuilt_is_remembered(hub: StoreHub) {
    let run = hub.store.pulse().await.expect("the hub has a pulse").era.run;
    let era = |epoch| Era {
        epoch: Epoch::new(epoch),
        run: run.clone(),
    };
    let mark = async |token: &LeaseToken, epoch| hub.store.mark_rebuilt(P, token, &era(epoch)).await;
    let (first, _, _) = granted(hub.try_acquire(P, "one", 1, LONG).await);
    assert_eq!(mark(&first, 3).await, Ok(true));
    hub.store
        .release_lease(P, &first)
        .await
        .expect("a lease is given back");
    assert_eq!(mark(&first, 8).await, Ok(false));
    let (second, _, rebuilt) = granted(hub.try_acquire(P, "two", 2, SHORT).await);
    assert_eq!(rebuilt, era(3), "as marked before it was given back");
    for epoch in [4, 4, 2] {
        assert_eq!(mark(&second, epoch).await, Ok(true));
    }
    let (_, _, rebuilt) = take_over(&hub, "three", 3).await;
    assert_eq!(rebuilt, era(4), "as marked before it expired");
    assert_eq!(mark(&second, 9).await, Ok(false));
    let (_, _, rebuilt) = granted(hub.try_acquire(PartitionId(0), "one", 4, LONG).await);
    assert_eq!(rebuilt.epoch, Epoch::new(0), "each partition has its own");
}

async fn look(hub: &StoreHub, partitions: &[PartitionId]) -> Vec<Option<HeldLease>> {
    let leases = hub.store.leases(partitions.to_vec()).await;
    leases.expect("a look at leases is answered")
}

async fn holder(hub: &StoreHub) -> Option<HeldLease> {
    look(hub, &[P]).await.remove(0)
}

/// Tries to take the lease early from the holder of this token.
async fn try_early(hub: &StoreHub, worker: &str, nonce: u128, from: &LeaseToken) -> LeaseOutcome {
    let wish = LeaseWish {
        early: Some(from.clone()),
        ..LeaseWish::new(nonce, LONG)
    };
    let outcome = hub.store.acquire_lease(P, &worker_id(worker), wish).await;
    outcome.expect("a wish for a lease is answered")
}

/// A look tells who holds each lease, under which token and whether it consumes, in the order asked, and changes
/// nothing.
pub async fn a_look_tells_who_holds_what(hub: StoreHub) {
    let others = [PartitionId(0), P, PartitionId(3)];
    assert_eq!(look(&hub, &others).await, [None, None, None]);
    assert_eq!(look(&hub, &[]).await, []);
    let (token, _, _) = granted(hub.try_acquire(P, "one", 1, LONG).await);
    for consuming in [false, true, false] {
        if consuming {
            assert_eq!(renew(&hub, &[(P, &token)], LONG).await, [true]);
        } else {
            let silent = LeaseRenewal {
                partition: P,
                token: token.clone(),
                consuming,
            };
            assert_eq!(hub.store.renew_leases(vec![silent], LONG).await, Ok(vec![true]));
        }
        for _ in 0..2 {
            let [free, Some(held), beyond] = &look(&hub, &others).await[..] else {
                panic!("partition {P} is held");
            };
            assert_eq!((free, beyond), (&None, &None));
            assert_eq!((&held.owner, &held.token), (&worker_id("one"), &token));
            assert_eq!(held.consuming, consuming);
            assert!(held.expires_in <= LONG && held.expires_in > LONG / 2, "{held:?}");
        }
    }
    hub.store
        .release_lease(P, &token)
        .await
        .expect("a lease is given back");
    assert_eq!(holder(&hub).await, None, "it was given back");
}

/// A lease that has expired shows its last holder until somebody takes it.
pub async fn an_expired_lease_shows_its_last_holder(hub: StoreHub) {
    let (token, _, _) = granted(hub.try_acquire(P, "one", 1, SHORT).await);
    let held = until(&hub.runtime, "the lease expires", || async {
        holder(&hub).await.filter(|held| held.expires_in.is_zero())
    })
    .await;
    assert_eq!((held.owner, &held.token), (worker_id("one"), &token));
    let (second, _, _) = granted(hub.try_acquire(P, "two", 2, LONG).await);
    assert_eq!(holder(&hub).await.map(|held| held.token), Some(second));
}

/// A lease whose holder consumes goes early to who names its token; the holder has not given it back and is told
/// so by its renewal. The same wish again is granted again.
pub async fn a_consuming_holder_can_be_replaced_early(hub: StoreHub) {
    let (lost, _, _) = granted(hub.try_acquire(P, "one", 1, LONG).await);
    assert_eq!(renew(&hub, &[(P, &lost)], LONG).await, [true]);
    let (token, after_expiry, _) = granted(try_early(&hub, "two", 2, &lost).await);
    assert!(after_expiry, "it was not given back");
    assert_ne!(token, lost);
    let (again, after_expiry, _) = granted(try_early(&hub, "two", 2, &lost).await);
    assert_eq!((again, after_expiry), (token.clone(), true), "the same wish");
    assert_eq!(renew(&hub, &[(P, &lost)], LONG).await, [false]);
    let held = holder(&hub).await.expect("it is held");
    assert_eq!((held.owner, held.token), (worker_id("two"), token));
    assert!(!held.consuming, "the new holder has not said so yet");
}

/// A lease is not taken early from a holder that does not consume, nor under another token than its own, nor does
/// a token that was the lease's once help.
pub async fn an_early_wish_names_a_consuming_holder(hub: StoreHub) {
    let (first, _, _) = granted(hub.try_acquire(P, "one", 1, LONG).await);
    assert_held(try_early(&hub, "two", 2, &first).await, "one");
    assert_eq!(renew(&hub, &[(P, &first)], LONG).await, [true]);
    for stranger in [LeaseToken::new(1, 9), LeaseToken::from("")] {
        assert_held(try_early(&hub, "two", 2, &stranger).await, "one");
    }
    let (second, _, _) = granted(try_early(&hub, "two", 2, &first).await);
    assert_eq!(renew(&hub, &[(P, &second)], LONG).await, [true]);
    assert_held(try_early(&hub, "three", 3, &first).await, "two");
    assert_held(hub.try_acquire(P, "three", 3, LONG).await, "two");
}

/// Of many who take a lease early at once, exactly one gets it.
pub async fn one_of_many_takes_it_early(hub: StoreHub) {
    let (lost, _, _) = granted(hub.try_acquire(P, "one", 1, LONG).await);
    assert_eq!(renew(&hub, &[(P, &lost)], LONG).await, [true]);
    let outcomes = at_once(
        &hub.runtime,
        (0..16).map(|number| {
            let (store, nonce, early) = (Arc::clone(&hub.store), hub.runtime.random(), lost.clone());
            async move {
                let wish = LeaseWish {
                    early: Some(early),
                    ..LeaseWish::new(nonce, LONG)
                };
                let worker = worker_id(&format!("worker-{number}"));
                store.acquire_lease(P, &worker, wish).await
            }
        }),
    )
    .await;
    let is_granted = |outcome: &&Result<LeaseOutcome, _>| matches!(outcome, Ok(LeaseOutcome::Granted { .. }));
    assert_eq!(outcomes.iter().filter(is_granted).count(), 1, "{outcomes:?}");
}
