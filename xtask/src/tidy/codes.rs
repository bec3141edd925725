//! History codes are stored: those in `shared/src/history.rs` are those in the golden file, for ever.
//! Never writes the golden file: a new code is added to it by hand, in the change that adds the kind.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::house::House;

const RULE: &str = "codes";
const HISTORY: &str = "shared/src/history.rs";
const TABLE: &str = "EVENT_CODES";
const GOLDEN_DIRECTORY: &str = "shared/tests/golden/";
const GOLDEN: &str = "shared/tests/golden/event-codes.txt";

pub(crate) fn check(house: &House) -> Vec<Finding> {
    let tree = &house.tree;
    let finding = |path: &str, line: usize, wrong: String, remedy: &str| Finding {
        path: path.to_owned(),
        line,
        rule: RULE,
        wrong,
        remedy: remedy.to_owned(),
    };
    let Some(golden) = tree.texts.get(GOLDEN) else {
        let expected = tree.texts.keys().any(|path| path.starts_with(GOLDEN_DIRECTORY));
        let wrong = "the golden file of history codes is missing".to_owned();
        let missing = finding(GOLDEN, 1, wrong, "restore it, one `<code> <Name>` a line");
        return if expected { vec![missing] } else { Vec::new() };
    };
    let history = tree.sources.get(HISTORY).map_or("", |source| &source.text);
    let in_code = table(history);
    let in_golden = lines(golden);

    let mut findings = Vec::new();
    for (name, pinned) in &in_golden {
        let (line, wrong) = match in_code.get(name) {
            Some(code) if code.code == pinned.code => continue,
            Some(code) => (
                code.line,
                format!("`{name}` has code {} and is stored as {}", code.code, pinned.code),
            ),
            None => (
                tree.line_of(HISTORY, TABLE),
                format!("`{name}` ({}) is stored and has no code", pinned.code),
            ),
        };
        findings.push(finding(
            HISTORY,
            line,
            wrong,
            "give it its code back: histories hold it",
        ));
    }
    for (name, code) in in_code.iter().filter(|(name, _)| !in_golden.contains_key(*name)) {
        let wrong = format!("`{name}` ({}) is not pinned", code.code);
        findings.push(finding(
            HISTORY,
            code.line,
            wrong,
            "add `<code> <Name>` to shared/tests/golden/event-codes.txt",
        ));
    }
    findings
}

struct Code {
    code: String,
    line: usize,
}

/// `(3, "ExecutionStarted"),` in the table's lines.
fn table(text: &str) -> BTreeMap<String, Code> {
    let lines = text
        .lines()
        .enumerate()
        .skip_while(|(_, line)| !line.contains(&format!("const {TABLE}")));
    let entries = lines.take_while(|(_, line)| !line.trim_start().starts_with("];"));
    let entry = |(at, line): (usize, &str)| {
        let (code, name) = line.trim().strip_prefix('(')?.split_once(',')?;
        let name = name.trim().strip_prefix('"')?.split('"').next()?;
        Some((
            name.to_owned(),
            Code {
                code: code.trim().to_owned(),
                line: at + 1,
            },
        ))
    };
    entries.filter_map(entry).collect()
}

/// `3 ExecutionStarted`.
fn lines(text: &str) -> BTreeMap<String, Code> {
    let entry = |(at, line): (usize, &str)| {
        let (code, name) = line.trim().split_once(' ')?;
        Some((
            name.trim().to_owned(),
            Code {
                code: code.to_owned(),
                line: at + 1,
            },
        ))
    };
    text.lines()
        .enumerate()
        .filter(|(_, line)| !line.starts_with('#'))
        .filter_map(entry)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::finding::briefly;
    use super::*;

    const CODE: &str =
        "pub const EVENT_CODES: [(u8, &str); 2] = [\n    (3, \"Started\"),\n    (4, \"Ended\"),\n];\n";

    fn found(golden: &str) -> Vec<String> {
        briefly(&check(&House::of_files(&[(HISTORY, CODE), (GOLDEN, golden)])))
    }

    #[test]
    fn codes_equal_to_the_golden_file_are_fine() {
        assert_eq!(found("3 Started\n4 Ended\n"), Vec::<String>::new());
    }

    #[test]
    fn a_changed_removed_or_unpinned_code_is_found() {
        let changed = "shared/src/history.rs:3 `Ended` has code 4 and is stored as 5";
        assert_eq!(found("3 Started\n5 Ended\n"), [changed]);
        let removed = "shared/src/history.rs:1 `Failed` (5) is stored and has no code";
        assert_eq!(found("3 Started\n4 Ended\n5 Failed\n"), [removed]);
        assert_eq!(
            found("3 Started\n"),
            ["shared/src/history.rs:3 `Ended` (4) is not pinned"]
        );
    }

    #[test]
    fn a_golden_directory_without_the_golden_file_is_found() {
        let house = House::of_files(&[("shared/tests/golden/other.txt", "")]);
        assert_eq!(check(&house).len(), 1);
        assert_eq!(check(&House::of_files(&[])).len(), 0);
    }
}
