//! Netlink messages as bytes: what the kernel is told and what it answers.
//!
//! Pure. The decoder refuses a message whose lengths do not add up instead of guessing.

use thiserror::Error;

/// Bytes of `struct nlmsghdr`.
pub const HEADER_BYTES: usize = 16;
/// Bytes of `struct nlattr`.
const ATTRIBUTE_HEADER_BYTES: usize = 4;
/// The two top bits of an attribute's type are flags (nested, network order), not type.
const ATTRIBUTE_KIND_MASK: u16 = 0x3fff;
const NESTED: u16 = 0x8000;

pub const REQUEST: u16 = 0x1;
pub const ACK: u16 = 0x4;
pub const DUMP: u16 = 0x300;
pub const CREATE: u16 = 0x400;
pub const APPEND: u16 = 0x800;
/// Set by the kernel on a dump that changed under the reader.
pub const DUMP_INTERRUPTED: u16 = 0x10;

/// Types below this are the protocol's own.
pub const KIND_ERROR: u16 = 2;
pub const KIND_DONE: u16 = 3;

#[derive(Debug, Error, PartialEq, Eq)]
pub enum Malformed {
    #[error("a netlink {what} of {needed} bytes was announced, only {left} bytes are there")]
    CutShort { what: &'static str, needed: usize, left: usize },
    #[error("a netlink {what} says it is {length} bytes long, less than its own header")]
    TooSmall { what: &'static str, length: usize },
    #[error("netlink attribute {kind} holds {length} bytes, {expected} expected")]
    WrongLength { kind: u16, length: usize, expected: usize },
}

#[derive(Debug, Error, PartialEq, Eq)]
#[error("a netlink {what} grew past the {max} bytes its length field can say")]
pub struct TooLong {
    what: &'static str,
    max: usize,
}

/// Builds one or more messages, one after the other, numbered in order.
#[derive(Debug)]
pub struct Encoder {
    bytes: Vec<u8>,
    sequence: u32,
    too_long: Option<TooLong>,
}

impl Encoder {
    /// An empty run of messages; the first one gets the number `sequence`.
    pub fn new(sequence: u32) -> Self {
        Self { bytes: Vec::with_capacity(4096), sequence, too_long: None }
    }

    /// Adds a message and returns its number.
    pub fn message(&mut self, kind: u16, flags: u16, body: impl FnOnce(&mut Self)) -> u32 {
        let sequence = self.sequence;
        self.sequence = self.sequence.wrapping_add(1);
        let start = self.bytes.len();
        self.bytes.extend([0; 4]);
        self.bytes.extend(kind.to_ne_bytes());
        self.bytes.extend((flags | REQUEST).to_ne_bytes());
        self.bytes.extend(sequence.to_ne_bytes());
        self.bytes.extend([0; 4]);
        body(self);
        match u32::try_from(self.bytes.len() - start) {
            Ok(length) => self.bytes[start..start + 4].copy_from_slice(&length.to_ne_bytes()),
            Err(_) => self.too_long = Some(TooLong { what: "message", max: u32::MAX as usize }),
        }
        sequence
    }

    /// Adds a protocol's fixed header, as it stands.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend(bytes);
        self.pad();
    }

    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        self.measured(kind, |encoder| encoder.bytes.extend(value));
    }

    /// Adds a name with the closing zero that the kernel expects.
    pub fn name(&mut self, kind: u16, value: &[u8]) {
        self.measured(kind, |encoder| {
            encoder.bytes.extend(value);
            encoder.bytes.push(0);
        });
    }

