//! The roster: who may act for a client, with which keys, and how many must agree.
//!
//! The authority signs it; endpoints keep the highest one they have seen. Nothing here checks a
//! signature: [`crate::sign::document`] does, before a roster is looked at.

use std::collections::BTreeSet;

use minicbor::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::command::ActionKind;
use crate::id::{ClientId, Hash, KeyId, OperatorId};
use crate::sign::{PasskeyAlgorithm, SealingKey, VerifyingKey};

/// Names one roster: its version and the hash of its signed bytes.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
pub struct RosterRef {
    /// The version; 0 for no roster.
    #[n(0)]
    pub version: u64,
    /// SHA-256 of the signed document as received.
    #[n(1)]
    pub hash: Hash,
}

/// What an operator is trusted to do.
#[derive(
    Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
#[cbor(index_only)]
pub enum Role {
    /// Sees, and changes nothing.
    #[n(0)]
    Viewer,
    /// Contains endpoints and lets them back.
    #[n(1)]
    Responder,
    /// Sets policy, makes enrolment tokens.
    #[n(2)]
    Administrator,
}

impl Role {
    /// All there are, from the one that may least.
    pub const ALL: [Self; 3] = [Self::Viewer, Self::Responder, Self::Administrator];

    /// Its name in files, tables and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Responder => "responder",
            Self::Administrator => "administrator",
        }
    }
}

/// A key that an operator signs with.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub enum OperatorKey {
    /// A key file, for the terminal.
    #[n(0)]
    File(#[n(0)] VerifyingKey),
    /// A passkey (WebAuthn), for the web.
    #[n(1)]
    Passkey {
        /// The signature algorithm, fixed here and never taken from a message.
        #[n(0)]
        algorithm: PasskeyAlgorithm,
        /// The public key: 32 bytes for Ed25519, 65 (uncompressed point) for P-256.
        #[cbor(n(1), with = "minicbor::bytes")]
        public: Vec<u8>,
        /// The relying party: the signing origin's full host name.
        #[n(2)]
        rp_id: String,
        /// Exactly the origins on which an assertion may have been made.
        #[n(3)]
        origins: Vec<String>,
    },
}

impl OperatorKey {
    /// The key's id.
    #[must_use]
    pub fn id(&self) -> KeyId {
        match self {
            Self::File(key) => key.id(),
            Self::Passkey { public, .. } => KeyId::of(public),
        }
    }
}

/// A person who may act.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Operator {
    /// The person's name.
    #[n(0)]
    pub id: OperatorId,
    /// The person's keys.
    #[n(1)]
    pub keys: Vec<OperatorKey>,
    /// The person's roles at this client.
    #[n(2)]
    pub roles: Vec<Role>,
    /// What break-glass codes are sealed to; none where the person made no such key.
    #[n(3)]
    pub sealing: Option<SealingKey>,
}

/// One row of the table: this many operators of this role may do this to this many endpoints.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct Grant {
    /// What.
    #[n(0)]
    pub action: ActionKind,
    /// The role that each of the signers must have.
    #[n(1)]
    pub role: Role,
    /// How many distinct persons must sign.
    #[n(2)]
    pub approvals: u8,
    /// How many endpoints one command may then name.
    #[n(3)]
    pub targets_max: u32,
}

/// What no policy and no command may exceed; by default there is nothing that they may do.
#[derive(Clone, Debug, Default, Eq, PartialEq, Encode, Decode, Serialize)]
pub struct Ceilings {
    /// The longest lease, in seconds.
    #[n(0)]
    pub lease_secs_max: u64,
    /// The most exemptions from an isolation.
    #[n(1)]
    pub exemptions_max: u32,
    /// The least policy version; older ones are refused.
    #[n(2)]
    pub policy_min: u64,
    /// What policy may let endpoints do by themselves; none for nothing but raising findings.
    #[n(3)]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub autonomy: Option<Autonomy>,
}

