//! Owns the question what it costs to measure: how often a worker records something, and what one record takes.
//! Never asks how long a scrape takes: it reads, and holds no loop up.

use std::hint::black_box;
use std::time::{Duration, Instant};

use longhaul_telemetry::prometheus::HistogramVec;
use longhaul_telemetry::{Family, Instrument, Kind, SECONDS};

/// How many are taken for one figure.
const RECORDS: u32 = 1_000_000;

/// How often something was recorded so far, by a page of metrics: what histograms have observed, and what counters
/// have counted, as if each had been counted by itself.
pub(crate) fn records(page: &str) -> f64 {
    let is_record = |name: &str| {
        let name = name.split('{').next().unwrap_or_default();
        let is_amount = name.ends_with("_bytes_total") || name.ends_with("_seconds_total");
        name.starts_with("longhaul_") && (name.ends_with("_count") || name.ends_with("_total") && !is_amount)
    };
    let samples = page.lines().filter_map(|line| line.rsplit_once(' '));
    let values = samples.filter(|(name, _)| is_record(name));
    values.filter_map(|(_, value)| value.parse::<f64>().ok()).sum()
}

/// What the dearest kind of record takes: a histogram that is found by two labels.
pub(crate) fn cost_of_record() -> anyhow::Result<Duration> {
    let family = Family {
        name: "longhaul_bench_seconds",
        help: "What a record costs.",
        kind: Kind::Histogram,
        labels: &["one", "other"],
        buckets: SECONDS,
    };
    let histogram = HistogramVec::make(&family)?;
    let begun = Instant::now();
    for number in 0..RECORDS {
        let labels = black_box(["hello_sequence", "completed"]);
        histogram
            .with_label_values(&labels)
            .observe(f64::from(black_box(number)) * 1e-6);
    }
    Ok(begun.elapsed() / RECORDS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_no_records() {
        let page = "# HELP longhaul_a_total x\nlonghaul_a_total{x=\"y z\"} 3\nlonghaul_b_seconds_count 4\n\
                    longhaul_b_seconds_sum 9\nlonghaul_c_bytes_total 99\nprocess_cpu_seconds_total 7\n";
        assert_eq!(records(page), 7.0);
        assert!(cost_of_record().unwrap() > Duration::ZERO);
    }
}
