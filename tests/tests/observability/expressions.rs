//! What panels and rules ask for: that Prometheus understands it, and that every metric in it is one that there is.
//! Never understands PromQL itself beyond telling a metric's name from the other words.

use std::collections::{BTreeMap, BTreeSet};

use crate::catalogue::{NOT_ASKED_FOR, OF_PROMETHEUS, OF_RABBITMQ, documented, metric_of};
use crate::{dashboards, promtool, rules};

/// Words between operands.
const OPERATORS: [&str; 5] = ["and", "or", "unless", "bool", "offset"];
/// Words that follow what sums up, as in `max by (queue) (…)`.
const GROUPING: [&str; 2] = ["by", "without"];
/// Words that a list of labels follows.
const BEFORE_LABELS: [&str; 6] = ["by", "without", "on", "ignoring", "group_left", "group_right"];

/// The names of the metrics in an expression.
pub(crate) fn names(expression: &str) -> BTreeSet<String> {
    let bare = without_selectors(expression);
    let mut names = BTreeSet::new();
    let mut rest = bare.as_str();
    while let Some(at) = rest.find(is_first) {
        let (before, word_on) = rest.split_at(at);
        let end = word_on.find(|letter| !is_later(letter)).unwrap_or(word_on.len());
        let (word, after) = word_on.split_at(end);
        rest = after;
        // The unit of a number, as in `30m` or `1e9`.
        if before.ends_with(|letter: char| letter.is_ascii_digit()) || OPERATORS.contains(&word) {
            continue;
        }
        let called = after.trim_start().strip_prefix('(');
        match called {
            Some(inside) if BEFORE_LABELS.contains(&word) => {
                rest = inside.split_once(')').map_or("", |(_, outside)| outside);
            }
            Some(_) => {}
            None if BEFORE_LABELS.contains(&word) || GROUPING.contains(&first_word(after)) => {}
            None => {
                names.insert(word.to_owned());
            }
        }
    }
    names
}

fn first_word(text: &str) -> &str {
    let text = text.trim_start();
    text.split(|letter| !is_later(letter)).next().unwrap_or_default()
}

/// Without what stands in `{}`, `[]` and quotes: no metric is named there.
fn without_selectors(expression: &str) -> String {
    let mut bare = String::new();
    let (mut depth, mut quoted) = (0, false);
    for letter in expression.chars() {
        match letter {
            '"' => quoted = !quoted,
            _ if quoted => {}
            '{' | '[' => depth += 1,
            '}' | ']' => {
                depth -= 1;
                bare.push(' ');
            }
            _ if depth == 0 => bare.push(letter),
            _ => {}
        }
    }
    bare
}

fn is_first(letter: char) -> bool {
    letter.is_ascii_alphabetic() || matches!(letter, '_' | ':')
}

fn is_later(letter: char) -> bool {
    is_first(letter) || letter.is_ascii_digit()
}

/// Every name that a panel or a rule asks for, with one of the expressions that do.
pub(crate) fn asked_for() -> BTreeMap<String, String> {
    let of_rules = rules::all().into_iter().map(|rule| rule.expr);
    let mut asked = BTreeMap::new();
    for expression in of_rules.chain(dashboards::expressions()) {
        for name in names(&expression) {
            asked.insert(name, expression.clone());
        }
    }
    asked
}

#[test]
fn a_name_is_told_from_the_other_words_of_an_expression() {
    let cases: [(&str, &[&str]); 7] = [
        ("up == 0", &["up"]),
        (
            "histogram_quantile(0.99, sum by (queue, le) (rate(a_bucket{le=\"b\", c!~\"d{e}\"}[5m])))",
            &["a_bucket"],
        ),
        (
            "a * on (job, instance) group_left (version) b{c=\"d\"} or vector(0)",
            &["a", "b"],
        ),
        ("max by (queue) (a) or sum without (b) (c)", &["a", "c"]),
        ("a:b:c != bool 0 unless on () d offset 15m", &["a:b:c", "d"]),
        ("min_over_time(sum(a{b=~\"c:.*\"})[2m:15s]) > 0 < 1e9", &["a"]),
        ("time() - max by (job) (a) > 120\nand b > 0", &["a", "b"]),
    ];
    for (expression, expected) in cases {
        let found = names(expression);
        assert!(found.iter().eq(expected), "{expression}: {found:?}");
    }
}

#[test]
fn prometheus_understands_what_the_panels_ask() {
    let expressions = dashboards::expressions();
    promtool::check_expressions(expressions.iter().map(String::as_str));
}

#[test]
fn every_metric_that_is_asked_for_is_one_that_there_is() {
    let (documented, recorded) = (documented(), rules::recorded());
    for (name, expression) in asked_for() {
        let name = name.as_str();
        let known = recorded.contains(name)
            || documented.contains(metric_of(name, &documented))
            || OF_RABBITMQ.contains(&name)
            || OF_PROMETHEUS.contains(&name);
        assert!(known, "nobody tells {name}, asked for in {expression}");
    }
}

#[test]
fn every_metric_that_there_is_is_asked_for_or_left_out_for_a_reason() {
    let documented = documented();
    let asked = asked_for();
    let asked: BTreeSet<&str> = asked.keys().map(|name| metric_of(name, &documented)).collect();
    for name in &documented {
        let left_out = NOT_ASKED_FOR
            .iter()
            .any(|(without, reason)| without == name && !reason.is_empty());
        assert!(
            asked.contains(name.as_str()) != left_out,
            "{name}: put it on a panel, or into NOT_ASKED_FOR with the reason; not both"
        );
    }
    for name in rules::recorded() {
        assert!(asked.contains(name.as_str()), "{name} is recorded for nobody");
    }
    for name in OF_RABBITMQ {
        assert!(asked.contains(name), "{name} is listed for nobody");
    }
}
