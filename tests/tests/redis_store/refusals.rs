//! Which servers and hubs the store refuses, and what it says then.
//! Never about a server that was good and failed later.

use std::sync::Arc;
use std::time::Duration;

use longhaul_backends::redis::{Durability, RedisConfig, RedisStore};
use longhaul_backends::runtime::TokioRuntime;
use longhaul_shared::id::{PartitionId, WorkerId};
use longhaul_shared::port::{HubSettings, LeaseWish, Runtime, Store, StoreError};
use longhaul_tests::servers::{RedisServer, Servers};
use redis::Commands;

use crate::bench::{Bench, PARTITIONS, config, refusal, says, start};

#[tokio::test]
async fn a_server_that_may_lose_or_evict_is_refused_unless_allowed() {
    let settings = [("maxmemory-policy", "allkeys-lru"), ("appendfsync", "everysec")];
    let server = RedisServer::with_config(&settings).unwrap();
    let error = refusal(config(&server.url(), "h")).await;
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    says(
        &error,
        &[
            "LH1502",
            "maxmemory-policy is allkeys-lru",
            "appendfsync is everysec",
        ],
    );
    says(
        &error,
        &[
            "Set appendonly yes",
            "redis.allow_unsafe",
            &server.port().to_string(),
        ],
    );

    let bench = Bench::with(&server.url(), |config| config.allow_unsafe = true).await;
    bench.create("a").await;
}

#[tokio::test]
async fn a_server_without_aof_is_refused_also_when_config_is_forbidden() {
    let server = RedisServer::with_config(&[("appendonly", "no")]).unwrap();
    let mut raw = redis::Client::open(server.url())
        .unwrap()
        .get_connection()
        .unwrap();
    let user = ["app", "on", ">secret", "~*", "&*", "+@all", "-config"];
    let _: () = redis::cmd("ACL")
        .arg("SETUSER")
        .arg(&user)
        .query(&mut raw)
        .unwrap();
    let url = format!("redis://app:secret@127.0.0.1:{}/", server.port());
    says(&refusal(config(&url, "h")).await, &["LH1502", "appendonly is no"]);

    let _: () = redis::cmd("CONFIG")
        .arg(&["SET", "appendonly", "yes"])
        .query(&mut raw)
        .unwrap();
    let bench = Bench::with(&url, |_| ()).await;
    bench.create("a").await;
}

#[tokio::test]
async fn what_keeps_it_from_connecting_is_one_sentence_without_the_password() {
    let server = RedisServer::with_config(&[("requirepass", "right")]).unwrap();
    let address = format!("127.0.0.1:{}", server.port());
    let wrong = refusal(config(&format!("redis://:secret@{address}/"), "h")).await;
    assert!(matches!(wrong, StoreError::Refused { .. }), "{wrong:?}");
    says(&wrong, &["LH1501", &address, "WRONGPASS"]);

    let none = refusal(config(&format!("redis://{address}/"), "h")).await;
    assert!(matches!(none, StoreError::Refused { .. }), "{none:?}");
    says(&none, &["LH1501", &address, "NOAUTH"]);

    drop(server);
    let nothing = refusal(config(&format!("redis://:secret@{address}/"), "h")).await;
    assert!(matches!(nothing, StoreError::Unavailable { .. }), "{nothing:?}");
    says(&nothing, &["LH1501", &address, "refused"]);

    let invalid = refusal(config("http://secret@x", "h")).await;
    assert!(matches!(invalid, StoreError::Refused { .. }), "{invalid:?}");
    says(&invalid, &["LH1601", "redis://"]);
}

#[tokio::test]
async fn a_hub_of_another_version_or_with_other_settings_is_incompatible() {
    let mut bench = Bench::shared().await;
    let url = Servers::shared_redis().unwrap();
    let reopen = async |change: fn(&mut RedisConfig)| {
        let mut config = config(url, &bench.hub);
        change(&mut config);
        let store = RedisStore::connect(config, bench.runtime.clone()).await.unwrap();
        let opened = store.open_hub(HubSettings { partitions: 9 }).await;
        // Who never opens the hub must not use it either.
        let used = store.create(start("a")).await;
        assert_eq!(opened.is_err(), used.is_err());
        opened
    };
    assert_eq!(reopen(|_| ()).await.unwrap().partitions, PARTITIONS);
    let error = reopen(|config| config.queue_type = "classic".to_owned())
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Incompatible { .. }), "{error:?}");
    says(&error, &["LH1504", "\"classic\"", "\"quorum\""]);
    let error = reopen(|config| config.durability = Durability::Replicated)
        .await
        .unwrap_err();
    says(&error, &["LH1504", "\"single\"", "\"replicated\""]);

    let _: () = bench.raw.hset(format!("{}:meta", bench.hub), "sv", 2).unwrap();
    let error = reopen(|_| ()).await.unwrap_err();
    says(&error, &["LH1504", "schema version 2", "reads 1 to 1"]);
}

#[tokio::test]
async fn a_hub_that_was_never_made_cannot_be_used() {
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current());
    let hub = format!("t{:032x}", runtime.random());
    let store = RedisStore::connect(config(Servers::shared_redis().unwrap(), &hub), runtime)
        .await
        .unwrap();
    says(
        &store.create(start("a")).await.unwrap_err(),
        &["LH1504", "does not exist"],
    );
}

#[tokio::test]
async fn who_may_not_run_all_of_a_commit_owns_nothing() {
    let server = RedisServer::start().unwrap();
    let bench = Bench::on(&server).await;
    let mut raw = redis::Client::open(server.url())
        .unwrap()
        .get_connection()
        .unwrap();
    let user = ["app", "on", ">secret", "~*", "&*", "+@all", "-zrem"];
    let _: () = redis::cmd("ACL")
        .arg("SETUSER")
        .arg(&user)
        .query(&mut raw)
        .unwrap();
    let url = format!("redis://app:secret@127.0.0.1:{}/", server.port());
    let store = RedisStore::connect(config(&url, &bench.hub), bench.runtime.clone())
        .await
        .unwrap();
    let worker = WorkerId::new("limited").unwrap();
    let error = store
        .acquire_lease(PartitionId(0), &worker, LeaseWish::new(1, Duration::from_secs(1)))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Refused { .. }), "{error:?}");
    says(&error, &["LH1501", "may not run ZREM"]);
}
