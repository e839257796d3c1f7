//! Tables for people. Every cell is escaped when it is made, so that no text can get past it.

use comfy_table::{Attribute, Color, ContentArrangement, presets};

use super::text;

/// How a cell is meant.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Tone {
    /// Nothing special.
    #[default]
    Plain,
    /// As it should be.
    Good,
    /// Worth a look.
    Notice,
    /// Not as it should be.
    Bad,
}

/// One cell.
#[derive(Clone, Debug)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell of any text, from anywhere.
    #[must_use]
    pub fn new(text: impl AsRef<str>) -> Self {
        Self { text: text::plain(text.as_ref()).into_owned(), tone: Tone::Plain }
    }

    /// The same, meant so.
    #[must_use]
    pub fn toned(text: impl AsRef<str>, tone: Tone) -> Self {
        Self { tone, ..Self::new(text) }
    }
}

impl Cell {
    /// The cell as a part of a line, padded to a width, in colour if that is wanted.
    #[must_use]
    pub fn padded(&self, width: usize, colour: bool) -> String {
        let code = match (colour, self.tone) {
            (false, _) | (true, Tone::Plain) => return format!("{:<width$}", self.text),
            (true, Tone::Good) => 32,
            (true, Tone::Notice) => 33,
            (true, Tone::Bad) => 31,
        };
        format!("\u{1b}[{code}m{:<width$}\u{1b}[0m", self.text)
    }
}

impl<T: AsRef<str>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(text)
    }
}

/// A table in the making.
#[derive(Clone, Debug)]
pub struct Table {
    heads: Vec<String>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    /// A table with these heads and no rows yet.
    #[must_use]
    pub fn new(heads: &[&'static str]) -> Self {
        Self::of(heads.iter().map(|head| (*head).to_owned()))
    }

    /// A table with heads from elsewhere.
    #[must_use]
    pub fn of(heads: impl IntoIterator<Item = String>) -> Self {
        let heads = heads.into_iter().map(|head| text::plain(&head).into_owned()).collect();
        Self { heads, rows: Vec::new() }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// Whether there is no row.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The table as text: no frames, so that it can be searched and cut like any text.
    #[must_use]
    pub fn render(&self, colour: bool) -> String {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        if colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        let head = |name: &String| {
            let cell = comfy_table::Cell::new(name);
            if colour { cell.add_attribute(Attribute::Bold) } else { cell }
        };
        table.set_header(self.heads.iter().map(head).collect::<Vec<_>>());
        for row in &self.rows {
            table.add_row(row.iter().map(|cell| styled(cell, colour)).collect::<Vec<_>>());
        }
        for index in 0..table.column_count() {
            if let Some(column) = table.column_mut(index) {
                let left = if index == 0 { 0 } else { 1 };
                column.set_padding((left, 1));
            }
        }
        let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
        lines.collect()
    }
}

fn styled(cell: &Cell, colour: bool) -> comfy_table::Cell {
    let made = comfy_table::Cell::new(&cell.text);
    match (colour, cell.tone) {
        (false, _) | (true, Tone::Plain) => made,
        (true, Tone::Good) => made.fg(Color::Green),
        (true, Tone::Notice) => made.fg(Color::Yellow),
        (true, Tone::Bad) => made.fg(Color::Red),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_without_colour_holds_no_control_character_but_line_ends() {
        let mut table = Table::new(&["NAME", "STATE"]);
        table.row([Cell::new("\u{1b}]0;owned\u{7}web-01"), Cell::toned("online", Tone::Good)]);
        table.row([Cell::new("db"), Cell::new("a\nb")]);
        let text = table.render(false);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains("\\u{1b}]0;owned\\u{7}web-01"), "{text}");
    }

    #[test]
    fn a_table_with_colour_has_only_our_own_escapes() {
        let mut table = Table::new(&["STATE"]);
        table.row([Cell::toned("\u{1b}[5mbad", Tone::Bad)]);
        let text = table.render(true);
        assert!(text.contains("\\u{1b}[5mbad"), "{text:?}");
        assert!(!text.contains("\u{1b}[5m"), "{text:?}");
    }
}
