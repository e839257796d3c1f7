//! Where the bytes of a log come from: the file itself, or a rotated file that was compressed
//! (gzip). Other compressions are not read.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::Path;

use flate2::read::MultiGzDecoder;

use super::fingerprint::HEAD_BYTES_MAX;
use super::judge::{Facts, is_gzip};

/// An open file, by its bytes as they were written.
#[derive(Debug)]
pub(super) enum Source {
    Plain(File),
    Packed(Box<Packed>),
}

/// A compressed file; it is read from its beginning only, and not written to any more.
#[derive(Debug)]
pub(super) struct Packed {
    file: File,
    head: Vec<u8>,
    decoder: MultiGzDecoder<File>,
    /// How much was read of what is inside.
    at: u64,
}

impl Source {
    /// Opens a regular file; none for what is no file. Never waits, as opening a pipe would.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        if !path.metadata()?.is_file() {
            return Ok(None);
        }
        let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
        if !file.metadata()?.is_file() {
            return Ok(None);
        }
        if path.file_name().is_some_and(is_gzip) {
            return Packed::new(file).map(|packed| Some(Self::Packed(Box::new(packed))));
        }
        Ok(Some(Self::Plain(file)))
    }

    pub(super) fn metadata(&self) -> io::Result<Metadata> {
        match self {
            Self::Plain(file) => file.metadata(),
            Self::Packed(packed) => packed.file.metadata(),
        }
    }

    pub(super) fn facts(&self) -> io::Result<Facts> {
        let metadata = self.metadata()?;
        let changed_ns = changed_ns(&metadata);
        let file = match self {
            Self::Plain(file) => file,
            // How much is inside is known once it was read.
            Self::Packed(packed) => {
                return Ok(Facts { size: u64::MAX, head: packed.head.clone(), changed_ns });
            }
        };
        let mut head = vec![0; HEAD_BYTES_MAX];
        let read = file.read_at(&mut head, 0)?;
        head.truncate(read);
        Ok(Facts { size: metadata.len(), head, changed_ns })
    }

    /// How long its content is; of a compressed file as its last four bytes say.
    pub(super) fn length(&self) -> io::Result<u64> {
        match self {
            Self::Plain(file) => Ok(file.metadata()?.len()),
            Self::Packed(packed) => {
                let mut length = [0; 4];
                let end = packed.file.metadata()?.len();
                packed.file.read_exact_at(&mut length, end.saturating_sub(4))?;
                Ok(u32::from_le_bytes(length).into())
            }
        }
    }

    /// Reads what stands at a place; nothing where it ends.
    pub(super) fn read_at(&mut self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        match self {
            Self::Plain(file) => file.read_at(buffer, at),
            Self::Packed(packed) => packed.read_at(buffer, at),
        }
    }
}

impl Packed {
    fn new(file: File) -> io::Result<Self> {
        let mut decoder = decoder(&file)?;
        let mut head = Vec::with_capacity(HEAD_BYTES_MAX);
        (&mut decoder).take(HEAD_BYTES_MAX as u64).read_to_end(&mut head)?;
        let at = head.len() as u64;
        Ok(Self { file, head, decoder, at })
    }

    fn read_at(&mut self, buffer: &mut [u8], at: u64) -> io::Result<usize> {
        if at < self.at {
            self.decoder = decoder(&self.file)?;
            self.at = 0;
        }
        while self.at < at {
            let over = buffer.len().min(usize::try_from(at - self.at).unwrap_or(usize::MAX));
            match self.decoder.read(&mut buffer[..over])? {
                0 => return Ok(0),
                read => self.at = self.at.saturating_add(read as u64),
            }
        }
        let read = self.decoder.read(buffer)?;
        self.at = self.at.saturating_add(read as u64);
        Ok(read)
    }
}

/// From the beginning. The descriptors of one file share where they stand, which is why this one
/// is given up before the next is made.
fn decoder(file: &File) -> io::Result<MultiGzDecoder<File>> {
    let mut again = file.try_clone()?;
    io::Seek::rewind(&mut again)?;
    Ok(MultiGzDecoder::new(again))
}

/// When the content was last written to, nanoseconds since 1970.
pub(super) fn changed_ns(metadata: &Metadata) -> u64 {
    let secs = u64::try_from(metadata.mtime()).unwrap_or(0);
    let nanos = u64::try_from(metadata.mtime_nsec()).unwrap_or(0);
    secs.saturating_mul(1_000_000_000).saturating_add(nanos)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    #[test]
    fn what_was_compressed_is_read_from_any_place() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log.2.gz");
        let text: Vec<u8> = (0..20_000_u32).flat_map(u32::to_be_bytes).collect();
        let mut file = File::create(&path).unwrap();
        // Two members, as a file that was compressed in parts has them.
        for part in text.chunks(50_000) {
            let mut encoder = GzEncoder::new(&mut file, Compression::fast());
            encoder.write_all(part).unwrap();
            encoder.finish().unwrap();
        }
        let mut source = Source::open(&path).unwrap().unwrap();
        assert_eq!(source.facts().unwrap().head, text[..HEAD_BYTES_MAX]);
        for at in [0, 7, 70_000, 60_000, 3, 79_999] {
            let mut buffer = [0; 64];
            let read = source.read_at(&mut buffer, at as u64).unwrap();
            assert!(read > 0 && text[at..].starts_with(&buffer[..read]), "{at}");
        }
        assert_eq!(source.read_at(&mut [0; 8], 80_000).unwrap(), 0);
        assert_eq!(source.read_at(&mut [0; 8], 90_000).unwrap(), 0);
    }

    #[test]
    fn what_only_says_that_it_is_compressed_is_an_error() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.log.2.gz");
        std::fs::write(&path, "no").unwrap();
        assert!(Source::open(&path).is_err());
    }
}
