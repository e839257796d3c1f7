//! Cuts what is read from a file into lines, and knows where each began.
//!
//! Pure. A line without its end waits for it; a line longer than the limit is cut and marked with
//! its full length, and its rest takes no memory. NUL bytes before a line are passed over: a
//! writer that does not append leaves such a hole where its file was emptied.

use std::borrow::Cow;

use cordon_proto::limits::LOG_LINE_BYTES_MAX;

use super::join::{Join, Joined};
use super::mark::Mark;

/// One line without its end, or several that belong together. Most are borrowed from what was read:
/// a piece of the heap for each would cost more than to find it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Line<'a> {
    /// Where in the file it began.
    pub(super) offset: u64,
    /// Its bytes, at most [`LOG_LINE_BYTES_MAX`].
    pub(super) bytes: Cow<'a, [u8]>,
    /// How long it was, where it was cut.
    pub(super) full_bytes: Option<u64>,
    /// How many lines of the file it is.
    pub(super) lines: u32,
}

impl Line<'_> {
    /// The same, whatever becomes of what was read.
    pub(super) fn into_owned(self) -> Line<'static> {
        Line { bytes: Cow::Owned(self.bytes.into_owned()), ..self }
    }
}

/// How a file's bytes become lines.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut<'a> {
    pub(super) mark: Mark,
    pub(super) join: &'a Join,
}

/// Where reading stands in a file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Tail {
    /// Where the line under way began.
    start: u64,
    /// The line under way as far as it is kept.
    held: Vec<u8>,
    /// How much of the line under way was read.
    length: u64,
    /// Whole lines that wait for more that belong to them.
    joined: Joined,
}

impl Tail {
    /// Stands at a place where a line begins.
    pub(super) fn at(offset: u64) -> Self {
        Self { start: offset, ..Self::default() }
    }

    /// Where the first line began that was not handed out. Reading resumes here after a restart.
    pub(super) fn line_start(&self) -> u64 {
        self.joined.start().unwrap_or(self.start)
    }

    /// From where to read on.
    pub(super) fn read_at(&self) -> u64 {
        self.start.saturating_add(self.length)
    }

    /// Whether whole lines wait for more that belong to them.
    pub(super) fn is_joining(&self) -> bool {
        self.joined.start().is_some()
    }

    /// Takes bytes that stand at [`Self::read_at`] and adds the lines that end in them, at most
    /// `lines_max`. Returns how many bytes were taken; those behind are to be read again.
    pub(super) fn feed<'a>(
        &mut self,
        bytes: &'a [u8],
        cut: Cut<'_>,
        lines_max: usize,
        lines: &mut Vec<Line<'a>>,
    ) -> usize {
        let unit = cut.mark.unit();
        let bytes = &bytes[..bytes.len() - bytes.len() % unit];
        let mut taken = 0;
        let full = lines.len().saturating_add(lines_max);
        while lines.len() < full {
            let rest = &bytes[taken..];
            if self.length == 0 && rest.first() == Some(&0) {
                let hole = rest.iter().position(|byte| *byte != 0).unwrap_or(rest.len());
                // Half of a sign is no hole.
                let hole = hole - hole % unit;
                if hole > 0 {
                    self.start = self.start.saturating_add(hole as u64);
                    taken += hole;
                    continue;
                }
            }
            let Some(end) = cut.mark.find_end(rest) else {
                self.hold(rest);
                return bytes.len();
            };
            taken += end + unit;
            let line = if self.length == 0 && end <= LOG_LINE_BYTES_MAX {
                self.whole(Cow::Borrowed(&rest[..end]), end as u64, unit as u64, cut)
            } else {
                self.hold(&rest[..end]);
                self.take(unit as u64, cut)
            };
            lines.extend(line);
        }
        taken
    }

    /// What is under way, when it is certain that no more will come.
    pub(super) fn finish(&mut self, cut: Cut<'_>) -> Vec<Line<'static>> {
        let mut lines = Vec::new();
        if self.length > 0 {
            lines.extend(self.take(0, cut));
        }
        lines.extend(self.joined.finish());
        lines
    }

    /// Lines that waited for more long enough.
    pub(super) fn finish_joined(&mut self) -> Option<Line<'static>> {
        self.joined.finish()
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = LOG_LINE_BYTES_MAX - self.held.len();
        self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.length = self.length.saturating_add(bytes.len() as u64);
    }

    fn take(&mut self, end_bytes: u64, cut: Cut<'_>) -> Option<Line<'static>> {
        let (held, length) = (std::mem::take(&mut self.held), std::mem::take(&mut self.length));
        self.whole(Cow::Owned(held), length, end_bytes, cut)
    }

    /// The line that begins at `start` and was `length` bytes long is whole.
    fn whole<'a>(
        &mut self,
        kept: Cow<'a, [u8]>,
        length: u64,
        end_bytes: u64,
        cut: Cut<'_>,
    ) -> Option<Line<'a>> {
        let offset = self.start;
        let all = length.saturating_add(end_bytes);
        self.start = offset.saturating_add(all);
        let is_cut = length > kept.len() as u64;
        let (bytes, is_cut_more) = cut.mark.text(kept);
        let full_bytes = (is_cut || is_cut_more).then_some(length);
        self.joined.take(cut.join, Line { offset, bytes, full_bytes, lines: 1 }, all)
    }
}

#[cfg(test)]
mod tests;
