//! May this command run here, now? Signed by enough of the right persons, fresh, and not twice.
//!
//! Pure. The checks run in the order of [`Check`], cheapest first, and the first that fails is
//! named: the form; for us (client, endpoint, host name); the roster that the signers assumed; all
//! signatures; the table of roles and approvals; the nonce; the id; and last the parameters, which
//! only an authorised command gets judged on.

mod accepted;
mod refusals;

use std::time::Duration;

use cordon_proto::command::{Action, ActionKind, Command, Nonce};
use cordon_proto::event::Receipt;
use cordon_proto::event::receipt::{Check, Outcome};
use cordon_proto::id::{ClientId, CommandId, EndpointId, Hash, OperatorId};
use cordon_proto::policy::{Policy, responses};
use cordon_proto::roster::{Ceilings, Operator, Shortfall};
use cordon_proto::sign::command::SignedCommand;
use cordon_proto::sign::document::DocumentError;

use crate::redact::Redactor;
use crate::roster_keeper::Held;

pub use accepted::Accepted;
pub use refusals::Refusals;

/// What an endpoint knows when it judges a command.
#[derive(Clone, Copy)]
pub struct Own<'a> {
    /// Its name.
    pub endpoint: EndpointId,
    /// The machine's host name, at this moment.
    pub host_name: &'a str,
    /// Whose it is.
    pub client: &'a ClientId,
    /// The roster held.
    pub roster: &'a Held,
    /// The policy held.
    pub policy: Option<&'a Policy>,
    /// Endpoint time.
    pub endpoint_secs: u64,
    /// Says why a nonce does not count: (nonce, how old it may be, whether an earlier boot's does).
    pub stale: &'a dyn Fn(&Nonce, u64, bool) -> Option<String>,
    /// The commands obeyed so far.
    pub accepted: &'a Accepted,
}

/// A command that may run.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Authorised {
    /// What to do.
    pub command: Command,
    /// The hash of the bytes it came in.
    pub hash: Hash,
    /// These bytes, for what must be verified again after a restart.
    pub signed: Vec<u8>,
    /// Whose signatures counted.
    pub signers: Vec<OperatorId>,
    /// Endpoint time from which its nonce is stale, and its id may be forgotten.
    pub forget_secs: u64,
}

/// A command that may not.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Refusal {
    /// The check it failed.
    pub check: Check,
    /// Why, for a person.
    pub reason: String,
    /// The hash of the bytes it came in.
    pub hash: Hash,
    /// Its id, where it could be read that far.
    pub command: Option<CommandId>,
    /// What it asked for, where it could be read that far.
    pub action: Option<ActionKind>,
}

impl Refusal {
    /// The endpoint's signed answer; `repeated` further ones are summed up in it.
    #[must_use]
    pub fn receipt(self, endpoint_secs: u64, repeated: u64) -> Receipt {
        let Self { check, reason, hash, command, action } = self;
        let outcome = Outcome::Refused { check, reason };
        Receipt { command, command_hash: hash, action, endpoint_secs, outcome, repeated }
    }
}

type Verdict<T = ()> = Result<T, (Check, String)>;

/// Judges a command by its bytes as received.
pub fn judge(bytes: &[u8], own: &Own<'_>) -> Result<Authorised, Refusal> {
    let hash = Hash::of(bytes);
    let signed = match SignedCommand::read(bytes) {
        Ok(signed) => signed,
        Err(error) => {
            let reason = format!("what was received as a command {error}");
            return Err(Refusal { check: Check::Form, reason, hash, command: None, action: None });
        }
    };
    let command = signed.command();
    match authorise(&signed, own) {
        Ok(signers) => {
            let nonce_secs = command.target(own.endpoint).map_or(0, |t| t.nonce.endpoint_secs);
            let forget_secs = nonce_secs.saturating_add(command.age_max_secs).saturating_add(1);
            let signed = bytes.to_vec();
            Ok(Authorised { command: command.clone(), hash, signed, signers, forget_secs })
        }
        Err((check, reason)) => {
            let (id, action) = (Some(command.id), Some(command.action.kind()));
            Err(Refusal { check, reason, hash, command: id, action })
        }
    }
}

/// Judges a command that was obeyed before, for what it set up: everything but whether it is fresh
/// and new, which it was. A signer who was revoked since does not count any more.
pub fn verify_again(bytes: &[u8], own: &Own<'_>) -> Result<Command, (Check, String)> {
    let form = |error: DocumentError| (Check::Form, format!("the command {error}"));
    let signed = SignedCommand::read(bytes).map_err(form)?;
    let command = signed.command();
    command.check_form().map_err(|error| (Check::Form, format!("the command {error}")))?;
    for_client(command, own)?;
    if command.target(own.endpoint).is_none() {
        return Err((Check::Target, "the command does not name this endpoint".to_owned()));
    }
    let signers = signed.signers(&own.roster.roster);
    let signers = signers.map_err(|error| (Check::Signature, error.to_string()))?;
    enough(command, &signers, own)?;
    Ok(command.clone())
}

fn authorise(signed: &SignedCommand, own: &Own<'_>) -> Verdict<Vec<OperatorId>> {
    let command = signed.command();
    command.check_form().map_err(|error| (Check::Form, format!("the command {error}")))?;
    for_client(command, own)?;
    let nonce = for_endpoint(command, own)?;
    assumed_roster(command, own)?;
    let signers = signed.signers(&own.roster.roster);
    let signers = signers.map_err(|error| (Check::Signature, error.to_string()))?;
    enough(command, &signers, own)?;
    if let Some(why) = (own.stale)(&nonce, command.age_max_secs, command.queued) {
        return Err((Check::Freshness, why));
    }
    own.accepted.room_for(command.id).map_err(|why| (Check::Replay, why.to_string()))?;
    parameters(&command.action, own).map_err(|why| (Check::Parameters, why))?;
    let mut names: Vec<_> = signers.into_iter().map(|operator| operator.id.clone()).collect();
    names.sort();
    names.dedup();
    Ok(names)
}

