//! Durable orchestrations for people who run RabbitMQ and Redis: ordinary `async fn`s that survive crashes, deploys
//! and months of waiting. On a laptop the same program runs in one process, without servers.
//!
//! An *orchestration* says what is to be done, step by step; Longhaul remembers every step that it took, so that
//! it goes on where it was, wherever. An *activity* does one step and may do anything. A *contract* names either,
//! with its types: those who write a function and those who call it share that one constant.
//!
//! ```
//! use longhaul::{Activity, ActivityContext, Orchestration, OrchestrationContext, OrchestrationError, RetryPolicy};
//!
//! pub const CHARGE: Activity<u64, String> = Activity::new("charge");
//! pub const SHIP: Activity<String, ()> = Activity::new("ship");
//! pub const ORDER: Orchestration<u64, String> = Orchestration::new("order");
//!
//! /// Deterministic: it takes its steps through `ctx`, and may wait as long as it likes.
//! pub async fn order(ctx: OrchestrationContext, cents: u64) -> Result<String, OrchestrationError> {
//!     let receipt = ctx.activity(CHARGE, &cents).retry(RetryPolicy::exponential(5)).await?;
//!     ctx.activity(SHIP, &receipt).await?;
//!     Ok(receipt)
//! }
//!
//! /// Ordinary: it does I/O, and runs again if a crash leaves it unknown whether it ran.
//! pub async fn charge(_ctx: ActivityContext, cents: u64) -> Result<String, std::io::Error> {
//!     Ok(format!("receipt for {cents}"))
//! }
//!
//! pub async fn ship(_ctx: ActivityContext, _receipt: String) -> Result<(), std::io::Error> {
//!     Ok(())
//! }
//! ```
//!
//! # Running them
//! Workers host the functions, on as many machines as you like; a client starts instances from anywhere. What
//! stands behind them is one value, the [`Ports`]: [`open`](backends::open::open) makes them from a
//! [`Config`](backends::config::Config), for RabbitMQ and Redis as for a directory on a laptop.
//!
//! ```
//! use std::sync::Arc;
//!
//! use longhaul::backends::config::{Config, Flags, Sources};
//! use longhaul::backends::open::{Meters, Role, open};
//! use longhaul::backends::runtime::TokioRuntime;
//! use longhaul::{Client, Orchestration};
//!
//! pub const ORDER: Orchestration<u64, String> = Orchestration::new("order");
//!
//! async fn place_order(order_id: &str) -> Result<String, Box<dyn std::error::Error>> {
//!     let config = Config::load(Sources::of_process(Flags::default())?)?;
//!     let hub = open(&config, Role::Client, Arc::new(TokioRuntime::current()), Meters::default()).await?;
//!     let client = Client::new(hub.ports.clone(), hub.hub.clone()).await?;
//!
//!     // Started once, however often this is repeated; waited for however long it takes.
//!     let receipt = client.start(ORDER, 1999).id(order_id).start_id(order_id).await?.wait().await?;
//!     hub.shutdown().await;
//!     Ok(receipt)
//! }
//! ```
//!
//! # Where to go on
//! - [`OrchestrationContext`]: what an orchestration can do, and [`sdk`] what it must not.
//! - [`OrchestratorWorker`], [`ActivityWorker`]: the hosts.
//! - [`Client`]: start, wait, list, terminate.
//! - [`sdk::testing`]: run an orchestration in a test, without servers and without waiting.
//! - The `longhaul` program: `longhaul dev` runs a hub in one process, `longhaul list`, `show` and `history` look
//!   into one.

pub use longhaul_sdk as sdk;

pub use longhaul_client as client;

pub use longhaul_activity_worker as activity_worker;
pub use longhaul_orchestrator_worker as orchestrator_worker;

pub use longhaul_backends as backends;

pub use longhaul_sdk::{
    Activity, ActivityContext, ActivityError, ActivityRegistry, BoxError, Failure, NonRetriable,
    Orchestration, OrchestrationContext, OrchestrationError, OrchestrationRegistry, Payload, RetryPolicy,
    TaskError, Timestamp,
};

pub use longhaul_client::{Client, Handle, HubName, InstanceId, Ports, StartId, Status};

pub use longhaul_activity_worker::ActivityWorker;
pub use longhaul_orchestrator_worker::OrchestratorWorker;
