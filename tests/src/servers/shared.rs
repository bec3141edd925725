//! The servers that all tests share: handed over by the environment, or started once a process.
//! Never for tests that stop, freeze, misconfigure or empty a server.

use std::sync::OnceLock;

use anyhow::anyhow;

use super::rabbit::RabbitServer;
use super::redis::RedisServer;

/// Where a shared Redis is handed over; `cargo xtask test` sets it.
pub const REDIS_URL_VARIABLE: &str = "LONGHAUL_TEST_REDIS_URL";
/// Where a shared RabbitMQ is handed over; `cargo xtask test` sets it.
pub const AMQP_URL_VARIABLE: &str = "LONGHAUL_TEST_AMQP_URL";

/// Where a Redis and a RabbitMQ are that any number of tests use at once. Tests keep apart by random hub names.
#[derive(Debug)]
pub struct Servers {
    /// `redis://…`
    pub redis_url: &'static str,
    /// `amqp://…`
    pub amqp_url: &'static str,
}

impl Servers {
    /// Both servers: those of the environment, else private ones that live as long as this process.
    ///
    /// # Errors
    /// As for [`RedisServer::start`] and [`RabbitServer::start`].
    pub fn shared() -> anyhow::Result<Self> {
        Ok(Self {
            redis_url: Self::shared_redis()?,
            amqp_url: Self::shared_rabbit()?,
        })
    }

    /// Only the URL of Redis, for tests that would wait for RabbitMQ in vain.
    ///
    /// # Errors
    /// As for [`RedisServer::start`].
    pub fn shared_redis() -> anyhow::Result<&'static str> {
        static REDIS: OnceLock<Result<Shared<RedisServer>, String>> = OnceLock::new();
        url(REDIS.get_or_init(|| Shared::of(REDIS_URL_VARIABLE, RedisServer::start, RedisServer::url)))
    }

    /// Only the URL of RabbitMQ.
    ///
    /// # Errors
    /// As for [`RabbitServer::start`].
    pub fn shared_rabbit() -> anyhow::Result<&'static str> {
        static RABBIT: OnceLock<Result<Shared<RabbitServer>, String>> = OnceLock::new();
        url(RABBIT.get_or_init(|| Shared::of(AMQP_URL_VARIABLE, RabbitServer::start, RabbitServer::url)))
    }
}

/// Statics are never dropped: the holders of the private servers end them when the process ends.
#[derive(Debug)]
struct Shared<Server> {
    url: String,
    _private: Option<Server>,
}

impl<Server> Shared<Server> {
    fn of(
        variable: &str,
        start: impl FnOnce() -> anyhow::Result<Server>,
        url: impl FnOnce(&Server) -> String,
    ) -> Result<Self, String> {
        if let Ok(url) = std::env::var(variable) {
            return Ok(Self { url, _private: None });
        }
        let server = start().map_err(|error| format!("{error:#}"))?;
        Ok(Self {
            url: url(&server),
            _private: Some(server),
        })
    }
}

fn url<Server>(shared: &'static Result<Shared<Server>, String>) -> anyhow::Result<&'static str> {
    match shared {
        Ok(shared) => Ok(&shared.url),
        Err(error) => Err(anyhow!("{error}")),
    }
}
