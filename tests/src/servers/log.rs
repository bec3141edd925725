//! The end of a server's log, for the error of a server that did not come up.
//! Never fails: what it cannot read it says.

use std::path::Path;

const LINES: usize = 30;

/// The log's path and its last lines.
pub(crate) fn log_end(log: &Path) -> String {
    let text = match std::fs::read(log) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => format!("(cannot read it: {error})"),
    };
    let lines: Vec<&str> = text.lines().collect();
    let end = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default();
    format!("the end of {}:\n{}", log.display(), end.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_the_last_lines_only() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("log");
        let text: String = (1..=100).map(|line| format!("line {line}\n")).collect();
        std::fs::write(&log, text).unwrap();
        let end = log_end(&log);
        assert!(
            end.ends_with("line 100") && end.contains("line 71\n") && !end.contains("line 70\n"),
            "{end}"
        );
    }

    #[test]
    fn says_that_there_is_no_log() {
        assert!(log_end(Path::new("/nowhere/log")).contains("cannot read it"));
    }
}
