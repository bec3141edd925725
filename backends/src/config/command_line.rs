//! Owns the command line of the workers: a flag for each key, and the text of `--help`.
//! Never reads a value: the table of keys does.
//!
//! Written by hand, since the flags are the table's, and their errors those of the file and the environment.

use std::fmt::Write as _;
use std::path::PathBuf;

use super::error::ConfigError;
use super::key::{Form, Key};
use super::origin::Origin;
use super::sections::SECTIONS;
use super::sources::{CONFIG_VARIABLE, FILE_NAME, Flags};
use super::url::without_secrets;

const ALLOW_UNSAFE_STORE: &str = "allow-unsafe-store";
const ALLOW_UNSAFE_KEY: &str = "redis.allow_unsafe";

/// What a command line asks for.
#[derive(Clone, Debug)]
pub enum CommandLine {
    /// To run, with these flags.
    Run(Flags),
    /// To explain the flags.
    Help,
    /// To tell the version.
    Version,
    /// To ask a running program's page whether all is well.
    Probe(String),
}

impl CommandLine {
    /// Reads `--section.key VALUE`, `--section.key=VALUE`, `--config PATH`, `--allow-unsafe-store`, `--help` and
    /// `--version`. A key that is true or false may stand alone for true.
    ///
    /// # Errors
    /// [`ConfigError::Unknown`], [`ConfigError::Usage`].
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, ConfigError> {
        let mut arguments = arguments.into_iter().peekable();
        let mut flags = Flags::default();
        while let Some(argument) = arguments.next() {
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (argument.as_str(), None),
            };
            let Some(name) = name.strip_prefix("--") else {
                match name {
                    "-h" => return Ok(Self::Help),
                    "-V" => return Ok(Self::Version),
                    _ => {
                        return Err(usage(
                            argument,
                            "is no flag, and no flag is before it that takes a value",
                        ));
                    }
                }
            };
            // A value that begins with dashes is more likely the next flag; `--key=--value` is clear.
            let next = || arguments.next_if(|next| !next.starts_with("--"));
            match name {
                "help" => return Ok(Self::Help),
                "version" => return Ok(Self::Version),
                "probe" => {
                    let url = value.or_else(next);
                    return url
                        .map(Self::Probe)
                        .ok_or_else(|| usage(argument.clone(), "needs the URL of a page"));
                }
                "config" => match value.or_else(next) {
                    Some(path) if !path.is_empty() => flags.config = Some(PathBuf::from(path)),
                    _ => return Err(usage(argument, "needs the path of a file")),
                },
                ALLOW_UNSAFE_STORE if value.is_none() => {
                    flags.keys.push((ALLOW_UNSAFE_KEY.to_owned(), "true".to_owned()));
                }
                _ => {
                    let key = known(name)?;
                    let value = match key.form {
                        Form::Bool => value
                            .or_else(|| arguments.next_if(|next| matches!(next.as_str(), "true" | "false")))
                            .or_else(|| Some("true".to_owned())),
                        _ => value.or_else(next),
                    };
                    let value = value.ok_or_else(|| usage(argument.clone(), "needs a value"))?;
                    flags.keys.push((key.name.to_owned(), value));
                }
            }
        }
        Ok(Self::Run(flags))
    }
}

/// What is known to be no flag may be a URL in the wrong place.
fn known(name: &str) -> Result<&'static Key, ConfigError> {
    let keys = || SECTIONS.iter().flat_map(|section| section.keys);
    keys().find(|key| key.name == name).ok_or_else(|| {
        let name = without_secrets(name);
        ConfigError::unknown(&name, Origin::Flag(name.clone()), keys())
    })
}

fn usage(argument: String, reason: &'static str) -> ConfigError {
    ConfigError::Usage {
        argument: without_secrets(&argument),
        reason,
    }
}

