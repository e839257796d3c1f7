//! A file's content in short: how long, how much of it data, and its hash.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use cordon_proto::id::Hash;
use ring::digest;

use super::CHUNK_BYTES;
use crate::platform::linux::sparse;

/// What stands for a hole while hashing.
static ZEROS: [u8; ZEROS_BYTES] = [0; ZEROS_BYTES];

/// So many at a time: more would only make the program bigger.
const ZEROS_BYTES: usize = 4 << 10;

/// A content in short.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Content {
    /// Its length.
    pub bytes: u64,
    /// How much of it is data and not hole.
    pub bytes_of_data: u64,
    /// SHA-256 of all of it, holes as zeros.
    pub sha256: Hash,
}

impl Content {
    /// Of a link it is where it leads, as the file sensor tells it, too.
    #[must_use]
    pub fn of_link(target: &[u8]) -> Self {
        Self { bytes: len(target), bytes_of_data: 0, sha256: Hash::of(target) }
    }

    /// Reads the data of a file of this length, a chunk at a time, each given to `each` with its
    /// place; memory is bounded and holes are not read.
    pub fn read<E: From<io::Error>>(
        file: &File,
        bytes: u64,
        mut each: impl FnMut(u64, &[u8]) -> Result<(), E>,
    ) -> Result<Self, E> {
        let mut tally = Tally::default();
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut at = 0;
        while at < bytes {
            let Some(run) = sparse::next_run(file, at)? else { break };
            at = run.start;
            let end = run.end.min(bytes);
            while at < end {
                let wanted = usize::try_from(end - at).unwrap_or(CHUNK_BYTES).min(CHUNK_BYTES);
                let chunk = buffer.get_mut(..wanted).unwrap_or_default();
                let read = file.read_at(chunk, at)?;
                let chunk = buffer.get(..read).unwrap_or_default();
                if chunk.is_empty() {
                    // It was cut while it was read; whoever asked compares its length.
                    return Ok(tally.finish(at));
                }
                tally.data(at, chunk);
                each(at, chunk)?;
                at = at.saturating_add(len(chunk));
            }
        }
        Ok(tally.finish(bytes))
    }

    /// The same of a file whose data nobody wants.
    pub fn of(file: &File, bytes: u64) -> io::Result<Self> {
        Self::read(file, bytes, |_, _| Ok(()))
    }
}

/// Counts and hashes data that comes in order, with holes between.
pub struct Tally {
    context: digest::Context,
    at: u64,
    bytes_of_data: u64,
}

impl Default for Tally {
    fn default() -> Self {
        Self { context: digest::Context::new(&digest::SHA256), at: 0, bytes_of_data: 0 }
    }
}

impl Tally {
    /// Data at a place; before it is a hole.
    pub fn data(&mut self, offset: u64, data: &[u8]) {
        self.hole(offset);
        self.context.update(data);
        self.at = self.at.saturating_add(len(data));
        self.bytes_of_data = self.bytes_of_data.saturating_add(len(data));
    }

    /// The content, of this length.
    #[must_use]
    pub fn finish(mut self, bytes: u64) -> Content {
        self.hole(bytes);
        let mut sha256 = [0; 32];
        sha256.copy_from_slice(self.context.finish().as_ref());
        Content { bytes, bytes_of_data: self.bytes_of_data, sha256: Hash(sha256) }
    }

    fn hole(&mut self, until: u64) {
        while self.at < until {
            let left = usize::try_from(until - self.at).unwrap_or(ZEROS_BYTES).min(ZEROS_BYTES);
            let zeros = ZEROS.get(..left).unwrap_or_default();
            self.context.update(zeros);
            self.at = self.at.saturating_add(len(zeros));
        }
    }
}

fn len(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
