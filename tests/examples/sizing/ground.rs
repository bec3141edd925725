//! Owns the servers that are measured, the hubs on them, and what Redis says of its memory and its log.
//! Never keeps a hub to itself: each measurement has its own, on the same servers.

use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use futures::stream::{self, StreamExt, TryStreamExt};
use longhaul_backends::rabbitmq::{QueueType, RabbitBroker, RabbitConfig, Role};
use longhaul_backends::redis::{RedisConfig, RedisStore};
use longhaul_backends::runtime::TokioRuntime;
use longhaul_client::Client;
use longhaul_sdk::Orchestration;
use longhaul_shared::id::{HubName, InstanceId, PartitionId};
use longhaul_shared::port::{HubSettings, LoadRequest, PageRequest, Ports, Runtime};
use longhaul_tests::binaries::{Binary, READY};
use longhaul_tests::servers::{RabbitServer, RedisServer};
use redis::Commands;
use serde::Serialize;
use tokio::sync::Mutex;

use crate::worker::Worker;

const PARTITIONS: u16 = 16;
const STARTS_AT_ONCE: usize = 64;
const ROWS_AT_ONCE: usize = 500;
/// A hub that has not changed for so long has come to rest.
const QUIET: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(200);
const DEADLINE: Duration = Duration::from_secs(600);

/// Private servers.
pub(crate) struct Ground {
    redis: RedisServer,
    rabbit: RabbitServer,
    programs: PathBuf,
}

/// What Redis holds, in bytes.
pub(crate) struct Usage {
    pub(crate) memory: u64,
    pub(crate) file: u64,
}

impl Ground {
    /// On a Redis with these settings, a name and a value each.
    pub(crate) fn new(programs: PathBuf, settings: &[String]) -> anyhow::Result<Self> {
        // A rewrite would shorten what is measured.
        let mut configuration = vec![("auto-aof-rewrite-percentage", "0")];
        for setting in settings.chunks(2) {
            let [name, value] = setting else {
                bail!("the setting {setting:?} has no value");
            };
            configuration.push((name, value));
        }
        Ok(Self {
            redis: RedisServer::with_config(&configuration)?,
            rabbit: RabbitServer::start()?,
            programs,
        })
    }

    /// When and with what this is measured.
    pub(crate) fn told(&self) -> anyhow::Result<String> {
        let day = Command::new("date").args(["-u", "+%F %H:%M UTC"]).output()?;
        let cores = std::thread::available_parallelism()?;
        Ok(format!(
            "{}; Redis {}; {cores} cores, load {}; {PARTITIONS} partitions; workers of {}",
            String::from_utf8_lossy(&day.stdout).trim(),
            self.info("server", "redis_version")?,
            load()?,
            self.programs.display()
        ))
    }

    pub(crate) async fn hub(&self, name: &str) -> anyhow::Result<Hub> {
        let name = HubName::new(name)?;
        let ports = self.ports(&name, Role::Client).await?;
        let settings = HubSettings {
            partitions: PARTITIONS,
        };
        ports.store.open_hub(settings).await?;
        Ok(Hub {
            client: Client::new(ports.clone(), name.clone()).await?,
            ports,
            name,
            ids: Mutex::default(),
        })
    }

    async fn ports(&self, hub: &HubName, role: Role) -> anyhow::Result<Ports> {
        let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current());
        let redis = RedisConfig::new(self.redis.url(), hub.clone());
        let rabbit = RabbitConfig::new(self.rabbit.url(), hub.clone(), QueueType::Quorum, role);
        Ok(Ports {
            store: RedisStore::connect(redis, Arc::clone(&runtime)).await?,
            broker: RabbitBroker::connect(rabbit, Arc::clone(&runtime)).await?,
            runtime,
        })
    }

    /// A worker of this hub that is ready.
    pub(crate) fn worker(&self, program: Binary, hub: &Hub) -> anyhow::Result<Worker> {
        let arguments = [
            format!("--hub.name={}", hub.name),
            format!("--redis.url={}", self.redis.url()),
            format!("--amqp.url={}", self.rabbit.url()),
        ];
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        let mut running = program.start_of(&self.programs, &arguments)?;
        running.says(READY, DEADLINE)?;
        Ok(Worker(running))
    }

    pub(crate) fn usage(&self) -> anyhow::Result<Usage> {
        Ok(Usage {
            memory: self.info("memory", "used_memory")?.parse()?,
            file: self.info("persistence", "aof_current_size")?.parse()?,
        })
    }

    /// How often scripts were called so far, for whatever.
    pub(crate) fn scripts(&self) -> anyhow::Result<u64> {
        let told = self.info("commandstats", "cmdstat_evalsha")?;
        let calls = told.split(',').find_map(|part| part.strip_prefix("calls="));
        Ok(calls.context("Redis tells no calls")?.parse()?)
    }

    /// The memory that the hub's histories take, and how many events they hold.
    pub(crate) fn history(&self, hub: &Hub) -> anyhow::Result<(u64, u64)> {
        let mut connection = self.connection()?;
        let pattern = format!("{{{}:p*}}:h:*", hub.name);
        let keys: Vec<Vec<u8>> = connection.scan_match(pattern)?.collect::<Result<_, _>>()?;
        let (mut bytes, mut events) = (0, 0);
        for key in keys {
            let mut usage = redis::cmd("MEMORY");
            usage.arg("USAGE").arg(&key).arg("SAMPLES").arg(0);
            bytes += usage.query::<u64>(&mut connection)?;
            // The id of an entry says how many events it holds.
            let entries: redis::streams::StreamRangeReply = connection.xrange_all(&key)?;
            for entry in entries.ids {
                let (_, count) = entry.id.split_once('-').context("an entry's id has two parts")?;
                events += count.parse::<u64>()?;
            }
        }
        Ok((bytes, events))
    }

    fn connection(&self) -> anyhow::Result<redis::Connection> {
        Ok(redis::Client::open(self.redis.url())?.get_connection()?)
    }

    fn info(&self, section: &str, name: &str) -> anyhow::Result<String> {
        let told: String = redis::cmd("INFO").arg(section).query(&mut self.connection()?)?;
        let mut lines = told.lines().filter_map(|line| line.trim_end().split_once(':'));
        let found = lines.find(|(found, _)| *found == name);
        Ok(found
            .with_context(|| format!("Redis tells no {name}"))?
            .1
            .to_owned())
    }
}

