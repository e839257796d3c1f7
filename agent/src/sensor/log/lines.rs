//! Cuts what is read from a file into lines, and knows where each began.
//!
//! Pure. A line without its end waits for it; a line longer than the limit is cut and marked with
//! its full length, and its rest takes no memory.

use cordon_proto::limits::LOG_LINE_BYTES_MAX;

/// One line without its end.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Line {
    /// Where in the file it began.
    pub(super) offset: u64,
    /// Its bytes, at most [`LOG_LINE_BYTES_MAX`].
    pub(super) bytes: Vec<u8>,
    /// How long it was, where it was cut.
    pub(super) full_bytes: Option<u64>,
}

/// Where reading stands in a file.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Tail {
    /// Where the line under way began. Reading resumes here after a restart.
    start: u64,
    /// The line under way as far as it is kept.
    held: Vec<u8>,
    /// How much of the line under way was read.
    length: u64,
}

impl Tail {
    /// Stands at a place where a line begins.
    pub(super) fn at(offset: u64) -> Self {
        Self { start: offset, ..Self::default() }
    }

    /// Where the line under way began.
    pub(super) fn line_start(&self) -> u64 {
        self.start
    }

    /// From where to read on.
    pub(super) fn read_at(&self) -> u64 {
        self.start.saturating_add(self.length)
    }

    /// Takes bytes that stand at [`Self::read_at`] and adds the lines that end in them, at most
    /// `lines_max`. Returns how many bytes were taken; those behind are to be read again.
    pub(super) fn feed(&mut self, bytes: &[u8], lines_max: usize, lines: &mut Vec<Line>) -> usize {
        let mut taken = 0;
        for _line in 0..lines_max {
            let rest = &bytes[taken..];
            let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
                self.hold(rest);
                return bytes.len();
            };
            self.hold(&rest[..end]);
            lines.push(self.take(1));
            taken += end + 1;
        }
        taken
    }

    /// The line under way, when it is certain that its end will never come.
    pub(super) fn finish(&mut self) -> Option<Line> {
        (self.length > 0).then(|| self.take(0))
    }

    fn hold(&mut self, bytes: &[u8]) {
        let room = LOG_LINE_BYTES_MAX - self.held.len();
        self.held.extend_from_slice(&bytes[..bytes.len().min(room)]);
        self.length = self.length.saturating_add(bytes.len() as u64);
    }

    fn take(&mut self, end_bytes: u64) -> Line {
        let Self { start, held, length } = std::mem::take(self);
        self.start = start.saturating_add(length).saturating_add(end_bytes);
        let full_bytes = (length > held.len() as u64).then_some(length);
        Line { offset: start, bytes: held, full_bytes }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds the pieces and compares what comes out, as `offset line`, with `expected`.
    #[track_caller]
    fn check(pieces: &[&str], expected: &[&str], waiting: Option<&str>) {
        let (mut tail, mut lines) = (Tail::at(10), Vec::new());
        for piece in pieces {
            assert_eq!(tail.feed(piece.as_bytes(), usize::MAX, &mut lines), piece.len());
        }
        let show =
            |line: &Line| format!("{} {}", line.offset, String::from_utf8_lossy(&line.bytes));
        assert_eq!(lines.iter().map(show).collect::<Vec<_>>(), expected);
        assert_eq!(tail.finish().as_ref().map(show).as_deref(), waiting);
    }

    #[test]
    fn lines_come_with_the_places_where_they_began() {
        check(&["one\ntwo\n\nfour\n"], &["10 one", "14 two", "18 ", "19 four"], None);
    }

    #[test]
    fn a_line_without_its_end_waits_for_it() {
        check(&["one\ntw", "", "o", "\nth"], &["10 one", "14 two"], Some("18 th"));
    }

    #[test]
    fn no_more_lines_are_taken_than_there_is_room_for() {
        let (mut tail, mut lines) = (Tail::at(0), Vec::new());
        assert_eq!(tail.feed(b"a\nb\nc\n", 2, &mut lines), 4);
        assert_eq!((lines.len(), tail.read_at()), (2, 4));
        assert_eq!(tail.feed(b"c\n", 0, &mut lines), 0);
    }

    #[test]
    fn a_line_beyond_the_limit_is_cut_and_says_how_long_it_was() {
        let (mut tail, mut lines) = (Tail::at(0), Vec::new());
        let piece = vec![b'x'; LOG_LINE_BYTES_MAX - 1];
        for _ in 0..3 {
            tail.feed(&piece, usize::MAX, &mut lines);
        }
        assert_eq!(tail.line_start(), 0);
        tail.feed(b"\nnext\n", usize::MAX, &mut lines);
        let full = 3 * piece.len() as u64;
        assert_eq!((lines[0].bytes.len(), lines[0].full_bytes), (LOG_LINE_BYTES_MAX, Some(full)));
        assert_eq!((lines[1].offset, lines[1].full_bytes), (full + 1, None));
    }

    #[test]
    fn a_line_of_just_the_limit_is_whole() {
        let (mut tail, mut lines) = (Tail::at(0), Vec::new());
        tail.feed(&[vec![b'x'; LOG_LINE_BYTES_MAX], b"\n".to_vec()].concat(), 1, &mut lines);
        assert_eq!((lines[0].bytes.len(), lines[0].full_bytes), (LOG_LINE_BYTES_MAX, None));
    }

    proptest! {
        #[test]
        fn however_it_is_read_the_same_lines_come_out(
            text in "[ab\n]{0,200}", cuts in prop::collection::vec((1usize..40, 0usize..5), 1..20),
        ) {
            let (mut tail, mut lines) = (Tail::at(0), Vec::new());
            let mut cuts = cuts.iter().cycle();
            let index = |offset: u64| usize::try_from(offset).unwrap();
            while index(tail.read_at()) < text.len() {
                let (bytes, lines_max) = cuts.next().unwrap();
                let from = index(tail.read_at());
                let piece = &text.as_bytes()[from..text.len().min(from + bytes)];
                tail.feed(piece, lines_max + 1, &mut lines);
            }
            lines.extend(tail.finish());
            let whole: Vec<&[u8]> = lines.iter().map(|line| line.bytes.as_slice()).collect();
            prop_assert_eq!(whole.join(&b'\n'), text.strip_suffix('\n').unwrap_or(&text).as_bytes());
            for line in &lines {
                prop_assert!(text.as_bytes()[index(line.offset)..].starts_with(&line.bytes));
            }
        }
    }
}
