//! Owns what must hold for anything that an operator may say: reading it never panics, and an error says what to do
//! without showing a secret.
//! Never opens what the configuration names.

use longhaul_backends::config::{CommandLine, Config, ConfigFile, Flags, Sources};

/// Checks it for these bytes: a text whose lines are words of the command line (`-…`), variables (`LONGHAUL_…=…`,
/// `RUST_LOG=…`), and of which the rest is the file.
pub(crate) fn check(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let mut words = Vec::new();
    let mut env = Vec::new();
    let mut file = String::new();
    for line in text.lines() {
        match line.split_once('=') {
            Some((name, value)) if name.starts_with("LONGHAUL_") || name == "RUST_LOG" => {
                env.push((name.to_owned(), value.to_owned()));
            }
            _ if line.starts_with('-') => words.push(line.to_owned()),
            _ => {
                file.push_str(line);
                file.push('\n');
            }
        }
    }
    let flags = match CommandLine::parse(words) {
        Ok(CommandLine::Run(flags)) => flags,
        Ok(_) => Flags::default(),
        Err(error) => {
            assert!(!error.to_string().is_empty());
            return;
        }
    };
    let sources = Sources {
        flags: flags.keys,
        env,
        file: Some(ConfigFile {
            path: "longhaul.toml".into(),
            text: file,
        }),
    };
    match Config::load(sources.clone()) {
        Ok(config) => {
            let said = |config: &Config| format!("{:?}", config.effective());
            let again = Config::load(sources).map(|again| said(&again)).ok();
            assert_eq!(again, Some(said(&config)), "the same sources say the same");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}
