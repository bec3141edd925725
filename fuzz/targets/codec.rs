//! Feeds libFuzzer's bytes to `checks/codec.rs`.
//! Never checks anything itself: a test on stable runs the same check over the corpus.

#![no_main]

#[path = "../checks/codec.rs"]
mod codec;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| codec::check(bytes));
