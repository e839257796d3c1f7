//! Small cuts through lines, and names kept within bounds.

use cordon_proto::Text;

/// A name, an address, a reason. Longer ones nobody gave in good faith; they are cut.
const NAME_BYTES_MAX: usize = 256;

/// A command line out of a log.
const COMMAND_BYTES_MAX: usize = 4096;

/// What a line says that can be read in two ways.
pub(super) const AMBIGUOUS: &str = "the line can be read in more than one way";

pub(super) fn name(bytes: &[u8]) -> Text {
    bytes[..bytes.len().min(NAME_BYTES_MAX)].into()
}

/// The same for what may be empty.
pub(super) fn some_name(bytes: &[u8]) -> Option<Text> {
    (!bytes.is_empty()).then(|| name(bytes))
}

pub(super) fn command(bytes: &[u8]) -> Text {
    bytes[..bytes.len().min(COMMAND_BYTES_MAX)].into()
}

pub(super) fn number<T: std::str::FromStr>(digits: &[u8]) -> Option<T> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

/// Where a needle first stands.
pub(super) fn find(text: &[u8], needle: &[u8]) -> Option<usize> {
    text.windows(needle.len()).position(|window| window == needle)
}

/// The sides of the first needle.
pub(super) fn split<'a>(text: &'a [u8], needle: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = find(text, needle)?;
    Some((&text[..at], &text[at + needle.len()..]))
}

/// The sides of the last needle.
pub(super) fn split_last<'a>(text: &'a [u8], needle: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(needle.len()).rposition(|window| window == needle)?;
    Some((&text[..at], &text[at + needle.len()..]))
}

/// The sides of the only needle.
pub(super) fn split_only<'a>(text: &'a [u8], needle: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let (before, after) = split(text, needle)?;
    find(after, needle).is_none().then_some((before, after))
}

/// What stands in single quotes behind a beginning.
pub(super) fn quoted<'a>(text: &'a [u8], before: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    split(text.strip_prefix(before)?.strip_prefix(b"'")?, b"'")
}
