//! By its first bytes a file is known again: an inode is used again, a file is emptied and grows
//! past the place where reading stood, and neither shows in its number or its length.

use minicbor::{Decode, Encode};

/// How many bytes are looked at: a time and a few words, enough to tell two beginnings apart.
pub(super) const HEAD_BYTES_MAX: usize = 256;

const HASH_BYTES: usize = 16;

/// A file's first bytes, hashed. A file that still grows has a short one, which is lengthened.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Encode, Decode)]
pub(super) struct Fingerprint {
    /// How many bytes were hashed.
    #[n(0)]
    len: u16,
    #[n(1)]
    #[cbor(with = "minicbor::bytes")]
    hash: [u8; HASH_BYTES],
}

impl Fingerprint {
    /// The fingerprint of a file that begins so.
    pub(super) fn of(head: &[u8]) -> Self {
        let head = &head[..head.len().min(HEAD_BYTES_MAX)];
        let mut hash = [0; HASH_BYTES];
        if !head.is_empty() {
            let digest = ring::digest::digest(&ring::digest::SHA256, head);
            hash.copy_from_slice(&digest.as_ref()[..HASH_BYTES]);
        }
        Self { len: u16::try_from(head.len()).unwrap_or(u16::MAX), hash }
    }

    /// Whether a file that begins with `head` may be the one.
    pub(super) fn fits(&self, head: &[u8]) -> bool {
        head.get(..usize::from(self.len)).is_some_and(|head| Self::of(head) == *self)
    }

    /// Whether it says nothing: the file was empty.
    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_grew_still_fits_and_one_that_begins_otherwise_does_not() {
        let fingerprint = Fingerprint::of(b"one\n");
        assert!(fingerprint.fits(b"one\n") && fingerprint.fits(b"one\ntwo\n"));
        assert!(
            !fingerprint.fits(b"two\none\n") && !fingerprint.fits(b"one") && !fingerprint.fits(b"")
        );
        assert!(Fingerprint::default().fits(b"") && Fingerprint::default().fits(b"any"));
        assert_eq!(Fingerprint::of(b""), Fingerprint::default());
    }

    #[test]
    fn what_stands_after_the_first_bytes_does_not_matter() {
        let (mut one, mut two) = (vec![b'a'; 300], vec![b'a'; 400]);
        one[299] = b'1';
        two[299] = b'2';
        assert_eq!(Fingerprint::of(&one), Fingerprint::of(&two));
    }
}
