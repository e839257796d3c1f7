//! What an isolation was ordered to be, and the record of it that survives a restart.

use serde::{Deserialize, Serialize};
use thiserror::Error;

#[cfg(target_os = "linux")]
pub use crate::platform::linux::nft::wall::Wall as Plan;

/// The id of the signed command that a change stands under.
pub type CommandId = [u8; 16];

/// A record is a few addresses; anything longer is not one of ours.
pub const RECORD_BYTES_MAX: usize = 64 * 1024;

/// One order to isolate, already found authentic and allowed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub command: CommandId,
    pub lease_secs: u64,
    pub terms: Terms,
    /// What stays open.
    pub plan: Plan,
}

/// What the signed command says about doubtful ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terms {
    pub if_unproved: Unproved,
    pub at_end: AtEnd,
    /// Isolate even where the way to the collector, or storage, will be lost.
    pub accept_loss: bool,
    /// That the lease is over and the endpoint stays cut off was reported.
    pub(super) lease_over_told: bool,
    /// A release was accepted: whoever takes this up lets the endpoint back.
    #[serde(default)]
    pub(super) released: bool,
}

impl Terms {
    pub fn new(if_unproved: Unproved, at_end: AtEnd, accept_loss: bool) -> Self {
        Self { if_unproved, at_end, accept_loss, lease_over_told: false, released: false }
    }
}

/// What follows when no collector can be reached from behind the wall.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Unproved {
    #[default]
    Hold,
    /// An attacker who blocks the collector can wait for this.
    Release,
}

/// What follows when the lease is over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AtEnd {
    /// An attacker can wait for this.
    #[default]
    LetBack,
    /// Stands until somebody releases it.
    Stay,
}

/// An isolation that stands or is being put up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub command: CommandId,
    /// End of the lease in endpoint time.
    pub until_secs: u64,
    pub terms: Terms,
    pub plan: Plan,
}

#[derive(Debug, Error)]
pub enum RecordError {
    #[error("the record of the isolation is {length} bytes long, more than {RECORD_BYTES_MAX}")]
    TooLong { length: usize },
    #[error("cannot write the record of the isolation: {0}")]
    Write(serde_json::Error),
    #[error("cannot read the record of the isolation: {0}")]
    Read(serde_json::Error),
}

impl Record {
    pub fn to_bytes(&self) -> Result<Vec<u8>, RecordError> {
        let bytes = serde_json::to_vec(self).map_err(RecordError::Write)?;
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLong { length: bytes.len() });
        }
        Ok(bytes)
    }

    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RecordError> {
        if bytes.len() > RECORD_BYTES_MAX {
            return Err(RecordError::TooLong { length: bytes.len() });
        }
        serde_json::from_slice(bytes).map_err(RecordError::Read)
    }

    /// When the endpoint is let back by itself, if ever.
    pub(super) fn ends_at(&self) -> Option<u64> {
        (self.terms.at_end == AtEnd::LetBack).then_some(self.until_secs)
    }

    /// When it must be told that the lease is over and the isolation stays.
    pub(super) fn told_at(&self) -> Option<u64> {
        let stays = self.terms.at_end == AtEnd::Stay && !self.terms.lease_over_told;
        stays.then_some(self.until_secs)
    }

    pub(super) fn overstays(&self, now_secs: u64) -> bool {
        self.told_at().is_some_and(|end| end <= now_secs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_back_as_it_was_written() {
        let record = Record {
            command: *b"0123456789abcdef",
            until_secs: 86_400,
            terms: Terms::new(Unproved::Release, AtEnd::Stay, false),
            plan: Plan {
                mark: 7,
                collectors: vec!["[2001:db8::7]:7443".parse().unwrap()],
                exemptions: Vec::new(),
                dhcp_servers: vec!["192.0.2.1".parse().unwrap()],
            },
        };
        assert_eq!(Record::from_bytes(&record.to_bytes().unwrap()).unwrap(), record);
    }

    #[test]
    fn what_is_not_a_record_is_refused() {
        for bytes in [b"".as_slice(), b"{}", b"null", &vec![b' '; RECORD_BYTES_MAX + 1]] {
            assert!(Record::from_bytes(bytes).is_err());
        }
    }
}
