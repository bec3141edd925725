//! Runs the conformance suites of both ports on every backend.
//! Never holds a test itself: the suites are in `longhaul_backends::conformance`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    reason = "a test fails by panicking"
)]

use std::sync::Arc;

use longhaul_backends::conformance::BrokerSubject;
use longhaul_backends::rabbitmq::{QueueType, RabbitBroker, RabbitConfig, Role};
use longhaul_backends::runtime::TokioRuntime;
use longhaul_shared::id::HubName;
use longhaul_shared::port::Runtime;
use longhaul_tests::servers::Servers;

fn runtime() -> Arc<dyn Runtime> {
    Arc::new(TokioRuntime::current())
}

/// A name that no other test has, for servers that tests share.
fn fresh_hub() -> HubName {
    HubName::new(format!("conformance-{:032x}", runtime().random())).expect("a valid hub name")
}

mod embedded_in_memory {
    use longhaul_backends::conformance::{BrokerSubject, StoreSubject};
    use longhaul_backends::embedded::Embedded;

    use super::runtime;

    async fn store() -> StoreSubject {
        StoreSubject::new(Embedded::in_memory(runtime()).store(), runtime())
    }

    async fn broker() -> BrokerSubject {
        BrokerSubject::new(Embedded::in_memory(runtime()).broker(), runtime())
    }

    longhaul_backends::store_conformance!(store);
    longhaul_backends::broker_conformance!(broker);
}

mod embedded_on_disk {
    use longhaul_backends::conformance::{BrokerSubject, StoreSubject};
    use longhaul_backends::embedded::Embedded;
    use tempfile::TempDir;

    use super::runtime;

    fn open() -> (TempDir, Embedded) {
        let dir = tempfile::tempdir().expect("a directory can be made");
        let hub = Embedded::open(dir.path(), runtime()).expect("a new hub opens");
        (dir, hub)
    }

    async fn store() -> StoreSubject {
        let (dir, hub) = open();
        StoreSubject::new(hub.store(), runtime()).keeping(dir)
    }

    async fn broker() -> BrokerSubject {
        let (dir, hub) = open();
        BrokerSubject::new(hub.broker(), runtime()).keeping(dir)
    }

    longhaul_backends::store_conformance!(store);
    longhaul_backends::broker_conformance!(broker);
}

/// The wrappers, around a hub that needs no server.
mod metered {
    use std::sync::Arc;

    use longhaul_backends::conformance::{BrokerSubject, StoreSubject};
    use longhaul_backends::embedded::Embedded;
    use longhaul_backends::metered::{MeteredBroker, MeteredStore};

    use super::runtime;

    async fn store() -> StoreSubject {
        let store = Embedded::in_memory(runtime()).store();
        let metered = MeteredStore::new(store, runtime(), Arc::new(()));
        StoreSubject::new(Arc::new(metered), runtime())
    }

    async fn broker() -> BrokerSubject {
        let broker = Embedded::in_memory(runtime()).broker();
        let (metered, consumption) = MeteredBroker::new(broker, runtime(), Arc::new(()));
        BrokerSubject::new(Arc::new(metered), runtime()).keeping(consumption)
    }

    longhaul_backends::store_conformance!(store);
    longhaul_backends::broker_conformance!(broker);
}

mod redis {
    use longhaul_backends::conformance::StoreSubject;
    use longhaul_backends::redis::{RedisConfig, RedisStore};

    use super::{Servers, fresh_hub, runtime};

    async fn store() -> StoreSubject {
        let url = Servers::shared_redis().expect("a Redis for the tests");
        let config = RedisConfig::new(url, fresh_hub());
        let store = RedisStore::connect(config, runtime())
            .await
            .expect("the tests' Redis is reached");
        StoreSubject::new(store, runtime())
    }

    longhaul_backends::store_conformance!(store);
}

mod rabbitmq_quorum {
    use super::{BrokerSubject, QueueType, rabbitmq};

    async fn broker() -> BrokerSubject {
        rabbitmq(QueueType::Quorum).await
    }

    longhaul_backends::broker_conformance!(broker);
}

mod rabbitmq_classic {
    use super::{BrokerSubject, QueueType, rabbitmq};

    async fn broker() -> BrokerSubject {
        rabbitmq(QueueType::Classic).await
    }

    longhaul_backends::broker_conformance!(broker);
}

async fn rabbitmq(queue_type: QueueType) -> BrokerSubject {
    let url = Servers::shared_rabbit().expect("a RabbitMQ for the tests");
    let config = RabbitConfig::new(url, fresh_hub(), queue_type, Role::Orchestrator);
    let broker = RabbitBroker::connect(config, runtime())
        .await
        .expect("the tests' RabbitMQ is reached");
    BrokerSubject::new(broker, runtime())
}
