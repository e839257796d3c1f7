//! Collected evidence: what an endpoint signs about an archive, and the pieces that it travels in.
//!
//! The archive is made whole at the endpoint before a byte of it is sent, so that its digest is
//! signed at the source and a transfer that was cut off goes on where it was.

mod manifest;
pub mod sealed;
pub mod tar;

use minicbor::{Decode, Encode};

pub use manifest::{Check, CheckError, Item, MANIFEST, MANIFEST_BYTES_MAX, read_manifest};

use crate::id::{CommandId, EndpointId, Hash};
use crate::limits;
use crate::message::Signed;
use crate::sign::document::{self, DocumentError, Kind};
use crate::sign::{SigningKey, VerifyingKey};

/// What an endpoint signs about an archive.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Collected {
    /// Whose evidence.
    #[n(0)]
    pub endpoint: EndpointId,
    /// The key that signs; the endpoint's id is its hash.
    #[n(1)]
    pub key: VerifyingKey,
    /// Which command asked.
    #[n(2)]
    pub command: CommandId,
    /// SHA-256 of the command's bytes as received.
    #[n(3)]
    pub command_hash: Hash,
    /// What was made.
    #[n(4)]
    pub archive: Archive,
}

/// An archive as it travels: a tar file in one zstd frame, its last entry the manifest; or the same
/// sealed.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Archive {
    /// Its length.
    #[n(0)]
    pub bytes: u64,
    /// SHA-256 of all of it.
    #[n(1)]
    pub sha256: Hash,
    /// Sources and files in it, without the manifest.
    #[n(2)]
    pub entries: u64,
    /// What matched and is not in it, or not whole; the manifest says why.
    #[n(3)]
    pub missing: u64,
    /// Whether a limit kept something out.
    #[n(4)]
    pub cut: bool,
    /// When it was finished, nanoseconds since 1970 UTC by the endpoint's clock.
    #[n(5)]
    pub time_ns: u64,
    /// How long it took, in milliseconds.
    #[n(6)]
    pub took_ms: u64,
    /// What is inside, where it travels sealed: then `bytes` and `sha256` are those of the
    /// [`sealed`] archive. None where it does not.
    #[n(7)]
    pub inside: Option<Inside>,
}

/// An archive's bytes in short: inside the seal, or as they travel.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Inside {
    /// Its length.
    #[n(0)]
    pub bytes: u64,
    /// SHA-256 of all of it.
    #[n(1)]
    pub sha256: Hash,
}

impl Archive {
    /// What travels, sealed or not.
    #[must_use]
    pub fn travels(&self) -> Inside {
        Inside { bytes: self.bytes, sha256: self.sha256 }
    }

    /// The tar file in its zstd frame, however it travels.
    #[must_use]
    pub fn plain(&self) -> Inside {
        self.inside.unwrap_or_else(|| self.travels())
    }
}

impl Collected {
    /// Signs it.
    #[must_use]
    pub fn sign(&self, key: &SigningKey) -> Signed {
        Signed { bytes: document::sign(Kind::Collected, self, b"", key) }
    }

    /// Verifies it as that of an endpoint. The key is in it: an endpoint is named by its hash.
    pub fn verify(signed: &Signed, endpoint: EndpointId) -> Result<Self, DocumentError> {
        document::verify_own(Kind::Collected, &signed.bytes, endpoint, |claimed: &Self| {
            (claimed.endpoint, claimed.key)
        })
    }
}

/// A part of an archive, or the offer to send it.
///
/// An offer carries the signed [`Collected`] and nothing else; a piece carries bytes and nothing
/// else. Each is answered by a [`Have`] before the next may come.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Piece {
    /// Which archive: that of this command.
    #[n(0)]
    pub command: CommandId,
    /// Where the bytes begin.
    #[n(1)]
    pub offset: u64,
    /// The bytes; none in an offer.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub content: Vec<u8>,
    /// The [`Collected`] as the endpoint signed it, in an offer only.
    #[n(3)]
    pub offer: Option<Signed>,
}

/// How far the collector has an archive, durable.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Have {
    /// Which archive: that of this command.
    #[n(0)]
    pub command: CommandId,
    /// The bytes it has from the beginning; all of them only once their digest was checked.
    #[n(1)]
    pub bytes: u64,
    /// Why it takes no more.
    #[n(2)]
    pub refused: Option<NotTaken>,
}

