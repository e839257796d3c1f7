//! What a copy in the vault says of the file that it was, and how it ends.

use std::fmt;

use cordon_proto::Text;
use cordon_proto::id::Hash;
use minicbor::{Decode, Encode};

use crate::platform::linux::metadata::Metadata;
use crate::platform::linux::place::Inode;

use super::VaultError;

/// The longest header: attributes and the names.
pub(super) const HEADER_BYTES_MAX: usize = 2 << 20;

/// The name of a copy: 16 random bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode)]
pub struct CopyId(#[cbor(n(0), with = "minicbor::bytes")] pub [u8; 16]);

/// What was taken.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub enum What {
    /// A regular file; its content follows.
    #[n(0)]
    File,
    /// A symbolic link, and where it led.
    #[n(1)]
    Link(#[n(0)] Text),
}

/// What a copy is of.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Header {
    /// The directory it was in.
    #[n(0)]
    pub directory: Text,
    /// All its names there.
    #[n(1)]
    pub names: Vec<Text>,
    /// Which file it was.
    #[n(2)]
    pub inode: Inode,
    /// A file or a link.
    #[n(3)]
    pub what: What,
    /// What it carried.
    #[n(4)]
    pub metadata: Metadata,
}

/// How a copy ends: what must have come before.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct End {
    /// Sealed chunks.
    pub chunks: u64,
    /// The file's length.
    pub bytes: u64,
    /// How much of it is data and not hole.
    pub bytes_of_data: u64,
    /// SHA-256 of the whole content; of a link's target.
    pub sha256: Hash,
}

impl What {
    /// Whether it is a symbolic link.
    #[must_use]
    pub fn is_link(&self) -> bool {
        matches!(self, Self::Link(_))
    }
}

impl End {
    /// Three numbers and a hash.
    pub(super) const BYTES: usize = 56;

    pub(super) fn to_bytes(self) -> Vec<u8> {
        let Self { chunks, bytes, bytes_of_data, sha256 } = self;
        let numbers = [chunks, bytes, bytes_of_data].map(u64::to_be_bytes);
        [numbers.as_flattened(), &sha256.0].concat()
    }

    pub(super) fn read(from: &[u8]) -> Result<Self, VaultError> {
        let cut = || VaultError::Damaged("its end is too short");
        let (chunks, rest) = from.split_first_chunk().ok_or_else(cut)?;
        let (bytes, rest) = rest.split_first_chunk().ok_or_else(cut)?;
        let (bytes_of_data, rest) = rest.split_first_chunk().ok_or_else(cut)?;
        Ok(Self {
            chunks: u64::from_be_bytes(*chunks),
            bytes: u64::from_be_bytes(*bytes),
            bytes_of_data: u64::from_be_bytes(*bytes_of_data),
            sha256: Hash(<[u8; 32]>::try_from(rest).map_err(|_length| cut())?),
        })
    }
}

impl fmt::Display for CopyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}
