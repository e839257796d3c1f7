//! The ids of commands that were obeyed, kept while their nonces live, so that none is obeyed twice.
//!
//! Pure; the caller writes it to disk, synced, before it does what a command asks.

use std::collections::BTreeMap;

use cordon_proto::codec::{self, CodecError};
use cordon_proto::id::CommandId;
use minicbor::{Decode, Encode};

/// Ids kept at once. Each stands for a command that operators of this client have signed for this
/// endpoint within the life of a nonce; a full list refuses, because forgetting one early would
/// let it be obeyed again.
pub(super) const IDS_MAX: usize = 4096;

/// The commands obeyed.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub struct Accepted {
    until_secs: BTreeMap<CommandId, u64>,
}

/// Why a command's id does not do.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
pub enum AcceptedError {
    /// It was obeyed.
    #[error("the command was obeyed before")]
    Before,
    /// There is no room to remember it.
    #[error("{IDS_MAX} commands whose nonces still live were obeyed; there is no room for more")]
    Full,
}

#[derive(Encode, Decode)]
struct Entry {
    #[n(0)]
    id: CommandId,
    #[n(1)]
    until_secs: u64,
}

impl Accepted {
    /// Whether a command can be noted.
    pub fn room_for(&self, id: CommandId) -> Result<(), AcceptedError> {
        if self.until_secs.contains_key(&id) {
            return Err(AcceptedError::Before);
        }
        if self.until_secs.len() >= IDS_MAX {
            return Err(AcceptedError::Full);
        }
        Ok(())
    }

    /// Notes a command until its nonce is stale.
    pub fn note(&mut self, id: CommandId, until_secs: u64) {
        self.until_secs.insert(id, until_secs);
    }

    /// Forgets what can be told from a replay by its nonce alone: what is stale at an endpoint time
    /// that is on the disk. Time that is not may come again, after a kill or where the clock is set
    /// back.
    pub fn forget(&mut self, kept_secs: u64) {
        self.until_secs.retain(|_, until_secs| *until_secs > kept_secs);
    }

    /// For the disk.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let entries = self.until_secs.iter();
        let entries: Vec<_> =
            entries.map(|(id, until_secs)| Entry { id: *id, until_secs: *until_secs }).collect();
        codec::encode(&entries)
    }

    /// From the disk.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let entries: Vec<Entry> = codec::decode_strict(bytes)?;
        let pairs = entries.into_iter().map(|entry| (entry.id, entry.until_secs));
        Ok(Self { until_secs: pairs.collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(number: u128) -> CommandId {
        CommandId(uuid::Uuid::from_u128(number))
    }

    #[test]
    fn an_id_is_known_until_its_nonce_is_stale_and_over_a_restart() {
        let mut accepted = Accepted::default();
        accepted.note(id(1), 100);
        accepted.note(id(2), 200);
        let mut accepted = Accepted::from_bytes(&accepted.to_bytes()).unwrap();
        assert_eq!(accepted.room_for(id(1)), Err(AcceptedError::Before));
        accepted.forget(99);
        assert_eq!(accepted.room_for(id(1)), Err(AcceptedError::Before));
        accepted.forget(100);
        assert_eq!(accepted.room_for(id(1)), Ok(()));
        assert_eq!(accepted.room_for(id(2)), Err(AcceptedError::Before));
    }

    #[test]
    fn a_full_list_refuses_rather_than_forget() {
        let mut accepted = Accepted::default();
        for number in 0..IDS_MAX {
            accepted.note(id(u128::try_from(number).unwrap()), 100);
        }
        assert_eq!(accepted.room_for(id(u128::MAX)), Err(AcceptedError::Full));
        accepted.forget(100);
        assert_eq!(accepted.room_for(id(u128::MAX)), Ok(()));
    }

    #[test]
    fn a_damaged_list_is_not_an_empty_one() {
        assert!(Accepted::from_bytes(b"").is_err());
        assert!(Accepted::from_bytes(&Accepted::default().to_bytes()).is_ok());
    }
}
