//! Owns the description of a metric: its name, meaning, kind, labels and buckets.
//! Never holds a value.

use std::fmt::{self, Write};

/// What kind of metric it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Only rises, but for a restart.
    Counter,
    /// Rises and falls.
    Gauge,
    /// Counts observations by size.
    Histogram,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// One metric, under whatever labels.
#[derive(Clone, Copy, Debug)]
pub struct Family {
    /// `longhaul_turn_duration_seconds`.
    pub name: &'static str,
    /// What it tells, in a sentence or two.
    pub help: &'static str,
    /// What kind it is.
    pub kind: Kind,
    /// What it is told apart by. Each comes from a closed or bounded set: never an id.
    pub labels: &'static [&'static str],
    /// The upper bounds of a histogram's buckets.
    pub buckets: &'static [f64],
}

/// A page's table of metrics, in Markdown.
#[must_use]
pub fn reference(families: &[Family]) -> String {
    let mut page = String::from("| metric | kind | labels | what it tells |\n|---|---|---|---|\n");
    for family in families {
        let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
        let _infallible = writeln!(
            page,
            "| `{}` | {} | {} | {} |",
            family.name,
            family.kind,
            labels.join(", "),
            family.help.trim().replace('|', "\\|"),
        );
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_line_for_each_metric() {
        let family = Family {
            name: "longhaul_a_total",
            help: " How many | of a.",
            kind: Kind::Counter,
            labels: &["b", "c"],
            buckets: &[],
        };
        let page = reference(&[family]);
        let line = page.lines().last().unwrap();
        assert_eq!(
            line,
            "| `longhaul_a_total` | counter | `b`, `c` | How many \\| of a. |"
        );
    }
}
