//! Commands in the making: composed from what the operator asked for and what was seen of the
//! endpoints, and held against the roster before anything is signed. Pure.

use cordon_proto::command::{Action, Command, CommandFormError, Snapshot, Target};
use cordon_proto::id::{ClientId, CommandId};
use cordon_proto::limits;
use cordon_proto::roster::{Operator, Roster, RosterRef, Shortfall};

use crate::api::model::Endpoint;
use crate::moment;
use crate::output::text;

/// What an operator asks for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The new command's name.
    pub id: CommandId,
    /// What to do.
    pub action: Action,
    /// Why.
    pub reason: String,
    /// The case it belongs to.
    pub incident: Option<String>,
    /// What is taken first.
    pub snapshot: Option<Snapshot>,
    /// Whether it may wait for an endpoint that is switched off.
    pub queued: bool,
    /// How old a nonce may be; the usual age if none is given.
    pub age_max_secs: Option<u64>,
}

/// Why no command was made.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum ComposeError {
    /// Nothing to sign for.
    #[error("no endpoint was named")]
    Nobody,
    /// One command is for one client.
    #[error("one command is for one client; {0} and {1} are named together")]
    Clients(ClientId, ClientId),
    /// The endpoint published nothing that a command could bind to.
    #[error(
        "{0} has not reported its health yet, so there is nothing that a command to it could \
         prove its freshness with; try again in a minute"
    )]
    NoNonce(String),
    /// A parameter.
    #[error("the command {0}")]
    Form(#[from] CommandFormError),
    /// More than the roster allows.
    #[error("the lease of {asked} is longer than the {ceiling} that the client's roster allows")]
    Lease {
        /// What was asked.
        asked: String,
        /// The ceiling.
        ceiling: String,
    },
    /// The operator may not, however many others sign.
    #[error("{0}, says roster version {1}")]
    Roster(Shortfall, u64),
    /// The key is nobody's.
    #[error("your key is not in roster version {0} of client {1}")]
    NotInRoster(u64, ClientId),
}

/// Composes a command for endpoints as they were seen.
pub fn compose(
    request: Request,
    endpoints: &[&Endpoint],
    roster_min: RosterRef,
) -> Result<Command, ComposeError> {
    let first = endpoints.first().ok_or(ComposeError::Nobody)?;
    if let Some(other) = endpoints.iter().find(|endpoint| endpoint.client != first.client) {
        return Err(ComposeError::Clients(first.client.clone(), other.client.clone()));
    }
    let targets: Result<Vec<_>, _> = endpoints.iter().map(|endpoint| target(endpoint)).collect();
    let Request { id, action, reason, incident, snapshot, queued, age_max_secs } = request;
    let usual = if queued { limits::NONCE_AGE_SECS_MAX } else { limits::NONCE_AGE_SECS_DEFAULT };
    let command = Command {
        id,
        client: first.client.clone(),
        targets: targets?,
        action,
        age_max_secs: age_max_secs.unwrap_or(usual),
        queued,
        roster_min,
        reason,
        incident,
        snapshot,
    };
    command.check_form()?;
    Ok(command)
}

fn target(endpoint: &Endpoint) -> Result<Target, ComposeError> {
    let nonce = endpoint.nonce.as_ref().and_then(|record| record.nonce());
    let host_name = endpoint.host_name.clone();
    let nonce = nonce.ok_or_else(|| ComposeError::NoNonce(text::plain(&host_name).into_owned()))?;
    Ok(Target { endpoint: endpoint.id, host_name, nonce })
}

