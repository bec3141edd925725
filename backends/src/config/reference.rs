//! Owns the page of all keys, docs/configuration.md: `longhaul config reference` prints it.
//! Never says anything of a key that the table of keys does not say.

use std::fmt::Write as _;

use super::key::{Form, Key};
use super::sections::SECTIONS;
use super::sources::{CONFIG_VARIABLE, FILE_NAME, RUST_LOG};

/// A whole file, which a test reads.
const EXAMPLE: &str = include_str!("example.toml");

/// The page, in Markdown.
#[must_use]
pub fn reference() -> String {
    let mut page = introduction();
    for section in SECTIONS {
        // Writing to a String cannot fail.
        let _ = write!(
            page,
            "\n## {}\n\n{} Read by {}.\n\n\
             | key and variable | meaning | written as | default | range |\n|---|---|---|---|---|\n",
            section.name,
            section.about(),
            readers(section.name)
        );
        for key in section.keys {
            page.push_str(&row(key));
        }
    }
    page
}

fn introduction() -> String {
    format!(
        "# Configuration\n\n\
         <!-- Generated: change backends/src/config/, then run\n     \
         cargo run -p longhaul -- config reference > docs/configuration.md -->\n\n\
         Every key may be said in four places. The first of these that says something counts:\n\n\
         1. a flag: `--hub.name orders` or `--hub.name=orders`, for each program; `longhaul` also takes `--set hub.name=orders`\n\
         2. a variable of the environment: `LONGHAUL_HUB__NAME=orders`, with two underscores between section and key\n\
         3. the file: `name = \"orders\"` under `[hub]`. It is `{FILE_NAME}` in the working directory, if that exists, or whatever\n   \
         `--config PATH` or the variable `{CONFIG_VARIABLE}` names, which then must exist\n\
         4. the default\n\n\
         The variable `{RUST_LOG}` counts more than all of them for `log.level`.\n\n\
         `longhaul config dump` shows what counts for each key, and where it was said. A key that does not exist, and a value that its \
         key does not allow, end a program at once with code LH1601 and exit code 2; the message names the place.\n\n\
         An empty text means nothing: no file, no directory. Spans of time have a unit, always: `250ms`, `30s`, `1.5m`, `2h`, `1d`. \
         Sizes are bytes: `512 KiB`, `64 MiB`, `3 GiB`.\n\n\
         ## Passwords\n\n\
         Passwords stand in `amqp.url` and `redis.url`. Say them in the environment or in a file that only the program may read: other \
         users of a machine can see flags. Special characters in a password are written as in any URL (`@` is `%40`). Wherever Longhaul \
         shows a URL it writes `***` for the password, and what its drivers log about the wire is left out of the log, whatever \
         `log.level` says.\n\n\
         ## TLS\n\n\
         `amqps://` and `rediss://` encrypt the connection and check the server's certificate: who signed it, until when it is valid, \
         and whether it is for the host that the URL names. There is no switch to leave that out. `tls_ca` names who is trusted instead of \
         those whom the machine trusts; `tls_cert` and `tls_key` show a certificate to a server that wants one. The files are read when a \
         program starts. What is wrong with a certificate is told with code LH1602.\n\n\
         ## A whole file\n\n\
         ```toml\n{EXAMPLE}```\n"
    )
}

/// Everything that opens a hub reads what says where it is.
fn readers(section: &str) -> &'static str {
    match section {
        "orchestrator" => "`orchestrator-worker`, `longhaul dev` and `longhaul demo`",
        "activity" => "`activity-worker`, `longhaul dev` and `longhaul demo`",
        _ => "every program",
    }
}

fn row(key: &Key) -> String {
    let default = match key.default {
        "" => "nothing".to_owned(),
        default => format!("`{default}`"),
    };
    let range = match key.range {
        Some((least, greatest)) => format!("`{least}` to `{greatest}`"),
        None => "".to_owned(),
    };
    format!(
        "| `{}`<br>`{}` | {} | {} | {default} | {range} |\n",
        key.name,
        key.variable(),
        cell(key.meaning()),
        cell(&written(&key.form)),
    )
}

fn written(form: &Form) -> String {
    match form {
        Form::Span => "a span of time".to_owned(),
        Form::Bytes => "a number of bytes".to_owned(),
        Form::Choice(words) => words
            .iter()
            .map(|word| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(" or "),
        Form::Url { pattern } => format!("`{pattern}`"),
        _ => form.to_string(),
    }
}

/// A text in a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}

#[cfg(test)]
mod tests {
    use super::super::sections::Config;
    use super::super::sources::{ConfigFile, Sources};
    use super::*;

    #[test]
    fn the_page_tells_everything_of_every_key() {
        let page = reference();
        for key in SECTIONS.iter().flat_map(|section| section.keys) {
            let row = page
                .lines()
                .find(|line| line.contains(&format!("`{}`<br>", key.name)));
            let row = row.unwrap_or_else(|| panic!("{} is not on the page", key.name));
            let bounds = key.range.map_or(["", ""], |(least, greatest)| [least, greatest]);
            for part in [key.meaning(), &key.variable(), key.default]
                .into_iter()
                .chain(bounds)
            {
                assert!(row.contains(part), "{part:?} is missing in {row}");
            }
            assert_eq!(row.matches('|').count() - row.matches("\\|").count(), 6, "{row}");
        }
    }

    #[test]
    fn the_example_is_a_valid_file_with_a_key_of_every_section() {
        let file = ConfigFile {
            path: FILE_NAME.into(),
            text: EXAMPLE.to_owned(),
        };
        let sources = Sources {
            file: Some(file),
            ..Sources::default()
        };
        let config = Config::load(sources).unwrap();
        assert_eq!(config.hub.name.as_str(), "orders");
        assert!(config.redis.url.is_secure());
        for section in SECTIONS {
            assert!(
                EXAMPLE.contains(&format!("[{}]", section.name)),
                "{}",
                section.name
            );
        }
    }
}
