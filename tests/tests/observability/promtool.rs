//! Runs Prometheus' own checker, `promtool`, on the rules and on expressions.
//! Never starts Prometheus.

use std::path::Path;
use std::process::Command;

use longhaul_tests::servers::Program;
use serde_json::{Value, json};

use crate::catalogue::{files, workspace};

const RULES: &str = "deploy/prometheus/rules";

/// Runs it; fails the test with what it said if it is not content.
fn promtool(words: &[&str], paths: &[&Path]) {
    let program = Program::Promtool.find().unwrap();
    let output = Command::new(program).args(words).args(paths).output().unwrap();
    let said = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "promtool {words:?}\n{}\n{}",
        said(&output.stdout),
        said(&output.stderr)
    );
}

/// Whether every one of these expressions means something: as rules of a file that nobody keeps.
pub(crate) fn check_expressions<'a>(expressions: impl Iterator<Item = &'a str>) {
    let rules: Vec<Value> = expressions
        .enumerate()
        .map(|(at, expr)| json!({ "record": format!("panel:number_{at}"), "expr": expr }))
        .collect();
    // JSON is YAML.
    let file = json!({ "groups": [{ "name": "panels", "rules": rules }] });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("panels.yml");
    std::fs::write(&path, file.to_string()).unwrap();
    promtool(&["check", "rules"], &[&path]);
}

/// Whether each of these expressions is worth this number, with the rules recorded, on the input series of a rule test.
pub(crate) fn check_values(input_series: &Value, eval_time: &str, values: &[(String, u32)]) {
    let expected: Vec<Value> = values
        .iter()
        .map(|(expr, value)| {
            let samples = json!([{ "labels": "{}", "value": value }]);
            // The sum of one series has no labels that would have to be told.
            json!({ "expr": format!("sum({expr})"), "eval_time": eval_time, "exp_samples": samples })
        })
        .collect();
    let case = json!({ "interval": "15s", "input_series": input_series, "promql_expr_test": expected });
    let file = json!({ "rule_files": all_of(RULES), "evaluation_interval": "15s", "tests": [case] });
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("values.yml");
    std::fs::write(&path, file.to_string()).unwrap();
    promtool(&["test", "rules"], &[&path]);
}

fn all_of(directory: &str) -> Vec<std::path::PathBuf> {
    let names = files(directory, ".yml");
    assert!(!names.is_empty(), "{directory} is empty");
    names
        .iter()
        .map(|name| workspace(directory).join(name).canonicalize().unwrap())
        .collect()
}

fn borrowed(paths: &[std::path::PathBuf]) -> Vec<&Path> {
    paths.iter().map(AsRef::as_ref).collect()
}

#[test]
fn prometheus_accepts_the_rules() {
    let rules = all_of(RULES);
    promtool(&["check", "rules", "--lint-fatal"], &borrowed(&rules));
}

#[test]
fn every_alert_fires_on_its_fault_and_is_silent_before() {
    let tests = all_of("deploy/prometheus/tests");
    promtool(&["test", "rules"], &borrowed(&tests));
}
