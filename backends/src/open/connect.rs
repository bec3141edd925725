//! Owns the choice of adapters, their opening and their closing.
//! Never makes a hub: the orchestrator worker does, with the settings handed on here.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use longhaul_shared::id::HubName;
use longhaul_shared::port::{
    Broker, BrokerError, HubSettings, Ports, Runtime, Source, Store, StoreError, within,
};
use longhaul_telemetry::{Check, prometheus};

use super::error::OpenError;
use super::health;
use crate::config::{Config, PemFile, StoreKind};
use crate::embedded::Embedded;
use crate::metered::{Consumption, MeteredBroker, MeteredStore, PortMetrics};
use crate::rabbitmq::{RabbitBroker, RabbitConfig, Role};
use crate::redis::{RedisConfig, RedisStore, RedisTimeouts};
use crate::tls::{Part, Tls};

/// Longest time a server may take to let the program in. Whoever supervises the program tries again sooner than
/// its own patience would.
const OPEN_WITHIN: Duration = Duration::from_secs(10);

const AMQP_FILES: [&str; 3] = ["amqp.tls_ca", "amqp.tls_cert", "amqp.tls_key"];
const REDIS_FILES: [&str; 3] = ["redis.tls_ca", "redis.tls_cert", "redis.tls_key"];

/// An open hub.
pub struct Opened {
    /// The three doors.
    pub ports: Ports,
    /// Which hub.
    pub hub: HubName,
    /// What the hub is made with if it does not exist yet.
    pub hub_settings: HubSettings,
    consumption: Consumption,
    metrics: Arc<PortMetrics>,
    rabbit: Option<Arc<RabbitBroker>>,
}

impl Opened {
    /// Waits until each of these sources is subscribed to through [`Opened::ports`]: from then on the program is ready.
    ///
    /// # Cancel safety
    /// Safe: it only looks.
    pub fn consuming(&self, sources: Vec<Source>) -> impl Future<Output = ()> + Send + use<> {
        self.consumption.until_consuming(sources)
    }

    /// Tells what is consumed through [`Opened::ports`], at any time.
    #[must_use]
    pub fn consumption(&self) -> Consumption {
        self.consumption.clone()
    }

    /// Says, whenever it is asked, what of the ports keeps a program from being ready that is to consume these sources;
    /// shows by the way what it sees in the metrics.
    pub fn checks(&self, sources: Vec<Source>) -> impl Fn() -> Vec<Check> + Send + Sync + 'static {
        health::checks(
            self.ports.clone(),
            Arc::clone(&self.metrics),
            self.consumption.clone(),
            sources,
        )
    }

    /// Shows the metrics of the ports to whoever gathers from a registry.
    ///
    /// # Errors
    /// When the registry has metrics of the same names already.
    pub fn register(&self, registry: &prometheus::Registry) -> prometheus::Result<()> {
        self.metrics.register(registry)
    }

    /// Closes the connections in good order, within seconds: confirms that are still out are waited for. Nothing
    /// can be done through the ports afterwards.
    pub async fn shutdown(self) {
        if let Some(rabbit) = &self.rabbit {
            rabbit.shutdown().await;
        }
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opened")
            .field("hub", &self.hub)
            .field("hub_settings", &self.hub_settings)
            .finish_non_exhaustive()
    }
}

/// Opens what the configuration names: connects to RabbitMQ and Redis, or opens the directory of an embedded hub.
/// Nothing of the hub is read or made yet.
///
/// # Errors
/// [`OpenError`], within ten seconds.
///
/// # Cancel safety
/// Dropping the future closes whatever it had opened.
pub async fn open(config: &Config, role: Role, runtime: Arc<dyn Runtime>) -> Result<Opened, OpenError> {
    let (store, broker, rabbit): (Arc<dyn Store>, Arc<dyn Broker>, _) = match config.store.kind {
        StoreKind::Fleet => {
            let (redis, rabbit) =
                futures::try_join!(open_redis(config, &runtime), open_rabbit(config, role, &runtime))?;
            (redis, rabbit.clone(), Some(rabbit))
        }
        StoreKind::Embedded => {
            let embedded = open_embedded(config, &runtime)?;
            (embedded.store(), embedded.broker(), None)
        }
    };
    let metrics = Arc::new(PortMetrics::default());
    let store = MeteredStore::new(store, Arc::clone(&runtime), Arc::clone(&metrics) as _);
    let (broker, consumption) = MeteredBroker::new(broker, Arc::clone(&runtime), Arc::clone(&metrics) as _);
    Ok(Opened {
        ports: Ports {
            store: Arc::new(store),
            broker: Arc::new(broker),
            runtime,
        },
        hub: config.hub.name.clone(),
        hub_settings: HubSettings {
            partitions: config.hub.partitions,
        },
        consumption,
        metrics,
        rabbit,
    })
}

