//! Owns the load: a process of its own that starts instances and waits for each, so many at a time.
//! Never starts the next before the last of its kind has ended: a closed loop.

use std::time::Duration;

use anyhow::Context;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};

use crate::figures::{Figures, Window};
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
    let window = Window::after(plan.warm_up, plan.measure);
    let client = async || {
        let one = async || plan.workload.run(&hub.client).await.context("an instance");
        window.fill(one).await
    };
    let seen = try_join_all((0..plan.at_once).map(|_| client())).await?;
    hub.close().await;
    Ok(Figures::of(seen, plan.measure))
}
