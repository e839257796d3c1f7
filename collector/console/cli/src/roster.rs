//! Rosters: which one counts, and what a first one says. Pure.

pub mod draft;

use cordon_proto::command::ActionKind;
use cordon_proto::id::{ClientId, Hash};
use cordon_proto::limits;
use cordon_proto::policy::Policy;
use cordon_proto::roster::{Ceilings, Grant, Operator, Role, Roster, RosterRef};
use cordon_proto::sign::document::{self, DocumentError, Kind};
use cordon_proto::sign::{SigningKey, VerifyingKey};

/// A roster with the bytes that the authority signed.
#[derive(Clone, Debug)]
pub struct SignedRoster {
    /// What it says.
    pub roster: Roster,
    /// The signed document.
    pub bytes: Vec<u8>,
}

/// Why a roster does not count.
#[derive(Debug, thiserror::Error)]
pub enum RosterError {
    /// The document or its signature.
    #[error("the roster is not signed by the authority pinned in this profile")]
    Document(#[from] DocumentError),
    /// Somebody else's.
    #[error("the roster is client {found}'s, not client {wanted}'s")]
    Client {
        /// Whose it is.
        found: ClientId,
        /// Whose it should be.
        wanted: ClientId,
    },
    /// Older than one that was seen before.
    #[error(
        "the collector shows roster version {shown}, but version {seen} was seen here before: it \
         was set back, or withholds the newer one. Push the newer one again, or find out why"
    )]
    Older {
        /// What the collector shows.
        shown: u64,
        /// What was seen.
        seen: u64,
    },
    /// Two of one version.
    #[error("the collector shows another roster of version {0} than the one seen here before")]
    Other(u64),
}

impl SignedRoster {
    /// Signs a roster as its authority.
    #[must_use]
    pub fn sign(roster: Roster, key: &SigningKey) -> Self {
        let bytes = document::sign(Kind::Roster, &roster, b"", key);
        Self { roster, bytes }
    }

    /// Reads a roster and refuses one that this authority did not sign.
    pub fn read(bytes: &[u8], authority: &VerifyingKey) -> Result<Self, RosterError> {
        let roster = document::verify(Kind::Roster, bytes, b"", authority)?;
        Ok(Self { roster, bytes: bytes.to_vec() })
    }

    /// How commands and enrolment strings name it.
    #[must_use]
    pub fn reference(&self) -> RosterRef {
        RosterRef { version: self.roster.version, hash: Hash::of(&self.bytes) }
    }
}

/// The newer of the roster seen last and the one offered; refuses to go back.
pub fn newest(
    seen: Option<SignedRoster>,
    offered: SignedRoster,
    client: &ClientId,
) -> Result<SignedRoster, RosterError> {
    if offered.roster.client != *client {
        let (found, wanted) = (offered.roster.client, client.clone());
        return Err(RosterError::Client { found, wanted });
    }
    let Some(seen) = seen else { return Ok(offered) };
    let (shown, before) = (offered.roster.version, seen.roster.version);
    if shown < before {
        return Err(RosterError::Older { shown, seen: before });
    }
    if shown == before && offered.bytes != seen.bytes {
        return Err(RosterError::Other(shown));
    }
    Ok(offered)
}

