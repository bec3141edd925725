//! Owns what it costs to wait: a fleet whose instances all wait for timers that are far away.
//! Never lets one of them end: the hub is thrown away with its servers.

use std::time::Duration;

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use longhaul_examples::contracts::{REMINDER, ReminderRequest};

use crate::fleet::{Fleet, REDIS, sample, server_url};
use crate::place::Hub;

/// So many wait: as many as a worker keeps sessions of by default.
pub(crate) const WAITING: u32 = 10_000;
const STARTS_AT_ONCE: usize = 64;
const DAY_MS: u64 = 24 * 3600 * 1_000;
/// After the last start, for everything to come to rest.
const SETTLE: Duration = Duration::from_secs(10);
const MEASURE: Duration = Duration::from_secs(10);

/// What was measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rest {
    /// Of each kind of worker, before anything waits and while all do.
    pub(crate) resident_before: [f64; 2],
    pub(crate) resident: [f64; 2],
    /// Of one core, while all wait.
    pub(crate) cpu_percent: [f64; 2],
    /// That Redis uses for one of them.
    pub(crate) redis_bytes: f64,
}

/// Measures a fleet on which nothing has run yet.
pub(crate) async fn rest(fleet: &Fleet) -> anyhow::Result<Rest> {
    let redis_before = redis_memory().await?;
    let resident_before = resident(fleet)?;
    let hub = Hub::open(&fleet.place).await?;
    let starts = stream::iter(0..WAITING).map(|_| async {
        let call = hub.client.start(REMINDER, ReminderRequest { after_ms: DAY_MS });
        call.await.map(drop)
    });
    let started = starts.buffer_unordered(STARTS_AT_ONCE).try_collect::<()>().await;
    hub.close().await;
    started?;
    tokio::time::sleep(SETTLE).await;
    let [page, _] = fleet.pages()?;
    let waiting = sample(&page, "longhaul_timers_pending")?;
    ensure!(
        waiting >= f64::from(WAITING),
        "only {waiting} wait after {SETTLE:?}"
    );
    let before = cpu(fleet)?;
    tokio::time::sleep(MEASURE).await;
    let after = cpu(fleet)?;
    let percent = |kind: usize| -> Option<f64> {
        Some((after.get(kind)? - before.get(kind)?) / MEASURE.as_secs_f64() * 100.0)
    };
    Ok(Rest {
        resident_before,
        resident: resident(fleet)?,
        cpu_percent: [0, 1].map(|kind| percent(kind).unwrap_or_default()),
        redis_bytes: (redis_memory().await? - redis_before) / f64::from(WAITING),
    })
}

fn resident(fleet: &Fleet) -> anyhow::Result<[f64; 2]> {
    let [one, other] = fleet.pages()?;
    let name = "process_resident_memory_bytes";
    Ok([sample(&one, name)?, sample(&other, name)?])
}

fn cpu(fleet: &Fleet) -> anyhow::Result<[f64; 2]> {
    let [one, other] = fleet.pages()?;
    let name = "process_cpu_seconds_total";
    Ok([sample(&one, name)?, sample(&other, name)?])
}

/// What Redis says it uses, in bytes.
async fn redis_memory() -> anyhow::Result<f64> {
    let client = redis::Client::open(server_url(REDIS)?)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let info: String = redis::cmd("INFO")
        .arg("memory")
        .query_async(&mut connection)
        .await?;
    let line = info.lines().find_map(|line| line.strip_prefix("used_memory:"));
    Ok(line.context("Redis does not say what it uses")?.trim().parse()?)
}
