//! Owns everything that the program prints: results on standard output, all else on standard error.
//! Never colours what does not go to a terminal.

#![expect(clippy::print_stderr, reason = "the one door to the terminal")]

pub(crate) mod json;
pub(crate) mod log;
mod problem;
mod table;

use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{Args, ValueEnum};
use serde_json::Value;

pub(crate) use problem::{Usage, code_in};
pub(crate) use table::{Cell, Record, Table, clipped};

/// How this program was called, so that what is shown can be copied.
pub(crate) fn as_called() -> String {
    std::env::args()
        .next()
        .unwrap_or_else(|| env!("CARGO_BIN_NAME").to_owned())
}

/// How results look.
#[derive(Args, Debug)]
#[command(next_help_heading = "Output")]
pub(crate) struct LookArgs {
    /// How results are written.
    #[arg(short, long, global = true, value_name = "FORMAT", default_value = "table")]
    output: Format,
    /// No colours; the variable NO_COLOR does the same.
    #[arg(long, global = true)]
    no_color: bool,
}

/// How results are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// One JSON value.
    Json,
    /// A JSON value a line.
    Jsonl,
}

/// The door to the terminal.
pub(crate) struct Output {
    format: Format,
    color: bool,
    error_color: bool,
}

/// Some rows of something longer, in both shapes.
pub(crate) struct Page {
    /// What the rows are, as a JSON field: `instances`.
    pub(crate) name: &'static str,
    pub(crate) table: Table,
    pub(crate) values: Vec<Value>,
    /// The cursor of the next page.
    pub(crate) next: Option<String>,
}

impl Output {
    pub(crate) fn new(look: &LookArgs) -> Self {
        let wanted = !look.no_color && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self {
            format: look.output,
            color: wanted && io::stdout().is_terminal(),
            error_color: wanted && io::stderr().is_terminal(),
        }
    }

    /// Whether people read the results.
    pub(crate) fn is_for_people(&self) -> bool {
        self.format == Format::Table
    }

    /// A result: the text for people, the value for programs.
    pub(crate) fn result(&self, text: &str, value: &Value) -> io::Result<()> {
        match self.format {
            Format::Table => self.line(text),
            Format::Json | Format::Jsonl => self.value(value),
        }
    }

    /// One thing with its properties.
    pub(crate) fn record(&self, record: &Record, value: &Value) -> io::Result<()> {
        self.result(&record.render(self.color), value)
    }

    /// A JSON value: one line as `jsonl`, otherwise laid out.
    pub(crate) fn value(&self, value: &Value) -> io::Result<()> {
        match self.format {
            Format::Jsonl => self.line(&value.to_string()),
            Format::Table | Format::Json => self.line(&format!("{value:#}")),
        }
    }

    /// Some rows. Where they go on is part of the JSON, otherwise the caller's to note.
    pub(crate) fn page(&self, page: &Page) -> io::Result<()> {
        match self.format {
            Format::Table if page.table.is_empty() => Ok(()),
            Format::Table => self.line(&page.table.render(self.color)),
            Format::Json => self.value(&serde_json::json!({ page.name: page.values, "next": page.next })),
            Format::Jsonl => page.values.iter().try_for_each(|value| self.value(value)),
        }
    }

    /// Something beside the result, for people.
    pub(crate) fn note(&self, text: &str) {
        if self.format != Format::Json {
            eprintln!("{text}");
        }
    }

    /// Tells why a command did not succeed, and returns what the program ends with.
    pub(crate) fn problem(&self, error: &anyhow::Error) -> ExitCode {
        let Some(problem) = problem::Problem::of(error) else {
            return ExitCode::SUCCESS;
        };
        match self.format {
            Format::Table => eprintln!("{}", problem.render(self.error_color)),
            Format::Json | Format::Jsonl => eprintln!("{}", problem.value()),
        }
        problem.exit_code()
    }

    fn line(&self, text: &str) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{text}")?;
        stdout.flush()
    }
}