fn for_client(command: &Command, own: &Own<'_>) -> Verdict {
    if command.client == *own.client {
        return Ok(());
    }
    let reason = format!("the command is for client {}, not {}", command.client, own.client);
    Err((Check::Client, reason))
}

/// The operator must have seen this endpoint under the name that it has: a collector that swaps
/// names in its lists cannot have another machine cut off.
fn for_endpoint(command: &Command, own: &Own<'_>) -> Verdict<Nonce> {
    let Some(target) = command.target(own.endpoint) else {
        return Err((Check::Target, "the command does not name this endpoint".to_owned()));
    };
    if target.host_name != own.host_name {
        let (seen, name) = (&target.host_name, own.host_name);
        let reason = format!("the signers saw this endpoint as '{seen}'; it is '{name}'");
        return Err((Check::Target, reason));
    }
    Ok(target.nonce)
}

fn assumed_roster(command: &Command, own: &Own<'_>) -> Verdict {
    let (assumed, held) = (command.roster_min, own.roster.reference);
    if assumed.version > held.version {
        let (needs, has) = (assumed.version, held.version);
        let reason = format!("the command assumes roster version {needs}; version {has} is held");
        return Err((Check::Roster, reason));
    }
    if assumed.version == held.version && assumed.hash != held.hash {
        let reason = format!("the command assumes another roster of version {}", held.version);
        return Err((Check::Roster, reason));
    }
    Ok(())
}

fn enough(command: &Command, signers: &[&Operator], own: &Own<'_>) -> Verdict {
    let (action, targets) = (command.action.kind(), command.targets.len());
    let critical = own.policy.is_some_and(|policy| policy.critical.contains(&own.endpoint));
    // One signature is enough to read, wherever the table says so.
    let critical = critical && action.changes();
    let signers = signers.iter().copied();
    own.roster.roster.authorise(action, signers, targets, critical).map_err(|shortfall| {
        let check = match shortfall {
            Shortfall::Role(_) => Check::Role,
            Shortfall::Approvals { .. } | Shortfall::Targets { .. } => Check::Approvals,
        };
        (check, shortfall.to_string())
    })
}

fn parameters(action: &Action, own: &Own<'_>) -> Result<(), String> {
    let ceilings = &own.roster.roster.ceilings;
    let max = ceilings.lease_secs_max;
    if let Some(asked) = action.lease_secs().filter(|asked| *asked > max) {
        return Err(format!("a lease of {asked} s is over the roster's ceiling of {max} s"));
    }
    match action {
        Action::SetPolicy(policy) => policy_fits(policy, ceilings, own),
        // What a query may cost is bounded by its form; what a deed is done to is looked at when
        // it is done.
        Action::Isolate(_)
        | Action::Release
        | Action::Query(_)
        | Action::Undo { .. }
        | Action::ReleaseAll
        | Action::Kill(_)
        | Action::Suspend(_)
        | Action::Quarantine(_)
        | Action::Deny(_)
        | Action::Block(_)
        | Action::LockAccount(_)
        | Action::StopService(_)
        | Action::BlockStorage(_)
        | Action::Collect(_) => Ok(()),
    }
}

fn policy_fits(policy: &Policy, ceilings: &Ceilings, own: &Own<'_>) -> Result<(), String> {
    if policy.client != *own.client {
        return Err(format!("the policy is for client {}, not {}", policy.client, own.client));
    }
    let held = own.policy.map_or(0, |policy| policy.version);
    let (version, least) = (policy.version, ceilings.policy_min.max(held.saturating_add(1)));
    if version < least {
        return Err(format!("the policy has version {version}; {least} or newer is required"));
    }
    let ceiling = usize::try_from(ceilings.exemptions_max).unwrap_or(usize::MAX);
    let (exempt, exempt_max) = (policy.exemptions.len(), ceiling.min(Policy::EXEMPTIONS_MAX));
    if exempt > exempt_max {
        return Err(format!("the policy exempts {exempt} destinations; {exempt_max} is the most"));
    }
    let vague = |e: &&cordon_proto::policy::Exemption| {
        e.port == 0 || e.address.is_unspecified() || e.address.is_multicast()
    };
    if let Some(exemption) = policy.exemptions.iter().find(vague) {
        let (address, port) = (exemption.address, exemption.port);
        return Err(format!("the policy exempts {address} port {port}, which is no one place"));
    }
    if policy.exemptions.iter().any(|exemption| exemption.process.is_some()) {
        let why = "the policy exempts a program, and a packet does not show which program sent it; \
                   name a user instead";
        return Err(why.to_owned());
    }
    let nobody = |user: &String| user.is_empty() || user.len() > Policy::USER_BYTES_MAX;
    if policy.exemptions.iter().filter_map(|exemption| exemption.user.as_ref()).any(nobody) {
        let most = Policy::USER_BYTES_MAX;
        return Err(format!("the policy exempts a user whose name is not 1 to {most} bytes long"));
    }
    let responses = policy.responses.as_deref().unwrap_or_default();
    responses::check(responses, ceilings.autonomy.as_ref())
        .map_err(|error| format!("the policy {error}"))?;
    Redactor::new(policy.redactions.as_ref()).map_err(|error| error.to_string())?;
    let critical = policy.critical.len();
    if critical > Policy::CRITICAL_MAX {
        return Err(format!("the policy calls {critical} endpoints critical; that is too many"));
    }
    Ok(())
}

/// How long refusals of one check are summed up before the next receipt.
pub const REFUSALS_PERIOD: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