/// A hub that is measured.
pub(crate) struct Hub {
    pub(crate) ports: Ports,
    pub(crate) name: HubName,
    client: Client,
    ids: Mutex<Vec<InstanceId>>,
}

impl Hub {
    pub(crate) async fn orchestrator_ports(&self, ground: &Ground) -> anyhow::Result<Ports> {
        ground.ports(&self.name, Role::Orchestrator).await
    }

    /// Starts so many instances.
    pub(crate) async fn start<I, O>(
        &self,
        count: u64,
        contract: Orchestration<I, O>,
        input: I,
    ) -> anyhow::Result<()>
    where
        I: Serialize + Clone + 'static,
        O: 'static,
    {
        let starts = (0..count).map(async |_| {
            let handle = self.client.start(contract, input.clone()).await?;
            anyhow::Ok(handle.id().clone())
        });
        let ids: Vec<_> = stream::iter(starts)
            .buffer_unordered(STARTS_AT_ONCE)
            .try_collect()
            .await?;
        self.ids.lock().await.extend(ids);
        Ok(())
    }

    /// Waits until the `count` instances that were started last have ended.
    pub(crate) async fn end(&self, count: u64) -> anyhow::Result<()> {
        let ids = self.ids.lock().await;
        for id in ids.iter().rev().take(usize::try_from(count)?) {
            let row = self.ports.store.wait_terminal(id, DEADLINE).await?;
            if row.is_none_or(|row| !row.status.is_terminal()) {
                bail!("{id} has not ended within {DEADLINE:?}");
            }
        }
        Ok(())
    }

    /// Waits until all instances have had a turn, nothing is in the outbox, and nothing has changed for a while.
    pub(crate) async fn settles(&self, count: u64) -> anyhow::Result<()> {
        let mut since = (0, self.ports.runtime.now());
        let mut looks = async || {
            let (events, are_begun) = self.events().await?;
            let now = self.ports.runtime.now();
            if events != since.0 || events < count || !are_begun || !self.is_sent().await? {
                since = (events, now);
            }
            Ok(now.since(since.1) >= QUIET)
        };
        self.until(&mut looks).await
    }

    /// Looks until it is so.
    pub(crate) async fn until(
        &self,
        mut look: impl AsyncFnMut() -> anyhow::Result<bool>,
    ) -> anyhow::Result<()> {
        let begun = self.ports.runtime.now();
        while !look().await? {
            if self.ports.runtime.now().since(begun) > DEADLINE {
                bail!("gave up after {DEADLINE:?}");
            }
            self.ports.runtime.sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// How many events there are, and whether every instance has some.
    async fn events(&self) -> anyhow::Result<(u64, bool)> {
        let ids = self.ids.lock().await;
        let (mut events, mut are_begun) = (0, true);
        for some in ids.chunks(ROWS_AT_ONCE) {
            let requests = some.iter().map(|id| LoadRequest {
                id: id.clone(),
                history: false,
            });
            for loaded in self.ports.store.load(requests.collect()).await {
                let row = loaded?.context("an instance is lost")?.row;
                events += row.last_seq.0;
                are_begun &= row.last_seq.0 > 0;
            }
        }
        Ok((events, are_begun))
    }

    async fn is_sent(&self) -> anyhow::Result<bool> {
        for partition in PartitionId::all(PARTITIONS) {
            let page = PageRequest {
                cursor: None,
                limit: 1,
            };
            if !self
                .ports
                .store
                .outbox(partition, page)
                .await?
                .messages
                .is_empty()
            {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The load of the machine.
pub(crate) fn load() -> anyhow::Result<String> {
    let text = std::fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().take(3).collect::<Vec<_>>().join(" "))
}
