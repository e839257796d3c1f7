//! The highest roster this endpoint has seen, verified under the authority's pinned key.
//!
//! A lower one is refused whoever sends it, so that a revoked operator stays revoked. It is on the
//! disk before it counts.

use cordon_proto::id::{ClientId, Hash};
use cordon_proto::roster::{Roster, RosterRef};
use cordon_proto::sign::VerifyingKey;
use cordon_proto::sign::document::{self, DocumentError, Kind};

use crate::identity::{Identity, StateDir, StateDirError};

/// The roster held.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Held {
    /// What it says.
    pub roster: Roster,
    /// Its name.
    pub reference: RosterRef,
    /// As signed.
    pub bytes: Vec<u8>,
}

/// Why a roster was not taken.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// The authority did not sign it.
    #[error("the roster is not signed by this endpoint's authority: it {0}")]
    Signature(#[from] DocumentError),
    /// It is somebody else's.
    #[error("the roster is for client {found}; this endpoint belongs to {own}")]
    Client {
        /// Whose it is.
        found: ClientId,
        /// Whose this endpoint is.
        own: ClientId,
    },
    /// It is older than what is known.
    #[error("the roster has version {found}; version {least} or newer is required")]
    Older {
        /// Its version.
        found: u64,
        /// The least that will do.
        least: u64,
    },
    /// Two rosters of one version: the authority's key signs for two hands.
    #[error(
        "the roster has version {version} like the one that is known, and says something else; \
         the authority must sign a newer one"
    )]
    Conflict {
        /// The version.
        version: u64,
    },
    /// It could not be kept.
    #[error(transparent)]
    Store(#[from] StateDirError),
}

/// Reads a roster that must be the authority's, the client's, and no older than `least`.
pub fn verify(
    bytes: &[u8],
    authority: &VerifyingKey,
    client: &ClientId,
    least: RosterRef,
) -> Result<Held, RosterError> {
    let roster: Roster = document::verify(Kind::Roster, bytes, b"", authority)?;
    if roster.client != *client {
        return Err(RosterError::Client { found: roster.client, own: client.clone() });
    }
    let reference = RosterRef { version: roster.version, hash: Hash::of(bytes) };
    if reference.version < least.version {
        return Err(RosterError::Older { found: reference.version, least: least.version });
    }
    let named = least.hash != Hash::default();
    if reference.version == least.version && named && reference.hash != least.hash {
        return Err(RosterError::Conflict { version: reference.version });
    }
    Ok(Held { roster, reference, bytes: bytes.to_vec() })
}

/// Keeps the highest roster.
#[derive(Debug)]
pub struct RosterKeeper {
    dir: StateDir,
    authority: VerifyingKey,
    client: ClientId,
    held: Held,
}

const FILE: &str = "roster.cbor";

impl RosterKeeper {
    /// Reads the roster held: the one that came last, or the one of the enrolment. `dir` is the
    /// identity's own.
    pub fn open(dir: StateDir, identity: &Identity) -> Result<Self, RosterError> {
        let (authority, client) = (identity.pins.authority, identity.client.clone());
        let first = verify(&identity.first_roster, &authority, &client, RosterRef::default())?;
        let mut keeper = Self { dir, authority, client, held: first };
        if let Some(bytes) = keeper.dir.read_secret(FILE)? {
            // A damaged file costs what came since the enrolment until the collector sends it
            // again; signed health names the roster held, so that this shows.
            match verify(&bytes, &authority, &keeper.client, keeper.held.reference) {
                Ok(held) => keeper.held = held,
                Err(error) => tracing::error!(%error, "the stored roster cannot be used"),
            }
        }
        Ok(keeper)
    }

    /// The roster held.
    #[must_use]
    pub fn held(&self) -> &Held {
        &self.held
    }

    /// Takes a roster if it is newer; answers whether it was.
    pub fn offer(&mut self, bytes: &[u8]) -> Result<bool, RosterError> {
        let offered = verify(bytes, &self.authority, &self.client, self.held.reference)?;
        if offered.reference == self.held.reference {
            return Ok(false);
        }
        self.dir.write(FILE, bytes)?;
        self.held = offered;
        Ok(true)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use cordon_proto::command::ActionKind;
    use cordon_proto::roster::{Grant, Operator, Role};
    use cordon_proto::sign::{SealingKey, SigningKey};

    use super::*;

    pub(crate) fn signed(client: &str, version: u64, made_ns: u64, seed: u8) -> Vec<u8> {
        let roster = Roster { made_ns, ..Roster::new(client.parse().unwrap(), version) };
        document::sign(Kind::Roster, &roster, b"", &SigningKey::from_seed(&[seed; 32]).unwrap())
    }

    /// A roster with these people, of whom responders may do this when so many of them agree.
    pub(crate) fn held(
        people: &[(&str, Role, Option<SealingKey>)],
        action: ActionKind,
        approvals: u8,
    ) -> Held {
        let operators = people.iter().map(|(name, role, sealing)| Operator {
            id: name.parse().unwrap(),
            keys: vec![],
            roles: vec![*role],
            sealing: *sealing,
        });
        let grant = Grant { action, role: Role::Responder, approvals, targets_max: 5 };
        let roster = Roster {
            operators: operators.collect(),
            grants: vec![grant],
            ..Roster::new("acme".parse().unwrap(), 3)
        };
        let reference = RosterRef { version: 3, hash: Hash::of(b"roster") };
        Held { roster, reference, bytes: vec![] }
    }

    /// The identity of the tests trusts the key of seed 1.
    fn keeper(dir: &StateDir) -> RosterKeeper {
        let mut identity = crate::identity::tests::sample();
        identity.first_roster = signed("acme", 3, 0, 1);
        RosterKeeper::open(dir.clone(), &identity).unwrap()
    }

    #[test]
    fn only_a_newer_roster_of_the_authority_and_client_is_taken() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temp.path().join("state")).unwrap();
        let mut keeper = keeper(&dir);
        let mut check = |bytes: Vec<u8>, says: &str| {
            let said = keeper.offer(&bytes).map_or_else(|e| e.to_string(), |new| new.to_string());
            assert!(said.starts_with(says), "{said}");
        };
        check(signed("acme", 4, 0, 2), "the roster is not signed by this endpoint's authority");
        check(signed("other", 4, 0, 1), "the roster is for client other; this endpoint belongs");
        check(signed("acme", 2, 0, 1), "the roster has version 2; version 3 or newer is required");
        check(signed("acme", 3, 9, 1), "the roster has version 3 like the one that is known");
        check(signed("acme", 3, 0, 1), "false");
        check(signed("acme", 5, 0, 1), "true");
        check(signed("acme", 4, 0, 1), "the roster has version 4; version 5 or newer is required");
    }

    #[test]
    fn what_was_taken_is_held_after_a_restart_and_a_damaged_file_falls_back_to_the_first() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temp.path().join("state")).unwrap();
        keeper(&dir).offer(&signed("acme", 7, 0, 1)).unwrap();
        assert_eq!(keeper(&dir).held().reference.version, 7);
        dir.write(FILE, b"damaged").unwrap();
        assert_eq!(keeper(&dir).held().reference.version, 3);
    }
}
