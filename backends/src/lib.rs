//! Under construction.

#[cfg(feature = "redis")]
pub mod redis;
