//! The runbooks: a page for each alert, and each page answers the same questions.
//! Never judges what it answers.

use std::collections::BTreeSet;

use crate::catalogue::{files, read};
use crate::{dashboards, rules};

const DIRECTORY: &str = "docs/runbooks";
const HEADINGS: [&str; 5] = [
    "## What it means",
    "## What users feel",
    "## First look",
    "## Causes, the likely first",
    "## When it is over",
];

/// The name of each page but the list, and its text.
fn pages() -> impl Iterator<Item = (String, String)> {
    let names = files(DIRECTORY, ".md")
        .into_iter()
        .filter(|name| name != "README.md");
    names.map(|name| {
        let text = read(&format!("{DIRECTORY}/{name}"));
        (name, text)
    })
}

#[test]
fn a_runbook_answers_the_questions_of_whoever_was_woken() {
    let alerts = rules::alerts();
    let index = read(&format!("{DIRECTORY}/README.md"));
    for (name, text) in pages() {
        let alert = name.trim_end_matches(".md");
        assert!(alerts.contains(alert), "{name} belongs to no alert");
        assert!(
            index.contains(&format!("]({name})")),
            "{name} is not in README.md"
        );
        assert!(text.starts_with(&format!("# {alert}\n")), "{name}");
        let headings: Vec<&str> = text.lines().filter(|line| line.starts_with("## ")).collect();
        assert_eq!(headings, HEADINGS, "{name}");
    }
}

#[test]
fn what_a_runbook_points_at_is_there() {
    let titles: BTreeSet<String> = dashboards::titles();
    let links: BTreeSet<String> = files(DIRECTORY, ".md").into_iter().collect();
    for (name, text) in pages() {
        // Names of panels and dashboards are in italics, and nothing else is. Code spans hold stars of their own.
        let prose: String = text.split('`').step_by(2).collect();
        let prose = prose.replace("**", "");
        for title in prose.split('*').skip(1).step_by(2) {
            assert!(titles.contains(title), "{name}: no panel is called {title:?}");
        }
        for link in prose.split("](").skip(1) {
            let target = link.split(')').next().unwrap_or_default();
            assert!(links.contains(target), "{name}: {target} is not there");
        }
        for code in text.split("LH").skip(1) {
            let digits: String = code.chars().take(4).collect();
            assert!(
                longhaul_shared::code::find(&digits).is_some(),
                "{name}: LH{digits}"
            );
        }
    }
}
