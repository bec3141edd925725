//! The floors: which package may depend on which. An arrow only points down.
//! Never looks at packages from elsewhere: those are for `dependencies`.

use super::finding::Finding;
use super::house::House;
use super::packages::{Dependency, Package};

const RULE: &str = "floors";

/// A package of the workspace, and what it may depend on.
struct Place {
    package: &'static str,
    may: &'static [&'static str],
    /// Only as optional dependencies that nothing but the feature `bin` switches on.
    may_in_bin: &'static [&'static str],
}

const SHARED: &str = "longhaul-shared";
const TELEMETRY: &str = "longhaul-telemetry";
const SDK: &str = "longhaul-sdk";
const BACKENDS: &str = "longhaul-backends";
const CLIENT: &str = "longhaul-client";
const EXAMPLES: &str = "longhaul-examples";
const ORCHESTRATOR_WORKER: &str = "longhaul-orchestrator-worker";
const ACTIVITY_WORKER: &str = "longhaul-activity-worker";
const HTTP: &str = "longhaul-http";
const SIDECAR: &str = "longhaul-sidecar";
const FACADE: &str = "longhaul";
const MODEL: &str = "longhaul-model";
const SIMULATION: &str = "longhaul-simulation";

const HOST: &[&str] = &[SHARED, TELEMETRY, SDK];
const GATEWAY: &[&str] = &[SHARED, SDK, CLIENT];
const IN_BIN: &[&str] = &[BACKENDS, EXAMPLES];
const BELOW_FACADE: &[&str] = &[
    SHARED,
    TELEMETRY,
    SDK,
    BACKENDS,
    CLIENT,
    EXAMPLES,
    ORCHESTRATOR_WORKER,
    ACTIVITY_WORKER,
    HTTP,
    SIDECAR,
];
const ALL: &[&str] = &[
    SHARED,
    TELEMETRY,
    SDK,
    BACKENDS,
    CLIENT,
    EXAMPLES,
    ORCHESTRATOR_WORKER,
    ACTIVITY_WORKER,
    HTTP,
    SIDECAR,
    FACADE,
];

/// What the tests see: everything, and the simulation, whose judgement of histories they share.
const TESTED: &[&str] = &[
    SHARED,
    TELEMETRY,
    SDK,
    BACKENDS,
    CLIENT,
    EXAMPLES,
    ORCHESTRATOR_WORKER,
    ACTIVITY_WORKER,
    HTTP,
    SIDECAR,
    FACADE,
    SIMULATION,
];

const PLACES: [Place; 16] = [
    Place {
        package: SHARED,
        may: &[],
        may_in_bin: &[],
    },
    Place {
        package: TELEMETRY,
        may: &[],
        may_in_bin: &[],
    },
    Place {
        package: SDK,
        may: &[SHARED],
        may_in_bin: &[],
    },
    Place {
        package: BACKENDS,
        may: &[SHARED, TELEMETRY],
        may_in_bin: &[],
    },
    Place {
        package: CLIENT,
        may: &[SHARED, SDK],
        may_in_bin: &[],
    },
    Place {
        package: EXAMPLES,
        may: &[SDK],
        may_in_bin: &[],
    },
    Place {
        package: ORCHESTRATOR_WORKER,
        may: HOST,
        may_in_bin: IN_BIN,
    },
    Place {
        package: ACTIVITY_WORKER,
        may: HOST,
        may_in_bin: IN_BIN,
    },
    Place {
        package: HTTP,
        may: GATEWAY,
        may_in_bin: IN_BIN,
    },
    Place {
        package: SIDECAR,
        may: GATEWAY,
        may_in_bin: IN_BIN,
    },
    Place {
        package: FACADE,
        may: BELOW_FACADE,
        may_in_bin: &[],
    },
    Place {
        package: "longhaul-tests",
        may: TESTED,
        may_in_bin: &[],
    },
    Place {
        package: SIMULATION,
        may: ALL,
        may_in_bin: &[],
    },
    Place {
        package: MODEL,
        may: &[],
        may_in_bin: &[],
    },
    Place {
        package: "longhaul-benches",
        may: ALL,
        may_in_bin: &[],
    },
    Place {
        package: "xtask",
        may: &[],
        may_in_bin: &[],
    },
];

/// Beside the house: not even a test may depend on these.
const BESIDE: [&str; 4] = ["longhaul-tests", MODEL, "longhaul-benches", "xtask"];

pub(crate) fn check(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &house.packages {
        match PLACES.iter().find(|place| place.package == package.name) {
            Some(place) => findings.extend(arrows(house, package, place)),
            None => findings.push(Finding {
                path: package.manifest.clone(),
                line: 1,
                rule: RULE,
                wrong: format!("the package `{}` has no floor", package.name),
                remedy: "write an ADR, then give it a place in xtask/src/tidy/floors.rs".to_owned(),
            }),
        }
    }
    findings
}

