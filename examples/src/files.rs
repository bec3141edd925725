//! Owns the file activities of the backup. Each may run twice and leaves the same result: a copy is written
//! beside its place and moved there when it is whole.
//! Never follows a symbolic link, so it never leaves the source.

use std::collections::VecDeque;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use longhaul_sdk::{ActivityContext, BoxError, NonRetriable};
use sha2::{Digest, Sha256};

use crate::contracts::{Copied, CopyFile, FileFailure, FilePage, ListFiles};

/// How many bytes of paths a page holds, so that it stays well within the bound of a payload.
const PAGE_BYTES_MAX: usize = 128 * 1024;
/// How many unreadable directories a page tells.
const UNREADABLE_MAX: usize = 100;
/// How much of a file is read at once.
const CHUNK_BYTES: usize = 256 * 1024;

/// Lists the regular files below a directory, ordered by path, from where the page before ended.
///
/// # Errors
/// When the directory itself cannot be read; not to be tried again if it does not exist or is not readable.
pub async fn list_files(_ctx: ActivityContext, which: ListFiles) -> Result<FilePage, BoxError> {
    tokio::task::spawn_blocking(move || page(&which)).await?
}

fn page(which: &ListFiles) -> Result<FilePage, BoxError> {
    let source = Path::new(&which.source);
    let skip = Path::new(&which.destination).canonicalize().ok();
    let (mut files, unreadable) = walk(source, skip.as_deref())
        .map_err(|error| lasting(&error, format!("directory {} cannot be read", source.display())))?;
    files.sort_unstable();
    let begin = which
        .after
        .as_ref()
        .map_or(0, |after| files.partition_point(|path| path <= after));
    let mut page = FilePage {
        unreadable,
        ..FilePage::default()
    };
    let mut bytes = 0;
    for path in files.drain(begin..) {
        bytes += path.len() + 5;
        if bytes > PAGE_BYTES_MAX && !page.files.is_empty() {
            page.has_more = true;
            page.unreadable.clear();
            break;
        }
        page.files.push(path);
    }
    Ok(page)
}

/// Every regular file below the root, and every directory below it that could not be read.
fn walk(root: &Path, skip: Option<&Path>) -> io::Result<(Vec<String>, Vec<FileFailure>)> {
    let (mut files, mut unreadable) = (Vec::new(), Vec::new());
    let mut directories = VecDeque::from([PathBuf::new()]);
    while let Some(directory) = directories.pop_front() {
        let entries = match std::fs::read_dir(root.join(&directory)) {
            Ok(entries) => entries,
            Err(error) if directory.as_os_str().is_empty() => return Err(error),
            Err(error) => {
                if unreadable.len() < UNREADABLE_MAX {
                    let path = directory.display().to_string();
                    unreadable.push(FileFailure {
                        path,
                        reason: error.to_string(),
                    });
                }
                continue;
            }
        };
        for entry in entries.flatten() {
            let path = directory.join(entry.file_name());
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => {
                    let is_skipped = skip.is_some() && entry.path().canonicalize().ok().as_deref() == skip;
                    if !is_skipped {
                        directories.push_back(path);
                    }
                }
                Ok(kind) if kind.is_file() => match path.into_os_string().into_string() {
                    Ok(path) => files.push(path),
                    Err(path) => unreadable.push(FileFailure {
                        path: path.to_string_lossy().into_owned(),
                        reason: "its name is not UTF-8".to_owned(),
                    }),
                },
                _ => {}
            }
        }
    }
    Ok((files, unreadable))
}

/// Copies a file and computes its SHA-256.
///
/// # Errors
/// When it cannot be read or written; not to be tried again if it is gone or not readable.
pub async fn copy_file(ctx: ActivityContext, which: CopyFile) -> Result<Copied, BoxError> {
    let partial = format!("longhaul-{}", ctx.task_id());
    tokio::task::spawn_blocking(move || copy(&which, &partial)).await?
}

fn copy(which: &CopyFile, partial: &str) -> Result<Copied, BoxError> {
    let from = Path::new(&which.source).join(&which.path);
    let to = Path::new(&which.destination).join(&which.path);
    let cannot = |what: &str, path: &Path| format!("{} cannot be {what}", path.display());
    let mut source = File::open(&from).map_err(|error| lasting(&error, cannot("read", &from)))?;
    if let Some(parent) = to.parent() {
        std::fs::create_dir_all(parent).map_err(|error| lasting(&error, cannot("made", parent)))?;
    }
    let mut beside = to.clone().into_os_string();
    beside.push(format!(".{partial}"));
    let beside = PathBuf::from(beside);
    // Not truncated: should the task run twice at once, both write the same bytes to the same places.
    let mut target = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(&beside)
        .map_err(|error| lasting(&error, cannot("written", &beside)))?;
    let copied = pour(&mut source, &mut target).and_then(|copied| {
        target.set_len(copied.bytes)?;
        target.set_permissions(source.metadata()?.permissions())?;
        target.sync_all()?;
        match std::fs::rename(&beside, &to) {
            // The task's other run was faster.
            Err(error) if error.kind() == io::ErrorKind::NotFound && to.exists() => {}
            renamed => renamed?,
        }
        Ok(copied)
    });
    copied.map_err(|error| format!("{}: {error}", cannot("copied", &from)).into())
}

fn pour(source: &mut File, target: &mut File) -> io::Result<Copied> {
    let mut digest = Sha256::new();
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut bytes = 0;
    loop {
        let read = source.read(&mut chunk)?;
        let Some(filled) = chunk.get(..read).filter(|filled| !filled.is_empty()) else {
            break;
        };
        digest.update(filled);
        target.write_all(filled)?;
        bytes += read as u64;
    }
    Ok(Copied {
        bytes,
        sha256: format!("{:x}", digest.finalize()),
    })
}

/// The error, told in full; marked as not worth another try where waiting does not mend it.
fn lasting(error: &io::Error, what: String) -> BoxError {
    let told = format!("{what}: {error}");
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied | io::ErrorKind::NotADirectory => {
            NonRetriable::new(told).into()
        }
        _ => told.into(),
    }
}
