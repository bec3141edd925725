//! Owns what every part of the store needs of a hub: its connections, its keys, its settings.
//! Never lets a hub be used that was made by a version or with settings this program does not share.

use std::sync::{Arc, OnceLock};

use ::redis::{Cmd, FromRedisValue, Pipeline, RedisResult, Value, from_redis_value};
use longhaul_shared::id::{Epoch, InstanceId, PartitionId, QueueName};
use longhaul_shared::limits;
use longhaul_shared::port::{Era, HubInfo, HubSettings, Pulse, Runtime, StoreError, StoreRun};
use longhaul_shared::time::Timestamp;

use super::config::{Durability, RedisConfig};
use super::connection::{Link, Server};
use super::error::{store_error, unreadable};
use super::keys::{Keys, PartitionKeys};
use super::safety::{self, Fill, Said};
use super::script::{self, Call, Lua};

pub(super) static OPEN_HUB: Lua = Lua::new(include_str!("open_hub.lua"));
pub(super) static NOTE_QUEUE: Lua = Lua::new(include_str!("note_queue.lua"));
pub(super) static ADVANCE_EPOCH: Lua = Lua::new(include_str!("advance_epoch.lua"));

/// The schema this program writes, and the range it reads.
const SCHEMA_VERSION: u32 = 1;
const SCHEMA_VERSIONS_READ: std::ops::RangeInclusive<u32> = 1..=1;

/// Connections for changes. Redis reads about 16 KiB of a connection, runs what is in it, and then syncs its log
/// before it answers: on one connection a dozen commits would share a sync, on several all that have arrived.
/// Under `replicated` a connection is deaf while it waits for a replica. Opened as they are needed.
const LANES: usize = 8;

/// A hub on a server.
pub(super) struct Hub {
    pub(super) keys: Keys,
    pub(super) config: RedisConfig,
    pub(super) runtime: Arc<dyn Runtime>,
    pub(super) server: Server,
    fill: Fill,
    /// Everything short.
    commands: Link,
    /// Reads that may be long, so that nothing short waits behind them.
    bulk: Link,
    /// Changes that count as accepted once answered: the idlest is taken. See [`LANES`].
    lanes: Vec<Link>,
    /// How many partitions the hub has, once known.
    partitions: OnceLock<u16>,
}

impl Hub {
    /// Connects, and refuses a server that could lose what it accepts.
    pub(super) async fn connect(
        config: RedisConfig,
        runtime: Arc<dyn Runtime>,
        scripts: &[&Lua],
    ) -> Result<Self, StoreError> {
        let server = Server::new(&config, runtime.clone())?;
        let commands = server.connect().await?;
        safety::check(&commands, config.durability, config.allow_unsafe).await?;
        script::load(&commands, scripts).await?;
        let bulk = server.connect_later()?;
        let lanes = (0..LANES)
            .map(|_| server.connect_later())
            .collect::<Result<_, _>>()?;
        Ok(Self {
            keys: Keys::new(config.hub.clone()),
            config,
            fill: Fill::new(runtime.clone()),
            runtime,
            server,
            commands,
            bulk,
            lanes,
            partitions: OnceLock::new(),
        })
    }

    /// See [`Store::open_hub`](longhaul_shared::port::Store::open_hub).
    pub(super) async fn open(&self, settings: HubSettings) -> Result<HubInfo, StoreError> {
        if !(limits::PARTITIONS_MIN..=limits::PARTITIONS_MAX).contains(&settings.partitions) {
            return Err(self.mismatch(format!(
                "cannot have {} partitions: {} to {} are allowed",
                settings.partitions,
                limits::PARTITIONS_MIN,
                limits::PARTITIONS_MAX
            )));
        }
        let meta = self.keys.meta();
        // Who only reads must be able to open a hub while no replica is there to confirm anything.
        if let Some(found) = self.settings().await? {
            return self.agree(&meta, found);
        }
        let mut call = Call::new(&OPEN_HUB, &[&meta]);
        call.arg(settings.partitions)
            .arg(SCHEMA_VERSION)
            .arg(&self.config.queue_type)
            .arg(self.config.durability.name())
            .arg(self.run().await?.0);
        let found: Vec<Option<String>> = self.change(&meta, call).await?;
        self.agree(&meta, found)
    }

    /// See [`Store::time`](longhaul_shared::port::Store::time).
    pub(super) async fn time(&self) -> Result<Timestamp, StoreError> {
        let (seconds, micros): (i64, i64) = self.read("the answer to TIME", ::redis::cmd("TIME")).await?;
        Ok(timestamp(seconds, micros))
    }

