//! Which clients an operator may see, and what he may ask for there: what the rosters say now.
//!
//! Nothing is remembered from sign-in, so a roster that leaves a key out ends its sessions at once.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use cordon_proto::id::{ClientId, KeyId, OperatorId};
use cordon_proto::roster::{OperatorKey, Role, Roster, RosterRef};
use cordon_proto::sign::VerifyingKey;
use cordon_proto::sign::document::{self, DocumentError, Kind};

use crate::store::{State, StateError, StoredRoster};

/// What one key's holder may see and do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct View {
    key: KeyId,
    clients: BTreeMap<ClientId, Seat>,
}

/// A person's place at one client.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Seat {
    /// The person's name there.
    pub operator: OperatorId,
    /// The highest of the person's roles; each includes those below it.
    pub role: Role,
}

/// Why something is not for this person.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Denied {
    /// It is another client's, or not there: the answer is the same.
    NotFound,
    /// The person's role there is too low.
    Role(Role),
}

impl View {
    /// What these rosters allow the holder of a key.
    #[must_use]
    pub fn of<'r>(key: KeyId, rosters: impl IntoIterator<Item = &'r Roster>) -> Self {
        let seat = |roster: &Roster| {
            let (operator, _) = roster.key(key)?;
            let role = *operator.roles.iter().max()?;
            Some((roster.client.clone(), Seat { operator: operator.id.clone(), role }))
        };
        Self { key, clients: rosters.into_iter().filter_map(seat).collect() }
    }

    /// The same at these clients only.
    #[must_use]
    pub fn only(mut self, clients: &[ClientId]) -> Self {
        self.clients.retain(|client, _| clients.contains(client));
        self
    }

    /// The same with no role above this.
    #[must_use]
    pub fn at_most(mut self, role_max: Role) -> Self {
        self.clients.values_mut().for_each(|seat| seat.role = seat.role.min(role_max));
        self
    }

    /// Whose key it is about.
    #[must_use]
    pub fn key(&self) -> KeyId {
        self.key
    }

    /// Every client seen.
    #[must_use]
    pub fn clients(&self) -> Vec<ClientId> {
        self.clients.keys().cloned().collect()
    }

    /// The person's place at each client.
    pub fn seats(&self) -> impl Iterator<Item = (&ClientId, &Seat)> {
        self.clients.iter()
    }

    /// Whether nothing is seen at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clients.is_empty()
    }

    /// Whether a client is seen.
    #[must_use]
    pub fn sees(&self, client: &ClientId) -> bool {
        self.clients.contains_key(client)
    }

    /// The person's name at a client, if the role there is at least this.
    pub fn require(&self, client: &ClientId, least: Role) -> Result<&OperatorId, Denied> {
        let seat = self.clients.get(client).ok_or(Denied::NotFound)?;
        if seat.role >= least { Ok(&seat.operator) } else { Err(Denied::Role(least)) }
    }
}

/// A client's roster as read.
#[derive(Clone, Debug)]
pub struct HeldRoster {
    /// Its version and hash.
    pub named: RosterRef,
    /// What it says.
    pub roster: Roster,
    /// As the authority signed it.
    pub document: Vec<u8>,
}

/// Every client's roster, as last taken.
#[derive(Debug, Default)]
pub struct Tenants {
    rosters: RwLock<BTreeMap<ClientId, Arc<HeldRoster>>>,
}

/// Why the rosters cannot be held.
#[derive(Debug, thiserror::Error)]
pub enum TenantsError {
    /// The state.
    #[error(transparent)]
    State(#[from] StateError),
    /// A stored roster.
    #[error("cannot read the stored roster of client {client}: it {cause}")]
    Roster {
        /// Whose.
        client: ClientId,
        /// Why.
        cause: DocumentError,
    },
}

impl Tenants {
    /// Reads every client's roster from the state, where only verified ones are kept.
    pub fn load(state: &State) -> Result<Self, TenantsError> {
        let tenants = Self::default();
        for client in state.clients()? {
            if let Some(stored) = state.roster(&client)? {
                let held = held(stored);
                let held = held.map_err(|cause| TenantsError::Roster { client, cause })?;
                tenants.hold(held);
            }
        }
        Ok(tenants)
    }

    /// Holds a roster that was verified, unless a newer one is held.
    pub fn hold(&self, held: HeldRoster) {
        let mut rosters = self.rosters.write().unwrap_or_else(PoisonError::into_inner);
        let client = held.roster.client.clone();
        let newer = rosters.get(&client).is_none_or(|now| now.named.version < held.named.version);
        if newer {
            rosters.insert(client, Arc::new(held));
        }
    }

