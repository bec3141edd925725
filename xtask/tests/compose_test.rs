//! What `cargo xtask compose-test` does where it can test nothing.
//! Never needs an engine: with one, the command is its own test.

use std::process::Command;

#[test]
fn without_an_engine_it_says_so_and_exits_with_its_own_code() {
    let output = Command::new(env!("CARGO_BIN_EXE_xtask"))
        .arg("compose-test")
        .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3));
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("the fleet was NOT tested: no Docker Engine answers"),
        "{said}"
    );
}
