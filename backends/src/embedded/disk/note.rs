//! Owns the note in a hub's directory that says which process has it open.
//! Never decides who may: the lock on the database file does. The note is for people.

use std::path::{Path, PathBuf};
use std::{env, fs, process};

use longhaul_shared::time::Timestamp;

/// The file in the hub's directory.
const FILE: &str = "longhaul.owner";

/// A note that goes when it is dropped.
pub(super) struct OwnerNote {
    path: PathBuf,
}

impl OwnerNote {
    /// Notes this process. Without the note all works, only the refusal of another process says less.
    pub(super) fn write(dir: &Path, now: Timestamp) -> Self {
        let path = dir.join(FILE);
        let program = env::args().next().unwrap_or_default();
        let text = format!("process {} ({program}) since {now}", process::id());
        if let Err(error) = fs::write(&path, text) {
            tracing::debug!(path = %path.display(), %error, "the owner note is not written");
        }
        Self { path }
    }

    /// Who has the directory open, for an error's text.
    pub(super) fn read(dir: &Path) -> String {
        match fs::read_to_string(dir.join(FILE)) {
            Ok(text) if !text.is_empty() => text,
            _ => "another process".to_owned(),
        }
    }
}

impl Drop for OwnerNote {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.path) {
            tracing::debug!(path = %self.path.display(), %error, "the owner note is not removed");
        }
    }
}
