//! Owns `longhaul doctor`: the checks of a hub and of what it stands on, in the order in which they should be read.
//! Never changes anything, and never makes a hub where there is none.

mod check;
mod fleet;
mod look;
mod servers;
mod work;

#[cfg(test)]
mod tests;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use longhaul_backends::config::{Config, StoreKind};
use longhaul_backends::embedded::{Clock, WallClock};
use longhaul_backends::open::{OpenError, Opened, Role, open, unreachable};
use longhaul_backends::runtime::TokioRuntime;
use longhaul_shared::port::{Ports, Runtime, StoreError};
use serde_json::{Value, json};

use self::check::{Check, Verdict};
use self::fleet::Looks;
use self::look::{LookError, look};
use crate::output::{Cell, Output, Page, Table};
use crate::setup::{Begin, check_dir};
use crate::span;

#[derive(Args, Debug)]
pub(crate) struct DoctorArgs {
    /// How far the two looks lie apart that are compared.
    #[arg(long, value_name = "SPAN", default_value = "2s", value_parser = span::parse)]
    apart: Duration,
}

pub(crate) async fn run(args: DoctorArgs, config: &Config, output: &Output) -> anyhow::Result<ExitCode> {
    check_dir(config, Begin::MustNot)?;
    let runtime: Arc<dyn Runtime> = Arc::new(TokioRuntime::current());
    let checks = match open(config, Role::Client, Arc::clone(&runtime)).await {
        Ok(opened) => {
            let checks = examine(&opened, config, args.apart).await;
            opened.shutdown().await;
            checks
        }
        // The other server may be away, too.
        Err(error) => match unreachable(config, Role::Client, runtime).await {
            wrong if wrong.is_empty() => vec![not_opened(&error)],
            wrong => wrong.iter().map(not_opened).collect(),
        },
    };
    tell(&checks, config, output)?;
    let is_well = checks.iter().all(|check| check.verdict != Verdict::Fail);
    Ok(if is_well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

async fn examine(opened: &Opened, config: &Config, apart: Duration) -> Vec<Check> {
    match looks(opened, apart).await {
        Ok(looks) => match config.store.kind {
            StoreKind::Fleet => judge(&looks, config),
            StoreKind::Embedded => judge_embedded(&looks, config),
        },
        Err(LookError::NoHub(reason)) => {
            let remedy = "An orchestrator worker makes it: start one. Or set hub.name and the servers to those of the hub that \
                          is meant; `longhaul config dump` shows who said what.";
            vec![Check::fail("hub", reason, remedy)]
        }
        Err(LookError::Store(error)) => vec![Check::error(servers::STORE, &error)],
        Err(LookError::Broker(error)) => vec![Check::error(servers::BROKER, &error)],
    }
}

async fn looks(opened: &Opened, apart: Duration) -> Result<Looks, LookError> {
    let ports: &Ports = &opened.ports;
    // To open a hub that is not there would make it.
    match ports.store.pulse().await {
        Err(StoreError::Incompatible { reason }) => return Err(LookError::NoHub(reason)),
        pulse => pulse?,
    };
    let hub = ports.store.open_hub(opened.hub_settings).await?;
    let clock = || WallClock.now();
    let first = look(ports, &hub, clock).await?;
    ports.runtime.sleep(apart).await;
    let second = look(ports, &hub, clock).await?;
    Ok(Looks { hub, first, second })
}

/// Every check of a fleet. What the rest stands on comes first.
fn judge(looks: &Looks, config: &Config) -> Vec<Check> {
    let look = &looks.second;
    let durability = config.hub.durability;
    let mut checks = vec![
        servers::store(look, &config.redis.url.place()),
        servers::broker(look, &config.amqp.url.place()),
        servers::hub(&looks.hub, config.hub.name.as_str(), durability),
        servers::persistence(&look.store, durability),
    ];
    checks.extend(servers::memory(&look.store));
    checks.extend([
        servers::clock(look),
        fleet::epoch(looks),
        fleet::queues(looks),
        fleet::workers(looks),
        fleet::partitions(looks),
        fleet::deaf(looks),
    ]);
    checks.extend(fleet::intake(looks));
    checks.extend([
        fleet::task_queues(looks),
        work::outbox(looks),
        work::ready(looks),
        work::timers(looks),
        work::parked(look),
        work::instances(look),
        work::bottleneck(looks),
    ]);
    checks
}

/// The checks that mean something of a hub that no program runs while it is looked at.
fn judge_embedded(looks: &Looks, config: &Config) -> Vec<Check> {
    let look = &looks.second;
    let dir = config.store.dir.as_deref();
    let place = dir.map_or_else(String::new, |dir| dir.display().to_string());
    vec![
        servers::store(look, &place),
        servers::hub(&looks.hub, config.hub.name.as_str(), config.hub.durability),
        servers::persistence(&look.store, config.hub.durability),
        work::parked(look),
        work::instances(look),
    ]
}

fn not_opened(error: &OpenError) -> Check {
    let name = match error {
        OpenError::Store { .. } => servers::STORE,
        OpenError::Broker { .. } => servers::BROKER,
    };
    Check::error(name, error)
}

fn tell(checks: &[Check], config: &Config, output: &Output) -> anyhow::Result<()> {
    let mut table = Table::new(&["", "CHECK", "FINDING"]);
    for check in checks {
        let verdict = match check.verdict {
            Verdict::Ok => Cell::good("ok"),
            Verdict::Warn => Cell::warn("warn"),
            Verdict::Fail => Cell::bad("FAIL"),
        };
        table.row([verdict, check.name.into(), check.finding.as_str().into()]);
        if let Some(remedy) = &check.remedy {
            table.row(["".into(), "".into(), Cell::dim(format!("-> {remedy}"))]);
        }
    }
    let page = Page {
        name: "checks",
        table,
        values: checks.iter().map(value).collect(),
        next: None,
    };
    output.page(&page)?;
    if output.is_for_people() {
        let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
        let hub = &config.hub.name;
        output.note(&match (count(Verdict::Fail), count(Verdict::Warn)) {
            (0, 0) => format!("Hub {hub} is well."),
            (0, warns) => format!("Hub {hub} works; {warns} of {} checks warn.", checks.len()),
            (fails, warns) => format!(
                "Hub {hub} is not well: {fails} of {} checks failed, {warns} warn.",
                checks.len()
            ),
        });
    }
    Ok(())
}

fn value(check: &Check) -> Value {
    json!({
        "check": check.name,
        "verdict": check.verdict.name(),
        "finding": check.finding,
        "remedy": check.remedy,
    })
}
