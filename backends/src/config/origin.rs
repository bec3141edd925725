//! Owns where a value was said.
//! Never holds the value.

use std::fmt;
use std::path::PathBuf;

/// Where a value was said, from the weakest to the strongest place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// Nowhere: it is the default.
    Default,
    /// In the configuration file.
    File {
        /// Which file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
    },
    /// In the environment.
    Variable(String),
    /// On the command line; without the dashes.
    Flag(String),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File { path, line } => write!(f, "{}:{line}", path.display()),
            Self::Variable(name) => write!(f, "variable {name}"),
            Self::Flag(name) => write!(f, "flag --{name}"),
        }
    }
}
