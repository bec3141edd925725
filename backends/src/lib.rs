//! Owns what stands behind the ports: RabbitMQ, Redis, the embedded store, and the real clock.
//! Never decides anything about an orchestration.

pub mod metered;
#[cfg(feature = "rabbitmq")]
pub mod rabbitmq;
pub mod runtime;

#[cfg(feature = "crash-points")]
mod crash;

#[cfg(feature = "tls")]
pub mod tls;

#[cfg(feature = "redis")]
pub mod redis;

#[cfg(feature = "embedded")]
pub mod embedded;

#[cfg(feature = "conformance")]
pub mod conformance;

#[cfg(feature = "config")]
pub mod config;
#[cfg(feature = "config")]
pub mod open;