/// A client's first roster: containment by one responder up to five endpoints and by two up to a
/// hundred, what only reads by one up to a hundred; policy by two administrators, or by the only one there
/// is.
#[must_use]
pub fn first(client: ClientId, operators: Vec<Operator>, made_ns: u64) -> Roster {
    let grant =
        |action, role, approvals, targets_max| Grant { action, role, approvals, targets_max };
    let policy_approvals = if operators.len() < 2 { 1 } else { 2 };
    let targets_max = u32::try_from(limits::TARGETS_MAX).unwrap_or(u32::MAX);
    Roster {
        client,
        version: 1,
        made_ns,
        operators,
        grants: ActionKind::ALL
            .into_iter()
            .flat_map(|action| match action {
                ActionKind::SetPolicy => {
                    vec![grant(action, Role::Administrator, policy_approvals, targets_max)]
                }
                ActionKind::Query | ActionKind::Collect => {
                    vec![grant(action, Role::Responder, 1, 100)]
                }
                ActionKind::Isolate
                | ActionKind::Release
                | ActionKind::Undo
                | ActionKind::ReleaseAll
                | ActionKind::Kill
                | ActionKind::Suspend
                | ActionKind::Quarantine
                | ActionKind::Deny
                | ActionKind::Block
                | ActionKind::LockAccount
                | ActionKind::StopService
                | ActionKind::BlockStorage => {
                    vec![
                        grant(action, Role::Responder, 1, 5),
                        grant(action, Role::Responder, 2, 100),
                    ]
                }
            })
            .collect(),
        ceilings: Ceilings {
            lease_secs_max: limits::LEASE_SECS_MAX,
            exemptions_max: u32::try_from(Policy::EXEMPTIONS_MAX).unwrap_or(u32::MAX),
            policy_min: 0,
            autonomy: None,
        },
        ca_pins: Vec::new(),
        collectors: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_proto::roster::OperatorKey;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_seed(&[seed; 32]).unwrap()
    }

    fn operator(name: &str, seed: u8) -> Operator {
        Operator {
            id: name.parse().unwrap(),
            keys: vec![OperatorKey::File(key(seed).verifying())],
            roles: vec![Role::Responder, Role::Administrator],
            sealing: None,
        }
    }

    fn acme() -> ClientId {
        "acme".parse().unwrap()
    }

    fn version(version: u64, made_ns: u64) -> SignedRoster {
        let roster = first(acme(), vec![operator("ann", 2)], made_ns);
        SignedRoster::sign(Roster { version, ..roster }, &key(1))
    }

    #[track_caller]
    fn check(seen: Option<SignedRoster>, offered: SignedRoster, says: &str) {
        let newest = newest(seen, offered, &acme());
        let said = newest.map_or_else(|e| e.to_string(), |r| r.roster.version.to_string());
        assert!(said.starts_with(says), "{said}");
    }

    #[test]
    fn a_collector_cannot_take_an_operator_back_to_an_older_roster() {
        check(None, version(1, 0), "1");
        check(Some(version(1, 0)), version(2, 0), "2");
        check(Some(version(2, 0)), version(2, 0), "2");
        check(
            Some(version(2, 0)),
            version(1, 0),
            "the collector shows roster version 1, but version 2",
        );
        check(
            Some(version(2, 0)),
            version(2, 9),
            "the collector shows another roster of version 2",
        );
    }

    #[test]
    fn a_roster_counts_only_under_its_authority() {
        let signed = version(1, 0);
        assert!(SignedRoster::read(&signed.bytes, &key(1).verifying()).is_ok());
        assert!(SignedRoster::read(&signed.bytes, &key(2).verifying()).is_err());
    }

    #[test]
    fn a_first_roster_lets_one_responder_contain_five_and_two_contain_a_hundred() {
        let (ann, bob) = (operator("ann", 2), operator("bob", 3));
        let both = first(acme(), vec![ann.clone(), bob.clone()], 0);
        for action in [ActionKind::Isolate, ActionKind::Release] {
            assert!(both.authorise(action, [&ann], 5, false).is_ok());
            assert!(both.authorise(action, [&ann], 6, false).is_err());
            assert!(both.authorise(action, [&ann, &bob], 100, false).is_ok());
            assert!(both.authorise(action, [&ann, &bob], 101, false).is_err());
        }
        assert!(both.authorise(ActionKind::Query, [&ann], 100, false).is_ok());
        assert!(both.authorise(ActionKind::SetPolicy, [&ann], 1, false).is_err());
        let alone = first(acme(), vec![ann.clone()], 0);
        assert!(alone.authorise(ActionKind::SetPolicy, [&ann], 1, false).is_ok());
    }
}
