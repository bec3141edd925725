//! Owns how rows and properties are laid out for people: aligned columns, a little colour.
//! Never lets a text from a store move the cursor: control characters are shown as `·`.

use longhaul_client::Status;

/// A text with a meaning.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    text: String,
    paint: Paint,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Paint {
    Plain,
    Dim,
    Good,
    Bad,
    Busy,
    Warn,
}

impl Paint {
    const fn code(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Dim => "2",
            Self::Good => "32",
            Self::Bad => "31",
            Self::Busy => "36",
            Self::Warn => "33",
        }
    }
}

impl Cell {
    /// Something that matters less.
    pub(crate) fn dim(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            paint: Paint::Dim,
        }
    }

    /// Something that went well.
    pub(crate) fn good(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            paint: Paint::Good,
        }
    }

    /// Something that somebody should look at.
    pub(crate) fn warn(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            paint: Paint::Warn,
        }
    }

    /// Something that is wrong.
    pub(crate) fn bad(text: impl Into<String>) -> Self {
        Self {
            text: text.into(),
            paint: Paint::Bad,
        }
    }

    fn painted(&self, text: &str, color: bool) -> String {
        match self.paint.code() {
            code if color && !code.is_empty() => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text.to_owned(),
        }
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self {
            text,
            paint: Paint::Plain,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        text.to_owned().into()
    }
}

/// A status in its colour.
impl From<Status> for Cell {
    fn from(status: Status) -> Self {
        Self {
            text: status.name().to_owned(),
            paint: match status {
                Status::Pending => Paint::Dim,
                Status::Running => Paint::Busy,
                Status::Completed => Paint::Good,
                Status::Failed => Paint::Bad,
                Status::Terminated => Paint::Warn,
            },
        }
    }
}

/// Rows under a head.
#[derive(Debug)]
pub(crate) struct Table {
    head: Vec<&'static str>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(head: &[&'static str]) -> Self {
        Self {
            head: head.to_vec(),
            rows: Vec::new(),
        }
    }

    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        let cleaned = cells.into_iter().map(|cell| Cell {
            text: clean(&cell.text),
            ..cell
        });
        self.rows.push(cleaned.collect());
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    pub(crate) fn render(&self, color: bool) -> String {
        let head: Vec<Cell> = self.head.iter().map(|title| Cell::dim(*title)).collect();
        let lines: Vec<&Vec<Cell>> = std::iter::once(&head).chain(&self.rows).collect();
        let width = |column: usize| {
            let texts = lines.iter().filter_map(|line| line.get(column));
            texts.map(|cell| cell.text.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..head.len()).map(width).collect();
        let line = |cells: &Vec<Cell>| {
            let last = cells.len().saturating_sub(1);
            let padded = cells
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(column, (cell, width))| {
                    let text = match column == last {
                        true => cell.text.clone(),
                        false => format!("{:<width$}", cell.text),
                    };
                    cell.painted(&text, color)
                });
            padded.collect::<Vec<_>>().join("  ").trim_end().to_owned()
        };
        lines.into_iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

/// One thing with its properties, one below the other; a text of several lines stays aligned.
#[derive(Debug, Default)]
pub(crate) struct Record {
    fields: Vec<(String, Cell)>,
}

impl Record {
    pub(crate) fn field(&mut self, name: impl Into<String>, value: impl Into<Cell>) {
        self.fields.push((name.into(), value.into()));
    }

    pub(crate) fn render(&self, color: bool) -> String {
        let widest = self
            .fields
            .iter()
            .map(|(name, _)| name.chars().count())
            .max()
            .unwrap_or(0);
        let field = |(name, value): &(String, Cell)| {
            let title = Cell::dim("").painted(&format!("{name:<widest$}"), color);
            let indent = format!("\n{:widest$}  ", "");
            let text = clean_lines(&value.text).replace('\n', &indent);
            format!("{title}  {}", value.painted(&text, color))
                .trim_end()
                .to_owned()
        };
        self.fields.iter().map(field).collect::<Vec<_>>().join("\n")
    }
}

/// The text on one line, without control characters.
pub(crate) fn clean(text: &str) -> String {
    let shown = |c: char| if c.is_control() { '·' } else { c };
    text.replace("\r\n", " ")
        .replace(['\n', '\t'], " ")
        .chars()
        .map(shown)
        .collect()
}

/// The text without control characters other than the ends of its lines.
pub(super) fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// At most this many characters of a text; `…` stands for the rest.
pub(crate) fn clipped(text: &str, characters_max: usize) -> String {
    if text.chars().count() <= characters_max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(characters_max.saturating_sub(1)).collect();
    format!("{kept}…")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned_and_lines_end_with_their_text() {
        let mut table = Table::new(&["ID", "STATUS", "WAITING FOR"]);
        table.row(["a".into(), Cell::from(Status::Running), "".into()]);
        table.row(["längeres".into(), Cell::from(Status::Failed), "x".into()]);
        let expected = "ID        STATUS   WAITING FOR\na         Running\nlängeres  Failed   x";
        assert_eq!(table.render(false), expected);
        assert!(table.render(true).contains("\x1b[31mFailed "));
    }

    #[test]
    fn a_text_cannot_move_the_cursor() {
        let mut table = Table::new(&["A"]);
        table.row(["a\x1b[2Jb\nc".into()]);
        assert_eq!(table.render(false), "A\na·[2Jb c");
    }

    #[test]
    fn a_record_keeps_lines_below_each_other() {
        let mut record = Record::default();
        record.field("id", "a");
        record.field("input", "{\n}");
        assert_eq!(record.render(false), "id     a\ninput  {\n       }");
    }

    #[test]
    fn long_texts_are_clipped_at_a_character() {
        assert_eq!(clipped("äöü", 3), "äöü");
        assert_eq!(clipped("äöüß", 3), "äö…");
    }
}
