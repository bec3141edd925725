//! `cargo xtask tidy`: the rules of the house that a program can check, one file a rule.
//! Never changes a file, and never runs longer than a glance.

mod finding;
mod house;
mod inspect;
mod lexer;
mod modules;
mod packages;
mod paths;
mod tree;

mod adapters;
mod codes;
mod dependencies;
mod floors;
mod heads;
mod hosts;
mod names;
mod purity;
mod rings;
mod sizes;

pub(crate) use inspect::run;
