//! The engine would answer the same tomorrow: no clock, chance, environment, runtime or hash order in it.
//! Never looks outside of `sdk/src/engine`, nor at its tests: they may show what happens to whoever breaks this.

use super::finding::Finding;
use super::house::House;
use super::lexer::{Token, without_tests};
use super::modules::Modules;
use super::tree::Source;

const RULE: &str = "purity";
const ENGINE: [&str; 2] = ["sdk/src/engine.rs", "sdk/src/engine/"];
const BANNED: [(&str, &str); 9] = [
    (
        "tokio",
        "the engine polls futures itself; the loop that hosts it owns the runtime",
    ),
    ("Instant", "take the turn's time as an argument"),
    ("SystemTime", "take the turn's time as an argument"),
    ("rand", "derive the value from the instance and the step's id"),
    (
        "getrandom",
        "derive the value from the instance and the step's id",
    ),
    ("new_v4", "derive the value from the instance and the step's id"),
    ("HashMap", "iterate in a stated order: BTreeMap or Vec"),
    ("HashSet", "iterate in a stated order: BTreeSet or Vec"),
    ("RandomState", "iterate in a stated order: BTreeMap or Vec"),
];

pub(crate) fn check(house: &House) -> Vec<Finding> {
    let sdk = Modules::below(&house.tree, "sdk/src/lib.rs");
    let sources = sdk.sources().map(|(_, source)| source);
    let engine = sources.filter(|source| ENGINE.iter().any(|prefix| source.path.starts_with(prefix)));
    engine
        .flat_map(|source| words(source).into_iter().chain(environment(source)))
        .collect()
}

fn words(source: &Source) -> Vec<Finding> {
    let banned = |token: &Token| {
        let (word, remedy) = BANNED.iter().find(|(word, _)| token.is_word(word))?;
        Some(finding(source, token.line, word, remedy))
    };
    without_tests(&source.tokens).iter().filter_map(banned).collect()
}

/// `std::env`, however it is imported.
fn environment(source: &Source) -> impl Iterator<Item = Finding> {
    let paths = source.said.named.iter().filter(
        |named| matches!(named.segments.as_slice(), [first, second, ..] if first == "std" && second == "env"),
    );
    paths.map(|named| finding(source, named.line, "std::env", "take the value as an argument"))
}

fn finding(source: &Source, line: usize, word: &str, remedy: &str) -> Finding {
    Finding {
        path: source.path.clone(),
        line,
        rule: RULE,
        wrong: format!("the engine names `{word}`"),
        remedy: remedy.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::finding::briefly;
    use super::*;

    #[test]
    fn what_answers_differently_tomorrow_is_found_in_the_engine() {
        let house = House::of_files(&[
            ("sdk/src/lib.rs", "mod engine; mod context;"),
            (
                "sdk/src/engine.rs",
                "use std::{collections::{BTreeMap, HashMap}, env}; mod replay; #[cfg(test)] mod tests;",
            ),
            (
                "sdk/src/engine/replay.rs",
                "// a HashMap would do\nfn a() { std::time::Instant::now(); }\nfn b() { tokio::spawn }",
            ),
            ("sdk/src/engine/tests.rs", "fn a() { tokio::time::sleep() }"),
            ("sdk/src/context.rs", "use std::collections::HashMap;"),
        ]);
        let expected = [
            "sdk/src/engine.rs:1 the engine names `HashMap`",
            "sdk/src/engine.rs:1 the engine names `std::env`",
            "sdk/src/engine/replay.rs:2 the engine names `Instant`",
            "sdk/src/engine/replay.rs:3 the engine names `tokio`",
        ];
        assert_eq!(briefly(&check(&house)), expected);
    }
}
