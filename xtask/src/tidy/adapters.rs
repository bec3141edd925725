//! `lapin` is named only in `backends/src/rabbitmq`, `redis` only in `backends/src/redis`.
//! Never looks at what stands beside the house: tests and benches may speak to the servers themselves.

use super::finding::Finding;
use super::house::House;
use super::paths::{By, Named};
use super::tree::Source;

const RULE: &str = "adapters";
const ROOMS: [(&str, &str); 2] = [
    ("lapin", "backends/src/rabbitmq"),
    ("redis", "backends/src/redis"),
];
const BESIDE: [&str; 3] = ["tests/", "benches/", "xtask/"];

pub(crate) fn check(house: &House) -> Vec<Finding> {
    let mut findings = Vec::new();
    let sources = house.tree.sources.values();
    for source in sources.filter(|source| !BESIDE.iter().any(|beside| source.path.starts_with(beside))) {
        for (driver, room) in ROOMS {
            if source.path.starts_with(room) || is_local(source, driver) {
                continue;
            }
            findings.extend(
                source
                    .said
                    .named
                    .iter()
                    .filter(|named| names(named, driver))
                    .map(|named| Finding {
                        path: source.path.clone(),
                        line: named.line,
                        rule: RULE,
                        wrong: format!("`{driver}` is named outside of {room}"),
                        remedy: format!("move the line to {room}, behind a port of `shared`"),
                    }),
            );
        }
    }
    findings
}

fn names(named: &Named, driver: &str) -> bool {
    named.segments.first().is_some_and(|first| first == driver)
}

/// A module of this name hides the crate.
fn is_local(source: &Source, name: &str) -> bool {
    let imported = |named: &Named| {
        matches!(&named.by, By::Import { name: imported } if imported == name) && !names(named, name)
    };
    source.said.declared.iter().any(|declared| declared.name == name)
        || source.said.named.iter().any(imported)
}

#[cfg(test)]
mod tests {
    use super::super::finding::briefly;
    use super::*;

    #[test]
    fn drivers_are_named_in_their_own_rooms_only() {
        let house = House::of_files(&[
            ("backends/src/redis/keys.rs", "use redis::Cmd;"),
            (
                "backends/src/redis.rs",
                "use redis::Script; fn a() -> lapin::Error {}",
            ),
            (
                "backends/src/rabbitmq/consumer.rs",
                "use lapin::{Channel, options::X};",
            ),
            (
                "backends/src/lib.rs",
                "pub mod redis; pub use self::redis::Store;",
            ),
            (
                "client/src/lib.rs",
                "use longhaul_backends::redis; fn a() { redis::open() } // redis::x\n",
            ),
            ("client/src/wait.rs", "fn a() -> redis::Value { \"redis::x\" }"),
            ("tests/src/lib.rs", "use redis::Cmd;"),
        ]);
        let expected = [
            "backends/src/redis.rs:1 `lapin` is named outside of backends/src/rabbitmq",
            "client/src/wait.rs:1 `redis` is named outside of backends/src/redis",
        ];
        assert_eq!(briefly(&check(&house)), expected);
    }
}
