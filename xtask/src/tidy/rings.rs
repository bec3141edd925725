//! No ring of files inside a crate: whatever a file imports, directly or not, does not import it.
//! Never counts what a parent only declares and re-exports: a path through it leads to the file that has the item.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::finding::Finding;
use super::house::House;
use super::modules::Modules;
use super::paths::{By, Named};
use super::tree::Source;

const RULE: &str = "rings";

/// Path of a file -> paths of the files it imports, each with the line of the first import.
type Imports<'a> = BTreeMap<&'a str, BTreeMap<&'a str, usize>>;

pub(crate) fn check(house: &House) -> Vec<Finding> {
    Modules::of_every_crate(&house.tree)
        .iter()
        .flat_map(|modules| rings(&imports(modules)))
        .collect()
}

fn imports<'a>(modules: &Modules<'a>) -> Imports<'a> {
    let mut imports = Imports::new();
    for (module, source) in modules.sources().filter(|(_, source)| !source.said.only_declares) {
        let imported = imports.entry(source.path.as_str()).or_default();
        for named in source.said.named.iter().filter(|named| is_used(source, named)) {
            let target = modules
                .file_of(module, named)
                .filter(|target| !target.said.only_declares);
            if let Some(target) = target.filter(|target| target.path != source.path) {
                imported.entry(target.path.as_str()).or_insert(named.line);
            }
        }
    }
    imports
}

/// A parent that hands on what its child has does not import it, unless its own code uses it too.
fn is_used(source: &Source, named: &Named) -> bool {
    match &named.by {
        By::Import { name } => !named.handed_on || source.said.words.contains(name),
        By::Glob => !named.handed_on,
        By::Code => true,
    }
}

/// One finding a ring, by the shortest way around from its first file.
fn rings(imports: &Imports<'_>) -> Vec<Finding> {
    let mut seen = BTreeSet::new();
    let mut findings = Vec::new();
    for &file in imports.keys() {
        if seen.contains(file) {
            continue;
        }
        let Some(ring) = way_back(imports, file) else {
            continue;
        };
        let reach = reachable(imports, file);
        seen.extend(
            reach
                .iter()
                .filter(|&&other| reachable(imports, other).contains(file))
                .copied(),
        );
        let steps: Vec<String> = ring
            .iter()
            .map(|(from, line, to)| format!("{from}:{line} imports {to}"))
            .collect();
        findings.push(Finding {
            path: file.to_owned(),
            line: ring.first().map_or(1, |&(_, line, _)| line),
            rule: RULE,
            wrong: format!("a ring of files: {}", steps.join(", ")),
            remedy: "move what both sides need into a file below both, or turn one arrow around".to_owned(),
        });
    }
    findings
}

type Step<'a> = (&'a str, usize, &'a str);

/// The shortest way from `start` over its imports back to itself.
fn way_back<'a>(imports: &Imports<'a>, start: &'a str) -> Option<Vec<Step<'a>>> {
    let mut came_by: BTreeMap<&str, Step<'a>> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for (&next, &line) in imports.get(file).into_iter().flatten() {
            if next == start {
                let mut steps = vec![(file, line, next)];
                let mut at = file;
                while let Some(&step) = came_by.get(at) {
                    steps.push(step);
                    at = step.0;
                }
                steps.reverse();
                return Some(steps);
            }
            if !came_by.contains_key(next) {
                came_by.insert(next, (file, line, next));
                queue.push_back(next);
            }
        }
    }
    None
}

fn reachable<'a>(imports: &Imports<'a>, start: &'a str) -> BTreeSet<&'a str> {
    let mut found = BTreeSet::new();
    let mut open = vec![start];
    while let Some(file) = open.pop() {
        for &next in imports.get(file).into_iter().flat_map(BTreeMap::keys) {
            if found.insert(next) {
                open.push(next);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::finding::briefly;
    use super::*;

    fn found(files: &[(&str, &str)]) -> Vec<String> {
        briefly(&check(&House::of_files(files)))
    }

    #[test]
    fn siblings_that_import_each_other_are_a_ring() {
        let files = [
            ("a/src/lib.rs", "mod b; mod c; mod d;"),
            ("a/src/b.rs", "\nuse crate::c::C; struct B;"),
            ("a/src/c.rs", "fn c() -> crate::d::D {}"),
            ("a/src/d.rs", "mod deep { use super::super::b::B; }"),
        ];
        let steps = "a/src/b.rs:2 imports a/src/c.rs, a/src/c.rs:1 imports a/src/d.rs, a/src/d.rs:1 imports a/src/b.rs";
        assert_eq!(found(&files), [format!("a/src/b.rs:2 a ring of files: {steps}")]);
    }

    #[test]
    fn a_parent_that_only_declares_closes_no_ring_but_hides_none_either() {
        let parent = "mod store; mod error; pub use store::Store; pub use error::Error;";
        let store = "use super::Error; pub trait Store {}";
        let tidy = [
            ("a/src/lib.rs", parent),
            ("a/src/store.rs", store),
            ("a/src/error.rs", "pub enum Error {}"),
        ];
        assert_eq!(found(&tidy), Vec::<String>::new());

        let error = "pub enum Error { A(Box<dyn crate::Store>) }";
        let ring = [
            ("a/src/lib.rs", parent),
            ("a/src/store.rs", store),
            ("a/src/error.rs", error),
        ];
        assert_eq!(found(&ring).len(), 1);
    }

    #[test]
    fn a_parent_with_code_and_its_child_may_be_a_ring() {
        let files = [
            ("a/src/lib.rs", "mod turn;"),
            (
                "a/src/turn.rs",
                "mod plan; pub struct Turn; fn run() { plan::plan() }",
            ),
            ("a/src/turn/plan.rs", "use super::Turn; fn plan() {}"),
        ];
        assert_eq!(found(&files).len(), 1);
    }

    #[test]
    fn a_parent_with_code_that_only_hands_its_child_on_is_no_ring() {
        let child = (
            "a/src/registry/activity.rs",
            "use super::Duplicate; pub struct Activities(Duplicate);",
        );
        let parent = |code| ("a/src/registry.rs", code);
        let root = ("a/src/lib.rs", "mod registry;");
        let hands_on = "mod activity; pub use activity::Activities; pub struct Duplicate;";
        assert_eq!(found(&[root, parent(hands_on), child]), Vec::<String>::new());
        let uses = "mod activity; pub use activity::Activities; pub struct Duplicate(Activities);";
        assert_eq!(found(&[root, parent(uses), child]).len(), 1);
    }

    #[test]
    fn tests_do_not_count() {
        let files = [
            ("a/src/lib.rs", "mod b; mod c;"),
            ("a/src/b.rs", "use crate::c::C;"),
            ("a/src/c.rs", "#[cfg(test)] mod tests { use crate::b::B; }"),
        ];
        assert_eq!(found(&files), Vec::<String>::new());
    }
}
