//! Owns the contracts: names and types that callers and workers share. The compiler checks both ends.
//! Never holds code.

use longhaul_sdk::{Activity, Orchestration};
use serde::{Deserialize, Serialize};

/// Greets three cities one after the other.
pub const HELLO_SEQUENCE: Orchestration<(), Vec<String>> = Orchestration::new("hello_sequence");
/// Greets one city.
pub const SAY_HELLO: Activity<String, String> = Activity::new("say_hello");

/// Copies every file of a directory, one activity a file.
pub const BACKUP: Orchestration<BackupRequest, BackupReport> = Orchestration::new("backup");
/// Lists some of a directory's files.
pub const LIST_FILES: Activity<ListFiles, FilePage> = Activity::new("list_files");
/// Copies one file and computes its SHA-256.
pub const COPY_FILE: Activity<CopyFile, Copied> = Activity::new("copy_file");

/// Squares the numbers 1 to n in parallel and adds them up.
pub const SUM_OF_SQUARES: Orchestration<u64, u64> = Orchestration::new("sum_of_squares");
/// Squares a number.
pub const SQUARE: Activity<u64, u64> = Activity::new("square");

/// Sleeps on a durable timer and tells when it was due and when it woke up.
pub const REMINDER: Orchestration<ReminderRequest, Reminded> = Orchestration::new("reminder");

/// Three steps run by the orchestrator worker itself.
pub const INLINE_STEPS: Orchestration<u64, u64> = Orchestration::new("inline_steps");

/// Writes lines into a file one after the other.
pub const JOURNAL_CHAIN: Orchestration<JournalRequest, u64> = Orchestration::new("journal_chain");
/// Writes lines into a file, all at once.
pub const JOURNAL_FAN_OUT: Orchestration<JournalRequest, u64> = Orchestration::new("journal_fan_out");
/// Writes one line.
pub const WRITE_LINE: Activity<WriteLine, u64> = Activity::new("write_line");

/// Panics.
pub const PANICKING: Orchestration<(), ()> = Orchestration::new("panicking");
/// Never awaits.
pub const SPINNING: Orchestration<u64, ()> = Orchestration::new("spinning");
/// Awaits something that is not durable.
pub const NOT_DURABLE: Orchestration<(), ()> = Orchestration::new("not_durable");
/// Calls an activity that nobody hosts.
pub const MISSPELT_ACTIVITY: Orchestration<(), ()> = Orchestration::new("misspelt_activity");
/// Returns more than may be stored.
pub const OVER_LIMIT: Orchestration<(), String> = Orchestration::new("over_limit");

/// What to back up where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct BackupRequest {
    /// The directory to copy.
    pub source: String,
    /// The directory to copy into; made if it does not exist.
    pub destination: String,
}

/// What a backup has done.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct BackupReport {
    /// Files copied.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// SHA-256 over the paths and digests of all copied files, in order: two backups of the same files agree.
    pub digest: String,
    /// How long it took, in milliseconds, from the first turn to the last.
    pub took_ms: u64,
    /// How many files could not be copied.
    pub failed: u64,
    /// The first of them, with the reason.
    pub failures: Vec<FileFailure>,
}

/// A file that could not be copied.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct FileFailure {
    /// Its path below the source.
    pub path: String,
    /// Why.
    pub reason: String,
}

/// Which files to list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ListFiles {
    /// The directory.
    pub source: String,
    /// A directory to pass over, should it lie inside.
    pub destination: String,
    /// Where the page before ended.
    pub after: Option<String>,
}

/// Some files, ordered by path.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct FilePage {
    /// Paths below the source.
    pub files: Vec<String>,
    /// What could not be read on the way; only on the last page.
    pub unreadable: Vec<FileFailure>,
    /// Whether there are more behind them.
    pub has_more: bool,
}

/// Which file to copy.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CopyFile {
    /// The directory it is below.
    pub source: String,
    /// The directory to copy into.
    pub destination: String,
    /// Its path below the source.
    pub path: String,
}

/// A copied file.
#[derive(Clone, Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Copied {
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hexadecimal.
    pub sha256: String,
}

/// How long to sleep.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ReminderRequest {
    /// Milliseconds.
    pub after_ms: u64,
}

/// When a reminder was due and when it came, in microseconds since 1970.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Reminded {
    /// When it was due.
    pub due_micros: i64,
    /// When it woke up; never before it was due.
    pub woke_micros: i64,
}

/// What to write into a journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct JournalRequest {
    /// The file.
    pub file: String,
    /// How many lines.
    pub lines: u64,
    /// How long writing each takes, in milliseconds.
    pub each_ms: u64,
    /// How often each line's first attempts fail before one succeeds.
    pub failures: u64,
}

/// One line for a journal.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WriteLine {
    /// The file.
    pub file: String,
    /// The line's number.
    pub line: u64,
    /// How long writing takes, in milliseconds.
    pub each_ms: u64,
    /// How many attempts fail.
    pub failures: u64,
}
