//! Owns one connection to Redis: sends pipelines, waits only so long, and starts afresh where redis-rs would not.
//! Never knows what a command means; a refusal is the command's own answer, no answer is an error.
//!
//! A call that got no answer may have run: everything sent here may be sent twice. A broken connection is
//! therefore tried once more at once, so that an idle one that a server closed costs nobody an error.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ::redis::aio::{ConnectionManager, ConnectionManagerConfig, PubSub};
use ::redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use ::redis::{
    Client, ClientTlsConfig, ConnectionAddr, ErrorKind, IntoConnectionInfo, Pipeline, ProtocolVersion,
    RedisError, RedisResult, TlsCertificates, Value,
};
use longhaul_shared::port::{Runtime, StoreError, within};

use super::config::{RedisConfig, RedisTimeouts};
use super::error::{store_error, unavailable};
use crate::tls::{self, Tls};

/// Commands that may wait in front of one connection; redis-rs' own 50 makes bursts queue twice.
const PIPELINE_BUFFER: usize = 1024;
/// After this many calls without an answer in a row the connection is taken for half-open and replaced.
const SILENT_CALLS_MAX: u32 = 3;
const KEEPALIVE_AFTER: Duration = Duration::from_secs(10);
const KEEPALIVE_EVERY: Duration = Duration::from_secs(5);
/// How long unacknowledged bytes may be on their way before the kernel gives the connection up.
const USER_TIMEOUT: Duration = Duration::from_secs(15);
const RECONNECT_AFTER: Duration = Duration::from_millis(100);

/// Where the server is and how to talk to it; opens connections.
#[derive(Clone)]
pub(super) struct Server {
    client: Client,
    address: Arc<str>,
    timeouts: RedisTimeouts,
    runtime: Arc<dyn Runtime>,
}

impl Server {
    pub(super) fn new(config: &RedisConfig, runtime: Arc<dyn Runtime>) -> Result<Self, StoreError> {
        let info = config
            .url
            .as_str()
            .into_connection_info()
            .map_err(|error| StoreError::Refused {
                reason: format!(
                    "[LH1601] the redis url is not valid: {error}; write redis://[user:password@]host:port/db"
                ),
            })?;
        let (scheme, is_secure) = match info.addr() {
            ConnectionAddr::TcpTls { insecure: true, .. } => {
                return Err(StoreError::Refused {
                    reason: "[LH1601] the redis url ends in #insecure, which would accept any certificate: leave it \
                             out, and name the CA in redis.tls_ca"
                        .to_owned(),
                });
            }
            ConnectionAddr::TcpTls { .. } => ("rediss", true),
            _ => ("redis", false),
        };
        let address = match info.redis_settings().db() {
            0 => format!("{scheme}://{}", info.addr()),
            db => format!("{scheme}://{}/{db}", info.addr()),
        };
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(
                TcpKeepalive::new()
                    .with_time(KEEPALIVE_AFTER)
                    .with_interval(KEEPALIVE_EVERY),
            )
            .set_user_timeout(USER_TIMEOUT);
        // RESP3 tells a lost connection by itself, so that it is replaced before somebody needs it.
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        let info = info.set_tcp_settings(tcp).set_redis_settings(settings);
        let client = if is_secure {
            Client::build_with_tls(info, certificates(&config.tls))
        } else {
            Client::open(info)
        };
        let client = client.map_err(|error| store_error(&address, "the redis url", &error))?;
        Ok(Self {
            client,
            address: address.into(),
            timeouts: config.timeouts,
            runtime,
        })
    }

    /// Where the server is, without credentials.
    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Opens a connection, or says in one sentence why it cannot.
    pub(super) async fn connect(&self) -> Result<Link, StoreError> {
        let opening = ConnectionManager::new_with_config(self.client.clone(), self.manager_config());
        let manager = within(&self.runtime, self.patience(), opening)
            .await
            .map_err(|elapsed| unavailable(&self.address, elapsed.to_string()))?
            .map_err(|error| self.not_met(&error))?;
        Ok(Link::new(self, manager))
    }

    /// Why there is no connection. A port that speaks TLS hangs up on whoever does not, or says what is not Redis'.
    fn not_met(&self, error: &RedisError) -> StoreError {
        let is_plain = !self.address.starts_with("rediss://");
        if is_plain && (error.is_connection_dropped() || error.kind() == ErrorKind::Parse) {
            let reason = format!("{error}; does it speak TLS there? Then write rediss://");
            return unavailable(&self.address, reason);
        }
        if !is_plain && error.is_timeout() {
            // It waits for the end of what it takes for a command.
            let reason = format!("{error}; is that the port that speaks TLS? If it has none, write redis://");
            return unavailable(&self.address, reason);
        }
        store_error(&self.address, "the connection", error)
    }

    /// A connection that is opened when it is first used.
    pub(super) fn connect_later(&self) -> Result<Link, StoreError> {
        Ok(Link::new(self, self.manager()?))
    }

    /// A connection that begins with the first call.
    fn manager(&self) -> Result<ConnectionManager, StoreError> {
        ConnectionManager::new_lazy_with_config(self.client.clone(), self.manager_config())
            .map_err(|error| store_error(&self.address, "the connection", &error))
    }

