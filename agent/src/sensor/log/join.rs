//! Puts lines together that belong together: a stack trace is one event, not forty.
//!
//! Pure. What is put together is bounded in lines and in bytes, and by a wait that `watch` keeps.

use cordon_proto::limits::LOG_LINE_BYTES_MAX;

use super::lines::Line;
use super::pattern::fits;

/// Lines of one event.
const LINES_MAX: u32 = 1024;

/// What the lines of one event take in the file; bounds what is read again after a restart.
const FULL_BYTES_MAX: u64 = 1 << 20;

/// Which lines belong together.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) enum Join {
    /// None.
    #[default]
    Never,
    /// A line that begins with a space or a tab belongs to the one before.
    Indented,
    /// A line that does not begin so belongs to the one before.
    Starts(Vec<u8>),
}

impl Join {
    /// A pattern for beginnings: `#` is a digit, `?` any byte, `*` any number of them.
    pub(super) fn starts(pattern: &str) -> Self {
        Self::Starts([pattern.as_bytes(), b"*"].concat())
    }

    fn continues(&self, line: &[u8]) -> bool {
        match self {
            Self::Never => false,
            Self::Indented => matches!(line.first(), Some(b' ' | b'\t')),
            Self::Starts(pattern) => !fits(pattern, line),
        }
    }
}

/// Lines that wait for more that belong to them.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Joined {
    open: Option<Line<'static>>,
    /// What the open ones take in the file.
    full_bytes: u64,
}

impl Joined {
    /// Where the first of them began.
    pub(super) fn start(&self) -> Option<u64> {
        self.open.as_ref().map(|line| line.offset)
    }

    /// Takes a line that takes so many bytes in the file, its end included; gives back what is
    /// whole now.
    pub(super) fn take<'a>(
        &mut self,
        join: &Join,
        line: Line<'a>,
        full_bytes: u64,
    ) -> Option<Line<'a>> {
        if *join == Join::Never {
            return Some(line);
        }
        match &mut self.open {
            Some(open)
                if join.continues(&line.bytes)
                    && open.lines < LINES_MAX
                    && self.full_bytes < FULL_BYTES_MAX =>
            {
                self.full_bytes = self.full_bytes.saturating_add(full_bytes);
                append(open, &line, self.full_bytes);
                None
            }
            Some(_) | None => {
                self.full_bytes = full_bytes;
                self.open.replace(line.into_owned())
            }
        }
    }

    /// What waited, when nothing more will come to it.
    pub(super) fn finish(&mut self) -> Option<Line<'static>> {
        self.full_bytes = 0;
        self.open.take()
    }
}

fn append(open: &mut Line<'static>, line: &Line<'_>, full_bytes: u64) {
    open.lines = open.lines.saturating_add(1);
    let room = LOG_LINE_BYTES_MAX.saturating_sub(open.bytes.len() + 1);
    let is_cut = open.full_bytes.is_some() || line.full_bytes.is_some() || line.bytes.len() > room;
    if open.full_bytes.is_none() {
        let bytes = open.bytes.to_mut();
        bytes.push(b'\n');
        bytes.extend_from_slice(&line.bytes[..line.bytes.len().min(room)]);
        bytes.truncate(LOG_LINE_BYTES_MAX);
    }
    open.full_bytes = is_cut.then_some(full_bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes lines (of which `>` stands for a space) and compares what comes out, `_` between lines
    /// that were put together.
    #[track_caller]
    fn check(join: &Join, lines: &str, expected: &str) {
        let mut joined = Joined::default();
        let mut offset = 0;
        let mut found = Vec::new();
        for text in lines.split_whitespace() {
            let bytes = text.replace('>', " ").into_bytes();
            let full = bytes.len() as u64 + 1;
            found.extend(joined.take(
                join,
                Line { offset, bytes: bytes.into(), full_bytes: None, lines: 1 },
                full,
            ));
            offset += full;
        }
        found.extend(joined.finish());
        assert_eq!(joined, Joined::default());
        let show = |line: &Line<'_>| {
            let text = String::from_utf8_lossy(&line.bytes);
            format!("{}:{}", line.offset, text.replace('\n', "_").replace(' ', ">"))
        };
        assert_eq!(found.iter().map(show).collect::<Vec<_>>().join(" "), expected);
        let count: u32 = found.iter().map(|line| line.lines).sum();
        assert_eq!(count as usize, lines.split_whitespace().count());
    }

    #[test]
    fn indented_lines_belong_to_the_one_before() {
        check(&Join::Never, "a >b c", "0:a 2:>b 5:c");
        check(&Join::Indented, "a >b >>c d >e", "0:a_>b_>>c 9:d_>e");
        check(&Join::Indented, ">a >b c", "0:>a_>b 6:c");
    }

    #[test]
    fn lines_that_do_not_begin_as_one_does_belong_to_the_one_before() {
        let join = Join::starts("####-##-##");
        check(&join, "2026-01-02:x at.. 2026 2026-01-03", "0:2026-01-02:x_at.._2026 23:2026-01-03");
        check(&Join::starts("[*]"), "[1]a b [c [d]", "0:[1]a_b_[c 10:[d]");
    }

    #[test]
    fn what_belongs_together_is_bounded_in_lines_and_bytes() {
        let line =
            |bytes: Vec<u8>| Line { offset: 0, bytes: bytes.into(), full_bytes: None, lines: 1 };
        let mut joined = Joined::default();
        let mut whole = Vec::new();
        for _ in 0..LINES_MAX * 2 {
            whole.extend(joined.take(&Join::Indented, line(b" a".to_vec()), 3));
        }
        assert_eq!((whole.len(), whole[0].lines), (1, LINES_MAX));
        let mut joined = Joined::default();
        let piece = vec![b' '; LOG_LINE_BYTES_MAX / 2];
        let full = piece.len() as u64 + 1;
        let mut whole = Vec::new();
        for _ in 0..100 {
            whole.extend(joined.take(&Join::Indented, line(piece.clone()), full));
        }
        assert_eq!(whole[0].bytes.len(), LOG_LINE_BYTES_MAX);
        assert_eq!(whole[0].full_bytes, Some(full * u64::from(whole[0].lines)));
        assert!(whole[0].full_bytes.unwrap() < FULL_BYTES_MAX + full);
    }
}
