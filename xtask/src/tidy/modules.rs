//! Which file holds which module, from the `mod` declarations of a crate's root down.
//! Never looks outside of `src/`: integration tests are crates of a file or two.

use std::collections::BTreeMap;

use super::paths::{By, Named};
use super::tree::{Source, Tree};

const HOPS_MAX: usize = 16;

/// One crate: a library or a program.
pub(crate) struct Modules<'a> {
    tree: &'a Tree,
    /// The module's path, without `crate` -> its file's path.
    files: BTreeMap<Vec<String>, String>,
}

impl<'a> Modules<'a> {
    /// The crates of the workspace: every `src/lib.rs`, `src/main.rs` and `src/bin/*.rs`.
    pub(crate) fn of_every_crate(tree: &'a Tree) -> Vec<Self> {
        tree.sources
            .keys()
            .filter(|path| is_root(path))
            .map(|path| Self::below(tree, path))
            .collect()
    }

    /// The crate with this root file.
    pub(crate) fn below(tree: &'a Tree, root: &str) -> Self {
        let mut modules = Self {
            tree,
            files: BTreeMap::new(),
        };
        modules.add(Vec::new(), root);
        modules
    }

    /// Every module with its source.
    pub(crate) fn sources(&self) -> impl Iterator<Item = (&Vec<String>, &'a Source)> {
        self.files
            .iter()
            .filter_map(|(module, path)| Some((module, self.tree.sources.get(path)?)))
    }

    /// The file that holds what `named` leads to when it stands in `module`, through re-exports; `None` for what
    /// another crate holds.
    pub(crate) fn file_of(&self, module: &[String], named: &Named) -> Option<&'a Source> {
        let mut here = module.to_vec();
        here.extend(named.within.iter().cloned());
        self.follow(&here, &named.segments, 0)
    }

    fn follow(&self, here: &[String], segments: &[String], hops: usize) -> Option<&'a Source> {
        let path = self.absolute(here, segments, hops)?;
        let known = (0..=path.len())
            .rev()
            .find(|&end| path.get(..end).is_some_and(|p| self.files.contains_key(p)))?;
        let (holder, rest) = path.split_at_checked(known)?;
        let source = self.source(holder)?;
        let Some(name) = rest.first() else {
            return Some(source);
        };
        for import in source.said.named.iter().filter(|import| import.within.is_empty()) {
            let target = match &import.by {
                By::Import { name: imported } if imported == name => {
                    [import.segments.as_slice(), rest.get(1..).unwrap_or_default()].concat()
                }
                By::Glob if self.glob_has(holder, import, name) => {
                    [import.segments.as_slice(), rest].concat()
                }
                _ => continue,
            };
            if let Some(found) = self.follow(holder, &target, hops + 1) {
                return Some(found);
            }
        }
        Some(source)
    }

    /// `segments` from the root of the crate, or `None` if they lead out of it.
    fn absolute(&self, here: &[String], segments: &[String], hops: usize) -> Option<Vec<String>> {
        // Imports in a circle do not compile, but two that are under different `cfg`s may look like one.
        if hops > HOPS_MAX {
            return None;
        }
        let mut base = here.to_vec();
        let mut rest = segments;
        match rest.first()?.as_str() {
            "crate" => {
                base.clear();
                rest = rest.get(1..)?;
            }
            "self" | "super" => {}
            first if self.files.contains_key(&[here, &[first.to_owned()]].concat()) => {}
            first => return self.through_import(here, first, rest.get(1..)?, hops),
        }
        while let Some(step @ ("self" | "super")) = rest.first().map(String::as_str) {
            if step == "super" {
                base.pop()?;
            }
            rest = rest.get(1..)?;
        }
        base.extend(rest.iter().cloned());
        Some(base)
    }

    /// `port::Store` after `use crate::port`.
    fn through_import(
        &self,
        here: &[String],
        first: &str,
        rest: &[String],
        hops: usize,
    ) -> Option<Vec<String>> {
        let import = self.source(here)?.said.named.iter().find(|import| {
            matches!(&import.by, By::Import { name } if name == first)
                && import.within.is_empty()
                && import.segments.first().is_some_and(|segment| segment != first)
        })?;
        let mut path = self.absolute(here, &import.segments, hops + 1)?;
        path.extend(rest.iter().cloned());
        Some(path)
    }

    fn glob_has(&self, here: &[String], glob: &Named, name: &str) -> bool {
        let declares = |source: &Source| {
            source.tokens.windows(2).any(|pair| match pair {
                [keyword, declared] => keyword.word().is_some_and(declares_items) && declared.is_word(name),
                _ => false,
            })
        };
        let path = self.absolute(here, &glob.segments, 0);
        path.and_then(|path| self.source(&path)).is_some_and(declares)
    }

    fn source(&self, module: &[String]) -> Option<&'a Source> {
        self.tree.sources.get(self.files.get(module)?)
    }

    fn add(&mut self, module: Vec<String>, path: &str) {
        let tree = self.tree;
        let Some(source) = tree.sources.get(path) else {
            return;
        };
        self.files.insert(module.clone(), path.to_owned());
        let directory = if is_root(path) {
            path.rsplit_once('/').map_or("", |(directory, _)| directory)
        } else {
            path.strip_suffix(".rs").unwrap_or(path)
        };
        for declared in &source.said.declared {
            let mut child = module.clone();
            child.extend(declared.within.iter().cloned());
            child.push(declared.name.clone());
            let below: Vec<&str> = declared
                .within
                .iter()
                .map(String::as_str)
                .chain([declared.name.as_str()])
                .collect();
            self.add(child, &format!("{directory}/{}.rs", below.join("/")));
        }
    }
}

