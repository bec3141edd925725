//! Owns what an operator may say, and where: flag, then environment, then `longhaul.toml`, then the default.
//! Never opens a connection: [`open`](crate::open) does, with what is said here.
//!
//! `sections` is the table: each key once, with its meaning, default and range. The structs, the errors, `--help`
//! and the reference page come from it. A key that is not in it is an error wherever it stands (LH1601).

mod key;
mod units;
mod url;

mod origin;

mod error;
mod nearest;
mod setting;

mod sources;
mod toml_file;

mod given;
mod sections;

mod command_line;
mod logging;
mod reference;

pub use command_line::{CommandLine, help};
pub use error::ConfigError;
pub use given::Effective;
pub use key::{Form, Key, Section};
pub use logging::Logging;
pub use origin::Origin;
pub use reference::reference;
pub use sections::{
    ActivitySection, AmqpSection, Config, HubSection, LogSection, OrchestratorSection, RedisSection,
    SECTIONS, StoreSection,
};
pub use setting::{Listen, LogFormat, PemFile, StoreKind};
pub use sources::{CONFIG_VARIABLE, ConfigFile, FILE_NAME, Flags, Sources};
pub use units::ByteSize;
pub use url::{AmqpUrl, RedisUrl, without_secrets};
