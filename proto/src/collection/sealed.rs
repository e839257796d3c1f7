//! A sealed archive: for whom it is, and how the chunks behind that are numbered.
//!
//! The archive's bytes are cut into chunks, each encrypted by itself with ChaCha20-Poly1305 (RFC
//! 8439) under a key that only this archive has. A chunk's nonce is its number and whether it is the
//! last one: the STREAM construction (Hoang, Reyhanitabar, Rogaway, Vizár: Online Authenticated-
//! Encryption and its Nonce-Reuse Misuse-Resistance, CRYPTO 2015), so that a chunk that is
//! exchanged, repeated, moved or missing shows, at the end too. The key is sealed to each reader
//! with HPKE (RFC 9180). Nothing here seals or opens.

use minicbor::{Decode, Encode};

use crate::codec::{self, CodecError};
use crate::id::{CommandId, EndpointId, Hash, KeyId, OperatorId};
use crate::roster::RosterRef;
use crate::sign::SealingKey;

/// How a sealed archive begins; the digit is the version of the form.
pub const MAGIC: &[u8; 16] = b"cordon sealed 1\n";

/// Bytes of the archive in each chunk but the last, which has as many as are left.
pub const CHUNK_BYTES: usize = 64 << 10;

/// What sealing adds to a chunk, and to the key.
pub const TAG_BYTES: usize = 16;

/// Bytes of the key of the chunks.
pub const KEY_BYTES: usize = 32;

/// Before the header: the magic and the header's length.
pub const LEAD_BYTES: usize = 20;

/// Operators that an archive is sealed to.
pub const READERS_MAX: usize = 256;

/// The longest header: that of as many readers, with the longest names.
pub const HEADER_BYTES_MAX: usize = 64 << 10;

/// The key of the chunks, sealed to one reader.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct SealedKey {
    /// Whose.
    #[n(0)]
    pub operator: OperatorId,
    /// The id of the sealing key.
    #[n(1)]
    pub key: KeyId,
    /// HPKE's encapsulated key.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub encapsulated: [u8; 32],
    /// The key of the chunks and its tag.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub text: [u8; KEY_BYTES + TAG_BYTES],
}

/// What stands before the chunks.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Header {
    /// Whose evidence.
    #[n(0)]
    pub endpoint: EndpointId,
    /// Which command asked.
    #[n(1)]
    pub command: CommandId,
    /// SHA-256 of the command's bytes as received.
    #[n(2)]
    pub command_hash: Hash,
    /// The roster that named the readers.
    #[n(3)]
    pub roster: RosterRef,
    /// The readers; at least one.
    #[n(4)]
    pub readers: Vec<SealedKey>,
}

/// Why the front of a sealed archive cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// It begins otherwise.
    #[error("it does not begin as a sealed archive of a version that is known here")]
    Magic,
    /// It is longer than any may be, or empty.
    #[error("its header would have {0} bytes")]
    Length(usize),
    /// It is no header, or not in the one form that it may have.
    #[error("its header cannot be read: {0}")]
    Codec(#[from] CodecError),
    /// Nobody could open it, or more than there may be.
    #[error("its header names {0} readers")]
    Readers(usize),
}

impl Header {
    /// The key as sealed to the owner of this key.
    #[must_use]
    pub fn sealed_to(&self, key: &SealingKey) -> Option<&SealedKey> {
        let id = key.id();
        self.readers.iter().find(|sealed| sealed.key == id)
    }

    /// HPKE's `info`: what a sealed key is bound to, so that it opens nothing else.
    #[must_use]
    pub fn info(&self) -> Vec<u8> {
        let Self { endpoint, command, command_hash, roster, .. } = *self;
        codec::encode(&Bound {
            kind: "cordon/evidence;v=1",
            endpoint,
            command,
            command_hash,
            roster,
        })
    }

    /// Magic, length and header, as they stand before the first chunk. Every chunk is bound to the
    /// SHA-256 of these bytes as its associated data.
    pub fn to_bytes(&self) -> Result<Vec<u8>, HeaderError> {
        self.check()?;
        let header = codec::encode(self);
        let length = u32::try_from(header.len()).ok().filter(|_| header.len() <= HEADER_BYTES_MAX);
        let length = length.ok_or(HeaderError::Length(header.len()))?;
        Ok([MAGIC.as_slice(), &length.to_be_bytes(), &header].concat())
    }

    /// Reads a header; the caller has read as many bytes as [`header_bytes`] said.
    pub fn from_bytes(header: &[u8]) -> Result<Self, HeaderError> {
        if header.len() > HEADER_BYTES_MAX {
            return Err(HeaderError::Length(header.len()));
        }
        let header: Self = codec::decode_strict(header)?;
        header.check()?;
        Ok(header)
    }

    fn check(&self) -> Result<(), HeaderError> {
        match self.readers.len() {
            1..=READERS_MAX => Ok(()),
            count => Err(HeaderError::Readers(count)),
        }
    }
}

