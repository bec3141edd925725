//! Host libraries know neither adapters nor samples: only their binaries name `backends` and `examples`.
//! Never looks at manifests: those are for `floors`.

use super::finding::Finding;
use super::house::House;
use super::modules::Modules;

const RULE: &str = "hosts";
const HOSTS: [&str; 3] = ["orchestrator-worker/", "activity-worker/", "gateways/"];
const ONLY_IN_BIN: [&str; 2] = ["longhaul_backends", "longhaul_examples"];

pub(crate) fn check(house: &House) -> Vec<Finding> {
    let libraries = house
        .tree
        .sources
        .keys()
        .filter(|path| path.ends_with("/src/lib.rs") && HOSTS.iter().any(|host| path.starts_with(host)));
    let mut findings = Vec::new();
    for library in libraries {
        for (_, source) in Modules::below(&house.tree, library).sources() {
            let named = source.said.named.iter().filter_map(|named| {
                let first = named.segments.first()?.as_str();
                ONLY_IN_BIN.contains(&first).then_some((first, named.line))
            });
            findings.extend(named.map(|(name, line)| {
                Finding {
                    path: source.path.clone(),
                    line,
                    rule: RULE,
                    wrong: format!("a host's library names `{name}`"),
                    remedy:
                        "take a port of `shared` or a registry of `sdk` as an argument; main.rs chooses which"
                            .to_owned(),
                }
            }));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::super::finding::briefly;
    use super::*;

    #[test]
    fn the_library_may_not_name_what_the_binary_may() {
        let house = House::of_files(&[
            (
                "activity-worker/src/lib.rs",
                "mod attempt;\n#[cfg(test)] mod tests { use longhaul_examples::A; }",
            ),
            ("activity-worker/src/attempt.rs", "\nuse longhaul_backends::open;"),
            (
                "activity-worker/src/main.rs",
                "mod config; use longhaul_backends::open;",
            ),
            (
                "activity-worker/src/config.rs",
                "fn a() -> longhaul_backends::Config {}",
            ),
            ("client/src/lib.rs", "use longhaul_backends::open;"),
        ]);
        let found = briefly(&check(&house));
        assert_eq!(
            found,
            ["activity-worker/src/attempt.rs:2 a host's library names `longhaul_backends`"]
        );
    }
}
