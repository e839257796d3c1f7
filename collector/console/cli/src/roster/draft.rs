//! A roster as text that a person reads and changes before the authority signs it. Pure.
//!
//! TOML with unknown fields refused, so that what is misspelt is noticed and not left out.

use cordon_proto::command::ActionKind;
use cordon_proto::id::{ClientId, Hash, OperatorId};
use cordon_proto::policy::responses::KINDS;
use cordon_proto::roster::{Autonomy, Ceilings, Grant, Operator, OperatorKey, Role, Roster};
use cordon_proto::sign::{SealingKey, VerifyingKey};
use serde::{Deserialize, Serialize};

mod error;
mod passkey;

use crate::hex;
use crate::moment;

pub use error::DraftError;
pub use passkey::DraftPasskey;

/// The text of a roster.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Draft {
    client: ClientId,
    version: u64,
    #[serde(default)]
    ca_pins: Vec<Hash>,
    #[serde(default)]
    collectors: Vec<String>,
    ceilings: DraftCeilings,
    #[serde(default, rename = "operator")]
    operators: Vec<DraftOperator>,
    #[serde(default, rename = "grant")]
    grants: Vec<DraftGrant>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftCeilings {
    lease_secs_max: u64,
    exemptions_max: u32,
    policy_min: u64,
    /// What endpoints may do by themselves; without it they only raise findings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    autonomy: Option<Autonomy>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftOperator {
    name: OperatorId,
    roles: Vec<Role>,
    /// Public halves of key files: 64 digits each.
    keys: Vec<String>,
    /// What break-glass codes are sealed to: 64 digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sealing: Option<String>,
    #[serde(default, rename = "passkey", skip_serializing_if = "Vec::is_empty")]
    passkeys: Vec<DraftPasskey>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct DraftGrant {
    action: ActionKind,
    role: Role,
    approvals: u8,
    targets_max: u32,
}

impl Draft {
    /// The text's content for a change of a roster: the same with the next version.
    #[must_use]
    pub fn after(roster: &Roster) -> Self {
        let mut draft = Self::of(roster);
        draft.version = roster.version.saturating_add(1);
        draft
    }

    /// The text's content for a roster as it is.
    #[must_use]
    pub fn of(roster: &Roster) -> Self {
        let Ceilings { lease_secs_max, exemptions_max, policy_min, autonomy } =
            roster.ceilings.clone();
        Self {
            client: roster.client.clone(),
            version: roster.version,
            ca_pins: roster.ca_pins.clone(),
            collectors: roster.collectors.clone(),
            ceilings: DraftCeilings { lease_secs_max, exemptions_max, policy_min, autonomy },
            operators: roster.operators.iter().map(DraftOperator::of).collect(),
            grants: roster.grants.iter().map(DraftGrant::of).collect(),
        }
    }

    /// Reads a draft.
    pub fn from_text(text: &str) -> Result<Self, DraftError> {
        toml::from_str(text).map_err(|error| DraftError::Form(Box::new(error)))
    }

    /// The draft for a person.
    #[must_use]
    pub fn to_text(&self) -> String {
        // Only strings and numbers are written; that cannot fail.
        let body = toml::to_string(self).unwrap_or_default();
        format!(
            "# A roster that is not signed yet. Change what must change, then:\n\
             #   cordon roster sign THIS-FILE --key authority.key\n\
             # roles: viewer, responder, administrator. ca_pins and collectors may stay empty:\n\
             # endpoints then keep what they pinned when they enrolled.\n\
             # [ceilings.autonomy] lets policy have endpoints act by themselves:\n\
             #   actions = [\"isolate\"], lease_secs_max = 3600, per_hour_max = 2\n\n{body}"
        )
    }

    /// Adds a person, or a key and roles to one.
    pub fn add(&mut self, name: &OperatorId, keys: &PublicKeys, roles: &[Role]) {
        let digits = hex::encode(&keys.signing.0);
        let operator = self.person(name, roles);
        if !operator.keys.contains(&digits) {
            operator.keys.push(digits);
        }
        if let Some(sealing) = &keys.sealing {
            operator.sealing = Some(hex::encode(&sealing.0));
        }
    }

    /// Adds a person with a passkey, or a passkey and roles to one.
    pub fn add_passkey(&mut self, name: &OperatorId, passkey: &DraftPasskey, roles: &[Role]) {
        let operator = self.person(name, roles);
        if !operator.passkeys.contains(passkey) {
            operator.passkeys.push(passkey.clone());
        }
    }

    /// A person who has these roles, new or known.
    fn person(&mut self, name: &OperatorId, roles: &[Role]) -> &mut DraftOperator {
        let at = self.operators.iter().position(|operator| operator.name == *name);
        let at = at.unwrap_or_else(|| {
            self.operators.push(DraftOperator {
                name: name.clone(),
                roles: Vec::new(),
                keys: Vec::new(),
                sealing: None,
                passkeys: Vec::new(),
            });
            self.operators.len() - 1
        });
        let operator = &mut self.operators[at];
        operator.roles.extend(roles);
        operator.roles.sort_unstable();
        operator.roles.dedup();
        operator
    }

    /// Says what codes for a person are sealed to.
    pub fn set_sealing(&mut self, name: &OperatorId, key: &SealingKey) -> Result<(), DraftError> {
        let operator = self.operators.iter_mut().find(|operator| operator.name == *name);
        let operator = operator.ok_or_else(|| DraftError::NoSuch(name.clone()))?;
        operator.sealing = Some(hex::encode(&key.0));
        Ok(())
    }

    /// Takes a person away.
    pub fn remove(&mut self, name: &OperatorId) -> Result<(), DraftError> {
        let before = self.operators.len();
        self.operators.retain(|operator| operator.name != *name);
        if self.operators.len() == before {
            return Err(DraftError::NoSuch(name.clone()));
        }
        Ok(())
    }

    /// Sets the agents' doors that endpoints dial.
    pub fn set_collectors(&mut self, collectors: &[String]) {
        self.collectors = collectors.to_vec();
    }

    /// The roster to be signed.
    pub fn roster(&self, made_ns: u64) -> Result<Roster, DraftError> {
        let operators: Result<Vec<_>, _> = self.operators.iter().map(DraftOperator::read).collect();
        let operators = operators?;
        check_operators(&operators)?;
        for grant in &self.grants {
            if grant.approvals == 0 {
                return Err(DraftError::NoApproval(grant.action.name()));
            }
        }
        check_autonomy(self.ceilings.autonomy.as_ref())?;
        let DraftCeilings { lease_secs_max, exemptions_max, policy_min, autonomy } =
            self.ceilings.clone();
        Ok(Roster {
            client: self.client.clone(),
            version: self.version,
            made_ns,
            operators,
            grants: self.grants.iter().map(DraftGrant::read).collect(),
            ceilings: Ceilings { lease_secs_max, exemptions_max, policy_min, autonomy },
            ca_pins: self.ca_pins.clone(),
            collectors: self.collectors.clone(),
        })
    }
}

fn check_operators(operators: &[Operator]) -> Result<(), DraftError> {
    let mut names = std::collections::BTreeSet::new();
    let mut keys = std::collections::BTreeSet::new();
    for operator in operators {
        if operator.keys.is_empty() {
            return Err(DraftError::NoKey(operator.id.clone()));
        }
        if !names.insert(&operator.id) {
            return Err(DraftError::Twice(format!("operator {}", operator.id)));
        }
        for key in &operator.keys {
            if !keys.insert(key.id()) {
                return Err(DraftError::Twice(format!("key {}", key.id().short())));
            }
        }
    }
    if operators.is_empty() { Err(DraftError::Nobody) } else { Ok(()) }
}

impl DraftOperator {
    fn of(operator: &Operator) -> Self {
        let mut draft = Self {
            name: operator.id.clone(),
            roles: operator.roles.clone(),
            keys: Vec::new(),
            sealing: operator.sealing.map(|key| hex::encode(&key.0)),
            passkeys: Vec::new(),
        };
        for key in &operator.keys {
            match key {
                OperatorKey::File(key) => draft.keys.push(hex::encode(&key.0)),
                OperatorKey::Passkey { algorithm, public, rp_id, origins } => {
                    draft.passkeys.push(DraftPasskey::of(*algorithm, public, rp_id, origins));
                }
            }
        }
        draft
    }

    fn read(&self) -> Result<Operator, DraftError> {
        let wrong =
            |key: &str| DraftError::Key { operator: self.name.clone(), key: key.to_owned() };
        let mut keys = Vec::new();
        for key in &self.keys {
            let read = hex::public_key::parse(key).ok_or_else(|| wrong(key))?;
            keys.push(OperatorKey::File(read));
        }
        for passkey in &self.passkeys {
            keys.push(passkey.read().map_err(wrong)?);
        }
        let read = |key: &String| hex::public_key::parse_sealing(key).ok_or_else(|| wrong(key));
        let sealing = self.sealing.as_ref().map(read).transpose()?;
        Ok(Operator { id: self.name.clone(), keys, roles: self.roles.clone(), sealing })
    }
}

impl DraftGrant {
    fn of(grant: &Grant) -> Self {
        let Grant { action, role, approvals, targets_max } = *grant;
        Self { action, role, approvals, targets_max }
    }

    fn read(&self) -> Grant {
        let Self { action, role, approvals, targets_max } = *self;
        Grant { action, role, approvals, targets_max }
    }
}

/// A person's public halves, as `cordon operator key show` prints them.
#[derive(Clone, Copy, Debug)]
pub struct PublicKeys {
    /// What signatures are checked with.
    pub signing: VerifyingKey,
    /// What codes are sealed to.
    pub sealing: Option<SealingKey>,
}

/// What becomes of the key that codes for a person are sealed to.
fn sealing_change(from: &Roster, operator: &Operator) -> Option<String> {
    let before = from.operators.iter().find(|before| before.id == operator.id);
    let before = before.and_then(|before| before.sealing);
    let id = &operator.id;
    match (before, operator.sealing) {
        (None, Some(_)) => Some(format!("break-glass codes are sealed to {id} too, by role")),
        (Some(_), None) => Some(format!("break-glass codes are no longer sealed to {id}")),
        (Some(old), Some(new)) if old != new => Some(format!("{id} has another sealing key")),
        (Some(_) | None, _) => None,
    }
}

/// What a change does, one sentence each; for the person who is about to sign it.
#[must_use]
pub fn changes(from: Option<&Roster>, to: &Roster) -> Vec<String> {
    let Some(from) = from else { return vec![format!("a first roster for client {}", to.client)] };
    let mut said = vec![format!("version {} becomes {}", from.version, to.version)];
    for operator in &to.operators {
        let roles: Vec<_> = operator.roles.iter().copied().map(Role::name).collect();
        let roles = roles.join(", ");
        match from.operators.iter().find(|before| before.id == operator.id) {
            None => said.push(format!("{} is added as {roles}", operator.id)),
            Some(before) if before.roles != operator.roles => {
                said.push(format!("{} becomes {roles}", operator.id));
            }
            Some(before) if before.keys != operator.keys => {
                said.push(format!("{} has other keys", operator.id));
            }
            Some(_) => {}
        }
        said.extend(sealing_change(from, operator));
    }
    for before in &from.operators {
        if !to.operators.iter().any(|operator| operator.id == before.id) {
            said.push(format!("{} is taken away", before.id));
        }
    }
    if from.grants != to.grants {
        said.push("the table of approvals changes".to_owned());
    }
    if from.ceilings != to.ceilings {
        said.push("the ceilings change".to_owned());
    }
    if from.ceilings.autonomy != to.ceilings.autonomy {
        said.push(autonomy(to.ceilings.autonomy.as_ref()));
    }
    if from.ca_pins != to.ca_pins || from.collectors != to.collectors {
        said.push("where endpoints dial, or what they pin, changes".to_owned());
    }
    said
}

fn check_autonomy(autonomy: Option<&Autonomy>) -> Result<(), DraftError> {
    let named = autonomy.map(|autonomy| autonomy.actions.as_slice()).unwrap_or_default();
    let Some(other) = named.iter().find(|action| !KINDS.contains(action)) else { return Ok(()) };
    let all = KINDS.map(ActionKind::name).join(", ");
    Err(DraftError::Autonomy(other.name(), all))
}

/// What endpoints may do by themselves, aloud.
#[must_use]
pub fn autonomy(autonomy: Option<&Autonomy>) -> String {
    let Some(Autonomy { actions, lease_secs_max, per_hour_max }) = autonomy else {
        return "by themselves, endpoints only raise findings".to_owned();
    };
    let actions: Vec<_> = actions.iter().map(|action| action.name()).collect();
    format!(
        "policy may let endpoints BY THEMSELVES {}, for {} and {per_hour_max} times an hour at most",
        actions.join(", "),
        moment::length(*lease_secs_max)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_proto::sign::{PasskeyAlgorithm, SigningKey};

    fn key(seed: u8) -> VerifyingKey {
        SigningKey::from_seed(&[seed; 32]).unwrap().verifying()
    }

    fn roster() -> Roster {
        let ann = Operator {
            id: "ann".parse().unwrap(),
            keys: vec![
                OperatorKey::File(key(1)),
                OperatorKey::Passkey {
                    algorithm: PasskeyAlgorithm::Es256,
                    public: vec![4; 65],
                    rp_id: "signer.example".to_owned(),
                    origins: vec!["https://signer.example".to_owned()],
                },
            ],
            roles: vec![Role::Responder],
            sealing: Some(SealingKey([3; 32])),
        };
        super::super::first("acme".parse().unwrap(), vec![ann], 7)
    }

    #[test]
    fn a_roster_survives_being_text() {
        let text = Draft::of(&roster()).to_text();
        assert_eq!(Draft::from_text(&text).unwrap().roster(7).unwrap(), roster());
    }

    #[test]
    fn what_endpoints_may_do_by_themselves_survives_being_text_and_is_said_aloud() {
        let autonomy =
            Autonomy { actions: vec![ActionKind::Isolate], lease_secs_max: 600, per_hour_max: 2 };
        let before = roster();
        let ceilings = Ceilings { autonomy: Some(autonomy), ..before.ceilings.clone() };
        let with = Roster { ceilings, ..before.clone() };
        let text = Draft::of(&with).to_text();
        assert!(text.contains("[ceilings.autonomy]\n"), "{text}");
        assert_eq!(Draft::from_text(&text).unwrap().roster(7).unwrap(), with);
        let other = text.replace("\"isolate\"]", "\"release\"]");
        let refused = Draft::from_text(&other).unwrap().roster(7);
        assert!(matches!(refused, Err(DraftError::Autonomy("release", _))), "{refused:?}");
        let said = changes(Some(&before), &with).join("\n");
        assert!(said.contains("BY THEMSELVES isolate, for 10m and 2 times an hour"), "{said}");
    }

    #[test]
    fn a_person_is_added_and_taken_away_in_a_new_version() {
        let bob: OperatorId = "bob".parse().unwrap();
        let mut draft = Draft::after(&roster());
        draft.add(&bob, &PublicKeys { signing: key(2), sealing: None }, &[Role::Viewer]);
        let with_bob = draft.roster(8).unwrap();
        assert_eq!(with_bob.version, 2);
        assert!(with_bob.key(key(2).id()).is_some());
        assert_eq!(
            changes(Some(&roster()), &with_bob),
            ["version 1 becomes 2", "bob is added as viewer"]
        );
        let mut draft = Draft::after(&with_bob);
        draft.set_sealing(&bob, &SealingKey([4; 32])).unwrap();
        let sealed = draft.roster(9).unwrap();
        assert_eq!(sealed.operators[1].sealing, Some(SealingKey([4; 32])));
        assert_eq!(
            changes(Some(&with_bob), &sealed)[1..],
            ["break-glass codes are sealed to bob too, by role"]
        );
        assert_eq!(
            changes(Some(&sealed), &with_bob)[1..],
            ["break-glass codes are no longer sealed to bob"]
        );
        let mut draft = Draft::after(&with_bob);
        draft.remove(&bob).unwrap();
        assert!(matches!(draft.remove(&bob), Err(DraftError::NoSuch(_))));
        assert_eq!(
            changes(Some(&with_bob), &draft.roster(9).unwrap()),
            ["version 2 becomes 3", "bob is taken away"]
        );
    }

    #[test]
    fn a_draft_that_would_not_mean_what_it_says_is_refused() {
        #[track_caller]
        fn check(from: &str, to: &str, says: &str) {
            let text = Draft::of(&roster()).to_text();
            assert!(text.contains(from), "{text}");
            let read = Draft::from_text(&text.replacen(from, to, 1)).and_then(|d| d.roster(0));
            let error = read.unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        check("approvals = 1", "approvals = 0", "asks for 0 approvals");
        check("approvals = 1", "aprovals = 1", "cannot be read");
        check(&hex::encode(&key(1).0), "beef", "'beef' is not a public key");
        let twice = format!("\", \"{}", hex::encode(&key(1).0));
        let digits = hex::encode(&key(1).0);
        check(&digits, &format!("{digits}{twice}"), "stands in the draft twice");
    }
}