fn arrows(house: &House, package: &Package, place: &Place) -> Vec<Finding> {
    let ours = |dependency: &&Dependency| {
        house
            .packages
            .iter()
            .any(|package| package.name == dependency.name)
    };
    let wrong = |dependency: &Dependency| {
        let to = dependency.name.as_str();
        let arrow = format!("`{}` depends on `{to}`", package.name);
        if BESIDE.contains(&to) {
            return Some((
                arrow,
                "nobody depends on what stands beside the house: move what you need down",
            ));
        }
        if !dependency.ships() || place.may.contains(&to) {
            return None;
        }
        if !place.may_in_bin.contains(&to) {
            return Some((
                arrow,
                "an arrow only points down: see the floors in CONTRIBUTING.md",
            ));
        }
        let only_in_bin = dependency.optional && switches(package, to) == ["bin"];
        (!only_in_bin).then_some((
            format!("{arrow} outside of its binary"),
            "make it optional, switched on by the feature `bin` alone",
        ))
    };
    let finding = |dependency: &Dependency| {
        wrong(dependency).map(|(wrong, remedy)| Finding {
            path: package.manifest.clone(),
            line: house
                .tree
                .line_of(&package.manifest, &format!("{}.", dependency.name))
                .max(
                    house
                        .tree
                        .line_of(&package.manifest, &format!("{} =", dependency.name)),
                ),
            rule: RULE,
            wrong,
            remedy: remedy.to_owned(),
        })
    };
    package
        .dependencies
        .iter()
        .filter(ours)
        .filter_map(finding)
        .collect()
}

/// The features that switch this dependency on.
fn switches<'a>(package: &'a Package, dependency: &str) -> Vec<&'a str> {
    let on = |value: &String| {
        value == dependency
            || value.strip_prefix("dep:") == Some(dependency)
            || value
                .strip_prefix(dependency)
                .is_some_and(|rest| rest.starts_with('/'))
    };
    let features = package
        .features
        .iter()
        .filter(|(_, values)| values.iter().any(on));
    features.map(|(feature, _)| feature.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::super::finding::briefly;
    use super::super::packages::package;
    use super::*;

    fn wrong(texts: &[&str]) -> Vec<String> {
        let bin: &[(&str, &[&str])] = &[("default", &["bin"]), ("bin", &["dep:longhaul-backends"])];
        briefly(&check(&House::of_packages(
            texts.iter().map(|text| package(text, bin)).collect(),
        )))
    }

    #[test]
    fn arrows_that_point_down_are_fine() {
        let packages = [
            "longhaul-shared: serde",
            "longhaul-sdk: longhaul-shared",
            "longhaul-backends: longhaul-shared, longhaul-sdk (dev)",
            "longhaul-orchestrator-worker: longhaul-sdk, longhaul-backends?",
            "longhaul-tests: longhaul-sdk, longhaul-backends",
        ];
        assert_eq!(wrong(&packages), Vec::<String>::new());
    }

    #[test]
    fn an_arrow_that_points_up_or_sideways_is_found() {
        let found = wrong(&[
            "longhaul-shared: longhaul-sdk",
            "longhaul-sdk: longhaul-backends",
            "longhaul-backends:",
        ]);
        let expected = [
            "longhaul-shared/Cargo.toml:1 `longhaul-shared` depends on `longhaul-sdk`",
            "longhaul-sdk/Cargo.toml:1 `longhaul-sdk` depends on `longhaul-backends`",
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn hosts_may_have_backends_only_in_their_binary() {
        let found = wrong(&[
            "longhaul-activity-worker: longhaul-backends",
            "longhaul-backends:",
        ]);
        let arrow = "`longhaul-activity-worker` depends on `longhaul-backends` outside of its binary";
        assert_eq!(found, [format!("longhaul-activity-worker/Cargo.toml:1 {arrow}")]);

        let features: &[(&str, &[&str])] = &[
            ("bin", &["dep:longhaul-backends"]),
            ("extra", &["longhaul-backends/redis"]),
        ];
        let sneaky = package("longhaul-activity-worker: longhaul-backends?", features);
        let house = House::of_packages(vec![sneaky, package("longhaul-backends:", &[])]);
        assert_eq!(check(&house).len(), 1);
    }

    #[test]
    fn nobody_depends_on_the_tests_not_even_a_test() {
        let found = wrong(&["xtask: longhaul-tests (dev)", "longhaul-tests:"]);
        assert_eq!(found, ["xtask/Cargo.toml:1 `xtask` depends on `longhaul-tests`"]);
    }

    #[test]
    fn a_package_without_a_floor_is_found() {
        assert_eq!(
            wrong(&["longhaul-attic:"]),
            ["longhaul-attic/Cargo.toml:1 the package `longhaul-attic` has no floor"]
        );
    }
}