/// Why an archive is not taken.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct NotTaken {
    /// For a person.
    #[n(0)]
    pub sentence: String,
    /// Whether it may be offered again later.
    #[n(1)]
    pub again: bool,
}

/// What is wrong with a piece.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum PieceFormError {
    /// An offer has no bytes and no place.
    #[error("an offer of an archive carries bytes, too")]
    BytesInOffer,
    /// A piece of nothing would never end.
    #[error("a piece of an archive is empty")]
    Empty,
    /// Too long, or beyond what an archive may be.
    #[error("a piece of an archive is longer than it may be")]
    TooLong,
}

impl Piece {
    /// Refuses what no endpoint that keeps to the protocol sends.
    pub fn check_form(&self) -> Result<(), PieceFormError> {
        if self.offer.is_some() {
            let bare = self.content.is_empty() && self.offset == 0;
            return if bare { Ok(()) } else { Err(PieceFormError::BytesInOffer) };
        }
        if self.content.is_empty() {
            return Err(PieceFormError::Empty);
        }
        let bytes = u64::try_from(self.content.len()).unwrap_or(u64::MAX);
        let end = self.offset.saturating_add(bytes);
        if self.content.len() > limits::PIECE_BYTES_MAX || end > limits::ARCHIVE_BYTES_MAX {
            return Err(PieceFormError::TooLong);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::codec;

    fn key(number: u8) -> SigningKey {
        SigningKey::from_seed(&[number; 32]).unwrap()
    }

    fn collected(signer: u8) -> Collected {
        let archive = Archive {
            bytes: 5,
            sha256: Hash::of(b"bytes"),
            entries: 1,
            missing: 0,
            cut: false,
            time_ns: 7,
            took_ms: 8,
            inside: None,
        };
        Collected {
            endpoint: EndpointId(key(1).id().0),
            key: key(signer).verifying(),
            command: CommandId(uuid::Uuid::from_u128(7)),
            command_hash: Hash::of(b"command"),
            archive,
        }
    }

    #[test]
    fn only_the_endpoint_itself_signs_for_its_archive() {
        let own = collected(1).sign(&key(1));
        let endpoint = EndpointId(key(1).id().0);
        assert_eq!(Collected::verify(&own, endpoint).unwrap(), collected(1));
        assert!(Collected::verify(&own, EndpointId(key(2).id().0)).is_err(), "another's");
        assert!(Collected::verify(&collected(2).sign(&key(2)), endpoint).is_err(), "another's key");
        assert!(Collected::verify(&collected(1).sign(&key(2)), endpoint).is_err(), "not signed");
    }

    fn piece(offset: u64, bytes: usize, offers: bool) -> Piece {
        let offer = offers.then(|| Signed { bytes: vec![1] });
        let command = CommandId(uuid::Uuid::from_u128(7));
        Piece { command, offset, content: vec![0; bytes], offer }
    }

    #[test]
    fn a_piece_is_an_offer_or_bytes_within_bounds() {
        let table = [
            (piece(0, 0, true), Ok(())),
            (piece(0, 1, true), Err(PieceFormError::BytesInOffer)),
            (piece(1, 0, true), Err(PieceFormError::BytesInOffer)),
            (piece(0, limits::PIECE_BYTES_MAX, false), Ok(())),
            (piece(0, limits::PIECE_BYTES_MAX + 1, false), Err(PieceFormError::TooLong)),
            (piece(0, 0, false), Err(PieceFormError::Empty)),
            (piece(limits::ARCHIVE_BYTES_MAX - 1, 1, false), Ok(())),
            (piece(limits::ARCHIVE_BYTES_MAX, 1, false), Err(PieceFormError::TooLong)),
            (piece(u64::MAX, 9, false), Err(PieceFormError::TooLong)),
        ];
        for (piece, formed) in table {
            assert_eq!(piece.check_form(), formed, "{} {}", piece.offset, piece.content.len());
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_piece_or_none(bytes in any::<Vec<u8>>()) {
            if let Ok(piece) = codec::decode_strict::<Piece>(&bytes) {
                piece.check_form().ok();
                prop_assert_eq!(codec::encode(&piece), bytes);
            }
        }
    }
}
