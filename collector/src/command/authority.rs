//! Whether a command may go out, as far as the collector can tell.
//!
//! Pure. The endpoint decides for itself and trusts none of this; the collector only refuses early
//! what every endpoint would refuse, and waits for signatures that are still missing.

use std::collections::BTreeSet;

use cordon_proto::command::{Action, Command, CommandFormError};
use cordon_proto::id::{ClientId, EndpointId, OperatorId};
use cordon_proto::policy::{ResponseError, responses};
use cordon_proto::roster::{Roster, RosterRef, Shortfall};
use cordon_proto::sign::command::{SignedCommand, SignerError};

/// Whether the signatures that are there suffice.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Authority {
    /// They do.
    Enough(Vec<OperatorId>),
    /// More persons must sign.
    Waiting {
        /// Who has signed.
        signed: Vec<OperatorId>,
        /// What is missing.
        shortfall: Shortfall,
    },
}

/// Why an upload is refused.
#[derive(Debug, thiserror::Error)]
pub enum CommandRefused {
    /// A parameter.
    #[error("the command {0}")]
    Form(#[from] CommandFormError),
    /// A signature.
    #[error("the command cannot be taken: {0}")]
    Signer(#[from] SignerError),
    /// No signature could ever suffice.
    #[error("the command cannot be taken: {0}")]
    Shortfall(Shortfall),
    /// A policy for somebody else.
    #[error("the command is for client {client}, and its policy for client {policy}")]
    PolicyClient {
        /// Whose endpoints.
        client: ClientId,
        /// Whose policy.
        policy: ClientId,
    },
    /// The signers assumed a roster that is not here.
    #[error(
        "the command assumes roster version {assumed} or later; the collector holds version {held}"
    )]
    RosterOlder {
        /// What the command says.
        assumed: u64,
        /// What is held.
        held: u64,
    },
    /// The same version with other content.
    #[error("the command assumes another roster of version {0} than the one held")]
    RosterOther(u64),
    /// A lease above the roster's ceiling.
    #[error("the lease of {asked} s is above the roster's ceiling of {ceiling} s")]
    Lease {
        /// What the command says.
        asked: u64,
        /// The ceiling.
        ceiling: u64,
    },
    /// A policy that would have endpoints do by themselves what the roster does not let them.
    #[error("the policy {0}")]
    Responses(#[from] ResponseError),
    /// A policy older than the roster allows, or with more exemptions.
    #[error("the policy's {what} is {asked}; the roster's limit is {limit}")]
    Policy {
        /// Which number.
        what: &'static str,
        /// What the command says.
        asked: u64,
        /// The limit.
        limit: u64,
    },
}

/// Checks what is uploaded against the roster held: form, signatures, ceilings.
pub fn check_upload(
    signed: &SignedCommand,
    roster: &Roster,
    held: RosterRef,
    critical: &BTreeSet<EndpointId>,
) -> Result<Authority, CommandRefused> {
    let command = signed.command();
    command.check_form()?;
    let assumed = command.roster_min;
    if assumed.version > held.version {
        return Err(CommandRefused::RosterOlder { assumed: assumed.version, held: held.version });
    }
    if assumed.version == held.version && assumed.hash != held.hash {
        return Err(CommandRefused::RosterOther(held.version));
    }
    check_ceilings(command, roster)?;
    let authority = authority(signed, roster, critical)?;
    if let Authority::Waiting { shortfall, .. } = &authority
        && !matches!(shortfall, Shortfall::Approvals { .. })
    {
        return Err(CommandRefused::Shortfall(shortfall.clone()));
    }
    Ok(authority)
}

/// Whether the signatures suffice for what the command asks, on as many endpoints as it names.
pub fn authority(
    signed: &SignedCommand,
    roster: &Roster,
    critical: &BTreeSet<EndpointId>,
) -> Result<Authority, SignerError> {
    let command = signed.command();
    let signers = signed.signers(roster)?;
    let persons: BTreeSet<&OperatorId> = signers.iter().map(|operator| &operator.id).collect();
    let by = persons.into_iter().cloned().collect();
    let kind = command.action.kind();
    let critical = command.targets.iter().any(|target| critical.contains(&target.endpoint));
    // What only reads needs no second person.
    let critical = critical && kind.changes();
    Ok(match roster.authorise(kind, signers, command.targets.len(), critical) {
        Ok(()) => Authority::Enough(by),
        Err(shortfall) => Authority::Waiting { signed: by, shortfall },
    })
}

fn check_ceilings(command: &Command, roster: &Roster) -> Result<(), CommandRefused> {
    let ceilings = &roster.ceilings;
    let ceiling = ceilings.lease_secs_max;
    if let Some(asked) = command.action.lease_secs().filter(|asked| *asked > ceiling) {
        return Err(CommandRefused::Lease { asked, ceiling });
    }
    let Action::SetPolicy(policy) = &command.action else { return Ok(()) };
    if policy.client != command.client {
        let (client, policy) = (command.client.clone(), policy.client.clone());
        return Err(CommandRefused::PolicyClient { client, policy });
    }
    if policy.version < ceilings.policy_min {
        let (asked, limit) = (policy.version, ceilings.policy_min);
        return Err(CommandRefused::Policy { what: "version", asked, limit });
    }
    let asked = u64::try_from(policy.exemptions.len()).unwrap_or(u64::MAX);
    let limit = u64::from(ceilings.exemptions_max);
    if asked > limit {
        return Err(CommandRefused::Policy { what: "count of exemptions", asked, limit });
    }
    let responses = policy.responses.as_deref().unwrap_or_default();
    Ok(responses::check(responses, ceilings.autonomy.as_ref())?)
}

#[cfg(test)]
mod tests {
    use cordon_proto::command::{ActionKind, Isolate, Nonce, Target};
    use cordon_proto::id::{CommandId, Hash};
    use cordon_proto::roster::{Ceilings, Grant, Operator, OperatorKey, Role};
    use cordon_proto::sign::SigningKey;

