//! Tables for people. Every cell is escaped when it is made, so that no text can get past it.

use comfy_table::{Attribute, Color, ColumnConstraint, ContentArrangement, Width, presets};

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
    /// Columns that are left out where there is no room, the first first.
    spare: Vec<&'static str>,
    /// Columns whose cells are never broken: they are for copying.
    whole: Vec<&'static str>,
}

/// A table as text, and what is not in it for want of room.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Rendered {
    /// The lines.
    pub text: String,
    /// Heads of the columns that were left out.
    pub left_out: Vec<String>,
}

/// Space between two columns.
const GAP: usize = 2;

/// A column that may be broken keeps so many characters, or as many as it needs.
const BREAKABLE_MIN: usize = 12;

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
        Self { heads, rows: Vec::new(), spare: Vec::new(), whole: Vec::new() }
    }

    /// Names the columns that a narrow terminal does without, the first first.
    #[must_use]
    pub fn spare(mut self, heads: &[&'static str]) -> Self {
        self.spare = heads.to_vec();
        self
    }

    /// Names the columns whose cells are never broken.
    #[must_use]
    pub fn whole(mut self, heads: &[&'static str]) -> Self {
        self.whole = heads.to_vec();
        self
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

    /// The table as text: no frames, so that it can be searched and cut like any text. Where there is a
    /// width, what does not fit goes on in the next line of its column, and columns that can be done
    /// without are left out first.
    #[must_use]
    pub fn render(&self, colour: bool, width: Option<u16>) -> Rendered {
        let shown = self.fitting(width);
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        if colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        if let Some(width) = width {
            table.set_width(width);
        }
        let head = |column: &usize| {
            let cell = comfy_table::Cell::new(self.head(*column));
            if colour { cell.add_attribute(Attribute::Bold) } else { cell }
        };
        table.set_header(shown.iter().map(head).collect::<Vec<_>>());
        for row in &self.rows {
            let cells = shown.iter().filter_map(|column| row.get(*column));
            table.add_row(cells.map(|cell| styled(cell, colour)).collect::<Vec<_>>());
        }
        for (place, column) in shown.iter().enumerate() {
            if let Some(made) = table.column_mut(place) {
                let left = usize::from(place > 0);
                made.set_padding((u16::from(place > 0), 1));
                made.set_constraint(if self.is_whole(*column) {
                    ColumnConstraint::ContentWidth
                } else {
                    let least = self.natural(*column).min(self.least(*column)) + left + 1;
                    let least = u16::try_from(least).unwrap_or(u16::MAX);
                    ColumnConstraint::LowerBoundary(Width::Fixed(least))
                });
            }
        }
        let lines = table.lines().map(|line| line.trim_end().to_owned() + "\n");
        let left_out = (0..self.heads.len()).filter(|column| !shown.contains(column));
        let left_out = left_out.map(|column| self.head(column).to_owned()).collect();
        Rendered { text: lines.collect(), left_out }
    }

    /// The columns that are shown: as many as fit side by side without being broken to pieces.
    fn fitting(&self, width: Option<u16>) -> Vec<usize> {
        let mut shown: Vec<usize> = (0..self.heads.len()).collect();
        let Some(width) = width.map(usize::from) else { return shown };
        let needed = |shown: &[usize]| -> usize {
            let least = |column: &usize| {
                let natural = self.natural(*column);
                if self.is_whole(*column) { natural } else { natural.min(self.least(*column)) }
            };
            shown.iter().map(|column| least(column) + GAP).sum()
        };
        for spare in &self.spare {
            // The first column has nothing on its left.
            if needed(&shown) <= width + 1 {
                break;
            }
            shown.retain(|column| self.head(*column) != *spare);
        }
        shown
    }

    fn head(&self, column: usize) -> &str {
        self.heads.get(column).map_or("", String::as_str)
    }

    fn is_whole(&self, column: usize) -> bool {
        self.whole.contains(&self.head(column))
    }

    /// As wide as a column would like to be.
    fn natural(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        let cells = cells.map(|cell| cell.text.chars().count());
        cells.chain([self.head(column).chars().count()]).max().unwrap_or(0)
    }

    /// As narrow as a column may be: its longest word, or what a word may be broken to.
    fn least(&self, column: usize) -> usize {
        let longest = |text: &str| text.split(' ').map(|word| word.chars().count()).max();
        let cells = self.rows.iter().filter_map(|row| longest(&row.get(column)?.text));
        let words = cells.max().unwrap_or(0).min(BREAKABLE_MIN);
        words.max(longest(self.head(column)).unwrap_or(0))
    }
}

/// How wide the terminal is that results go to; none where they go elsewhere.
#[must_use]
pub fn terminal_width() -> Option<u16> {
    comfy_table::Table::new().width()
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
        let text = table.render(false, None).text;
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()), "{text:?}");
        assert_eq!(text.lines().count(), 3, "{text}");
        assert!(text.contains("\\u{1b}]0;owned\\u{7}web-01"), "{text}");
    }

    #[test]
    fn a_table_with_colour_has_only_our_own_escapes() {
        let mut table = Table::new(&["STATE"]);
        table.row([Cell::toned("\u{1b}[5mbad", Tone::Bad)]);
        let text = table.render(true, None).text;
        assert!(text.contains("\\u{1b}[5mbad"), "{text:?}");
        assert!(!text.contains("\u{1b}[5m"), "{text:?}");
    }

    fn listed() -> Table {
        let heads = ["NAME", "COMMAND", "STATE", "LABELS", "REASON"];
        let mut table = Table::new(&heads).spare(&["LABELS", "STATE"]).whole(&["COMMAND"]);
        let command = "0198f6a0-7c1e-7000-8000-000000000001";
        let reason = "beaconing to a host that nobody knows";
        table.row(["web-01", command, "network lost", "web,env=prod", reason].map(Cell::new));
        table
    }

    #[track_caller]
    fn check(width: Option<u16>, left_out: &[&str]) {
        let Rendered { text, left_out: out } = listed().render(false, width);
        assert_eq!(out, left_out, "{text}");
        assert!(text.contains("0198f6a0-7c1e-7000-8000-000000000001"), "{text}");
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(width.is_none_or(|width| longest <= Some(width.into())), "{text}");
    }

    #[test]
    fn a_narrow_terminal_does_without_some_columns_and_breaks_nothing_that_is_copied() {
        check(None, &[]);
        check(Some(140), &[]);
        check(Some(90), &[]);
        check(Some(78), &["LABELS"]);
        check(Some(60), &["STATE", "LABELS"]);
    }
}
