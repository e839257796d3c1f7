//! Writes a copy: what it is of, then its data chunk by chunk, then how it ends.
//!
//! `magic | salt | length of header | sealed header`, then for each chunk `length | sealed (offset
//! | data)`, then the sealed end. Every part after the header is bound to all that is before the
//! first chunk.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use cordon_proto::codec;
use ring::digest;

use super::header::{End, HEADER_BYTES_MAX, Header};
use super::{CHUNK_BYTES, Cipher, MAGIC, Part, SALT_BYTES, VaultError, doing};

/// A copy under way.
pub struct Sealer {
    file: File,
    cipher: Cipher,
    /// Digest of what is before the first chunk.
    front: digest::Digest,
    chunks: u64,
    buffer: Vec<u8>,
}

impl Sealer {
    pub(super) fn begin(
        path: &Path,
        cipher: Cipher,
        salt: [u8; SALT_BYTES],
        header: &Header,
    ) -> Result<Self, VaultError> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600);
        let mut file = options.open(path).map_err(doing("making"))?;
        let mut sealed = codec::encode(header);
        if sealed.len() > HEADER_BYTES_MAX {
            return Err(VaultError::Crypto("hold so many attributes"));
        }
        let mut front = [MAGIC.as_slice(), &salt].concat();
        cipher.seal(Part::Header, &front, &mut sealed)?;
        front.extend(length(sealed.len())?);
        front.append(&mut sealed);
        file.write_all(&front).map_err(doing("writing"))?;
        let front = digest::digest(&digest::SHA256, &front);
        Ok(Self { file, cipher, front, chunks: 0, buffer: Vec::new() })
    }

    /// Adds what is at a place in the file, a chunk at most.
    pub fn data(&mut self, offset: u64, bytes: &[u8]) -> Result<(), VaultError> {
        debug_assert!(bytes.len() <= CHUNK_BYTES, "a chunk is too long");
        self.buffer.clear();
        self.buffer.extend(offset.to_be_bytes());
        self.buffer.extend(bytes);
        let part = Part::Data(self.chunks);
        self.cipher.seal(part, self.front.as_ref(), &mut self.buffer)?;
        let length = length(self.buffer.len())?;
        let written = self.file.write_all(&length).and_then(|()| self.file.write_all(&self.buffer));
        written.map_err(doing("writing"))?;
        self.chunks = self.chunks.saturating_add(1);
        Ok(())
    }

    /// Ends the copy and writes it to the disk. The chunks are counted here.
    pub fn finish(mut self, end: End) -> Result<(), VaultError> {
        let mut sealed = End { chunks: self.chunks, ..end }.to_bytes();
        self.cipher.seal(Part::End, self.front.as_ref(), &mut sealed)?;
        let written = self.file.write_all(&sealed).and_then(|()| self.file.sync_all());
        written.map_err(doing("writing"))
    }
}

fn length(bytes: usize) -> Result<[u8; 4], VaultError> {
    let length = u32::try_from(bytes).map_err(|_long| VaultError::Crypto("hold so long a part"))?;
    Ok(length.to_be_bytes())
}