/// Tries every server that the configuration names by itself, so that one that cannot be reached does not hide another.
/// Returns what is wrong; nothing is kept open.
///
/// # Cancel safety
/// Safe: it changes nothing.
pub async fn unreachable(config: &Config, role: Role, runtime: Arc<dyn Runtime>) -> Vec<OpenError> {
    if config.store.kind != StoreKind::Fleet {
        return Vec::new();
    }
    let (redis, rabbit) = futures::join!(open_redis(config, &runtime), open_rabbit(config, role, &runtime));
    let mut wrong: Vec<OpenError> = redis.err().into_iter().collect();
    match rabbit {
        Ok(rabbit) => rabbit.shutdown().await,
        Err(error) => wrong.push(error),
    }
    wrong
}

async fn open_redis(config: &Config, runtime: &Arc<dyn Runtime>) -> Result<Arc<RedisStore>, OpenError> {
    let redis = &config.redis;
    let settings = RedisConfig {
        url: redis.url.expose().to_owned(),
        tls: tls(
            config,
            REDIS_FILES,
            [&redis.tls_ca, &redis.tls_cert, &redis.tls_key],
        )?,
        hub: config.hub.name.clone(),
        durability: config.hub.durability,
        allow_unsafe: config.redis.allow_unsafe,
        queue_type: config.hub.queue_type.as_str().to_owned(),
        timeouts: RedisTimeouts::default(),
    };
    let connecting = Box::pin(RedisStore::connect(settings, Arc::clone(runtime)));
    let connected = within(runtime, OPEN_WITHIN, connecting)
        .await
        .unwrap_or_else(|_| {
            Err(StoreError::Unavailable {
                address: config.redis.url.place(),
                reason: silence(),
            })
        });
    connected.map_err(|error| store_failed(config, "redis.url", error))
}

async fn open_rabbit(
    config: &Config,
    role: Role,
    runtime: &Arc<dyn Runtime>,
) -> Result<Arc<RabbitBroker>, OpenError> {
    let mut settings = RabbitConfig::new(
        config.amqp.url.expose(),
        config.hub.name.clone(),
        config.hub.queue_type,
        role,
    );
    let amqp = &config.amqp;
    settings.tls = tls(config, AMQP_FILES, [&amqp.tls_ca, &amqp.tls_cert, &amqp.tls_key])?;
    let connecting = Box::pin(RabbitBroker::connect(settings, Arc::clone(runtime)));
    let connected = within(runtime, OPEN_WITHIN, connecting)
        .await
        .unwrap_or_else(|_| {
            Err(BrokerError::Unavailable {
                address: config.amqp.url.place(),
                reason: silence(),
            })
        });
    connected.map_err(|error| OpenError::Broker {
        error,
        key: "amqp.url",
        origin: config.origin("amqp.url"),
    })
}

/// Reads the files that these keys name.
fn tls(config: &Config, keys: [&'static str; 3], files: [&Option<PemFile>; 3]) -> Result<Tls, OpenError> {
    let [ca, cert, key] = files.map(|file| file.as_ref().map(|PemFile(path)| path.as_path()));
    Tls::load(ca, cert.zip(key)).map_err(|error| {
        let [ca, cert, key] = keys;
        let said = match error.part {
            Part::Trusted => ca,
            Part::Certificate => cert,
            Part::Key => key,
        };
        OpenError::Tls {
            error,
            key: said,
            origin: config.origin(said),
        }
    })
}

fn open_embedded(config: &Config, runtime: &Arc<dyn Runtime>) -> Result<Embedded, OpenError> {
    let Some(dir) = config.store.dir.as_deref() else {
        tracing::warn!(
            "the hub is in memory only: it is gone when this program ends; set store.dir to keep it"
        );
        return Ok(Embedded::in_memory(Arc::clone(runtime)));
    };
    Embedded::open(dir, Arc::clone(runtime)).map_err(|error| store_failed(config, "store.dir", error))
}

fn store_failed(config: &Config, key: &'static str, error: StoreError) -> OpenError {
    OpenError::Store {
        error,
        key,
        origin: config.origin(key),
    }
}

fn silence() -> String {
    format!("no answer within {OPEN_WITHIN:?}")
}
