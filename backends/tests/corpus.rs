//! Runs what the fuzz target `config` checks over its corpus, on a stable compiler.
//! Never looks for anything new: `cargo fuzz` does (docs/testing.md).

use std::path::Path;

#[path = "../../fuzz/checks/config.rs"]
mod config;

#[test]
fn everything_in_the_corpus_is_read_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/config");
    let files: Vec<_> = std::fs::read_dir(corpus).unwrap().collect();
    assert!(files.len() >= 20, "the corpus is there");
    for file in files {
        config::check(&std::fs::read(file.unwrap().path()).unwrap());
    }
}
