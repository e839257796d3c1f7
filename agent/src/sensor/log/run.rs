//! Lines that may travel in one event: one behind the other in the file, with the same head but for
//! its time, and with nothing more to say. Pure.
//!
//! A busy log is one program saying much: what an event costs (its header, two hashes, its place in
//! the batch) is then paid once for a run of lines and not for each.

use cordon_proto::event::log::Run;
use cordon_proto::event::{Encoding, LogLine};
use cordon_proto::limits::LOG_RUN_LINES_MAX;

use super::lines::Line;
use crate::sensor::parse::Head;

/// The text of one run: so much must be shown to prove one of its lines, and more saves nothing.
const RUN_BYTES_MAX: usize = 16 << 10;

/// A line, and those behind it that may travel with it.
pub(super) struct Gathering<'a> {
    first: &'a Line<'a>,
    head: Option<Head<'a>>,
    /// Whether others may travel with the first at all.
    is_plain: bool,
    lines: usize,
    /// Of all lines, from the second on.
    text: Vec<u8>,
    times: Vec<i64>,
    /// The last line's own time.
    time_ns: u64,
    /// Where the last line ended in the file.
    end: u64,
    end_bytes: u64,
}

impl<'a> Gathering<'a> {
    /// Begins with a line.
    pub(super) fn new(
        line: &'a Line<'a>,
        head: Option<Head<'a>>,
        encoding: Option<Encoding>,
    ) -> Self {
        let is_wide = matches!(encoding, Some(Encoding::Utf16Le | Encoding::Utf16Be));
        let has_pairs = head.as_ref().is_some_and(|head| head.structured.is_some());
        Self {
            first: line,
            is_plain: is_plain(line) && !is_wide && !has_pairs,
            lines: 1,
            text: Vec::new(),
            times: Vec::new(),
            time_ns: head.as_ref().and_then(Head::time_ns).unwrap_or_default(),
            end: end_of(line),
            end_bytes: 0,
            head,
        }
    }

    /// Takes a line in, if it may travel with those before it.
    pub(super) fn take(&mut self, line: &Line<'_>, head: Option<&Head<'_>>) -> bool {
        let room = RUN_BYTES_MAX.saturating_sub(self.text.len().max(self.first.bytes.len()));
        let has_room = self.lines < LOG_RUN_LINES_MAX && line.bytes.len() < room;
        let end_bytes = line.offset.saturating_sub(self.end);
        let follows =
            matches!(end_bytes, 1 | 2) && (self.lines == 1 || end_bytes == self.end_bytes);
        let is_alike = match (&self.head, head) {
            (None, None) => true,
            (Some(ours), Some(other)) => ours.is_alike(other),
            (Some(_), None) | (None, Some(_)) => false,
        };
        let time_ns = head.and_then(Head::time_ns).unwrap_or_default();
        let later = i64::try_from(i128::from(time_ns) - i128::from(self.time_ns));
        let Some(later) = later
            .ok()
            .filter(|_later| self.is_plain && has_room && follows && is_alike && is_plain(line))
        else {
            return false;
        };
        if self.lines == 1 {
            self.text.reserve_exact(RUN_BYTES_MAX);
            self.text.extend_from_slice(&self.first.bytes);
        }
        self.text.push(b'\n');
        self.text.extend_from_slice(&line.bytes);
        self.times.push(later);
        self.time_ns = time_ns;
        (self.lines, self.end, self.end_bytes) = (self.lines + 1, end_of(line), end_bytes);
        true
    }

    /// What is known of them but for the file.
    pub(super) fn finish(self) -> LogLine {
        let Line { offset, full_bytes, lines, .. } = *self.first;
        let parsed = self.head.as_ref().map(Head::to_parsed);
        let line = LogLine { offset, parsed, line_bytes: full_bytes, ..LogLine::default() };
        if self.lines == 1 {
            let lines = (lines > 1).then_some(lines);
            return LogLine { line: self.first.bytes.as_ref().into(), lines, ..line };
        }
        let times = self.head.as_ref().and_then(Head::time_ns).map(|_first| self.times);
        let end_bytes = u8::try_from(self.end_bytes).ok().filter(|bytes| *bytes != 1);
        LogLine {
            line: self.text.into(),
            lines: u32::try_from(self.lines).ok(),
            run: Some(Run { times, end_bytes }),
            ..line
        }
    }
}

/// Neither cut nor several that belong together.
fn is_plain(line: &Line<'_>) -> bool {
    line.lines == 1 && line.full_bytes.is_none()
}

fn end_of(line: &Line<'_>) -> u64 {
    line.offset.saturating_add(line.bytes.len() as u64)
}
