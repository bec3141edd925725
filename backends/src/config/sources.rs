//! Owns the places where a configuration may be said, read but not yet understood.
//! Never decides between them, and never shows a value: any may hold a password.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::key::VARIABLE_PREFIX;

/// The file that is read, if it exists, when no other is named.
pub const FILE_NAME: &str = "longhaul.toml";

/// The variable that names another file.
pub const CONFIG_VARIABLE: &str = "LONGHAUL_CONFIG";

/// The variable that chooses what the logs of any Rust program show.
pub(super) const RUST_LOG: &str = "RUST_LOG";

/// What a command line said.
#[derive(Clone, Default)]
pub struct Flags {
    /// Keys and values, without dashes; the last of a key counts.
    pub keys: Vec<(String, String)>,
    /// The file that `--config` named.
    pub config: Option<PathBuf>,
}

/// Everything that was said, and where. Empty for the defaults.
#[derive(Clone, Default)]
pub struct Sources {
    /// Keys and values of the command line, without dashes; the last of a key counts.
    pub flags: Vec<(String, String)>,
    /// Variables of the environment; those that are no keys may be among them.
    pub env: Vec<(String, String)>,
    /// The file.
    pub file: Option<ConfigFile>,
}

/// A file that was read.
#[derive(Clone)]
pub struct ConfigFile {
    /// As it was named.
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

impl Sources {
    /// These flags, the environment of this process, and the file that one of them names, or `longhaul.toml` in
    /// the working directory if it exists.
    ///
    /// # Errors
    /// [`ConfigError::FileUnreadable`].
    pub fn of_process(flags: Flags) -> Result<Self, ConfigError> {
        let env = std::env::vars_os().filter_map(|(name, value)| {
            let name = name.into_string().ok()?;
            let is_ours = name.starts_with(VARIABLE_PREFIX) || name == RUST_LOG;
            is_ours.then(|| (name, value.to_string_lossy().into_owned()))
        });
        Self::gather(flags, env.collect(), Path::new(""))
    }

    /// Like [`of_process`](Self::of_process), for any environment and directory.
    pub(super) fn gather(
        flags: Flags,
        env: Vec<(String, String)>,
        directory: &Path,
    ) -> Result<Self, ConfigError> {
        let by_variable = || {
            let (_, path) = env
                .iter()
                .find(|(name, path)| name == CONFIG_VARIABLE && !path.is_empty())?;
            Some(PathBuf::from(path))
        };
        let file = match flags.config.or_else(by_variable) {
            Some(path) => Some(read(directory, path)?),
            None => match read(directory, PathBuf::from(FILE_NAME)) {
                Ok(file) => Some(file),
                Err(Unread { error, .. }) if error.kind() == io::ErrorKind::NotFound => None,
                Err(unread) => return Err(unread.into()),
            },
        };
        Ok(Self {
            flags: flags.keys,
            env,
            file,
        })
    }
}

struct Unread {
    path: PathBuf,
    error: io::Error,
}

impl From<Unread> for ConfigError {
    fn from(Unread { path, error }: Unread) -> Self {
        Self::FileUnreadable {
            path,
            reason: error.to_string(),
        }
    }
}

fn read(directory: &Path, path: PathBuf) -> Result<ConfigFile, Unread> {
    match std::fs::read_to_string(directory.join(&path)) {
        Ok(text) => Ok(ConfigFile { path, text }),
        Err(error) => Err(Unread { path, error }),
    }
}

impl fmt::Debug for Flags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flags")
            .field("keys", &names(&self.keys))
            .field("config", &self.config)
            .finish()
    }
}

impl fmt::Debug for Sources {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sources")
            .field("flags", &names(&self.flags))
            .field("env", &names(&self.env))
            .field("file", &self.file)
            .finish()
    }
}

impl fmt::Debug for ConfigFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConfigFile")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

fn names(pairs: &[(String, String)]) -> Vec<&str> {
    pairs.iter().map(|(name, _)| name.as_str()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(config: Option<&str>) -> Flags {
        Flags {
            keys: Vec::new(),
            config: config.map(PathBuf::from),
        }
    }

    #[test]
    fn a_named_file_must_exist_and_the_usual_one_need_not() {
        let directory = tempfile::tempdir().unwrap();
        let variable = vec![(CONFIG_VARIABLE.to_owned(), "b.toml".to_owned())];
        let gather = |config, env: &[(String, String)]| {
            let sources = Sources::gather(flags(config), env.to_vec(), directory.path())?;
            Ok::<_, ConfigError>(sources.file.map(|file| file.text))
        };
        assert_eq!(gather(None, &[]), Ok(None));
        let missing = gather(None, &variable).unwrap_err().to_string();
        assert!(
            missing.starts_with("[LH1601] the configuration file b.toml cannot be read: "),
            "{missing}"
        );
        for name in ["a", "b", "longhaul"] {
            std::fs::write(directory.path().join(format!("{name}.toml")), name).unwrap();
        }
        assert_eq!(gather(None, &[]), Ok(Some("longhaul".to_owned())));
        assert_eq!(gather(None, &variable), Ok(Some("b".to_owned())));
        assert_eq!(gather(Some("a.toml"), &variable), Ok(Some("a".to_owned())));
    }

    #[test]
    fn what_is_debugged_holds_no_value() {
        let sources = Sources {
            flags: vec![("redis.url".to_owned(), "redis://:secret@h".to_owned())],
            env: vec![("LONGHAUL_AMQP__URL".to_owned(), "amqp://bo:secret@h".to_owned())],
            file: Some(ConfigFile {
                path: FILE_NAME.into(),
                text: "secret".to_owned(),
            }),
        };
        let shown = format!("{sources:?}");
        assert!(
            shown.contains("redis.url") && !shown.contains("secret"),
            "{shown}"
        );
    }
}
