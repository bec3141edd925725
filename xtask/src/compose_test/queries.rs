//! The queries of every dashboard and of every rule, put to the running fleet.
//! Never judges what they say, only that there is something behind them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use serde::Deserialize;
use serde_json::Value;

use super::prometheus::Prometheus;
use crate::yaml;

const DASHBOARDS: &str = "deploy/grafana/dashboards";
const RULES: &str = "deploy/prometheus/rules";

/// What Grafana puts in, longest first: each is the beginning of none before it.
const VARIABLES: [(&str, &str); 5] = [
    ("$__rate_interval", "1m"),
    ("$__interval_ms", "15000"),
    ("$__interval", "15s"),
    ("$__range_s", "900"),
    ("$__range", "15m"),
];

/// What names of metrics begin with; anything else in a query is a function, a label or a keyword.
const PREFIXES: [&str; 6] = [
    "longhaul_",
    "longhaul:",
    "rabbitmq_",
    "process_",
    "prometheus_",
    "scrape_",
];

/// In what a query is made of, these may leave nothing over when all is well.
const FILTERS: [&str; 8] = [" > ", " < ", " >= ", " <= ", " == ", " != ", "{", " unless "];

/// A query, and where it stands.
#[derive(Debug, PartialEq, Eq)]
struct Query {
    place: String,
    text: String,
}

#[derive(Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Deserialize)]
struct Rule {
    record: Option<String>,
    alert: Option<String>,
    expr: String,
}

/// Asks each; the error lists all that had no data.
pub(crate) fn check(root: &Path, prometheus: &Prometheus) -> anyhow::Result<()> {
    let mut queries = of_dashboards(&root.join(DASHBOARDS))?;
    queries.extend(of_rules(&root.join(RULES))?);
    let mut faults = Vec::new();
    let mut silent = 0;
    for query in &queries {
        match ask(prometheus, &query.text) {
            Ok(true) => {}
            Ok(false) => {
                silent += 1;
                println!("  nothing to tell: {}: {}", query.place, query.text);
            }
            Err(error) => faults.push(format!("{}: `{}`: {error:#}", query.place, query.text)),
        }
    }
    println!(
        "  {} queries; {silent} of them filter, and left nothing over of what is there",
        queries.len()
    );
    if !faults.is_empty() {
        bail!("{} queries have no data:\n{}", faults.len(), faults.join("\n"));
    }
    Ok(())
}

/// Whether it has data; an error if it never could have.
fn ask(prometheus: &Prometheus, query: &str) -> anyhow::Result<bool> {
    if !prometheus.ask(query)?.is_empty() {
        return Ok(true);
    }
    for name in metrics(query) {
        if prometheus
            .ask(&format!("last_over_time({name}[30m])"))?
            .is_empty()
        {
            bail!("there is no metric {name}");
        }
    }
    if !FILTERS.iter().any(|filter| query.contains(filter)) {
        bail!("no data, though its metrics are there and it filters nothing");
    }
    Ok(false)
}

fn of_dashboards(directory: &Path) -> anyhow::Result<Vec<Query>> {
    let mut queries = Vec::new();
    for path in files(directory, "json")? {
        let dashboard: Value = serde_json::from_str(&std::fs::read_to_string(&path)?)
            .with_context(|| format!("cannot read {}", path.display()))?;
        let mut texts = Vec::new();
        expressions(&dashboard, &mut texts);
        queries.extend(texts.into_iter().map(|text| Query {
            place: name(&path),
            text: substituted(&text),
        }));
    }
    Ok(queries)
}

fn of_rules(directory: &Path) -> anyhow::Result<Vec<Query>> {
    let mut queries = Vec::new();
    for path in files(directory, "yml")? {
        let rules: Rules = yaml::read(&std::fs::read_to_string(&path)?)
            .and_then(|file| Ok(serde_json::from_value(file)?))
            .with_context(|| format!("cannot read {}", path.display()))?;
        for rule in rules.groups.into_iter().flat_map(|group| group.rules) {
            let named = rule.alert.or(rule.record).unwrap_or_default();
            queries.push(Query {
                place: format!("{} {named}", name(&path)),
                text: rule.expr.trim().to_owned(),
            });
        }
    }
    Ok(queries)
}

/// Every `expr` of whatever is inside, in panels and rows, annotations and variables.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, inner) in fields {
                match inner {
                    Value::String(text) if key == "expr" => found.push(text.clone()),
                    _ => expressions(inner, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|inner| expressions(inner, found)),
        _ => {}
    }
}

fn substituted(query: &str) -> String {
    let filled = VARIABLES.iter();
    filled.fold(query.to_owned(), |text, (variable, value)| {
        text.replace(variable, value)
    })
}

/// The metrics that a query names.
fn metrics(query: &str) -> BTreeSet<&str> {
    let words = query.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_' && letter != ':');
    words
        .filter(|word| *word == "up" || PREFIXES.iter().any(|prefix| word.starts_with(prefix)))
        .collect()
}

/// Sorted; an error if there is none, which would pass any check.
fn files(directory: &Path, extension: &str) -> anyhow::Result<Vec<PathBuf>> {
    let entries =
        std::fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))?;
    let mut paths = entries
        .map(|entry| Ok(entry?.path()))
        .collect::<anyhow::Result<Vec<_>>>()?;
    paths.retain(|path| path.extension().is_some_and(|found| found == extension));
    paths.sort();
    if paths.is_empty() {
        bail!("there is no .{extension} in {}", directory.display());
    }
    Ok(paths)
}

fn name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_metrics_of_a_query_are_found_among_functions_labels_and_values() {
        let query =
            r#"sum by (instance) (rate(longhaul_a_total{kind="turns"}[1m])) / on () longhaul:b:sum or up"#;
        let found: Vec<&str> = metrics(query).into_iter().collect();
        assert_eq!(found, ["longhaul:b:sum", "longhaul_a_total", "up"]);
    }

    #[test]
    fn expressions_are_found_at_any_depth_and_filled() {
        let dashboard = serde_json::json!({ "panels": [
            { "targets": [{ "expr": "rate(a[$__rate_interval])", "refId": "A" }] },
            { "panels": [{ "targets": [{ "expr": "avg_over_time(b[$__range:$__interval])" }] }] },
        ]});
        let mut found = Vec::new();
        expressions(&dashboard, &mut found);
        let filled: Vec<String> = found.iter().map(|query| substituted(query)).collect();
        assert_eq!(filled, ["rate(a[1m])", "avg_over_time(b[15m:15s])"]);
    }
}
