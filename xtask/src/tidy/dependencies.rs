//! Packages from elsewhere: what `shared` may have, and who may have the drivers of RabbitMQ and Redis.
//! Never judges a package's licence or age: that is `deny.toml`'s.

use super::finding::Finding;
use super::house::House;
use super::packages::{Dependency, Package};

const RULE: &str = "dependencies";

/// Everybody builds on `shared`, so everybody pays for what it depends on.
const SHARED_MAY: [&str; 10] = [
    "async-trait",
    "bytes",
    "futures",
    "rmp-serde",
    "serde",
    "serde_json",
    "thiserror",
    "tracing",
    "uuid",
    "xxhash-rust",
];

const DRIVERS: [&str; 2] = ["lapin", "redis"];
const DRIVERS_ARE_FOR: [&str; 3] = ["longhaul-backends", "longhaul-tests", "longhaul-benches"];

pub(crate) fn check(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in &house.packages {
        for dependency in package
            .dependencies
            .iter()
            .filter(|dependency| dependency.ships())
        {
            findings.extend(judge(package, dependency).map(|(wrong, remedy)| Finding {
                path: package.manifest.clone(),
                line: house.tree.line_of(&package.manifest, &dependency.name),
                rule: RULE,
                wrong,
                remedy: remedy.to_owned(),
            }));
        }
    }
    findings
}

fn judge(package: &Package, dependency: &Dependency) -> Option<(String, &'static str)> {
    let name = dependency.name.as_str();
    if package.name == "longhaul-shared" && !SHARED_MAY.contains(&name) && !name.starts_with("longhaul") {
        return Some((
            format!("`shared` depends on `{name}`"),
            "move what needs it to the crate that uses it, or write an ADR and add it to xtask/src/tidy/dependencies.rs",
        ));
    }
    if DRIVERS.contains(&name) && !DRIVERS_ARE_FOR.contains(&package.name.as_str()) {
        return Some((
            format!("`{}` depends on `{name}`", package.name),
            "only `backends` speaks to RabbitMQ and Redis: go through the ports of `shared`",
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::super::finding::briefly;
    use super::super::packages::package;
    use super::*;

    fn wrong(text: &str) -> Vec<String> {
        briefly(&check(&House::of_packages(vec![package(text, &[])])))
    }

    #[test]
    fn shared_has_what_its_list_allows_and_anything_for_its_tests() {
        assert_eq!(
            wrong("longhaul-shared: serde, bytes, proptest (dev)"),
            Vec::<String>::new()
        );
        let found = wrong("longhaul-shared: serde, tokio");
        assert_eq!(
            found,
            ["longhaul-shared/Cargo.toml:1 `shared` depends on `tokio`"]
        );
    }

    #[test]
    fn only_backends_and_tests_have_the_drivers() {
        assert_eq!(wrong("longhaul-backends: lapin?, redis?"), Vec::<String>::new());
        assert_eq!(
            wrong("longhaul-client: redis"),
            ["longhaul-client/Cargo.toml:1 `longhaul-client` depends on `redis`"]
        );
    }
}