/// Whether the signers' signatures suffice by this roster; `Ok(Some)` says what is still missing.
pub fn missing<'r>(
    command: &Command,
    roster: &Roster,
    signers: impl IntoIterator<Item = &'r Operator>,
) -> Result<Option<Shortfall>, ComposeError> {
    let ceiling_secs = roster.ceilings.lease_secs_max;
    if let Some(asked) = command.action.lease_secs().filter(|asked| *asked > ceiling_secs) {
        let (asked, ceiling) = (moment::length(asked), moment::length(ceiling_secs));
        return Err(ComposeError::Lease { asked, ceiling });
    }
    let kind = command.action.kind();
    match roster.authorise(kind, signers, command.targets.len(), false) {
        Ok(()) => Ok(None),
        Err(shortfall @ Shortfall::Approvals { .. }) => Ok(Some(shortfall)),
        Err(shortfall @ (Shortfall::Role(_) | Shortfall::Targets { .. })) => {
            Err(ComposeError::Roster(shortfall, roster.version))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordon_proto::command::Isolate;
    use cordon_proto::roster::Role;

    fn endpoint(digit: char, client: &str, with_nonce: bool) -> Endpoint {
        let id: String = std::iter::repeat_n(digit, 64).collect();
        let mut json = serde_json::json!({ "id": id, "client": client, "host_name": "web-01" });
        if with_nonce {
            json["nonce"] = serde_json::json!({
                "boot_count": "3", "endpoint_secs": "7000", "mac": "AAAAAAAAAAAAAAAAAAAAAA",
            });
        }
        serde_json::from_value(json).unwrap()
    }

    fn isolate(lease_secs: u64) -> Request {
        Request {
            id: CommandId(uuid::Uuid::from_u128(1)),
            action: Action::Isolate(Isolate { lease_secs, ..Isolate::default() }),
            reason: "beacon".to_owned(),
            incident: None,
            snapshot: None,
            queued: false,
            age_max_secs: None,
        }
    }

    fn composed(endpoints: &[&Endpoint]) -> Result<Command, ComposeError> {
        compose(isolate(3600), endpoints, RosterRef::default())
    }

    #[test]
    fn a_command_binds_to_the_id_the_name_and_the_nonce_that_were_seen() {
        let web = endpoint('a', "acme", true);
        let command = composed(&[&web]).unwrap();
        let target = &command.targets[0];
        assert_eq!((target.endpoint, target.host_name.as_str()), (web.id, "web-01"));
        assert_eq!((target.nonce.boot_count, target.nonce.endpoint_secs), (3, 7000));
        assert_eq!(command.age_max_secs, limits::NONCE_AGE_SECS_DEFAULT);
    }

    #[test]
    fn what_no_endpoint_would_obey_is_not_made() {
        let (web, db) = (endpoint('a', "acme", true), endpoint('b', "globex", true));
        let new = endpoint('c', "acme", false);
        assert_eq!(composed(&[]), Err(ComposeError::Nobody));
        assert!(matches!(composed(&[&web, &db]), Err(ComposeError::Clients(..))));
        assert_eq!(composed(&[&new]), Err(ComposeError::NoNonce("web-01".to_owned())));
        assert!(matches!(composed(&[&web, &web]), Err(ComposeError::Form(_))));
        let silent = Request { reason: String::new(), ..isolate(3600) };
        assert!(compose(silent, &[&web], RosterRef::default()).is_err());
    }

    #[test]
    fn a_command_that_waits_for_a_machine_switched_off_may_be_a_week_old() {
        let queued = Request { queued: true, ..isolate(3600) };
        let command = compose(queued, &[&endpoint('a', "acme", true)], RosterRef::default());
        assert_eq!(command.unwrap().age_max_secs, limits::NONCE_AGE_SECS_MAX);
    }

    #[test]
    fn the_roster_is_asked_before_anything_is_signed() {
        let operator = |name: &str, role| Operator {
            id: name.parse().unwrap(),
            keys: vec![],
            roles: vec![role],
            sealing: None,
        };
        let (ann, eve) = (operator("ann", Role::Responder), operator("eve", Role::Viewer));
        let mut roster =
            crate::roster::first("acme".parse().unwrap(), vec![ann.clone(), eve.clone()], 0);
        let web = endpoint('a', "acme", true);
        let command = composed(&[&web]).unwrap();
        assert_eq!(missing(&command, &roster, [&ann]), Ok(None));
        assert!(matches!(missing(&command, &roster, [&eve]), Err(ComposeError::Roster(..))));
        roster.grants.retain(|grant| grant.approvals == 2);
        assert!(matches!(missing(&command, &roster, [&ann]), Ok(Some(_))));
        roster.ceilings.lease_secs_max = 60;
        let error = missing(&command, &roster, [&ann]).unwrap_err().to_string();
        assert_eq!(error, "the lease of 1h is longer than the 1m that the client's roster allows");
    }
}
