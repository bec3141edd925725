//! The workspace keeps the rules of its house.
//! Never says more than `cargo xtask tidy` does.

use std::process::Command;

#[test]
fn the_workspace_is_tidy() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("tidy")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "\n{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

#[test]
fn an_unknown_command_shows_the_usage() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("dance")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("usage: cargo xtask"));
}