    /// Opens a connection that only listens.
    pub(super) async fn listen(&self) -> Result<PubSub, StoreError> {
        within(
            &self.runtime,
            self.timeouts.connect,
            self.client.get_async_pubsub(),
        )
        .await
        .map_err(|elapsed| unavailable(&self.address, elapsed.to_string()))?
        .map_err(|error| store_error(&self.address, "the connection", &error))
    }

    fn manager_config(&self) -> ConnectionManagerConfig {
        ConnectionManagerConfig::new()
            .set_connection_timeout(Some(self.timeouts.connect))
            .set_response_timeout(Some(self.timeouts.response))
            .set_pipeline_buffer_size(PIPELINE_BUFFER)
            // Those who call wait and try again by themselves; a manager that retries only hides an outage.
            .set_number_of_retries(1)
            .set_min_delay(RECONNECT_AFTER)
    }

    /// How long a call may take that has to connect first.
    fn patience(&self) -> Duration {
        2 * self.timeouts.connect + RECONNECT_AFTER + self.timeouts.response
    }
}

/// What redis-rs is told of TLS. It takes the process's provider of cryptography, and panics if there is none.
fn certificates(tls: &Tls) -> TlsCertificates {
    tls::provide();
    TlsCertificates {
        client_tls: tls.identity().map(|(certificate, key)| ClientTlsConfig {
            client_cert: certificate.to_vec(),
            client_key: key.to_vec(),
        }),
        root_cert: tls.trusted().map(<[u8]>::to_vec),
    }
}

/// One multiplexed connection, replaced when it is lost. Any number of calls may be under way at once.
pub(super) struct Link {
    server: Server,
    /// The connection, and which one it is: of many calls that find it broken only one replaces it.
    manager: Mutex<(u64, ConnectionManager)>,
    silent_calls: AtomicU32,
    calls_under_way: AtomicUsize,
}

impl Link {
    fn new(server: &Server, manager: ConnectionManager) -> Self {
        Self {
            server: server.clone(),
            manager: Mutex::new((0, manager)),
            silent_calls: AtomicU32::new(0),
            calls_under_way: AtomicUsize::new(0),
        }
    }

    /// How many calls wait for their answers.
    pub(super) fn calls_under_way(&self) -> usize {
        self.calls_under_way.load(Ordering::Relaxed)
    }

    /// Sends the commands at once and returns the answer of each, in order; a refusal is an answer.
    ///
    /// # Errors
    /// There was no answer, or the whole transaction was refused.
    pub(super) async fn send(&self, commands: &Pipeline) -> Result<Vec<RedisResult<Value>>, StoreError> {
        let _under_way = UnderWay::begin(&self.calls_under_way);
        let mut tried_again = false;
        loop {
            let (generation, mut manager) = self.manager();
            let call = commands.query_async::<Vec<RedisResult<Value>>>(&mut manager);
            match within(&self.server.runtime, self.server.patience(), call).await {
                Ok(Ok(answers)) => {
                    self.heard(generation, &answers);
                    return Ok(answers);
                }
                Ok(Err(error)) => {
                    if !error.is_io_error() {
                        // redis-rs tries to connect anew only after an i/o error: an attempt that the server
                        // refused, say for too many clients, would be its answer for ever.
                        self.replace(generation, "the connection was refused");
                    }
                    if error.is_timeout() {
                        self.unheard(generation);
                    } else if !tried_again {
                        tried_again = true;
                        continue;
                    }
                    return Err(store_error(self.address(), "the answer to a pipeline", &error));
                }
                Err(elapsed) => {
                    self.unheard(generation);
                    return Err(unavailable(self.address(), elapsed.to_string()));
                }
            }
        }
    }

    pub(super) fn address(&self) -> &str {
        self.server.address()
    }

    fn manager(&self) -> (u64, ConnectionManager) {
        self.locked().clone()
    }

    fn locked(&self) -> MutexGuard<'_, (u64, ConnectionManager)> {
        self.manager.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self, generation: u64, answers: &[RedisResult<Value>]) {
        self.silent_calls.store(0, Ordering::Relaxed);
        if answers
            .iter()
            .any(|answer| answer.as_ref().is_err_and(tells_of_another_primary))
        {
            self.replace(generation, "the server is not the primary");
        }
    }

    fn unheard(&self, generation: u64) {
        if self.silent_calls.fetch_add(1, Ordering::Relaxed) + 1 >= SILENT_CALLS_MAX {
            self.replace(generation, "it does not answer");
        }
    }

    /// Drops this connection, unless that has been done, and resolves the address anew with the next call.
    fn replace(&self, generation: u64, why: &'static str) {
        let mut current = self.locked();
        if current.0 != generation {
            return;
        }
        self.silent_calls.store(0, Ordering::Relaxed);
        match self.server.manager() {
            Ok(fresh) => {
                tracing::warn!(address = self.address(), why, "connecting to Redis anew");
                *current = (generation + 1, fresh);
            }
            Err(error) => tracing::error!(%error, "a connection that was good is refused"),
        }
    }
}

/// Counts a call until it is answered or dropped.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn begin(counter: &'a AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::Relaxed);
        Self(counter)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// After a failover the old address may lead to a replica for ever: redis-rs reconnects on neither of these.
fn tells_of_another_primary(error: &::redis::RedisError) -> bool {
    use ::redis::ServerErrorKind::{MasterDown, ReadOnly};
    matches!(error.kind(), ErrorKind::Server(ReadOnly | MasterDown))
}
