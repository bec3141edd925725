//! Runs what the fuzz target `codec` checks over its corpus, on a stable compiler.
//! Never looks for anything new: `cargo fuzz` does (docs/testing.md).

#![expect(clippy::panic, reason = "a check fails by panicking")]

use std::path::Path;

#[path = "../../fuzz/checks/codec.rs"]
mod codec;

#[test]
fn everything_in_the_corpus_is_read_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/codec");
    let files: Vec<_> = std::fs::read_dir(corpus).unwrap().collect();
    assert!(files.len() >= 20, "the corpus is there");
    for file in files {
        codec::check(&std::fs::read(file.unwrap().path()).unwrap());
    }
}
