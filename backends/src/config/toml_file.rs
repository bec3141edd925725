//! Owns the file's form: a table a section, each entry a key with the line it stands on.
//! Never knows which keys there are.

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::ConfigError;
use super::sources::ConfigFile;

/// A key as the file names it, and what it says.
pub(super) struct Entry {
    pub(super) key: String,
    /// `None` for a table without entries: it says nothing, but its name may be misspelt.
    pub(super) value: Option<String>,
    /// From 1.
    pub(super) line: usize,
}

/// The file's entries.
///
/// # Errors
/// [`ConfigError::FileSyntax`], without quoting the line: it may hold a password.
pub(super) fn entries(file: &ConfigFile) -> Result<Vec<Entry>, ConfigError> {
    let table = DeTable::parse(&file.text).map_err(|error| ConfigError::FileSyntax {
        path: file.path.clone(),
        line: line(&file.text, error.span().map_or(0, |span| span.start)),
        reason: error.message().lines().collect::<Vec<_>>().join(", "),
    })?;
    let mut entries = Vec::new();
    collect(&file.text, "", table.get_ref(), &mut entries);
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

fn collect(text: &str, parent: &str, table: &DeTable<'_>, entries: &mut Vec<Entry>) {
    for (name, value) in table {
        let key = match parent {
            "" => name.get_ref().to_string(),
            parent => format!("{parent}.{}", name.get_ref()),
        };
        match value.get_ref() {
            DeValue::Table(table) if !table.is_empty() => collect(text, &key, table, entries),
            value => entries.push(Entry {
                key,
                value: written(value),
                line: line(text, name.span().start),
            }),
        }
    }
}

/// As it would be written on a command line.
fn written(value: &DeValue<'_>) -> Option<String> {
    Some(match value {
        DeValue::String(text) => text.to_string(),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(bool) => bool.to_string(),
        DeValue::Datetime(time) => time.to_string(),
        DeValue::Array(values) => {
            let texts: Vec<String> = values.iter().map(Spanned::get_ref).filter_map(written).collect();
            texts.join(",")
        }
        DeValue::Table(_) => return None,
    })
}

fn line(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or_default();
    1 + before.iter().filter(|&&byte| byte == b'\n').count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(text: &str) -> ConfigFile {
        ConfigFile {
            path: "x.toml".into(),
            text: text.to_owned(),
        }
    }

    #[test]
    fn entries_know_their_lines() {
        let text = "top = 1\n[hub]\n# a comment\nname = \"a\"\n\n[activity]\nqueues = [\"a\", \"b\"]\nlog.x = true\n[log]\n";
        let entries = entries(&file(text)).unwrap();
        let shown: Vec<String> = entries
            .iter()
            .map(|entry| {
                format!(
                    "{} {}={}",
                    entry.line,
                    entry.key,
                    entry.value.as_deref().unwrap_or("?")
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "1 top=1",
                "4 hub.name=a",
                "7 activity.queues=a,b",
                "8 activity.log.x=true",
                "9 log=?"
            ]
        );
    }

    #[test]
    fn a_syntax_error_names_the_line_without_quoting_it() {
        let text = "[redis]\nurl = \"redis://:secret@h\nallow_unsafe = true\n";
        let error = entries(&file(text)).err().unwrap().to_string();
        assert!(
            error.starts_with("[LH1601] x.toml:2 is not valid TOML: "),
            "{error}"
        );
        assert!(!error.contains("secret") && !error.contains('\n'), "{error}");
    }
}
