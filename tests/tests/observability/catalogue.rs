//! Owns which metrics there are: docs/metrics.md read, and what others than the workers tell.
//! Never knows what a panel or a rule asks for.

use std::collections::BTreeSet;
use std::path::PathBuf;

/// What the dashboards and rules use of RabbitMQ's plugin.
pub(crate) const OF_RABBITMQ: [&str; 18] = [
    "rabbitmq_alarms_free_disk_space_watermark",
    "rabbitmq_alarms_memory_used_watermark",
    "rabbitmq_channels",
    "rabbitmq_connections",
    "rabbitmq_consumers",
    "rabbitmq_disk_space_available_bytes",
    "rabbitmq_disk_space_available_limit_bytes",
    "rabbitmq_global_messages_confirmed_total",
    "rabbitmq_global_messages_delivered_total",
    "rabbitmq_global_messages_received_total",
    "rabbitmq_global_messages_redelivered_total",
    "rabbitmq_global_messages_unroutable_dropped_total",
    "rabbitmq_global_messages_unroutable_returned_total",
    "rabbitmq_process_resident_memory_bytes",
    "rabbitmq_queue_messages_ready",
    "rabbitmq_queue_messages_unacked",
    "rabbitmq_queues",
    "rabbitmq_resident_memory_limit_bytes",
];

/// What Prometheus makes itself.
pub(crate) const OF_PROMETHEUS: [&str; 2] = ["ALERTS", "up"];

/// Exported, and on no panel and in no rule.
pub(crate) const NOT_ASKED_FOR: [(&str, &str); 2] = [
    ("process_max_fds", "a setting; files in use are watched"),
    (
        "process_virtual_memory_bytes",
        "says nothing on a machine with overcommit",
    ),
];

/// A file or directory of the workspace.
pub(crate) fn workspace(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// Its text.
pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(workspace(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of a directory with this ending, by name, in order.
pub(crate) fn files(directory: &str, ending: &str) -> Vec<String> {
    let entries = std::fs::read_dir(workspace(directory)).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.ends_with(ending)).collect();
    names.sort();
    names
}

/// The metrics of docs/metrics.md: what stands there in backticks and begins as a metric's name does.
pub(crate) fn documented() -> BTreeSet<String> {
    let text = read("docs/metrics.md");
    let spans = text.split('`').skip(1).step_by(2);
    let names = spans.filter(|span| span.starts_with("longhaul_") || span.starts_with("process_"));
    names
        .filter_map(|name| name.split('{').next())
        .map(ToOwned::to_owned)
        .collect()
}

/// The metric that a series belongs to: a histogram is asked for by its parts.
pub(crate) fn metric_of<'a>(series: &'a str, metrics: &BTreeSet<String>) -> &'a str {
    ["_bucket", "_sum", "_count"]
        .iter()
        .filter_map(|part| series.strip_suffix(part))
        .find(|base| metrics.contains(*base))
        .unwrap_or(series)
}

#[test]
fn the_page_of_metrics_is_one_that_these_tests_can_read() {
    let documented = documented();
    for name in ["longhaul_turn_queue_seconds", "process_open_fds"] {
        assert!(documented.contains(name), "{documented:?}");
    }
}