/// How many bytes the header has, by what stands before it.
pub fn header_bytes(lead: &[u8; LEAD_BYTES]) -> Result<usize, HeaderError> {
    let length = lead.strip_prefix(MAGIC).and_then(|rest| rest.first_chunk::<4>());
    let length = u32::from_be_bytes(*length.ok_or(HeaderError::Magic)?);
    let length = usize::try_from(length).unwrap_or(usize::MAX);
    if length == 0 || length > HEADER_BYTES_MAX {
        return Err(HeaderError::Length(length));
    }
    Ok(length)
}

/// The nonce of a chunk: its number from nought on in eleven bytes, the highest first, and 1 for the
/// last chunk, 0 for every other.
#[must_use]
pub fn nonce(number: u64, is_last: bool) -> [u8; 12] {
    let mut nonce = [0; 12];
    if let Some(to) = nonce.get_mut(3..11) {
        to.copy_from_slice(&number.to_be_bytes());
    }
    if let Some(last) = nonce.last_mut() {
        *last = u8::from(is_last);
    }
    nonce
}

#[derive(Encode)]
struct Bound<'a> {
    #[n(0)]
    kind: &'a str,
    #[n(1)]
    endpoint: EndpointId,
    #[n(2)]
    command: CommandId,
    #[n(3)]
    command_hash: Hash,
    #[n(4)]
    roster: RosterRef,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn header(readers: usize) -> Header {
        let reader = |number: usize| SealedKey {
            operator: format!("operator-{number}").parse().unwrap(),
            key: SealingKey([u8::try_from(number % 256).unwrap(); 32]).id(),
            encapsulated: [3; 32],
            text: [4; KEY_BYTES + TAG_BYTES],
        };
        Header {
            endpoint: EndpointId::of(b"endpoint"),
            command: CommandId(uuid::Uuid::from_u128(7)),
            command_hash: Hash::of(b"command"),
            roster: RosterRef::default(),
            readers: (0..readers).map(reader).collect(),
        }
    }

    fn read(front: &[u8]) -> Result<Header, HeaderError> {
        let lead = front.first_chunk().ok_or(HeaderError::Magic)?;
        let length = header_bytes(lead)?;
        let end = LEAD_BYTES.saturating_add(length);
        Header::from_bytes(front.get(LEAD_BYTES..end).ok_or(HeaderError::Length(length))?)
    }

    #[test]
    fn a_front_is_read_as_it_was_written_and_names_its_readers() {
        for readers in [1, 2, READERS_MAX] {
            let front = header(readers).to_bytes().unwrap();
            assert_eq!(read(&front).unwrap(), header(readers));
        }
        for readers in [0, READERS_MAX + 1] {
            let error = header(readers).to_bytes().unwrap_err();
            assert!(matches!(error, HeaderError::Readers(count) if count == readers));
        }
        let two = header(2);
        assert_eq!(two.sealed_to(&SealingKey([1; 32])), two.readers.get(1));
        assert_eq!(two.sealed_to(&SealingKey([2; 32])), None);
    }

    #[test]
    fn a_front_that_begins_otherwise_or_is_too_long_is_refused_before_it_is_read() {
        let mut front = header(1).to_bytes().unwrap();
        front[14] = b'2';
        assert!(matches!(read(&front), Err(HeaderError::Magic)));
        for length in [0, u32::try_from(HEADER_BYTES_MAX).unwrap() + 1, u32::MAX] {
            let lead = [MAGIC.as_slice(), &length.to_be_bytes()].concat();
            let says = header_bytes(lead.first_chunk().unwrap());
            assert!(matches!(says, Err(HeaderError::Length(_))), "{length}");
        }
    }

    #[test]
    fn a_key_is_bound_to_everything_that_the_header_says_but_its_readers() {
        let bound = header(1).info();
        assert_eq!(header(2).info(), bound);
        let roster = RosterRef { version: 1, ..RosterRef::default() };
        for changed in [
            Header { endpoint: EndpointId::of(b"other"), ..header(1) },
            Header { command: CommandId(uuid::Uuid::from_u128(8)), ..header(1) },
            Header { command_hash: Hash::of(b"other"), ..header(1) },
            Header { roster, ..header(1) },
        ] {
            assert_ne!(changed.info(), bound);
        }
    }

    #[test]
    fn no_two_chunks_have_one_nonce() {
        let numbers = [0, 1, 255, 256, u64::from(u32::MAX), u64::MAX];
        let all = numbers.iter().flat_map(|number| [nonce(*number, false), nonce(*number, true)]);
        let all: std::collections::BTreeSet<_> = all.collect();
        assert_eq!(all.len(), 2 * numbers.len());
        assert_eq!(nonce(0x0102, true), [0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 1]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_front_or_none(bytes in any::<Vec<u8>>(), at in any::<prop::sample::Index>()) {
            drop(read(&bytes));
            drop(read(&[MAGIC.as_slice(), &bytes].concat()));
            let front = header(2).to_bytes().unwrap();
            let mut changed = front.clone();
            let byte = at.index(front.len());
            changed[byte] ^= bytes.first().copied().unwrap_or(0);
            if let Ok(read) = read(&changed) {
                prop_assert_eq!(read.to_bytes().unwrap(), changed);
            }
            prop_assert!(read(&front[..byte]).is_err());
        }
    }
}