/// What endpoints may do by themselves where policy says so.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Autonomy {
    /// The actions; of those that an endpoint can begin by itself.
    #[n(0)]
    pub actions: Vec<ActionKind>,
    /// How long what they did may stand, in seconds; never more than
    /// [`crate::policy::responses::LEASE_SECS_MAX`].
    #[n(1)]
    pub lease_secs_max: u64,
    /// How often in an hour one response may do something; never more than
    /// [`crate::policy::responses::PER_HOUR_MAX`].
    #[n(2)]
    pub per_hour_max: u32,
}

/// Who may act for one client.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Roster {
    /// Whose endpoints.
    #[n(0)]
    pub client: ClientId,
    /// Grows with every change.
    #[n(1)]
    pub version: u64,
    /// When it was made, nanoseconds since 1970 UTC; shown, never relied on.
    #[n(2)]
    pub made_ns: u64,
    /// The people.
    #[n(3)]
    pub operators: Vec<Operator>,
    /// Who may do what, and how many must agree.
    #[n(4)]
    pub grants: Vec<Grant>,
    /// What nothing may exceed.
    #[n(5)]
    pub ceilings: Ceilings,
    /// SHA-256 of the collector's certificate authorities (whole certificate, DER).
    #[n(6)]
    pub ca_pins: Vec<Hash>,
    /// The agents' door: `host:port`, tried in turn.
    #[n(7)]
    pub collectors: Vec<String>,
}

/// Why a set of signers may not do what they ask.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Shortfall {
    /// Nobody of the signers has a role that may do this at all.
    #[error("no signer has a role that may {action}", action = .0.name())]
    Role(ActionKind),
    /// More persons would have to sign.
    #[error("signed by {have} of {need} operators that {action} on {targets} endpoint(s) needs",
        action = .action.name())]
    Approvals {
        /// What was asked.
        action: ActionKind,
        /// Distinct persons with the role.
        have: usize,
        /// How many it takes.
        need: usize,
        /// How many endpoints were named.
        targets: usize,
    },
    /// No number of signatures allows so many endpoints.
    #[error("no number of approvals allows {action} on {targets} endpoints with one command",
        action = .action.name())]
    Targets {
        /// What was asked.
        action: ActionKind,
        /// How many endpoints were named.
        targets: usize,
    },
}

impl Roster {
    /// One that names nobody and lets nobody do anything.
    #[must_use]
    pub fn new(client: ClientId, version: u64) -> Self {
        Self {
            client,
            version,
            made_ns: 0,
            operators: Vec::new(),
            grants: Vec::new(),
            ceilings: Ceilings::default(),
            ca_pins: Vec::new(),
            collectors: Vec::new(),
        }
    }

    /// The operator and the key behind a key id.
    #[must_use]
    pub fn key(&self, id: KeyId) -> Option<(&Operator, &OperatorKey)> {
        self.operators.iter().find_map(|operator| {
            operator.keys.iter().find(|key| key.id() == id).map(|key| (operator, key))
        })
    }

    /// The operators who may sign for an action, alone or with others.
    pub fn may(&self, action: ActionKind) -> impl Iterator<Item = &Operator> {
        let granted = move |operator: &Operator, grant: &Grant| {
            grant.action == action && operator.roles.contains(&grant.role)
        };
        let operators = self.operators.iter();
        operators.filter(move |operator| self.grants.iter().any(|grant| granted(operator, grant)))
    }

