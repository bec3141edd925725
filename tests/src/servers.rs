//! Private Redis and RabbitMQ servers for tests, and the ones a whole test run shares.
//! Never touches a server it did not start, and never skips: a missing program fails the test.
//!
//! Tests that kill or misconfigure a server start their own [`RedisServer`] or [`RabbitServer`]. All others ask
//! for [`Servers::shared`] and keep apart by random hub names.

mod leash;
mod log;
mod poll;
mod port;
mod program;
mod proxy;
mod rabbit;
mod redis;
mod shared;
mod tls;

pub use poll::poll_until;
pub use program::{MissingProgram, Program};
pub use proxy::Proxy;
pub use rabbit::RabbitServer;
pub use redis::RedisServer;
pub use shared::{AMQP_URL_VARIABLE, REDIS_URL_VARIABLE, Servers};
pub use tls::TlsFiles;
