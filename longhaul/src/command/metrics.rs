//! Owns `longhaul metrics`: what the workers measure, by name.
//! Never measures anything.

use std::process::ExitCode;

use longhaul_backends::metered;
use longhaul_telemetry::{Family, Process, reference};
use serde_json::{Value, json};

use crate::output::Output;

/// Who measures what, in the order of the page.
fn groups() -> [(&'static str, &'static [Family]); 4] {
    [
        (
            "Orchestrator workers",
            longhaul_orchestrator_worker::Metrics::FAMILIES,
        ),
        ("Activity workers", longhaul_activity_worker::Metrics::FAMILIES),
        (
            "Both: RabbitMQ and Redis, as the worker sees them",
            metered::FAMILIES,
        ),
        ("Both: the process", Process::FAMILIES),
    ]
}

pub(crate) fn run(output: &Output) -> anyhow::Result<ExitCode> {
    output.result(page().trim_end(), &value())?;
    Ok(ExitCode::SUCCESS)
}

/// `docs/metrics.md`, to the letter.
fn page() -> String {
    let mut page = String::from(
        "# Metrics\n\n\
         What the workers show on `/metrics`. Written by `longhaul metrics > docs/metrics.md`: change the code, not this page.\n\n\
         Spans are in seconds, sizes in bytes. Counters end in `_total` and start at zero with the process. Histograms have fixed buckets, the same for\n\
         every span, so that they can be added up over workers: take quantiles of the sum of rates, never the mean of quantiles. Labels come from closed\n\
         or bounded sets: an orchestration, activity or queue beyond the 200th of a process is `other`, and no instance id is ever a label. Nothing is\n\
         counted again when a history is replayed.\n",
    );
    for (title, families) in groups() {
        page.push_str(&format!("\n## {title}\n\n{}", reference(families)));
    }
    page.push_str(
        "\nBeside these stands what the operating system knows of the process: `process_cpu_seconds_total`, `process_resident_memory_bytes`,\n\
         `process_virtual_memory_bytes`, `process_open_fds`, `process_max_fds`, `process_threads`, `process_start_time_seconds`.\n",
    );
    page
}

fn value() -> Value {
    let families = groups().into_iter().flat_map(|(group, families)| {
        families.iter().map(move |family| {
            json!({
                "name": family.name,
                "kind": family.kind.to_string(),
                "labels": family.labels,
                "help": family.help.trim(),
                "group": group,
            })
        })
    });
    families.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_in_the_docs_is_this_one() {
        let written = include_str!("../../../docs/metrics.md");
        assert_eq!(written, page(), "cargo run -- metrics > docs/metrics.md");
    }
}
