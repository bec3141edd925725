//! Reads the recording rules, the alerts and their tests, and checks that an alert says all that whoever is woken needs.
//! Never evaluates one: `promtool` does.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use yaml_rust2::{Yaml, YamlLoader};

use crate::catalogue::{files, read, workspace};

#[derive(Deserialize)]
struct RuleFile {
    groups: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    name: String,
    rules: Vec<Rule>,
}

/// A recording rule or an alert.
#[derive(Deserialize)]
pub(crate) struct Rule {
    pub(crate) record: Option<String>,
    pub(crate) alert: Option<String>,
    pub(crate) expr: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct TestFile {
    group_eval_order: Vec<String>,
    tests: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    #[serde(default)]
    input_series: Value,
    #[serde(default)]
    alert_rule_test: Vec<AlertCase>,
}

#[derive(Deserialize)]
struct AlertCase {
    alertname: String,
    exp_alerts: Vec<Value>,
}

fn yaml<T: DeserializeOwned>(path: &str) -> T {
    let documents = YamlLoader::load_from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let [document] = documents.as_slice() else {
        panic!("{path} is more than one document")
    };
    serde_json::from_value(value(document)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The same as JSON, of which YAML has everything that these files use.
fn value(yaml: &Yaml) -> Value {
    match yaml {
        Yaml::Array(items) => items.iter().map(value).collect(),
        Yaml::Hash(fields) => fields
            .iter()
            .map(|(name, field)| (name.as_str().unwrap_or_default().to_owned(), value(field)))
            .collect(),
        Yaml::String(text) | Yaml::Real(text) => Value::String(text.clone()),
        Yaml::Integer(number) => (*number).into(),
        Yaml::Boolean(is_so) => (*is_so).into(),
        Yaml::Null | Yaml::BadValue | Yaml::Alias(_) => Value::Null,
    }
}

fn groups() -> Vec<Group> {
    let names = files("deploy/prometheus/rules", ".yml");
    names
        .iter()
        .flat_map(|name| yaml::<RuleFile>(&format!("deploy/prometheus/rules/{name}")).groups)
        .collect()
}

/// Every rule of every file.
pub(crate) fn all() -> Vec<Rule> {
    groups().into_iter().flat_map(|group| group.rules).collect()
}

/// The names of the alerts.
pub(crate) fn alerts() -> BTreeSet<String> {
    all().into_iter().filter_map(|rule| rule.alert).collect()
}

/// The names that the recording rules give.
pub(crate) fn recorded() -> BTreeSet<String> {
    all().into_iter().filter_map(|rule| rule.record).collect()
}

/// The series of a fleet with which nothing is wrong.
pub(crate) fn healthy_series() -> Value {
    let file = yaml::<TestFile>("deploy/prometheus/tests/healthy.yml");
    file.tests.into_iter().next().unwrap().input_series
}

#[test]
fn an_alert_says_how_bad_it_is_what_it_is_and_where_to_read_on() {
    for rule in all() {
        let Some(name) = &rule.alert else { continue };
        let severity = rule.labels.get("severity").map(String::as_str);
        assert!(matches!(severity, Some("critical" | "warning")), "{name}");
        for annotation in ["summary", "description"] {
            let text = rule.annotations.get(annotation).map_or("", String::as_str);
            assert!(!text.is_empty(), "{name} has no {annotation}");
        }
        let page = format!("docs/runbooks/{name}.md");
        let url = rule.annotations.get("runbook_url").map_or("", String::as_str);
        assert!(url.ends_with(&format!("/blob/main/{page}")), "{name}: {url}");
        assert!(workspace(&page).is_file(), "{page} is missing");
    }
}

#[test]
fn an_alert_has_a_test_that_fires_it_and_one_that_keeps_it_silent() {
    let (mut fired, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for file in files("deploy/prometheus/tests", ".yml") {
        let cases = yaml::<TestFile>(&format!("deploy/prometheus/tests/{file}")).tests;
        for case in cases.into_iter().flat_map(|case| case.alert_rule_test) {
            let seen = if case.exp_alerts.is_empty() {
                &mut silent
            } else {
                &mut fired
            };
            seen.insert(case.alertname);
        }
    }
    assert_eq!(fired, alerts(), "fired");
    assert_eq!(silent, alerts(), "silent");
}

/// promtool evaluates groups in no order unless it is told; one that is not named comes together with the first.
#[test]
fn the_tests_of_the_rules_name_every_group_in_order() {
    let groups: Vec<String> = groups().into_iter().map(|group| group.name).collect();
    for file in files("deploy/prometheus/tests", ".yml") {
        let order = yaml::<TestFile>(&format!("deploy/prometheus/tests/{file}")).group_eval_order;
        assert_eq!(
            order.first().map(String::as_str),
            Some("longhaul-recording"),
            "{file}"
        );
        let (named, there): (BTreeSet<_>, BTreeSet<_>) = (order.iter().collect(), groups.iter().collect());
        assert_eq!(named, there, "{file}");
    }
}
