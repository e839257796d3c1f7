//! Reads TOML to the end though there are mistakes in it, so that all are reported at once.
//!
//! What serde refuses is blanked out, line for line, and the rest is read again.

use std::fmt;
use std::ops::Range;

use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};

/// One thing wrong in a settings file.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Mistake {
    /// The line, from 1; none where what is wrong is that nothing stands there.
    pub line: Option<usize>,
    /// What is wrong.
    pub what: String,
}

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl Mistake {
    /// A mistake in the value of a setting, found by its dotted name.
    pub(super) fn at_key(text: &str, key: &str, what: String) -> Self {
        let line = DeTable::parse(text).ok().and_then(|table| {
            let start = key_start(table.get_ref(), key)?;
            Some(line_of(text, start))
        });
        Self { line, what: format!("{key} {what}") }
    }
}

/// The mistakes, one a line.
pub(super) fn list(mistakes: &[Mistake]) -> String {
    mistakes.iter().map(|mistake| format!("  {mistake}")).collect::<Vec<_>>().join("\n")
}

/// Mistakes reported at once; whoever has made more is reading the wrong file.
const MISTAKES_MAX: usize = 32;

/// Reads what can be read, and says what cannot.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> (Option<T>, Vec<Mistake>) {
    let mut text = text.to_owned();
    let mut mistakes = Vec::new();
    while mistakes.len() < MISTAKES_MAX {
        let error = match toml::from_str(&text) {
            Ok(value) => return (Some(value), mistakes),
            Err(error) => error,
        };
        // A broken file reads as anything once a line is taken out of it.
        let broken = DeTable::parse(&text).is_err();
        let span = error.span();
        let line = span.as_ref().map(|span| line_of(&text, span.start));
        mistakes.push(Mistake { line, what: error.message().to_owned() });
        match span {
            Some(span) if !broken => blank(&mut text, &span),
            Some(_) | None => break,
        }
    }
    (None, mistakes)
}

fn line_of(text: &str, at: usize) -> usize {
    text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
}

fn key_start(table: &DeTable<'_>, key: &str) -> Option<usize> {
    let (first, rest) = key.split_once('.').map_or((key, None), |(a, b)| (a, Some(b)));
    let (name, value) = table.iter().find(|(name, _)| name.get_ref() == first)?;
    match (rest, value.get_ref()) {
        (None, _) => Some(name.span().start),
        (Some(rest), DeValue::Table(table)) => key_start(table, rest),
        (Some(_), _) => None,
    }
}

/// Takes out the lines of a mistake; with a section's head, the section.
fn blank(text: &mut String, span: &Range<usize>) {
    let first = line_of(text, span.start);
    let last = line_of(text, span.end.saturating_sub(1).max(span.start));
    let mut section = false;
    let keep = |(index, line): (usize, &str)| {
        let head = line.trim_start().starts_with('[');
        let hit = (first..=last).contains(&(index + 1));
        if head {
            section = hit;
        }
        if hit || section { String::new() } else { line.to_owned() }
    };
    *text = text.lines().enumerate().map(keep).collect::<Vec<_>>().join("\n");
}
