//! Owns the load: a process of its own that starts instances and waits for each, so many at a time.
//! Never starts the next before the last of its kind has ended: a closed loop.

use std::time::{Duration, Instant};

use anyhow::Context;
use futures::future::try_join_all;
use longhaul_client::Client;
use serde::{Deserialize, Serialize};

use crate::figures::Figures;
use crate::place::{Hub, Place};
use crate::workload::Workload;

/// What one load process does.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    pub(crate) place: Place,
    pub(crate) workload: Workload,
    /// How many instances are under way at once.
    pub(crate) at_once: usize,
    /// What is not measured yet, and what is.
    pub(crate) warm_up: Duration,
    pub(crate) measure: Duration,
}

/// Carries the plan out.
pub(crate) async fn run(plan: &Plan) -> anyhow::Result<Figures> {
    let hub = Hub::open(&plan.place).await?;
    let begins = Instant::now() + plan.warm_up;
    let ends = begins + plan.measure;
    let clients = (0..plan.at_once).map(|_| one(&hub.client, plan.workload, begins, ends));
    let latencies = try_join_all(clients).await?.into_iter().flatten().collect();
    hub.close().await;
    Ok(Figures::of(latencies, plan.measure))
}

/// One client: an instance after the other. The latencies of those that ended while it was measured.
async fn one(
    client: &Client,
    workload: Workload,
    begins: Instant,
    ends: Instant,
) -> anyhow::Result<Vec<Duration>> {
    let mut latencies = Vec::new();
    loop {
        let started = Instant::now();
        workload.run(client).await.context("an instance")?;
        let ended = Instant::now();
        if ended >= ends {
            return Ok(latencies);
        }
        if ended >= begins {
            latencies.push(ended - started);
        }
    }
}