    /// Adds a number in network order, as nf_tables wants all of its numbers.
    pub fn be32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_be_bytes());
    }

    pub fn nest(&mut self, kind: u16, inner: impl FnOnce(&mut Self)) {
        self.measured(kind | NESTED, inner);
    }

    /// The messages, and the number that the next one would have had.
    pub fn finish(self) -> Result<(Vec<u8>, u32), TooLong> {
        match self.too_long {
            Some(error) => Err(error),
            None => Ok((self.bytes, self.sequence)),
        }
    }

    fn measured(&mut self, kind: u16, value: impl FnOnce(&mut Self)) {
        let start = self.bytes.len();
        self.bytes.extend([0; 2]);
        self.bytes.extend(kind.to_ne_bytes());
        value(self);
        match u16::try_from(self.bytes.len() - start) {
            Ok(length) => self.bytes[start..start + 2].copy_from_slice(&length.to_ne_bytes()),
            Err(_) => {
                self.too_long = Some(TooLong { what: "attribute", max: usize::from(u16::MAX) })
            }
        }
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// One message as received.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    pub kind: u16,
    pub flags: u16,
    pub sequence: u32,
    /// The netlink port of whoever caused it; for notifications, the process that made the change.
    pub port: u32,
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The attributes behind a protocol header of `header_bytes`.
    pub fn attributes(&self, header_bytes: usize) -> Result<Attributes<'a>, Malformed> {
        let header_bytes = header_bytes.next_multiple_of(4);
        match self.body.get(header_bytes..) {
            Some(rest) => Ok(Attributes { rest }),
            None => Err(Malformed::CutShort {
                what: "protocol header",
                needed: header_bytes,
                left: self.body.len(),
            }),
        }
    }
}

/// Walks through the messages of one datagram; stops after the first malformed one.
#[derive(Debug)]
pub struct Messages<'a> {
    rest: &'a [u8],
}

pub fn messages(datagram: &[u8]) -> Messages<'_> {
    Messages { rest: datagram }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let (taken, rest) = match split(self.rest, HEADER_BYTES, "message", u32_length)? {
            Ok(parts) => parts,
            Err(error) => {
                self.rest = &[];
                return Some(Err(error));
            }
        };
        self.rest = rest;
        Some(Ok(Message {
            kind: u16::from_ne_bytes([taken[4], taken[5]]),
            flags: u16::from_ne_bytes([taken[6], taken[7]]),
            sequence: u32::from_ne_bytes([taken[8], taken[9], taken[10], taken[11]]),
            port: u32::from_ne_bytes([taken[12], taken[13], taken[14], taken[15]]),
            body: &taken[HEADER_BYTES..],
        }))
    }
}

/// One attribute as received, its flag bits taken off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    pub kind: u16,
    pub value: &'a [u8],
}

impl<'a> Attribute<'a> {
    /// A number in network order.
    pub fn be32(&self) -> Result<u32, Malformed> {
        Ok(u32::from_be_bytes(self.fixed()?))
    }

    /// A number in network order.
    pub fn be64(&self) -> Result<u64, Malformed> {
        Ok(u64::from_be_bytes(self.fixed()?))
    }

    /// A number in the machine's own order.
    pub fn ne32(&self) -> Result<u32, Malformed> {
        Ok(u32::from_ne_bytes(self.fixed()?))
    }

    /// A name up to its closing zero, or to the end where there is none. Bytes, because other
    /// programs may give names that are not UTF-8, and reading must not fail on them.
    pub fn name(&self) -> &'a [u8] {
        let end = self.value.iter().position(|byte| *byte == 0).unwrap_or(self.value.len());
        &self.value[..end]
    }

    pub fn nested(&self) -> Attributes<'a> {
        Attributes { rest: self.value }
    }

    fn fixed<const N: usize>(&self) -> Result<[u8; N], Malformed> {
        self.value.first_chunk().copied().filter(|_| self.value.len() == N).ok_or(
            Malformed::WrongLength { kind: self.kind, length: self.value.len(), expected: N },
        )
    }
}

/// Walks through attributes; stops after the first malformed one.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let (taken, rest) = match split(self.rest, ATTRIBUTE_HEADER_BYTES, "attribute", u16_length)?
        {
            Ok(parts) => parts,
            Err(error) => {
                self.rest = &[];
                return Some(Err(error));
            }
        };
        self.rest = rest;
        let kind = u16::from_ne_bytes([taken[2], taken[3]]) & ATTRIBUTE_KIND_MASK;
        Some(Ok(Attribute { kind, value: &taken[ATTRIBUTE_HEADER_BYTES..] }))
    }
}

fn u32_length(bytes: &[u8]) -> Option<usize> {
    usize::try_from(u32::from_ne_bytes(*bytes.first_chunk()?)).ok()
}

