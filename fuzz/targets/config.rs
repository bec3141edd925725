//! Feeds libFuzzer's bytes to `checks/config.rs`.
//! Never checks anything itself: a test on stable runs the same check over the corpus.

#![no_main]

#[path = "../checks/config.rs"]
mod config;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| config::check(bytes));
