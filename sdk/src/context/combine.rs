//! Owns the combinators that are safe in an orchestration: each polls its parts in a fixed order.
//! Never adds any: these are those of the `futures` crate, chosen.
//!
//! `futures::select!` (and `tokio::select!` without `biased;`) is not among them: it polls in random order, so that
//! steps could be taken in another order on replay. [`select`] asks the first one first, always; for more than two,
//! [`select_all`] and [`futures::select_biased!`](https://docs.rs/futures/latest/futures/macro.select_biased.html)
//! do. A loser that is dropped keeps running; its result is ignored.

pub use futures::future::{
    Either, FutureExt, TryFutureExt, join, join_all, select, select_all, select_ok, try_join, try_join_all,
};
pub use futures::stream::{FuturesOrdered, FuturesUnordered, StreamExt, TryStreamExt};
