//! Reads the workspace once, asks every rule, and prints what they find.
//! Never knows what a rule is about.

use std::path::Path;

use super::finding::Finding;
use super::house::House;
use super::packages;
use super::tree::Tree;
use super::{adapters, codes, dependencies, floors, heads, hosts, names, purity, rings, sizes};

type Rule = fn(&House) -> Vec<Finding>;

const RULES: [Rule; 10] = [
    floors::check,
    dependencies::check,
    hosts::check,
    adapters::check,
    purity::check,
    rings::check,
    names::check,
    heads::check,
    sizes::check,
    codes::check,
];

/// Prints every finding and a summary; returns whether there was none.
pub(crate) fn run(root: &Path) -> anyhow::Result<bool> {
    let house = House {
        tree: Tree::read(root)?,
        packages: packages::read(root)?,
    };
    let mut findings: Vec<Finding> = RULES.iter().flat_map(|rule| rule(&house)).collect();
    findings.sort();
    findings.dedup();
    for finding in &findings {
        println!("{finding}");
    }
    let found = match findings.len() {
        0 => "all tidy".to_owned(),
        count => format!("{count} finding(s)"),
    };
    println!(
        "tidy: {} files, {} packages: {found}",
        house.tree.sources.len(),
        house.packages.len()
    );
    Ok(findings.is_empty())
}
