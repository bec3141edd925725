//! Feeds libFuzzer's bytes to the reading of start messages.
//! Never checks anything itself: a test on stable runs the same check over the corpus.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| longhaul_orchestrator_worker::check_intake(bytes));
