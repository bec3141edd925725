//! Owns the layers: of everything that was said about a key, which counts, and where that stands.
//! Never lets a key pass that is in no section.

use std::collections::BTreeMap;

use super::error::ConfigError;
use super::key::{Key, Section, VARIABLE_PREFIX};
use super::origin::Origin;
use super::setting::Setting;
use super::sources::{RUST_LOG, Sources};
use super::toml_file;
use super::url::masked;

/// Variables with this prefix belong to Longhaul's own tests.
const TEST_PREFIX: &str = "LONGHAUL_TEST_";
/// The key that [`RUST_LOG`] overrules.
const LOG_LEVEL: &str = "log.level";

/// A key, its value as it may be shown, and where that was said.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effective {
    /// Which key.
    pub key: &'static str,
    /// Its value as it was written, masked if it may hold a secret.
    pub value: String,
    /// Where it was said.
    pub origin: Origin,
}

/// What was said about each key; what was not is missing.
pub(super) struct Given {
    sections: &'static [Section],
    said: BTreeMap<&'static str, (String, Origin)>,
}

impl Given {
    /// Everything that was said, the stronger over the weaker.
    ///
    /// # Errors
    /// [`ConfigError::Unknown`], [`ConfigError::FileSyntax`].
    pub(super) fn collect(sections: &'static [Section], sources: Sources) -> Result<Self, ConfigError> {
        let mut given = Self {
            sections,
            said: BTreeMap::new(),
        };
        if let Some(file) = &sources.file {
            for entry in toml_file::entries(file)? {
                let origin = Origin::File {
                    path: file.path.clone(),
                    line: entry.line,
                };
                match entry.value {
                    Some(value) => given.say(&entry.key, value, origin)?,
                    None if sections.iter().any(|section| section.name == entry.key) => {}
                    None => return Err(ConfigError::unknown(&entry.key, origin, given.keys())),
                }
            }
        }
        for (variable, value) in &sources.env {
            given.hear(variable, value)?;
        }
        for (key, value) in sources.flags {
            let origin = Origin::Flag(key.clone());
            given.say(&key, value, origin)?;
        }
        if let Some((_, filter)) = sources
            .env
            .iter()
            .find(|(name, value)| name == RUST_LOG && !value.is_empty())
        {
            given.say(LOG_LEVEL, filter.clone(), Origin::Variable(RUST_LOG.to_owned()))?;
        }
        Ok(given)
    }

    fn keys(&self) -> impl Iterator<Item = &'static Key> + use<> {
        self.sections.iter().flat_map(|section| section.keys)
    }

    /// A variable is a key if it has two underscores in a row; others are somebody else's, unless they look like one.
    fn hear(&mut self, variable: &str, value: &str) -> Result<(), ConfigError> {
        let Some(rest) = variable.strip_prefix(VARIABLE_PREFIX) else {
            return Ok(());
        };
        if variable.starts_with(TEST_PREFIX) {
            return Ok(());
        }
        if rest.contains("__") {
            let key = rest.to_lowercase().replace("__", ".");
            return self.say(&key, value.to_owned(), Origin::Variable(variable.to_owned()));
        }
        let meant = |key: &&Key| key.variable().replace("__", "_") == variable;
        match self.keys().find(meant) {
            Some(key) => Err(ConfigError::one_underscore(variable, key)),
            None => Ok(()),
        }
    }

    fn say(&mut self, key: &str, value: String, origin: Origin) -> Result<(), ConfigError> {
        let Some(known) = self.keys().find(|known| known.name == key) else {
            return Err(ConfigError::unknown(key, origin, self.keys()));
        };
        self.said.insert(known.name, (value, origin));
        Ok(())
    }

    fn text<'a>(&'a self, key: &'a Key) -> (&'a str, Origin) {
        match self.said.get(key.name) {
            Some((text, origin)) => (text, origin.clone()),
            None => (key.default, Origin::Default),
        }
    }

    /// What counts for a key.
    ///
    /// # Errors
    /// [`ConfigError::Value`].
    pub(super) fn read<T: Setting>(&self, key: &Key) -> Result<T, ConfigError> {
        let (text, origin) = self.text(key);
        let is_within = |value: &T| {
            key.range.is_none_or(|(least, greatest)| {
                let range = T::read(least).zip(T::read(greatest));
                range.is_some_and(|(least, greatest)| value.is_within(&least, &greatest))
            })
        };
        T::read(text)
            .filter(is_within)
            .ok_or_else(|| ConfigError::value(key, text, &origin))
    }

    /// Every key with what counts for it.
    pub(super) fn effective(&self) -> Vec<Effective> {
        let effective = |key: &'static Key| {
            let (text, origin) = self.text(key);
            Effective {
                key: key.name,
                value: if key.is_secret() {
                    masked(text)
                } else {
                    text.to_owned()
                },
                origin,
            }
        };
        self.keys().map(effective).collect()
    }
}
