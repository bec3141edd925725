//! Whether partitions and work are spread over the replicas, as Prometheus has it.
//! Never asks for perfection: partitions go by rendezvous hashing, which is fair by chance, and work goes by partitions.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, bail, ensure};

use super::patience::wait_until;
use super::prometheus::{Prometheus, instances};
use super::stack::Container;

/// Leases, a handover for each partition, and a few scrapes.
const SPREAD_WITHIN: Duration = Duration::from_secs(180);

/// What is counted of each replica.
pub(crate) struct Work {
    query: &'static str,
    /// How much has to be done before the shares say anything.
    enough: f64,
    /// The least share must be at least this part of the mean.
    least: f64,
}

/// What each activity worker has begun: RabbitMQ hands out one by one.
pub(crate) const ATTEMPTS: Work = Work {
    query: "sum by (instance) (longhaul_activity_attempts_total)",
    enough: 600.0,
    least: 0.5,
};

/// The turns of each orchestrator worker: it has as much to do as its partitions.
pub(crate) const TURNS: Work = Work {
    query: "sum by (instance) (longhaul_turn_duration_seconds_count)",
    enough: 300.0,
    least: 0.4,
};

/// Every partition of the hub has one owner among `replicas`, whose shares differ by one at most.
pub(crate) fn wait_for_partitions(prometheus: &Prometheus, replicas: &[Container]) -> anyhow::Result<()> {
    let what = format!("the partitions are spread over {}", replicas.len());
    let owned = wait_until(&what, SPREAD_WITHIN, || {
        let owned = prometheus.by_instance("longhaul_partitions_owned")?;
        let all = prometheus.number("max(longhaul_partitions)")?;
        let unowned = prometheus.number("max(longhaul_partitions_unowned)")?;
        ensure!(
            owned.keys().cloned().collect::<std::collections::BTreeSet<_>>() == instances(replicas),
            "{owned:?} are scraped"
        );
        check_partitions(&owned, all, unowned)?;
        Ok(Some(owned))
    })?;
    println!("  partitions: {owned:?}");
    Ok(())
}

fn check_partitions(owned: &BTreeMap<String, f64>, all: f64, unowned: f64) -> anyhow::Result<()> {
    let sum: f64 = owned.values().sum();
    let (least, most) = extremes(owned).context("nobody owns anything")?;
    if sum != all || unowned != 0.0 || most - least > 1.0 {
        bail!("of {all} partitions, of which {unowned} are without an owner, they own {owned:?}");
    }
    Ok(())
}

/// From now on each of `replicas` gets its share of some work; looks until they have done enough of it together.
pub(crate) fn wait_for_work(
    prometheus: &Prometheus,
    work: &Work,
    replicas: &[Container],
) -> anyhow::Result<()> {
    let before = prometheus.by_instance(work.query)?;
    let what = format!("{} replicas have done {} more", replicas.len(), work.enough);
    let shares = wait_until(&what, SPREAD_WITHIN, || {
        let after = prometheus.by_instance(work.query)?;
        let shares: BTreeMap<String, f64> = instances(replicas)
            .into_iter()
            .map(|instance| {
                let count =
                    |counts: &BTreeMap<String, f64>| counts.get(&instance).copied().unwrap_or_default();
                let share = count(&after) - count(&before);
                (instance, share)
            })
            .collect();
        let done: f64 = shares.values().sum();
        if done < work.enough {
            bail!("they have done {shares:?}");
        }
        Ok(Some(shares))
    })?;
    check_shares(&shares, work.least)?;
    println!("  shares: {shares:?}");
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "a handful of replicas")]
fn check_shares(shares: &BTreeMap<String, f64>, least_share: f64) -> anyhow::Result<()> {
    let mean = shares.values().sum::<f64>() / shares.len() as f64;
    let (least, _) = extremes(shares).context("nobody does anything")?;
    ensure!(
        least >= mean * least_share,
        "the work is not spread: one did {least}, and the mean is {mean}: {shares:?}"
    );
    Ok(())
}

fn extremes(of: &BTreeMap<String, f64>) -> Option<(f64, f64)> {
    let least = of.values().copied().reduce(f64::min)?;
    let most = of.values().copied().reduce(f64::max)?;
    Some((least, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(values: &[f64]) -> BTreeMap<String, f64> {
        let named = values.iter().enumerate();
        named.map(|(index, value)| (index.to_string(), *value)).collect()
    }

    #[test]
    fn partitions_are_spread_when_all_are_owned_and_shares_are_even() {
        check_partitions(&of(&[6.0, 5.0, 5.0]), 16.0, 0.0).unwrap();
        check_partitions(&of(&[7.0, 5.0, 4.0]), 16.0, 0.0).unwrap_err();
        check_partitions(&of(&[13.0, 2.0, 1.0]), 16.0, 0.0).unwrap_err();
        check_partitions(&of(&[5.0, 5.0, 4.0]), 16.0, 2.0).unwrap_err();
        check_partitions(&of(&[]), 0.0, 0.0).unwrap_err();
    }

    #[test]
    fn one_that_does_less_than_half_of_the_mean_is_noticed() {
        check_shares(&of(&[100.0, 80.0, 120.0]), ATTEMPTS.least).unwrap();
        check_shares(&of(&[100.0, 10.0, 120.0]), ATTEMPTS.least).unwrap_err();
    }
}
