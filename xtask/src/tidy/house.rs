//! What the rules look at: the workspace's files and its packages.
//! Never changes while they look.

use super::packages::Package;
use super::tree::Tree;

pub(crate) struct House {
    pub(crate) tree: Tree,
    pub(crate) packages: Vec<Package>,
}

#[cfg(test)]
impl House {
    /// Made-up files and no packages.
    pub(crate) fn of_files(files: &[(&str, &str)]) -> Self {
        Self {
            tree: Tree::of(files),
            packages: Vec::new(),
        }
    }

    /// Made-up packages and no files.
    pub(crate) fn of_packages(packages: Vec<Package>) -> Self {
        Self {
            tree: Tree::default(),
            packages,
        }
    }
}