/// What `--help` prints for a program that reads these sections.
#[must_use]
pub fn help(program: &str, about: &str, sections: &[&str]) -> String {
    let mut text = format!(
        "{about}\n\n\
         Usage: {program} [--SECTION.KEY VALUE]...\n\n\
         A key may be said in a flag, in the environment or in {FILE_NAME}; the first of these counts:\n\
         \x20 --hub.name orders    LONGHAUL_HUB__NAME=orders    [hub] name = \"orders\"\n\n\
         Flags:\n\
         \x20 --config PATH         the file to read instead of ./{FILE_NAME} (variable {CONFIG_VARIABLE})\n\
         \x20 --{ALLOW_UNSAFE_STORE}  the same as --{ALLOW_UNSAFE_KEY}\n\
         \x20 --probe URL           ask a running program: --probe http://127.0.0.1:9464/readyz (exit code 0 if all is well)\n\
         \x20 --help, --version\n"
    );
    for section in SECTIONS.iter().filter(|section| sections.contains(&section.name)) {
        // Writing to a String cannot fail.
        let _ = write!(text, "\n{}: {}\n", section.name, section.about());
        for key in section.keys {
            let _ = write!(
                text,
                "  --{} ({})\n      {}\n      {}\n",
                key.name,
                if key.default.is_empty() {
                    "nothing"
                } else {
                    key.default
                },
                key.meaning(),
                key.allowed()
            );
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(line: &str) -> Result<Vec<(String, String)>, String> {
        match CommandLine::parse(line.split_whitespace().map(str::to_owned)) {
            Ok(CommandLine::Run(flags)) => Ok(flags.keys),
            Ok(other) => Err(format!("{other:?}")),
            Err(error) => Err(error.to_string()),
        }
    }

    #[test]
    fn values_follow_their_flag_or_an_equals_sign() {
        let check = |line: &str, expected: &[(&str, &str)]| {
            let expected: Vec<_> = expected
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect();
            assert_eq!(flags(line), Ok(expected), "{line}");
        };
        check("", &[]);
        check(
            "--hub.name a --redis.url=redis://h?a=b",
            &[("hub.name", "a"), ("redis.url", "redis://h?a=b")],
        );
        check("--allow-unsafe-store", &[("redis.allow_unsafe", "true")]);
        check(
            "--redis.allow_unsafe --hub.name a",
            &[("redis.allow_unsafe", "true"), ("hub.name", "a")],
        );
        check("--redis.allow_unsafe false", &[("redis.allow_unsafe", "false")]);
        check("--store.dir=", &[("store.dir", "")]);
        let Ok(CommandLine::Run(named)) = CommandLine::parse(["--config", "a.toml"].map(str::to_owned))
        else {
            panic!("--config is refused")
        };
        assert_eq!(named.config, Some(PathBuf::from("a.toml")));
    }

    #[test]
    fn what_is_no_flag_is_refused() {
        let check = |line: &str, expected: &str| assert_eq!(flags(line), Err(expected.to_owned()));
        check(
            "--hub.nmae a",
            "[LH1601] unknown key \"hub.nmae\" (flag --hub.nmae): did you mean --hub.name?",
        );
        check(
            "--hub.name --log.level debug",
            "[LH1601] --hub.name: needs a value; --help shows what may be written",
        );
        check(
            "--config",
            "[LH1601] --config: needs the path of a file; --help shows what may be written",
        );
        check(
            "start",
            "[LH1601] start: is no flag, and no flag is before it that takes a value; --help shows what may be written",
        );
        check(
            "--redis.url = redis://:secret@h",
            "[LH1601] redis://:***@h: is no flag, and no flag is before it that takes a value; --help shows what may be written",
        );
        check(
            "--redis.url:redis://:secret@h",
            "[LH1601] unknown key \"redis.url:redis://:***@h\" (flag --redis.url:redis://:***@h): --help lists the keys",
        );
        check("--hub.name a -h", "Help");
        check("--version", "Version");
    }

    #[test]
    fn help_names_every_key_of_the_sections_asked_for() {
        let text = help("worker", "Works.", &["hub", "log"]);
        assert!(
            text.contains("  --hub.partitions (16)\n      Into how many"),
            "{text}"
        );
        assert!(text.contains("a whole number from 1 to 512\n"), "{text}");
        assert!(text.contains("--log.format (pretty)"), "{text}");
        assert!(!text.contains("--orchestrator."), "{text}");
    }
}
