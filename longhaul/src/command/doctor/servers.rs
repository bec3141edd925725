//! Owns the checks of what the hub stands on: both servers, their settings, the clocks, the hub's own settings.
//! Never asks a server: it is pure.

use std::time::Duration;

use longhaul_backends::redis::Durability;
use longhaul_shared::code;
use longhaul_shared::port::{BrokerCondition, HubInfo, StoreCondition, StoreRole};

use super::check::Check;
use super::look::Look;
use crate::span;

/// From where on an answer is slow; every commit waits for one, and a turn makes several.
pub(super) const STORE_SLOW: Duration = Duration::from_millis(10);
const BROKER_SLOW: Duration = Duration::from_millis(250);
/// How far a clock may be off before logs of two machines can no longer be read side by side.
const SKEW_MAX: Duration = Duration::from_secs(1);
/// The share of Redis's memory from which on it gets tight; at 0.8 new starts are refused.
const MEMORY_WARN: f64 = 0.65;
const MEMORY_FULL: f64 = 0.8;

/// What a fleet's servers are called in the checks.
pub(super) const STORE: &str = "store";
pub(super) const BROKER: &str = "broker";

pub(super) fn store(look: &Look, place: &str) -> Check {
    let StoreCondition { kind, version, .. } = &look.store;
    let finding = answers(kind, version.as_deref(), place, look.store_takes);
    if look.store.role == Some(StoreRole::Replica) {
        return Check::fail(
            STORE,
            format!("{finding}, and is a replica: it takes no changes"),
            "Set redis.url to the primary.",
        );
    }
    if look.store_takes > STORE_SLOW {
        return Check::warn(
            STORE,
            finding,
            "Every step waits for Redis: bring it nearer, give it a core of its own and a fast disk, and look at \
             `redis-cli slowlog get` and `redis-cli --latency`.",
        );
    }
    Check::ok(STORE, finding)
}

pub(super) fn broker(look: &Look, place: &str) -> Check {
    let BrokerCondition { kind, version, .. } = &look.broker;
    let finding = answers(kind, version.as_deref(), place, look.broker_takes);
    if look.broker.is_blocked {
        return Check::fail(
            BROKER,
            format!("{finding}, and takes no messages: it is short of memory or disk"),
            "Free some: `rabbitmq-diagnostics alarms`, `rabbitmq-diagnostics memory_breakdown`.",
        );
    }
    if look.broker_takes > BROKER_SLOW {
        return Check::warn(
            BROKER,
            finding,
            "Look at its load and at its disk: `rabbitmq-diagnostics observer`.",
        );
    }
    Check::ok(BROKER, finding)
}

fn answers(kind: &str, version: Option<&str>, place: &str, takes: Duration) -> String {
    let version = version.map(|version| format!(" {version}")).unwrap_or_default();
    let (place, takes) = (place.trim_end_matches('/'), millis(takes));
    format!("{kind}{version} at {place} answers in {takes}")
}

pub(super) fn hub(hub: &HubInfo, name: &str, durability: Durability) -> Check {
    let queues = match hub.queue_type.as_str() {
        // A hub in one process: its queues are gone with that.
        "" => String::new(),
        kind => {
            let (epoch, durability) = (hub.epoch.number, durability.name());
            format!(", {kind} queues, epoch {epoch}, durability {durability}")
        }
    };
    Check::ok("hub", format!("{name}: {} partitions{queues}", hub.partitions))
}

pub(super) fn persistence(store: &StoreCondition, durability: Durability) -> Check {
    const NAME: &str = "persistence";
    if !is_server(store) {
        return Check::ok(NAME, "a file of its own, synced at every commit");
    }
    let settings = &store.persistence;
    let told = |value: &Option<String>| value.clone().unwrap_or_else(|| "hidden".to_owned());
    let finding = format!(
        "appendonly {}, appendfsync {}, maxmemory-policy {}, {} replicas",
        told(&settings.appendonly),
        told(&settings.appendfsync),
        told(&settings.eviction),
        store.replicas
    );
    let is = |value: &Option<String>, wanted: &str| value.as_deref().is_none_or(|value| value == wanted);
    let unsafe_store = code::STORE_UNSAFE;
    if store.is_last_write_ok == Some(false) {
        return Check::fail(
            NAME,
            format!("{finding}; its last write to disk failed"),
            "Look at its log and at the space on its disk: `redis-cli info persistence`.",
        );
    }
    let is_synced = durability == Durability::Replicated || is(&settings.appendfsync, "always");
    if !is(&settings.appendonly, "yes") || !is(&settings.eviction, "noeviction") || !is_synced {
        return Check::fail(
            NAME,
            format!("{finding}: it could lose or evict what it accepted"),
            format!("{} `longhaul explain {unsafe_store}`", unsafe_store.fix()),
        );
    }
    if durability == Durability::Replicated && store.replicas == 0 {
        return Check::fail(
            NAME,
            format!("{finding}, and the hub's durability is replicated: no commit succeeds"),
            "Start a replica, or wait until it is connected: `redis-cli info replication`.",
        );
    }
    if [&settings.appendonly, &settings.appendfsync, &settings.eviction].contains(&&None) {
        return Check::warn(
            NAME,
            format!("{finding}: the server does not show its settings"),
            "Make sure of appendonly yes, appendfsync always and maxmemory-policy noeviction where they are made.",
        );
    }
    Check::ok(NAME, finding)
}

pub(super) fn memory(store: &StoreCondition) -> Option<Check> {
    const NAME: &str = "memory";
    let used = store.memory_used_bytes?;
    let Some(ratio) = store.memory_ratio() else {
        let finding = format!("{} used, without a bound (maxmemory)", mebibytes(used));
        return Some(Check::ok(NAME, finding));
    };
    let most = mebibytes(store.memory_max_bytes.unwrap_or_default());
    let finding = format!("{} of {most} used, {:.0} %", mebibytes(used), ratio * 100.0);
    let full = code::STORE_FULL;
    Some(if ratio >= MEMORY_FULL {
        let remedy = format!("{} `longhaul explain {full}`", full.fix());
        Check::fail(NAME, format!("{finding}: new starts are refused"), remedy)
    } else if ratio >= MEMORY_WARN {
        let remedy = "At 80 % new starts are refused: raise maxmemory before that.";
        Check::warn(NAME, finding, remedy)
    } else {
        Check::ok(NAME, finding)
    })
}

pub(super) fn clock(look: &Look) -> Check {
    let (behind, ahead) = (look.now.since(look.here), look.here.since(look.now));
    let (skew, way) = if behind > ahead {
        (behind, "behind")
    } else {
        (ahead, "ahead of")
    };
    let finding = format!("this machine's clock is {} {way} the hub's", millis(skew));
    if skew > SKEW_MAX {
        return Check::warn(
            "clock",
            finding,
            "Hub time is the store's, so nothing goes wrong; but logs do not fit each other. Set the clocks by NTP on \
             both machines.",
        );
    }
    Check::ok("clock", finding)
}

/// Whether the store is a server, with settings of its own.
pub(super) fn is_server(store: &StoreCondition) -> bool {
    !matches!(store.kind, "embedded" | "memory")
}

/// A short span, in milliseconds with a digit.
fn millis(span: Duration) -> String {
    if span >= Duration::from_secs(1) {
        return span::shown(span);
    }
    format!("{:.1} ms", span.as_secs_f64() * 1_000.0)
}

fn mebibytes(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}
