//! Owns what authors of orchestrations and activities import, and the pure engine that replays them.
//! Never does I/O: workers host these functions, a client starts them.
//!
//! An *orchestration* is an ordinary `async fn` that Longhaul remembers every step of: it survives crashes, deploys
//! and months of waiting. Its steps are [activities](OrchestrationContext::activity), which do the work on any
//! worker, [timers](OrchestrationContext::timer) and [inline steps](OrchestrationContext::run). A *contract* names
//! a function and its types, once, for those who register it and those who call it.
//!
//! ```
//! use longhaul_sdk::context::try_join_all;
//! use longhaul_sdk::{Activity, ActivityContext, Orchestration, OrchestrationContext, OrchestrationError};
//! use longhaul_sdk::{ActivityRegistry, OrchestrationRegistry, RetryPolicy};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! pub struct BackupRequest {
//!     source: String,
//! }
//!
//! #[derive(Serialize, Deserialize)]
//! pub struct BackupReport {
//!     files: usize,
//!     bytes: u64,
//! }
//!
//! // Contracts: shared by both kinds of worker and by every client; the compiler checks both ends.
//! pub const LIST_FILES: Activity<String, Vec<String>> = Activity::new("list_files");
//! pub const COPY_FILE: Activity<String, u64> = Activity::new("copy_file");
//! pub const BACKUP: Orchestration<BackupRequest, BackupReport> = Orchestration::new("backup");
//!
//! // The orchestration: deterministic, takes its steps through `ctx`, may wait as long as it likes.
//! async fn backup(ctx: OrchestrationContext, req: BackupRequest) -> Result<BackupReport, OrchestrationError> {
//!     let files = ctx.activity(LIST_FILES, &req.source).await?;
//!     let copies = files.iter().map(|file| {
//!         ctx.activity(COPY_FILE, file).retry(RetryPolicy::exponential(3))
//!     });
//!     let copied = try_join_all(copies).await?;
//!     Ok(BackupReport { files: files.len(), bytes: copied.iter().sum() })
//! }
//!
//! // Activities: may do anything, run at least once, return any error.
//! async fn list_files(_ctx: ActivityContext, _source: String) -> Result<Vec<String>, std::io::Error> {
//!     Ok(vec!["a.txt".to_owned(), "b.txt".to_owned()])
//! }
//! async fn copy_file(_ctx: ActivityContext, file: String) -> Result<u64, std::io::Error> {
//!     Ok(file.len() as u64)
//! }
//!
//! // What the workers' builders are given.
//! let orchestrations = OrchestrationRegistry::new().register(BACKUP, backup);
//! let activities = ActivityRegistry::new()
//!     .register(LIST_FILES, list_files)
//!     .register(COPY_FILE, copy_file);
//!
//! // In a test it runs in memory, without servers and without waiting.
//! # use longhaul_sdk::testing::Script;
//! # let ended = futures::executor::block_on(async {
//! # let request = BackupRequest { source: "/home".to_owned() };
//! Script::new(BACKUP, backup).activities(activities).run(request).await
//! # }).unwrap();
//! # assert_eq!(ended.outcome.unwrap().bytes, 10);
//! ```
//!
//! # What an orchestration must not do
//! It runs again from its start whenever its history is replayed, so it must take the same steps each time: no
//! clock but [`now`](OrchestrationContext::now), no chance but [`uuid`](OrchestrationContext::uuid), no I/O, no
//! `await` of anything but steps and [combinations](context) of them, no iteration over a `HashMap`. What does not
//! match its history, or cannot be waited for, pauses the instance with an error that says where
//! ([`engine::Refusal`]).

pub mod contract;

pub mod error;
mod value;

pub mod engine;

pub mod context;
pub mod registry;

pub mod testing;

pub use contract::{Activity, Orchestration};

pub use context::{ActivityContext, OrchestrationContext};
pub use error::{ActivityError, BoxError, NonRetriable, OrchestrationError, TaskError};
pub use registry::{ActivityRegistry, OrchestrationRegistry};

pub use longhaul_shared::failure::Failure;
pub use longhaul_shared::payload::Payload;
pub use longhaul_shared::retry::RetryPolicy;
pub use longhaul_shared::time::Timestamp;
