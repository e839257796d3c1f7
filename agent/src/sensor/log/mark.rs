//! How the bytes of a file are text: the mark at its beginning says so, or nothing does.
//!
//! Pure. UTF-16 is turned into UTF-8 where the file begins with its mark; without one it stays
//! bytes, as Latin-1 and all else does: what it is cannot be known.

use std::borrow::Cow;

use cordon_proto::event::Encoding;
use cordon_proto::limits::LOG_LINE_BYTES_MAX;

/// What a file's first bytes say of the rest.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Mark(Option<Encoding>);

impl Mark {
    /// Nothing.
    #[cfg(test)]
    pub(super) const NONE: Self = Self(None);

    /// Of a file that begins so.
    pub(super) fn of(head: &[u8]) -> Self {
        Self(match head {
            [0xef, 0xbb, 0xbf, ..] => Some(Encoding::Utf8),
            [0xff, 0xfe, ..] => Some(Encoding::Utf16Le),
            [0xfe, 0xff, ..] => Some(Encoding::Utf16Be),
            _ => None,
        })
    }

    pub(super) fn encoding(self) -> Option<Encoding> {
        self.0
    }

    /// How long the mark itself is.
    pub(super) fn bytes(self) -> u64 {
        match self.0 {
            None => 0,
            Some(Encoding::Utf16Le | Encoding::Utf16Be) => 2,
            Some(Encoding::Utf8) => 3,
        }
    }

    /// How many bytes a line's end takes, and each sign at least.
    pub(super) fn unit(self) -> usize {
        match self.0 {
            None | Some(Encoding::Utf8) => 1,
            Some(Encoding::Utf16Le | Encoding::Utf16Be) => 2,
        }
    }

    /// Where the first line in `bytes` ends. They begin at a whole unit.
    pub(super) fn find_end(self, bytes: &[u8]) -> Option<usize> {
        if self.unit() == 1 {
            return memchr::memchr(b'\n', bytes);
        }
        let mut ends = memchr::memchr_iter(b'\n', bytes).map(|at| at & !1);
        ends.find(|at| self.unit_at(bytes, *at) == Some(u16::from(b'\n')))
    }

    /// Where the last line's end in `bytes` stands.
    pub(super) fn find_last_end(self, bytes: &[u8]) -> Option<usize> {
        if self.unit() == 1 {
            return memchr::memrchr(b'\n', bytes);
        }
        let mut ends = memchr::memchr_iter(b'\n', bytes).rev().map(|at| at & !1);
        ends.find(|at| self.unit_at(bytes, *at) == Some(u16::from(b'\n')))
    }

    fn unit_at(self, bytes: &[u8], at: usize) -> Option<u16> {
        let pair = bytes.get(at..at + 2)?.try_into().ok()?;
        Some(match self.0 {
            Some(Encoding::Utf16Be) => u16::from_be_bytes(pair),
            None | Some(Encoding::Utf8 | Encoding::Utf16Le) => u16::from_le_bytes(pair),
        })
    }

    /// A line as it is handed over, and whether it had to be cut for that: without a `\r` at its
    /// end, UTF-16 as UTF-8.
    pub(super) fn text(self, mut line: Cow<'_, [u8]>) -> (Cow<'_, [u8]>, bool) {
        let mut is_cut = false;
        if self.unit() == 2 {
            let units = (0..line.len() / 2).filter_map(|at| self.unit_at(&line, 2 * at));
            let text: String = char::decode_utf16(units)
                .map(|read| read.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect();
            is_cut = text.len() > LOG_LINE_BYTES_MAX;
            let end = text.floor_char_boundary(LOG_LINE_BYTES_MAX);
            let mut text = text.into_bytes();
            text.truncate(end);
            line = Cow::Owned(text);
        }
        if line.last() == Some(&b'\r') {
            match &mut line {
                Cow::Borrowed(line) => *line = &line[..line.len() - 1],
                Cow::Owned(line) => drop(line.pop()),
            }
        }
        (line, is_cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_known_by_its_bytes() {
        let of = |head: &[u8]| Mark::of(head).encoding();
        assert_eq!(of(b"\xef\xbb\xbfa"), Some(Encoding::Utf8));
        assert_eq!(of(b"\xff\xfe"), Some(Encoding::Utf16Le));
        assert_eq!(of(b"\xfe\xffa"), Some(Encoding::Utf16Be));
        for head in [&b""[..], b"\xff", b"\xef\xbb", b"a\xff\xfe", b"\xfcmlaut"] {
            assert_eq!(of(head), None, "{head:?}");
        }
    }

    #[test]
    fn the_end_of_a_line_is_a_whole_sign_and_not_half_of_another() {
        let little = Mark::of(b"\xff\xfe");
        // U+0A41 and U+410A hold the byte of a line's end.
        assert_eq!(little.find_end(b"\x41\x0a\x0a\x41\x0a\x00"), Some(4));
        assert_eq!(little.find_end(b"\x41\x0a\x0a\x41"), None);
        assert_eq!(little.find_last_end(b"\x0a\x00\x0a\x00\x41\x0a"), Some(2));
        let big = Mark::of(b"\xfe\xff");
        assert_eq!(big.find_end(b"\x0a\x41\x41\x0a\x00\x0a"), Some(4));
        assert_eq!(big.find_end(b"\x00"), None);
    }

    #[test]
    fn utf16_becomes_utf8_and_what_is_broken_is_marked_in_its_place() {
        let little = Mark::of(b"\xff\xfe");
        let text = |mark: Mark, bytes: &[u8]| {
            let borrowed = mark.text(bytes.into());
            assert_eq!(borrowed, mark.text(bytes.to_vec().into()));
            (borrowed.0.into_owned(), borrowed.1)
        };
        assert_eq!(text(little, b"\xe4\x00!\x00\r\x00"), ("\u{e4}!".into(), false));
        assert_eq!(text(little, b"\x00\xd8!\x00"), ("\u{fffd}!".into(), false));
        assert_eq!(text(Mark::default(), b"\xe4!\r"), (b"\xe4!".to_vec(), false));
    }

    #[test]
    fn what_grows_beyond_the_limit_is_cut_between_two_signs() {
        let big = Mark::of(b"\xfe\xff");
        let (text, is_cut) = big.text(b"\x20\xac".repeat(LOG_LINE_BYTES_MAX / 2).into());
        assert!(is_cut && text.len() <= LOG_LINE_BYTES_MAX && text.len() > LOG_LINE_BYTES_MAX - 3);
        assert!(std::str::from_utf8(&text).is_ok());
    }
}