    /// See [`Store::pulse`](longhaul_shared::port::Store::pulse).
    pub(super) async fn pulse(&self) -> Result<Pulse, StoreError> {
        let (meta, queues) = (self.keys.meta(), self.keys.queues());
        let mut questions = Pipeline::new();
        questions.ignore_errors();
        questions.cmd("TIME");
        questions.cmd("HMGET").arg(&meta).arg(&["ep", "en"]);
        questions.cmd("SMEMBERS").arg(&queues);
        questions.cmd("INFO").arg("server");
        let answers = self.read_all(&questions).await?;
        let [time, is, noted, info]: [RedisResult<Value>; 4] = answers
            .try_into()
            .map_err(|_| unreadable(&meta, "four questions have four answers"))?;
        let (seconds, micros) = self.answer("the answer to TIME", time)?;
        let (number, nonce): (Option<String>, Option<String>) = self.answer(&meta, is)?;
        if number.is_none() {
            return Err(self.mismatch("does not exist on this server".to_owned()));
        }
        let noted: Vec<String> = self.answer(&queues, noted)?;
        let names = noted.into_iter().map(QueueName::new).collect::<Result<_, _>>();
        Ok(Pulse {
            time: timestamp(seconds, micros),
            era: Era {
                epoch: epoch(&meta, number, nonce)?,
                run: run_in(&self.answer::<String>("the answer to INFO", info)?)?,
            },
            queues: names.map_err(|error| unreadable(&queues, error.to_string()))?,
        })
    }

    /// Which run of the server answers.
    async fn run(&self) -> Result<StoreRun, StoreError> {
        let mut ask = ::redis::cmd("INFO");
        ask.arg("server");
        run_in(&self.read::<String>("the answer to INFO", ask).await?)
    }

    /// See [`Store::note_queue`](longhaul_shared::port::Store::note_queue).
    pub(super) async fn note_queue(&self, queue: &QueueName) -> Result<bool, StoreError> {
        let queues = self.keys.queues();
        let mut call = Call::new(&NOTE_QUEUE, &[&queues]);
        call.arg(queue.as_str());
        self.change(&queues, call).await
    }

    /// See [`Store::advance_epoch`](longhaul_shared::port::Store::advance_epoch).
    pub(super) async fn advance_epoch(&self, seen: Epoch, next: Epoch) -> Result<Epoch, StoreError> {
        let meta = self.keys.meta();
        let mut call = Call::new(&ADVANCE_EPOCH, &[&meta]);
        for part in [seen, next] {
            call.arg(part.number).arg(format!("{:016x}", part.nonce));
        }
        let is: Vec<Option<String>> = self.change(&meta, call).await?;
        match <[Option<String>; 2]>::try_from(is) {
            Ok([Some(number), nonce]) => epoch(&meta, Some(number), nonce),
            _ => Err(self.mismatch("does not exist on this server".to_owned())),
        }
    }

    /// What the server says of itself.
    pub(super) async fn ask_server(&self) -> Result<Said, StoreError> {
        safety::ask(&self.bulk).await
    }

    /// Whether the server takes no new work.
    pub(super) async fn is_full(&self) -> Result<bool, StoreError> {
        self.fill.is_high(&self.commands).await
    }

    /// How many partitions the hub has.
    pub(super) async fn partitions(&self) -> Result<u16, StoreError> {
        if let Some(partitions) = self.partitions.get() {
            return Ok(*partitions);
        }
        let Some(found) = self.settings().await? else {
            return Err(self.mismatch(
                "does not exist on this server: start an orchestrator worker, or open the hub first"
                    .to_owned(),
            ));
        };
        self.agree(&self.keys.meta(), found).map(|info| info.partitions)
    }

    pub(super) async fn partition_of(&self, id: &InstanceId) -> Result<PartitionId, StoreError> {
        Ok(PartitionId::of(id, self.partitions().await?))
    }

    /// The keys of an instance's partition.
    pub(super) async fn keys_of(&self, id: &InstanceId) -> Result<PartitionKeys, StoreError> {
        Ok(self.keys.partition(self.partition_of(id).await?))
    }

    /// Asks for one thing; `what` names the key it is about.
    pub(super) async fn read<T: FromRedisValue>(&self, what: &str, command: Cmd) -> Result<T, StoreError> {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.ignore_errors().add_command(command);
        let answers = self.commands.send(&pipeline).await?;
        self.first(what, answers)
    }

    /// Asks for many things at once.
    pub(super) async fn read_all(&self, commands: &Pipeline) -> Result<Vec<RedisResult<Value>>, StoreError> {
        self.commands.send(commands).await
    }

    /// Asks for many things whose answers may be long.
    pub(super) async fn read_bulk(&self, commands: &Pipeline) -> Result<Vec<RedisResult<Value>>, StoreError> {
        self.bulk.send(commands).await
    }

    /// Calls a script whose effect need not outlive a failover.
    pub(super) async fn call<T: FromRedisValue>(&self, what: &str, call: Call) -> Result<T, StoreError> {
        let answers = self.call_all(vec![call]).await?;
        self.first(what, answers)
    }

    /// Calls scripts whose effects need not outlive a failover.
    pub(super) async fn call_all(&self, calls: Vec<Call>) -> Result<Vec<RedisResult<Value>>, StoreError> {
        script::run(&self.commands, calls, None).await
    }

    /// Calls a script whose effect counts as accepted once this returns.
    pub(super) async fn change<T: FromRedisValue>(&self, what: &str, call: Call) -> Result<T, StoreError> {
        let answers = self.change_all(vec![call]).await?;
        self.first(what, answers)
    }