fn u16_length(bytes: &[u8]) -> Option<usize> {
    Some(usize::from(u16::from_ne_bytes(*bytes.first_chunk()?)))
}

type Split<'a> = Result<(&'a [u8], &'a [u8]), Malformed>;

/// Takes one length-prefixed item off the front; `None` at the end.
fn split<'a>(
    bytes: &'a [u8],
    header_bytes: usize,
    what: &'static str,
    length: fn(&[u8]) -> Option<usize>,
) -> Option<Split<'a>> {
    if bytes.is_empty() {
        return None;
    }
    let cut_short = |needed| Err(Malformed::CutShort { what, needed, left: bytes.len() });
    let Some(length) = length(bytes).filter(|_| bytes.len() >= header_bytes) else {
        return Some(cut_short(header_bytes));
    };
    if length < header_bytes {
        return Some(Err(Malformed::TooSmall { what, length }));
    }
    let Some(taken) = bytes.get(..length) else { return Some(cut_short(length)) };
    // The last item may come without its padding.
    let rest = bytes.get(length.next_multiple_of(4)..).unwrap_or(&[]);
    Some(Ok((taken, rest)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_is_encoded_is_decoded_again() {
        let mut encoder = Encoder::new(7);
        encoder.message(0xa06, CREATE, |message| {
            message.raw(&[1, 0, 0, 0]);
            message.name(1, b"cordon");
            message.nest(2, |inner| inner.be32(5, 0x0102_0304));
        });
        let (bytes, next) = encoder.finish().unwrap();
        assert_eq!(next, 8);

        let decoded: Vec<_> = messages(&bytes).collect::<Result<_, _>>().unwrap();
        assert_eq!(decoded.len(), 1);
        assert_eq!((decoded[0].kind, decoded[0].sequence), (0xa06, 7));
        assert_eq!(decoded[0].flags, CREATE | REQUEST);
        let attributes: Vec<_> =
            decoded[0].attributes(4).unwrap().collect::<Result<_, _>>().unwrap();
        assert_eq!(attributes[0].name(), b"cordon");
        let inner = attributes[1].nested().next().unwrap().unwrap();
        assert_eq!((inner.kind, inner.be32()), (5, Ok(0x0102_0304)));
    }

    #[test]
    fn an_attribute_that_cannot_say_its_length_is_refused() {
        let mut encoder = Encoder::new(1);
        encoder.message(1, 0, |message| message.attribute(1, &[0; 70_000]));
        assert!(encoder.finish().is_err());
    }

    #[test]
    fn lengths_that_do_not_add_up_are_refused() {
        let announced_too_much = [40, 0, 1, 0];
        let smaller_than_its_header = [3, 0, 1, 0];
        for bytes in [announced_too_much.as_slice(), &smaller_than_its_header, &[8, 0]] {
            let mut attributes = Attributes { rest: bytes };
            assert!(attributes.next().unwrap().is_err(), "{bytes:?} was taken");
            assert!(attributes.next().is_none());
        }
    }

    fn read_everything(bytes: &[u8]) -> usize {
        let mut seen = 0;
        for message in messages(bytes).flatten() {
            seen += 1;
            let Ok(attributes) = message.attributes(4) else { continue };
            for attribute in attributes.flatten() {
                seen += usize::from(attribute.be32().is_ok())
                    + usize::from(!attribute.name().is_empty());
                seen += attribute.nested().count();
            }
        }
        seen
    }

    proptest! {
        #[test]
        fn no_bytes_can_break_the_decoder(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(read_everything(&bytes) <= bytes.len());
        }

        #[test]
        fn a_damaged_message_is_read_or_refused(at in 0usize..60, value in any::<u8>()) {
            let mut encoder = Encoder::new(1);
            encoder.message(0xa06, 0, |message| {
                message.raw(&[1, 0, 0, 0]);
                message.name(1, b"cordon");
                message.nest(2, |inner| inner.be32(5, 9));
            });
            let (mut bytes, _) = encoder.finish().unwrap();
            let at = at % bytes.len();
            bytes[at] = value;
            prop_assert!(read_everything(&bytes) <= bytes.len());
        }
    }
}
