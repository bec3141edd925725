//! The workspace's files, each read and lexed once, for all rules.
//! Never reads what is built or hidden.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;

use super::lexer::{Token, tokens, without_tests};
use super::paths::{Said, said};

/// A Rust file.
pub(crate) struct Source {
    /// Relative to the root of the workspace, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    /// All of it.
    pub(crate) tokens: Vec<Token>,
    /// What it says about others outside of its tests.
    pub(crate) said: Said,
}

/// The files that rules look at.
#[derive(Default)]
pub(crate) struct Tree {
    /// By path.
    pub(crate) sources: BTreeMap<String, Source>,
    /// The contents of other files, by path: manifests, golden files, this tool's lists.
    pub(crate) texts: BTreeMap<String, String>,
}

impl Tree {
    pub(crate) fn read(root: &Path) -> anyhow::Result<Self> {
        let mut tree = Self::default();
        tree.read_directory(root, "")?;
        Ok(tree)
    }

    fn read_directory(&mut self, directory: &Path, prefix: &str) -> anyhow::Result<()> {
        let entries =
            std::fs::read_dir(directory).with_context(|| format!("cannot list {}", directory.display()))?;
        for entry in entries {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{prefix}{name}");
            if name.starts_with('.') || name == "target" {
                continue;
            }
            if entry.file_type()?.is_dir() {
                self.read_directory(&entry.path(), &format!("{path}/"))?;
            } else if path.ends_with(".rs") || is_text_for_rules(&path) {
                let bytes = std::fs::read(entry.path()).with_context(|| format!("cannot read {path}"))?;
                self.add(&path, String::from_utf8_lossy(&bytes).into_owned());
            }
        }
        Ok(())
    }

    fn add(&mut self, path: &str, text: String) {
        if path.ends_with(".rs") {
            let tokens = tokens(&text);
            let said = said(&without_tests(&tokens));
            self.sources.insert(
                path.to_owned(),
                Source {
                    path: path.to_owned(),
                    text,
                    tokens,
                    said,
                },
            );
        } else {
            self.texts.insert(path.to_owned(), text);
        }
    }

    /// The line of a file that first holds `part`, or 1.
    pub(crate) fn line_of(&self, path: &str, part: &str) -> usize {
        let text = self
            .texts
            .get(path)
            .or_else(|| self.sources.get(path).map(|source| &source.text));
        let at = text.and_then(|text| text.lines().position(|line| line.contains(part)));
        at.map_or(1, |at| at + 1)
    }
}

fn is_text_for_rules(path: &str) -> bool {
    path.ends_with("/Cargo.toml")
        || path.starts_with("shared/tests/golden/")
        || path == "xtask/tidy-allow.txt"
}

#[cfg(test)]
impl Tree {
    /// A tree of made-up files.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        let mut tree = Self::default();
        for (path, text) in files {
            tree.add(path, (*text).to_owned());
        }
        tree
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_sources_and_lists_but_nothing_built_or_hidden() {
        let root = tempfile::tempdir().unwrap();
        for path in [
            "a/src/lib.rs",
            "a/Cargo.toml",
            "a/notes.md",
            "target/x.rs",
            ".git/y.rs",
            "xtask/tidy-allow.txt",
        ] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "//! x\n").unwrap();
        }
        let tree = Tree::read(root.path()).unwrap();
        assert_eq!(tree.sources.keys().collect::<Vec<_>>(), ["a/src/lib.rs"]);
        assert_eq!(
            tree.texts.keys().collect::<Vec<_>>(),
            ["a/Cargo.toml", "xtask/tidy-allow.txt"]
        );
    }
}