    use super::*;

    fn key(name: &str) -> SigningKey {
        SigningKey::from_seed(&cordon_proto::sign::sha256(name.as_bytes())).unwrap()
    }

    fn held() -> RosterRef {
        RosterRef { version: 3, hash: Hash::of(b"roster") }
    }

    fn roster() -> Roster {
        let operator = |name: &str, role| Operator {
            id: name.parse().unwrap(),
            keys: vec![OperatorKey::File(key(name).verifying())],
            roles: vec![role],
            sealing: None,
        };
        let grant = |approvals, targets_max| Grant {
            action: ActionKind::Isolate,
            role: Role::Responder,
            approvals,
            targets_max,
        };
        Roster {
            operators: vec![
                operator("ann", Role::Responder),
                operator("bob", Role::Responder),
                operator("eve", Role::Viewer),
            ],
            grants: vec![grant(1, 1), grant(2, 2)],
            ceilings: Ceilings { lease_secs_max: 100, ..Ceilings::default() },
            ..Roster::new("acme".parse().unwrap(), 3)
        }
    }

    fn endpoint(number: usize) -> EndpointId {
        EndpointId::of(&[u8::try_from(number).unwrap()])
    }

    fn isolate(targets: usize) -> Command {
        let nonce = Nonce { boot_count: 1, endpoint_secs: 60, mac: [0; 16] };
        let target =
            |number| Target { endpoint: endpoint(number), host_name: "web-01".to_owned(), nonce };
        Command {
            id: CommandId(uuid::Uuid::from_u128(1)),
            client: "acme".parse().unwrap(),
            targets: (0..targets).map(target).collect(),
            action: Action::Isolate(Isolate { lease_secs: 100, ..Isolate::default() }),
            age_max_secs: 900,
            queued: false,
            roster_min: held(),
            reason: "beacon".to_owned(),
            incident: None,
            snapshot: None,
        }
    }

    #[track_caller]
    fn check(command: Command, signers: &[&str], critical: &[EndpointId], says: &str) {
        let mut signed = SignedCommand::sign(command, &key(signers[0]));
        signers[1..].iter().for_each(|name| signed.add(&key(name)));
        let signed = SignedCommand::read(&signed.to_bytes()).unwrap();
        let critical = critical.iter().copied().collect();
        let said = match check_upload(&signed, &roster(), held(), &critical) {
            Ok(Authority::Enough(by)) => {
                format!(
                    "enough: {}",
                    by.iter().map(OperatorId::as_str).collect::<Vec<_>>().join(" ")
                )
            }
            Ok(Authority::Waiting { shortfall, .. }) => format!("waiting: {shortfall}"),
            Err(refused) => refused.to_string(),
        };
        assert_eq!(said, says);
    }

    const ONE_OF_TWO: &str =
        "waiting: signed by 1 of 2 operators that isolate on 2 endpoint(s) needs";

    #[test]
    fn it_goes_out_once_enough_persons_have_signed() {
        check(isolate(1), &["ann"], &[], "enough: ann");
        check(isolate(2), &["ann"], &[], ONE_OF_TWO);
        check(isolate(2), &["ann", "ann"], &[], ONE_OF_TWO);
        check(isolate(2), &["ann", "bob"], &[], "enough: ann bob");
    }

    #[test]
    fn a_critical_endpoint_waits_for_a_second_person() {
        let waits = "waiting: signed by 1 of 2 operators that isolate on 1 endpoint(s) needs";
        check(isolate(1), &["ann"], &[endpoint(0)], waits);
        check(isolate(1), &["ann"], &[endpoint(9)], "enough: ann");
    }

    #[test]
    fn what_no_endpoint_would_obey_is_refused_at_the_door() {
        check(
            isolate(1),
            &["eve"],
            &[],
            "the command cannot be taken: no signer has a role that may isolate",
        );
        let stranger = key("mallory").id();
        let unknown = format!(
            "the command cannot be taken: key {} is not in roster version 3",
            stranger.short()
        );
        check(isolate(1), &["mallory"], &[], &unknown);
        check(
            isolate(3),
            &["ann"],
            &[],
            "the command cannot be taken: no number of approvals allows isolate on 3 endpoints \
             with one command",
        );
        let long = Action::Isolate(Isolate { lease_secs: 101, ..Isolate::default() });
        check(
            Command { action: long, ..isolate(1) },
            &["ann"],
            &[],
            "the lease of 101 s is above the roster's ceiling of 100 s",
        );
        let newer = RosterRef { version: 4, hash: Hash::default() };
        check(
            Command { roster_min: newer, ..isolate(1) },
            &["ann"],
            &[],
            "the command assumes roster version 4 or later; the collector holds version 3",
        );
        let other = RosterRef { version: 3, hash: Hash::default() };
        check(
            Command { roster_min: other, ..isolate(1) },
            &["ann"],
            &[],
            "the command assumes another roster of version 3 than the one held",
        );
        let nameless = Command { reason: String::new(), ..isolate(1) };
        check(nameless, &["ann"], &[], "the command reason is 0 bytes long; it must be 1 to 1024");
    }
}