fn is_root(path: &str) -> bool {
    let Some((_, below)) = path.split_once("/src/") else {
        return false;
    };
    below == "lib.rs"
        || below == "main.rs"
        || below.strip_prefix("bin/").is_some_and(|name| !name.contains('/'))
}

fn declares_items(keyword: &str) -> bool {
    matches!(
        keyword,
        "struct" | "enum" | "union" | "trait" | "type" | "fn" | "const" | "static" | "mod"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lead(files: &[(&str, &str)], from: &str) -> Vec<Option<String>> {
        let tree = Tree::of(files);
        let modules = Modules::below(&tree, "a/src/lib.rs");
        let (module, source) = modules.sources().find(|(_, source)| source.path == from).unwrap();
        let file = |named| modules.file_of(module, named).map(|source| source.path.clone());
        source.said.named.iter().map(file).collect()
    }

    #[test]
    fn paths_lead_to_files_through_parents_aliases_and_globs() {
        let files = [
            ("a/src/lib.rs", "mod port; mod turn; pub use port::Store;"),
            (
                "a/src/port.rs",
                "mod store; mod error; pub use store::Store; pub use error::*;",
            ),
            ("a/src/port/store.rs", "pub trait Store {}"),
            ("a/src/port/error.rs", "pub enum Fault {}"),
            (
                "a/src/turn.rs",
                "use crate::port; use crate::Store; use super::port::Fault; use std::fmt;
                fn f() { port::Store; port::error::Fault; fmt::Debug; }",
            ),
        ];
        let store = Some("a/src/port/store.rs".to_owned());
        let error = Some("a/src/port/error.rs".to_owned());
        let parent = Some("a/src/port.rs".to_owned());
        let expected = [parent, store.clone(), error.clone(), None, store, error, None];
        assert_eq!(lead(&files, "a/src/turn.rs"), expected);
    }

    #[test]
    fn only_declared_files_belong_to_a_crate() {
        let tree = Tree::of(&[
            ("a/src/lib.rs", "mod b;"),
            ("a/src/main.rs", "mod c;"),
            ("a/src/b.rs", "mod d;"),
            ("a/src/b/d.rs", ""),
            ("a/src/c.rs", ""),
        ]);
        let files = |root| -> Vec<String> {
            Modules::below(&tree, root)
                .sources()
                .map(|(_, source)| source.path.clone())
                .collect()
        };
        assert_eq!(
            files("a/src/lib.rs"),
            ["a/src/lib.rs", "a/src/b.rs", "a/src/b/d.rs"]
        );
        assert_eq!(files("a/src/main.rs"), ["a/src/main.rs", "a/src/c.rs"]);
    }
}
