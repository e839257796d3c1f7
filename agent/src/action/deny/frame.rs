//! What the agent and the process that is asked before programs start say to each other.

use std::io::{self, Read, Write};

use cordon_proto::Text;
use cordon_proto::codec;
use cordon_proto::command::Executable;
use cordon_proto::event::actor::Actor;
use cordon_proto::id::Hash;
use minicbor::{Decode, Encode};

/// A longer frame was not written by this program.
const FRAME_BYTES_MAX: usize = 2 << 20;

/// What is denied from now on.
#[derive(Clone, Debug, Default, Eq, PartialEq, Encode, Decode)]
pub(super) struct Orders {
    /// Names these orders in the answer.
    #[n(0)]
    pub(super) version: u64,
    /// All that may not start.
    #[n(1)]
    pub(super) rules: Vec<Executable>,
    /// A program that may not start either, tried now and then; that it was tried is not told.
    #[n(2)]
    pub(super) canary: Hash,
    /// Only what is started through mounts of the own mount namespace is asked about.
    #[n(3)]
    pub(super) own_mounts_only: bool,
}

/// What the process tells.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub(super) enum Told {
    /// It answers the kernel, and still does.
    #[n(0)]
    Alive,
    /// It follows these orders.
    #[n(1)]
    Armed {
        #[n(0)]
        version: u64,
        /// File systems that are watched.
        #[n(1)]
        watched: u64,
        /// Those that cannot be, and why.
        #[n(2)]
        unwatched: Vec<String>,
    },
    /// A start was denied.
    #[n(2)]
    Denied {
        #[n(0)]
        rule: Executable,
        #[n(1)]
        path: Text,
        /// Who tried.
        #[n(2)]
        actor: Actor,
    },
    /// Starts were let through because there was no answer in time, this many since it began.
    #[n(3)]
    LetThrough(#[n(0)] u64),
}

pub(super) fn write<T: Encode<()>>(out: &mut impl Write, frame: &T) -> io::Result<()> {
    let bytes = codec::encode(frame);
    let length = u32::try_from(bytes.len()).map_err(io::Error::other)?;
    out.write_all(&[&length.to_le_bytes()[..], &bytes].concat())?;
    out.flush()
}

/// None at the end.
pub(super) fn read<T: for<'b> Decode<'b, ()> + Encode<()>>(
    from: &mut impl Read,
) -> io::Result<Option<T>> {
    let mut length = [0; 4];
    match from.read_exact(&mut length) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        Err(error) => return Err(error),
    }
    let length = usize::try_from(u32::from_le_bytes(length)).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::other("the frame is too long"));
    }
    let mut bytes = vec![0; length];
    from.read_exact(&mut bytes)?;
    codec::decode_strict(&bytes).map(Some).map_err(io::Error::other)
}
