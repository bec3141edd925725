//! A file has one subject, a function fits a screen; `xtask/tidy-allow.txt` lists the exceptions with their reasons.
//! Never lets an exception outlive its need.

use std::collections::BTreeMap;

use super::finding::Finding;
use super::house::House;
use super::lexer::{Token, after_group};
use super::tree::Source;

const RULE: &str = "sizes";
const FILE_LINES_MAX: usize = 700;
const FUNCTION_LINES_MAX: usize = 80;
const ALLOWED: &str = "xtask/tidy-allow.txt";

pub(crate) fn check(house: &House) -> Vec<Finding> {
    let mut allowed = house
        .tree
        .texts
        .get(ALLOWED)
        .map(|text| exceptions(text))
        .unwrap_or_default();
    let mut findings = Vec::new();
    for large in house.tree.sources.values().flat_map(large_parts) {
        match allowed.get_mut(large.subject.as_str()) {
            Some(exception) => exception.used = true,
            None => findings.push(large.finding),
        }
    }
    for (subject, exception) in allowed {
        let (wrong, remedy) = match (exception.has_reason, exception.used) {
            (false, _) => (
                format!("`{subject}` is allowed without a reason"),
                "write why, after its name",
            ),
            (true, false) => (format!("`{subject}` needs no exception"), "delete the line"),
            (true, true) => continue,
        };
        let (path, remedy) = (ALLOWED.to_owned(), remedy.to_owned());
        findings.push(Finding {
            path,
            line: exception.line,
            rule: RULE,
            wrong,
            remedy,
        });
    }
    findings
}

struct Exception {
    line: usize,
    has_reason: bool,
    used: bool,
}

/// By subject: `path` or `path#function`.
fn exceptions(text: &str) -> BTreeMap<&str, Exception> {
    let lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    lines
        .filter(|(_, text)| !text.is_empty() && !text.starts_with('#'))
        .map(|(line, text)| {
            let (subject, reason) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
            (
                subject,
                Exception {
                    line,
                    has_reason: !reason.trim().is_empty(),
                    used: false,
                },
            )
        })
        .collect()
}

struct Large {
    subject: String,
    finding: Finding,
}

fn large_parts(source: &Source) -> Vec<Large> {
    let mut parts = Vec::new();
    let lines = source.text.lines().count();
    if lines > FILE_LINES_MAX {
        let wrong = format!("the file has {lines} lines, more than {FILE_LINES_MAX}");
        parts.push(large(source, source.path.clone(), 1, wrong));
    }
    for function in functions(&source.tokens) {
        if function.lines > FUNCTION_LINES_MAX {
            let Function { name, line, lines } = function;
            let wrong = format!("`{name}` has {lines} lines, more than {FUNCTION_LINES_MAX}");
            parts.push(large(source, format!("{}#{name}", source.path), line, wrong));
        }
    }
    parts
}

fn large(source: &Source, subject: String, line: usize, wrong: String) -> Large {
    let remedy =
        format!("find the second subject in it and move it out, or list `{subject}` and why in {ALLOWED}");
    let path = source.path.clone();
    Large {
        subject,
        finding: Finding {
            path,
            line,
            rule: RULE,
            wrong,
            remedy,
        },
    }
}

struct Function {
    name: String,
    line: usize,
    /// From `fn` to the closing brace.
    lines: usize,
}

fn functions(tokens: &[Token]) -> Vec<Function> {
    let starts = (0..tokens.len()).filter_map(|at| tokens.get(at..));
    starts.filter_map(function).collect()
}

fn function(tokens: &[Token]) -> Option<Function> {
    let [keyword, name, rest @ ..] = tokens else {
        return None;
    };
    let name = name.word().filter(|_| keyword.is_word("fn"))?;
    let mut rest = rest;
    loop {
        match rest {
            [token, ..] if token.is_mark('{') => break,
            [token, ..] if token.is_mark(';') => return None,
            [token, ..] if token.is_mark('(') || token.is_mark('[') => rest = after_group(rest),
            [_, after @ ..] => rest = after,
            [] => return None,
        }
    }
    let body = rest.get(..rest.len() - after_group(rest).len())?;
    let lines = body.last()?.line - keyword.line + 1;
    Some(Function {
        name: name.to_owned(),
        line: keyword.line,
        lines,
    })
}

#[cfg(test)]
mod tests {
    use super::super::finding::briefly;
    use super::*;

    #[test]
    fn large_files_and_functions_are_found() {
        let function = |lines: usize| format!("\nfn a(b: [u8; 2]) -> C {{{}}}\n", "\n".repeat(lines - 1));
        let (fits, large) = (function(80), function(81));
        let file = "\n".repeat(701);
        let house = House::of_files(&[
            ("a.rs", fits.as_str()),
            ("b.rs", large.as_str()),
            ("c.rs", file.as_str()),
        ]);
        let expected = [
            "b.rs:2 `a` has 81 lines, more than 80",
            "c.rs:1 the file has 701 lines, more than 700",
        ];
        assert_eq!(briefly(&check(&house)), expected);
    }

    #[test]
    fn an_exception_needs_a_reason_and_a_need() {
        let file = "\n".repeat(701);
        let allowed = "# comment\na.rs one table\nb.rs\n\nc.rs#d it was long once\n";
        let house = House::of_files(&[("a.rs", &file), ("b.rs", &file), (ALLOWED, allowed)]);
        let expected = [
            "xtask/tidy-allow.txt:3 `b.rs` is allowed without a reason",
            "xtask/tidy-allow.txt:5 `c.rs#d` needs no exception",
        ];
        assert_eq!(briefly(&check(&house)), expected);
    }
}