    /// Whether these persons together may do this to so many endpoints.
    ///
    /// `critical` endpoints need two persons whatever the table says.
    pub fn authorise<'a>(
        &self,
        action: ActionKind,
        signers: impl IntoIterator<Item = &'a Operator>,
        targets: usize,
        critical: bool,
    ) -> Result<(), Shortfall> {
        let mut persons = BTreeSet::new();
        let signers: Vec<_> = signers.into_iter().filter(|o| persons.insert(&o.id)).collect();
        let of_role = |role| signers.iter().filter(|o| o.roles.contains(&role)).count();
        let possible: Vec<_> =
            self.grants.iter().filter(|g| g.action == action && of_role(g.role) > 0).collect();
        if possible.is_empty() {
            return Err(Shortfall::Role(action));
        }
        let wide = |grant: &&&Grant| usize::try_from(grant.targets_max).is_ok_and(|n| targets <= n);
        let mut nearest: Option<(usize, usize)> = None;
        for grant in possible.iter().filter(wide) {
            let need = usize::from(grant.approvals.max(if critical { 2 } else { 1 }));
            let have = of_role(grant.role);
            if have >= need {
                return Ok(());
            }
            if nearest.is_none_or(|(_, least)| need < least) {
                nearest = Some((have, need));
            }
        }
        Err(match nearest {
            Some((have, need)) => Shortfall::Approvals { action, have, need, targets },
            None => Shortfall::Targets { action, targets },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operator(name: &str, role: Role) -> Operator {
        Operator { id: name.parse().unwrap(), keys: vec![], roles: vec![role], sealing: None }
    }

    /// `grants` as (approvals, targets_max) for isolating by responders.
    #[track_caller]
    fn check(grants: &[(u8, u32)], signers: &[&str], targets: usize, critical: bool, says: &str) {
        let grants = grants.iter().map(|(approvals, targets_max)| Grant {
            action: ActionKind::Isolate,
            role: Role::Responder,
            approvals: *approvals,
            targets_max: *targets_max,
        });
        let grants = grants.collect();
        let roster = Roster { grants, ..Roster::new("acme".parse().unwrap(), 1) };
        let signers: Vec<_> = signers
            .iter()
            .map(|name| match name.strip_prefix("viewer:") {
                Some(name) => operator(name, Role::Viewer),
                None => operator(name, Role::Responder),
            })
            .collect();
        let answer = roster.authorise(ActionKind::Isolate, &signers, targets, critical);
        assert_eq!(answer.map_or_else(|e| e.to_string(), |()| "yes".to_owned()), says);
    }

    #[test]
    fn as_many_distinct_persons_as_the_table_says_must_sign() {
        let table = [(1, 5), (2, 100)];
        check(&table, &["ann"], 5, false, "yes");
        let one_of_two = "signed by 1 of 2 operators that isolate on 6 endpoint(s) needs";
        check(&table, &["ann"], 6, false, one_of_two);
        check(&table, &["ann", "ann"], 6, false, one_of_two);
        check(&table, &["ann", "bob"], 6, false, "yes");
        check(
            &table,
            &["ann", "bob", "cy"],
            101,
            false,
            "no number of approvals allows isolate on 101 endpoints with one command",
        );
    }

    #[test]
    fn a_critical_endpoint_needs_two_persons_whatever_the_table_says() {
        check(
            &[(1, 5)],
            &["ann"],
            1,
            true,
            "signed by 1 of 2 operators that isolate on 1 endpoint(s) needs",
        );
        check(&[(1, 5)], &["ann", "bob"], 1, true, "yes");
    }

    #[test]
    fn a_person_without_the_role_does_not_count() {
        check(&[(1, 5)], &["viewer:eve"], 1, false, "no signer has a role that may isolate");
        check(
            &[(2, 5)],
            &["ann", "viewer:eve"],
            1,
            false,
            "signed by 1 of 2 operators that isolate on 1 endpoint(s) needs",
        );
    }

    #[test]
    fn who_may_act_has_a_granted_role_though_others_must_agree() {
        let operators = vec![operator("ann", Role::Responder), operator("eve", Role::Viewer)];
        let mut roster = Roster { operators, ..Roster::new("acme".parse().unwrap(), 1) };
        assert_eq!(roster.may(ActionKind::Release).count(), 0);
        let (action, role) = (ActionKind::Release, Role::Responder);
        roster.grants.push(Grant { action, role, approvals: 2, targets_max: 1 });
        let who: Vec<_> = roster.may(action).map(|who| who.id.as_str()).collect();
        assert_eq!(who, ["ann"]);
    }
}
