//! Reads Grafana's dashboards, and checks that each panel can be read by somebody who did not draw it.
//! Never starts Grafana.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::Value;

use crate::catalogue::{files, read};
use crate::{promtool, rules};

const DIRECTORY: &str = "deploy/grafana/dashboards";
/// How many columns Grafana has.
const COLUMNS: u32 = 24;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Dashboard {
    uid: String,
    title: String,
    description: String,
    tags: Vec<String>,
    panels: Vec<Panel>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Panel {
    id: u32,
    #[serde(rename = "type")]
    kind: String,
    title: String,
    #[serde(default)]
    description: String,
    grid_pos: Place,
    #[serde(default)]
    datasource: Value,
    #[serde(default)]
    targets: Vec<Target>,
    #[serde(default)]
    field_config: Value,
}

#[derive(Deserialize)]
struct Place {
    x: u32,
    y: u32,
    w: u32,
    h: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Target {
    ref_id: String,
    expr: String,
}

impl Dashboard {
    /// The panels that show something.
    fn drawn(&self) -> impl Iterator<Item = &Panel> {
        self.panels.iter().filter(|panel| panel.kind != "row")
    }
}

/// Each with the name of its file.
fn all() -> Vec<(String, Dashboard)> {
    let names = files(DIRECTORY, ".json");
    let read = |name: String| {
        let text = read(&format!("{DIRECTORY}/{name}"));
        let dashboard = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
        (name, dashboard)
    };
    names.into_iter().map(read).collect()
}

/// What the panels ask for, as Prometheus would be asked.
pub(crate) fn expressions() -> Vec<String> {
    let dashboards = all();
    let panels = dashboards.iter().flat_map(|(_, dashboard)| dashboard.drawn());
    panels
        .flat_map(|panel| &panel.targets)
        .map(|target| target.expr.replace("$__rate_interval", "5m"))
        .collect()
}

/// What panels, rows and dashboards are called; runbooks point at them.
pub(crate) fn titles() -> BTreeSet<String> {
    let mut titles = BTreeSet::new();
    for (_, board) in all() {
        titles.extend(board.panels.into_iter().map(|panel| panel.title));
        titles.insert(board.title.trim_start_matches("Longhaul / ").to_owned());
    }
    titles
}

#[test]
fn the_four_dashboards_are_told_apart() {
    let dashboards = all();
    let names: Vec<&str> = dashboards.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "activities-and-queues.json",
        "broker-and-store.json",
        "orchestrators.json",
        "overview.json",
    ];
    assert_eq!(names, expected);
    let uids: BTreeSet<&str> = dashboards.iter().map(|(_, board)| board.uid.as_str()).collect();
    let titles: BTreeSet<&str> = dashboards.iter().map(|(_, board)| board.title.as_str()).collect();
    assert_eq!((uids.len(), titles.len()), (4, 4), "{uids:?} {titles:?}");
    for (name, board) in &dashboards {
        assert!(!board.description.is_empty(), "{name} says nothing about itself");
        // The links between the dashboards go by it.
        assert_eq!(board.tags, ["longhaul"], "{name}");
    }
}

#[test]
fn panels_are_told_apart_and_stand_beside_each_other() {
    for (name, board) in all() {
        let mut ids = BTreeSet::new();
        let mut titles = BTreeSet::new();
        let mut taken = BTreeSet::new();
        for panel in &board.panels {
            assert!(ids.insert(panel.id), "{name}: two panels are number {}", panel.id);
            // A row may be called like a panel in it.
            assert!(
                panel.kind == "row" || titles.insert(&panel.title),
                "{name}: two panels are called {:?}",
                panel.title
            );
            let Place { x, y, w, h } = panel.grid_pos;
            assert!(w > 0 && h > 0 && x + w <= COLUMNS, "{name}: {:?}", panel.title);
            for cell in (x..x + w).flat_map(|x| (y..y + h).map(move |y| (x, y))) {
                assert!(taken.insert(cell), "{name}: {:?} covers another", panel.title);
            }
        }
    }
}

#[test]
fn a_panel_says_what_good_looks_like() {
    for (name, board) in all() {
        for panel in board.drawn() {
            let at = format!("{name}: {:?}", panel.title);
            assert!(
                !panel.title.is_empty(),
                "{name}: number {} has no title",
                panel.id
            );
            assert!(panel.description.starts_with("Good: "), "{at}");
            let unit = panel
                .field_config
                .pointer("/defaults/unit")
                .and_then(Value::as_str);
            assert!(unit.is_some_and(|unit| !unit.is_empty()), "{at} has no unit");
            let uid = panel.datasource.pointer("/uid").and_then(Value::as_str);
            assert_eq!(uid, Some("prometheus"), "{at}");
            let letters: BTreeSet<&str> = panel
                .targets
                .iter()
                .map(|target| target.ref_id.as_str())
                .collect();
            assert!(
                !letters.is_empty() && letters.len() == panel.targets.len(),
                "{at}"
            );
        }
    }
}

#[test]
fn the_overview_begins_with_what_may_be_stuck() {
    let (_, overview) = all().pop().unwrap();
    let first: Vec<&str> = overview
        .drawn()
        .take(8)
        .map(|panel| panel.kind.as_str())
        .collect();
    assert_eq!(first, ["stat"; 8]);
    // On a screen of 1080 lines Grafana shows about 26 rows of the grid.
    let stuck = overview.drawn().take(10);
    assert!(stuck.map(|panel| panel.grid_pos.y + panel.grid_pos.h).max() <= Some(13));
}

/// What the figures and the time line of the Overview are worth, in their order.
fn check_overview(series: &Value, eval_time: &str, figures: [u32; 8], lines: [u32; 7]) {
    let (_, overview) = all().pop().unwrap();
    let of = |kind: &'static str| {
        let panels = overview.drawn().filter(move |panel| panel.kind == kind);
        panels
            .flat_map(|panel| &panel.targets)
            .map(|target| target.expr.clone())
    };
    let mut values: Vec<(String, u32)> = of("state-timeline").zip(lines).collect();
    // -1, nobody is there to tell, counts as 1.
    values.extend(of("stat").map(|expr| format!("abs({expr})")).zip(figures));
    assert_eq!(values.len(), figures.len() + lines.len());
    promtool::check_values(series, eval_time, &values);
}

#[test]
fn the_overview_is_green_when_nothing_is_wrong() {
    check_overview(&rules::healthy_series(), "55m", [0; 8], [0; 7]);
}

#[test]
fn the_overview_is_red_when_nobody_is_there_to_tell() {
    // No worker is missing: there never was one.
    let (figures, lines) = ([1, 1, 1, 1, 0, 1, 1, 1], [1, 1, 1, 1, 0, 1, 1]);
    check_overview(&serde_json::json!([]), "5m", figures, lines);
}

#[test]
fn a_runbook_that_a_panel_names_is_there() {
    let alerts = rules::alerts();
    for (name, board) in all() {
        for panel in board.drawn() {
            let words = panel.description.split(|letter: char| !letter.is_alphanumeric());
            for word in words.filter(|word| word.starts_with("Longhaul")) {
                assert!(alerts.contains(word), "{name}: {:?} names {word}", panel.title);
            }
        }
    }
}
