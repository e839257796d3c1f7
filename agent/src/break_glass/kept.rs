//! What is kept of break-glass: how to check the code, for whom it was made, how slowly it may be
//! tried, and whether a use of it is under way. Never the code.

use cordon_proto::codec;
use cordon_proto::event::WayOut;
use cordon_proto::event::way_out::{MadeFor, SealedCode};
use cordon_proto::roster::RosterRef;
use minicbor::{Decode, Encode};

use super::make::CodeCheck;
use crate::identity::{StateDir, StateDirError};

/// The file, in the identity's own directory.
const FILE: &str = "break-glass.cbor";

/// A use that was accepted and whose work is not done yet.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Opening {
    /// When the code was typed, in seconds of endpoint time.
    #[n(0)]
    pub at_secs: u64,
    /// The wall clock then, nanoseconds since 1970 UTC.
    #[n(1)]
    pub time_ns: u64,
    /// How many wrong codes came before it.
    #[n(2)]
    pub wrong: u64,
    /// The record of an isolation that was let back while no agent ran: its end is not told yet.
    #[cbor(n(3), with = "minicbor::bytes")]
    pub isolation: Option<Vec<u8>>,
}

/// What is kept.
#[derive(Clone, Debug, Default, Eq, PartialEq, Encode, Decode)]
pub struct Kept {
    /// The number of the last code made; 0 before the first.
    #[n(0)]
    pub serial: u64,
    /// The roster that named its operators.
    #[n(1)]
    pub roster: RosterRef,
    /// When it was made, in seconds of endpoint time.
    #[n(2)]
    pub made_secs: u64,
    /// Why it was made.
    #[n(3)]
    pub made_for: Option<MadeFor>,
    /// How to check it; none where it is void, used, or was sealed to nobody.
    #[n(4)]
    pub check: Option<CodeCheck>,
    /// As it was told.
    #[n(5)]
    pub boxes: Vec<SealedCode>,
    /// Why the next one is due.
    #[n(6)]
    pub due: Option<MadeFor>,
    /// Wrong codes since the last right one.
    #[n(7)]
    pub wrong: u64,
    /// The endpoint time before which no code is looked at.
    #[n(8)]
    pub next_secs: u64,
    /// A use that is under way.
    #[n(9)]
    pub opening: Option<Opening>,
}

impl Kept {
    /// What was kept. A damaged file costs the code that was made, and nothing else: a new one is
    /// made.
    pub fn load(dir: &StateDir) -> Result<Self, StateDirError> {
        let Some(bytes) = dir.read_secret(FILE)? else { return Ok(Self::default()) };
        Ok(codec::decode_strict(&bytes).unwrap_or_else(|error| {
            tracing::error!(%error, "the stored way out cannot be used; a new one is made");
            Self::default()
        }))
    }

    /// Brings it to disk.
    pub fn store(&self, dir: &StateDir) -> Result<(), StateDirError> {
        dir.write(FILE, &codec::encode(self))
    }

    /// The way out as it is told; none where none was ever made.
    #[must_use]
    pub fn way_out(&self) -> Option<WayOut> {
        let Self { serial, roster, made_secs, boxes, .. } = self;
        let (serial, roster, endpoint_secs) = (*serial, *roster, *made_secs);
        Some(WayOut {
            serial,
            roster,
            endpoint_secs,
            made_for: self.made_for?,
            boxes: boxes.clone(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_back_and_a_damaged_file_is_as_good_as_none() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temp.path().join("state")).unwrap();
        assert_eq!(Kept::load(&dir).unwrap(), Kept::default());
        let opening = Opening { at_secs: 1, time_ns: 2, wrong: 3, isolation: Some(vec![4]) };
        let kept = Kept { serial: 7, opening: Some(opening), ..Kept::default() };
        kept.store(&dir).unwrap();
        assert_eq!(Kept::load(&dir).unwrap(), kept);
        dir.write(FILE, b"damaged").unwrap();
        assert_eq!(Kept::load(&dir).unwrap(), Kept::default());
    }
}
