//! The SHA-256 of a program, read piece by piece.

use std::fs::File;
use std::io::{self, Read};

use cordon_proto::id::Hash;
use ring::digest::{Context, SHA256};

/// A larger program is not hashed: it would take longer than a command may.
const PROGRAM_BYTES_MAX: u64 = 1 << 30;

/// Read at once.
const READ_BYTES: usize = 64 << 10;

/// Reads a file to its end.
pub(super) fn sha256(mut file: File) -> io::Result<Hash> {
    if file.metadata()?.len() > PROGRAM_BYTES_MAX {
        return Err(io::Error::other("it is larger than 1 GiB"));
    }
    let mut context = Context::new(&SHA256);
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => context.update(buffer.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    <[u8; 32]>::try_from(context.finish().as_ref()).map(Hash).map_err(io::Error::other)
}