    /// Calls scripts whose effects count as accepted once this returns.
    pub(super) async fn change_all(&self, calls: Vec<Call>) -> Result<Vec<RedisResult<Value>>, StoreError> {
        let idlest = self.lanes.iter().min_by_key(|lane| lane.calls_under_way());
        let replicate = match self.config.durability {
            Durability::Single => None,
            Durability::Replicated => Some(self.config.timeouts.replicate),
        };
        script::run(idlest.unwrap_or(&self.commands), calls, replicate).await
    }

    /// What an answer says; `what` names the key it is about.
    pub(super) fn answer<T: FromRedisValue>(
        &self,
        what: &str,
        answer: RedisResult<Value>,
    ) -> Result<T, StoreError> {
        let value = answer.map_err(|error| store_error(self.server.address(), what, &error))?;
        from_redis_value(value).map_err(|error| unreadable(what, error.to_string()))
    }

    fn first<T: FromRedisValue>(
        &self,
        what: &str,
        answers: Vec<RedisResult<Value>>,
    ) -> Result<T, StoreError> {
        match answers.into_iter().next() {
            Some(answer) => self.answer(what, answer),
            None => Err(unreadable(what, "the answer is missing")),
        }
    }

    /// What is written down about the hub, if it exists.
    async fn settings(&self) -> Result<Option<Vec<Option<String>>>, StoreError> {
        let meta = self.keys.meta();
        let mut get = ::redis::cmd("HMGET");
        get.arg(&meta).arg(&["p", "ep", "sv", "qt", "du", "rn", "en"]);
        let found: Vec<Option<String>> = self.read(&meta, get).await?;
        Ok(found.iter().any(Option::is_some).then_some(found))
    }

    /// Checks that this program may work with the hub as it was made.
    fn agree(&self, meta: &str, found: Vec<Option<String>>) -> Result<HubInfo, StoreError> {
        let [partitions, epoch, schema, queue_type, durability, born, nonce]: [Option<String>; 7] = found
            .try_into()
            .map_err(|_| unreadable(meta, "a hub has seven settings"))?;
        let schema: u32 = number(meta, "sv", schema)?;
        if !SCHEMA_VERSIONS_READ.contains(&schema) {
            return Err(self.mismatch(format!(
                "has schema version {schema}, and this program reads {} to {}: use a matching version of Longhaul, or another hub name",
                SCHEMA_VERSIONS_READ.start(),
                SCHEMA_VERSIONS_READ.end()
            )));
        }
        let queue_type = queue_type.unwrap_or_default();
        if queue_type != self.config.queue_type {
            return Err(self.mismatch(format!(
                "was made with queue type {queue_type:?}, and this program is configured for {:?}: configure the hub's own, or another hub name",
                self.config.queue_type
            )));
        }
        let durability = durability.unwrap_or_default();
        if durability != self.config.durability.name() {
            return Err(self.mismatch(format!(
                "was made with durability {durability:?}, and this program is configured for {:?}: configure the hub's own, or another hub name",
                self.config.durability.name()
            )));
        }
        let partitions: u16 = number(meta, "p", partitions)?;
        let epoch = self::epoch(meta, epoch, nonce)?;
        let known = *self.partitions.get_or_init(|| partitions);
        if known != partitions {
            return Err(self.mismatch(format!(
                "was made anew: it has {partitions} partitions and had {known}; restart this program"
            )));
        }
        Ok(HubInfo {
            partitions,
            epoch,
            queue_type,
            born: StoreRun(born.unwrap_or_default()),
        })
    }

    fn mismatch(&self, how: String) -> StoreError {
        StoreError::Incompatible {
            reason: format!("the hub {} {how}", self.config.hub),
        }
    }
}

fn epoch(meta: &str, number: Option<String>, nonce: Option<String>) -> Result<Epoch, StoreError> {
    let nonce = nonce.unwrap_or_else(|| "0".to_owned());
    Ok(Epoch {
        number: self::number(meta, "ep", number)?,
        nonce: u64::from_str_radix(&nonce, 16)
            .map_err(|_| unreadable(meta, format!("the field en holds {nonce:?}, which is no nonce")))?,
    })
}

/// The point in time that an answer to TIME tells.
pub(super) fn timestamp(seconds: i64, micros: i64) -> Timestamp {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000).saturating_add(micros))
}

/// The run of the server that this answer to INFO is of.
fn run_in(info: &str) -> Result<StoreRun, StoreError> {
    let run = info
        .lines()
        .find_map(|line| line.trim_end().strip_prefix("run_id:"));
    run.map(|run| StoreRun(run.to_owned()))
        .ok_or_else(|| unreadable("the answer to INFO", "it names no run_id"))
}

fn number<T: std::str::FromStr>(key: &str, field: &str, text: Option<String>) -> Result<T, StoreError> {
    let text = text.ok_or_else(|| unreadable(key, format!("the field {field} is missing")))?;
    text.parse().map_err(|_| {
        unreadable(
            key,
            format!("the field {field} holds {text:?}, which is no number"),
        )
    })
}
