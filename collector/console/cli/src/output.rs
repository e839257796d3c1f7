//! What the program says: results on stdout, everything else on stderr.
//!
//! For people tables and sentences, for programs one JSON object a line.

pub mod progress;
pub mod rows;
pub mod table;
pub mod text;

use std::io::{self, IsTerminal, Write};

use serde::Serialize;

pub use table::{Cell, Table};

/// Where results go, and in which form.
pub struct Output {
    json: bool,
    colour: bool,
    out: Box<dyn Write>,
    notes: Box<dyn Write>,
    notes_terminal: bool,
    /// Columns of the terminal that results go to; none where they go elsewhere, and lines are whole.
    width: Option<u16>,
}

impl Output {
    /// Results on stdout; colours only for a person who has not said no to them.
    #[must_use]
    pub fn to_terminal(json: bool) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
            && std::env::var_os("TERM").is_none_or(|value| value != "dumb");
        Self {
            json,
            colour: wanted && io::stdout().is_terminal(),
            out: Box::new(io::stdout()),
            notes: Box::new(io::stderr()),
            notes_terminal: io::stderr().is_terminal(),
            width: table::terminal_width(),
        }
    }

    /// Results and notes as they would stand on a terminal so wide, without colours.
    #[must_use]
    pub fn to(out: Box<dyn Write>, notes: Box<dyn Write>, width: u16) -> Self {
        let (json, colour, notes_terminal) = (false, false, false);
        Self { json, colour, out, notes, notes_terminal, width: Some(width) }
    }

    /// Whether results are JSON.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether results may be coloured.
    #[must_use]
    pub fn has_colour(&self) -> bool {
        self.colour
    }

    /// One line of the result, made of words of this program; foreign text is escaped before.
    pub fn line(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.out, "{line}")?;
        self.out.flush()
    }

    /// One object of the result, on one line.
    pub fn record<T: Serialize>(&mut self, record: &T) -> io::Result<()> {
        let json = serde_json::to_string(record)?;
        writeln!(self.out, "{}", text::plain_json(&json))?;
        self.out.flush()
    }

    /// A table of the result.
    pub fn table(&mut self, table: &Table) -> io::Result<()> {
        let table::Rendered { text, left_out } = table.render(self.colour, self.width);
        write!(self.out, "{text}")?;
        self.out.flush()?;
        if !left_out.is_empty() {
            let left_out = left_out.join(", ");
            self.note(&format!("(without {left_out}: a wider terminal, or --json, shows them)"))?;
        }
        Ok(())
    }

    /// Bytes of the result, as they are.
    pub fn bytes(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.out.write_all(bytes)?;
        self.out.flush()
    }

    /// A sentence beside the result.
    pub fn note(&mut self, sentence: &str) -> io::Result<()> {
        writeln!(self.notes, "{sentence}")
    }

    /// Something that must not be overlooked, beside the result.
    pub fn warn(&mut self, sentence: &str) -> io::Result<()> {
        if self.notes_terminal && self.colour {
            writeln!(self.notes, "\u{1b}[1;33mwarning:\u{1b}[0m {sentence}")
        } else {
            writeln!(self.notes, "warning: {sentence}")
        }
    }

    /// Shows that something is under way, if it takes more than a second and somebody looks.
    #[must_use]
    pub fn progress(&self, doing: &str) -> progress::Progress {
        progress::Progress::start(doing, self.notes_terminal)
    }
}
