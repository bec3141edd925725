//! Owns the combinators that are safe in an orchestration: each polls its parts in a fixed order.
//! Never adds any: these are those of the `futures` crate, chosen.
//!
//! `futures::select!` is not among them: it polls in random order, so that two results of one turn could be told
//! apart differently on replay. [`select`] and [`futures::select_biased!`](https://docs.rs/futures) ask the first
//! one first, always. A loser of [`select`] that is dropped keeps running; its result is ignored.

pub use futures::future::{
    Either, FutureExt, TryFutureExt, join, join_all, select, select_all, select_ok, try_join, try_join_all,
};
pub use futures::stream::{FuturesOrdered, FuturesUnordered, StreamExt, TryStreamExt};
