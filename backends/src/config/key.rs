//! Owns what is known of a key: its name, its meaning, how its value is written, its default and its range.
//! Never holds a value.

use std::fmt;

/// Keys that belong together: a table of the file.
#[derive(Clone, Copy, Debug)]
pub struct Section {
    /// `hub`.
    pub name: &'static str,
    /// What the keys are about.
    pub(super) about: &'static str,
    /// In reading order.
    pub keys: &'static [Key],
}

impl Section {
    /// What the keys are about, in a sentence.
    #[must_use]
    pub fn about(&self) -> &'static str {
        self.about.trim()
    }
}

/// One thing that can be configured.
#[derive(Clone, Copy, Debug)]
pub struct Key {
    /// `hub.name`: the section, a dot, and the name within it.
    pub name: &'static str,
    pub(super) meaning: &'static str,
    /// How its value is written.
    pub form: Form,
    /// As it would be written.
    pub default: &'static str,
    /// The least and the greatest value, as they would be written; `None` where values have no order.
    pub range: Option<(&'static str, &'static str)>,
}

impl Key {
    /// What it is for, in a sentence or two.
    #[must_use]
    pub fn meaning(&self) -> &'static str {
        self.meaning.trim()
    }

    /// The environment variable that sets it: `LONGHAUL_HUB__NAME`.
    #[must_use]
    pub fn variable(&self) -> String {
        variable(self.name)
    }

    /// What may be written, in words: the form, its unit, and the range.
    #[must_use]
    pub fn allowed(&self) -> String {
        match self.range {
            Some((least, greatest)) => format!("{} from {least} to {greatest}", self.form),
            None => self.form.to_string(),
        }
    }

    /// Whether the value may hold a password.
    #[must_use]
    pub const fn is_secret(&self) -> bool {
        matches!(self.form, Form::Url { .. })
    }
}

/// The environment variable of a key.
pub(super) fn variable(key: &str) -> String {
    format!("{VARIABLE_PREFIX}{}", key.replace('.', "__").to_uppercase())
}

/// What the variables of all keys begin with.
pub(super) const VARIABLE_PREFIX: &str = "LONGHAUL_";

/// How a value is written. [`Display`](fmt::Display) says it in words.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// A whole number.
    Count,
    /// A span of time: a number and its unit.
    Span,
    /// A number of bytes, with or without a unit.
    Bytes,
    /// `true` or `false`.
    Bool,
    /// A name by the grammar of names.
    Name,
    /// One name or more, separated by commas; in the file also a list.
    Names,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// The URL of a server. It may hold a password.
    Url {
        /// What it looks like.
        pattern: &'static str,
    },
    /// A directory; nothing for none.
    Directory,
    /// An address and a port of this machine; nothing for none.
    Listen,
    /// A file of certificates or of a key; nothing for none.
    PemFile,
    /// What the logs show: a level, or levels by module.
    LogFilter,
}

impl fmt::Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count => f.write_str("a whole number"),
            Self::Span => f.write_str("a span of time with its unit (ms, s, m, h or d), such as 250ms or 30s,"),
            Self::Bytes => f.write_str("a number of bytes, such as 512 KiB or 64 MiB,"),
            Self::Bool => f.write_str("true or false"),
            Self::Name => f.write_str(
                "a name of at most 96 ASCII letters, digits, '_', '-' and '.' that starts with a letter or digit",
            ),
            Self::Names => f.write_str("names separated by commas, in the file also a list"),
            Self::Choice(words) => f.write_str(&words.join(" or ")),
            Self::Url { pattern } => f.write_str(pattern),
            Self::Directory => f.write_str("a directory, or nothing"),
            Self::Listen => f.write_str("an address and a port, such as 0.0.0.0:9464, or nothing"),
            Self::PemFile => f.write_str("the path of a PEM file, or nothing"),
            Self::LogFilter => f.write_str(
                "a level (error, warn, info, debug, trace), or levels by module such as info,longhaul_backends=debug",
            ),
        }
    }
}
