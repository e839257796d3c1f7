//! Reads a copy back, and finds every change that was made to it.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};

use cordon_proto::codec;
use ring::digest;

use super::header::{End, HEADER_BYTES_MAX, Header};
use super::{
    CHUNK_BYTES, Cipher, Content, MAGIC, Part, SALT_BYTES, SIZE_OF_TAG, Tally, VaultError, doing,
};

const OFFSET_BYTES: usize = 8;
const CHUNK_SEALED_BYTES_MAX: usize = OFFSET_BYTES + CHUNK_BYTES + SIZE_OF_TAG;
const END_SEALED_BYTES: usize = End::BYTES + SIZE_OF_TAG;

/// A copy in the vault, with its header and its end read and found whole.
pub struct Copy {
    file: BufReader<File>,
    cipher: Cipher,
    front: digest::Digest,
    header: Header,
    end: End,
    /// Where the first chunk begins.
    data_at: u64,
    chunks: u64,
    buffer: Vec<u8>,
}

impl Copy {
    pub(super) fn open(
        file: File,
        cipher: impl FnOnce(&[u8]) -> Result<Cipher, VaultError>,
    ) -> Result<Self, VaultError> {
        let file_bytes = file.metadata().map_err(doing("looking at"))?.len();
        let mut file = BufReader::new(file);
        let mut front = vec![0; MAGIC.len() + SALT_BYTES];
        read_exact(&mut file, &mut front)?;
        let salt = front.strip_prefix(MAGIC).ok_or(VaultError::Damaged("it begins otherwise"))?;
        let cipher = cipher(salt)?;
        let (length, length_bytes) = length(&mut file, HEADER_BYTES_MAX + SIZE_OF_TAG)?;
        let mut sealed = vec![0; length];
        read_exact(&mut file, &mut sealed)?;
        let whole =
            digest::digest(&digest::SHA256, &[front.as_slice(), &length_bytes, &sealed].concat());
        let header = cipher.open(Part::Header, &front, &mut sealed)?;
        let header = codec::decode_strict(header);
        let header = header.map_err(|_error| VaultError::Damaged("its header cannot be read"))?;
        let data_at = file.stream_position().map_err(doing("reading"))?;
        let end_at = file_bytes.checked_sub(u64::try_from(END_SEALED_BYTES).unwrap_or(0));
        let end_at = end_at.filter(|end_at| *end_at >= data_at);
        let end_at = end_at.ok_or(VaultError::Damaged("it was cut"))?;
        file.seek(SeekFrom::Start(end_at)).map_err(doing("reading"))?;
        let mut sealed = vec![0; END_SEALED_BYTES];
        read_exact(&mut file, &mut sealed)?;
        let end = End::read(cipher.open(Part::End, whole.as_ref(), &mut sealed)?)?;
        let mut copy =
            Self { file, cipher, front: whole, header, end, data_at, chunks: 0, buffer: sealed };
        copy.rewind()?;
        Ok(copy)
    }

    /// What it is of.
    #[must_use]
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// How it ends.
    #[must_use]
    pub fn end(&self) -> End {
        self.end
    }

    /// The content's length and hash.
    #[must_use]
    pub fn content(&self) -> Content {
        let End { bytes, bytes_of_data, sha256, .. } = self.end;
        Content { bytes, bytes_of_data, sha256 }
    }

    /// Begins with the first chunk again.
    pub fn rewind(&mut self) -> Result<(), VaultError> {
        self.chunks = 0;
        self.file.seek(SeekFrom::Start(self.data_at)).map(|_at| ()).map_err(doing("reading"))
    }

    /// The next chunk and its place in the file; none after the last.
    pub fn next_chunk(&mut self) -> Result<Option<(u64, &[u8])>, VaultError> {
        if self.chunks == self.end.chunks {
            return Ok(None);
        }
        let (length, _) = length(&mut self.file, CHUNK_SEALED_BYTES_MAX)?;
        self.buffer.resize(length, 0);
        read_exact(&mut self.file, &mut self.buffer)?;
        let part = Part::Data(self.chunks);
        let opened = self.cipher.open(part, self.front.as_ref(), &mut self.buffer)?;
        self.chunks = self.chunks.saturating_add(1);
        let (offset, data) =
            opened.split_first_chunk().ok_or(VaultError::Damaged("a chunk is too short"))?;
        Ok(Some((u64::from_be_bytes(*offset), data)))
    }

    /// Reads all of it and compares the content with the hash at its end.
    pub fn verify(&mut self) -> Result<(), VaultError> {
        self.rewind()?;
        let mut tally = Tally::default();
        while let Some((offset, data)) = self.next_chunk()? {
            tally.data(offset, data);
        }
        let found = match &self.header.what {
            super::What::File => tally.finish(self.end.bytes),
            super::What::Link(target) => Content::of_link(target.as_bytes()),
        };
        self.rewind()?;
        if found == self.content() {
            return Ok(());
        }
        Err(VaultError::Damaged("its content is not what its end says"))
    }
}

fn read_exact(file: &mut BufReader<File>, into: &mut [u8]) -> Result<(), VaultError> {
    file.read_exact(into).map_err(|error| {
        let cut = error.kind() == std::io::ErrorKind::UnexpectedEof;
        if cut { VaultError::Damaged("it was cut") } else { doing("reading")(error) }
    })
}

fn length(file: &mut BufReader<File>, bytes_max: usize) -> Result<(usize, [u8; 4]), VaultError> {
    let mut bytes = [0; 4];
    read_exact(file, &mut bytes)?;
    let length = usize::try_from(u32::from_be_bytes(bytes)).unwrap_or(usize::MAX);
    if length > bytes_max {
        return Err(VaultError::Damaged("a part is too long"));
    }
    Ok((length, bytes))
}