    /// A client's roster.
    #[must_use]
    pub fn roster(&self, client: &ClientId) -> Option<Arc<HeldRoster>> {
        self.rosters.read().unwrap_or_else(PoisonError::into_inner).get(client).cloned()
    }

    /// What the holder of a key may see and do now.
    #[must_use]
    pub fn view(&self, key: KeyId) -> View {
        let rosters = self.rosters.read().unwrap_or_else(PoisonError::into_inner);
        View::of(key, rosters.values().map(|held| &held.roster))
    }

    /// Who holds a key, by the first name that a roster gives.
    #[must_use]
    pub fn name_of(&self, key: KeyId) -> Option<OperatorId> {
        let rosters = self.rosters.read().unwrap_or_else(PoisonError::into_inner);
        rosters.values().find_map(|held| Some(held.roster.key(key)?.0.id.clone()))
    }

    /// The public half of an operator's key file, if any roster has it.
    #[must_use]
    pub fn operator_key(&self, id: KeyId) -> Option<VerifyingKey> {
        let rosters = self.rosters.read().unwrap_or_else(PoisonError::into_inner);
        rosters.values().find_map(|held| match held.roster.key(id)?.1 {
            OperatorKey::File(key) => Some(*key),
            // What signs commands at a signing origin signs nobody in here.
            OperatorKey::Passkey { .. } => None,
        })
    }
}

fn held(stored: StoredRoster) -> Result<HeldRoster, DocumentError> {
    let StoredRoster { named, document, .. } = stored;
    let roster = document::peek(Kind::Roster, &document)?;
    Ok(HeldRoster { named, roster, document })
}

#[cfg(test)]
mod tests {
    use cordon_proto::roster::Operator;
    use cordon_proto::sign::SigningKey;

    use super::*;

    fn roster(client: &str, operators: &[(&str, &[Role])]) -> Roster {
        let operator = |(name, roles): &(&str, &[Role])| Operator {
            id: name.parse().unwrap(),
            keys: vec![OperatorKey::File(key(name).verifying())],
            roles: roles.to_vec(),
            sealing: None,
        };
        Roster {
            operators: operators.iter().map(operator).collect(),
            ..Roster::new(client.parse().unwrap(), 1)
        }
    }

    fn key(name: &str) -> SigningKey {
        SigningKey::from_seed(&cordon_proto::sign::sha256(name.as_bytes())).unwrap()
    }

    #[track_caller]
    fn check(who: &str, client: &str, least: Role, says: Result<&str, Denied>) {
        let rosters = [
            roster("acme", &[("ann", &[Role::Viewer, Role::Responder]), ("bob", &[Role::Viewer])]),
            roster("zeta", &[("cy", &[Role::Administrator]), ("dee", &[])]),
        ];
        let view = View::of(key(who).id(), &rosters);
        let answer = view.require(&client.parse().unwrap(), least);
        assert_eq!(answer.map(OperatorId::as_str), says);
    }

    #[test]
    fn a_role_includes_those_below_it_and_reaches_its_own_client_only() {
        check("ann", "acme", Role::Viewer, Ok("ann"));
        check("ann", "acme", Role::Responder, Ok("ann"));
        check("ann", "acme", Role::Administrator, Err(Denied::Role(Role::Administrator)));
        check("bob", "acme", Role::Responder, Err(Denied::Role(Role::Responder)));
        check("cy", "zeta", Role::Viewer, Ok("cy"));
        check("cy", "acme", Role::Viewer, Err(Denied::NotFound));
        check("ann", "nowhere", Role::Viewer, Err(Denied::NotFound));
    }

    #[test]
    fn a_view_can_be_made_smaller_and_never_larger() {
        let rosters = [
            roster("acme", &[("ann", &[Role::Administrator])]),
            roster("zeta", &[("ann", &[Role::Viewer])]),
        ];
        let (acme, zeta) = ("acme".parse().unwrap(), "zeta".parse().unwrap());
        let view = View::of(key("ann").id(), &rosters);
        let lower = view.clone().at_most(Role::Responder);
        assert!(lower.require(&acme, Role::Responder).is_ok());
        assert!(lower.require(&acme, Role::Administrator).is_err());
        assert_eq!(lower.require(&zeta, Role::Responder), Err(Denied::Role(Role::Responder)));
        let fewer = view.only(&[zeta.clone(), "nowhere".parse().unwrap()]);
        assert_eq!(fewer.clients(), [zeta]);
        assert_eq!(fewer.require(&acme, Role::Viewer), Err(Denied::NotFound));
    }

    #[test]
    fn a_person_without_a_role_sees_nothing() {
        check("dee", "zeta", Role::Viewer, Err(Denied::NotFound));
    }
}
