//! How command lines and log lines fall into words, names and values.

use std::ops::Range;

/// What kind of text is searched.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Form {
    /// Arguments, each ended by NUL: a value is all of its argument.
    Arguments,
    /// Running text: a value ends with its word.
    Line,
}

/// A text under search.
pub(super) struct Search<'a> {
    pub(super) text: &'a [u8],
    pub(super) form: Form,
}

pub(super) fn is_space(byte: u8) -> bool {
    byte == 0 || byte.is_ascii_whitespace()
}

fn is_quote(byte: u8) -> bool {
    matches!(byte, b'"' | b'\'' | b'`')
}

/// What names of options, variables and headers are made of.
pub(super) fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.')
}

impl Search<'_> {
    pub(super) fn at(&self, at: usize) -> Option<u8> {
        self.text.get(at).copied()
    }

    pub(super) fn before(&self, at: usize) -> Option<u8> {
        at.checked_sub(1).and_then(|before| self.at(before))
    }

    /// Where the name that ends at `end` begins.
    pub(super) fn name_start(&self, end: usize) -> usize {
        let name = self.text[..end].iter().rev().take_while(|byte| is_name(**byte)).count();
        end - name
    }

    /// Whether an argument begins here that is no script for a shell.
    pub(super) fn begins_argument(&self, at: usize) -> bool {
        let is_first = self.before(at).is_none_or(|byte| byte == 0);
        if self.form != Form::Arguments || !is_first {
            return false;
        }
        let before = self.text[..at].strip_suffix(b"\0").unwrap_or_default();
        let before = before.rsplit(|byte| *byte == 0).next().unwrap_or_default();
        !(before.starts_with(b"-") && !before.starts_with(b"--") && before.ends_with(b"c"))
    }

    pub(super) fn argument_end(&self, at: usize) -> usize {
        self.text[at..].iter().position(|byte| *byte == 0).map_or(self.text.len(), |len| at + len)
    }

    /// The value that begins at `at` and belongs to a word that began at `word`: the rest of the
    /// argument, what stands in quotes, or the word with whatever quotes are in it.
    pub(super) fn value(&self, word: usize, at: usize) -> Range<usize> {
        if self.begins_argument(word) {
            return at..self.argument_end(at);
        }
        if let Some(range) = self.quoted(at) {
            return range;
        }
        let list = self.before(word).filter(|byte| matches!(byte, b'?' | b'&' | b';'));
        let list = list.map(|byte| if byte == b'?' { b'&' } else { byte });
        let mut end = at;
        while let Some(byte) = self.at(end).filter(|byte| !is_space(*byte)) {
            if Some(byte) == list {
                break;
            }
            if is_quote(byte) {
                match self.closing(word, end, byte) {
                    Some(closing) => end = closing,
                    None => break,
                }
            }
            end += 1;
        }
        at..end
    }

    /// What stands in the quotes that open at `at`, quoted once more perhaps.
    pub(super) fn quoted(&self, at: usize) -> Option<Range<usize>> {
        let escapes = self.text[at..].iter().take_while(|byte| **byte == b'\\').count();
        let quote = self.at(at + escapes).filter(|byte| is_quote(*byte))?;
        let begin = at + escapes + 1;
        let mut end = begin;
        let mut escaped = 0;
        while let Some(byte) = self.at(end).filter(|byte| *byte != 0) {
            if byte == quote && escaped <= escapes {
                return Some(begin..end - escaped.min(escapes));
            }
            escaped = if byte == b'\\' { escaped + 1 } else { 0 };
            if escapes == 0 && escaped == 2 {
                escaped = 0;
            }
            end += 1;
        }
        Some(begin..end)
    }

    /// Where a quote inside a value closes; none if it closes what was opened before the value.
    fn closing(&self, word: usize, at: usize, quote: u8) -> Option<usize> {
        let argument =
            self.text[..word].iter().rposition(|byte| *byte == 0).map_or(0, |nul| nul + 1);
        let open = self.text[argument..word].iter().filter(|byte| **byte == quote).count();
        if open % 2 == 1 {
            return None;
        }
        let rest = &self.text[at + 1..self.argument_end(at)];
        rest.iter().position(|byte| *byte == quote).map(|len| at + 1 + len)
    }

    /// The words, without the punctuation around them and without what auditd writes before each
    /// argument (`a0="…"`).
    pub(super) fn words(&self) -> impl Iterator<Item = Range<usize>> {
        let mut at = 0;
        std::iter::from_fn(move || {
            at = self.run(at, is_space);
            let (begin, end) = (at, self.run(at, |byte| !is_space(byte)));
            at = end;
            (end > begin).then(|| self.bare(begin..end))
        })
    }

    fn bare(&self, word: Range<usize>) -> Range<usize> {
        let named = self.run(word.start, |byte| byte.is_ascii_alphanumeric());
        let is_named = self.at(named) == Some(b'=') && self.at(named + 1).is_some_and(is_quote);
        let begin = if is_named { named + 1 } else { word.start };
        let opens = |byte| is_quote(byte) || matches!(byte, b'(' | b'{' | b'$' | b'=' | b'[');
        let begin = self.run(begin, opens).min(word.end);
        let closing = self.text[begin..word.end].iter().rev();
        begin..word.end - closing.take_while(|byte| is_quote(**byte)).count()
    }

    /// The places where a needle stands, in letters of either case.
    pub(super) fn all(&self, needle: &'static [u8]) -> impl Iterator<Item = usize> {
        let starts = self.text.windows(needle.len()).enumerate();
        starts.filter(|(_, window)| window.eq_ignore_ascii_case(needle)).map(|(at, _)| at)
    }

    /// The end of the bytes from `at` on that are of one kind.
    pub(super) fn run(&self, at: usize, of: impl Fn(u8) -> bool) -> usize {
        at + self.text[at.min(self.text.len())..].iter().take_while(|byte| of(**byte)).count()
    }
}

/// The last part of a path.
pub(super) fn base_name(word: &[u8]) -> &[u8] {
    word.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}
