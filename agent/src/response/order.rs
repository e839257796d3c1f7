//! What a response comes down to for one event: the action, aimed at what the event is about.

use cordon_proto::command::{
    Action, Block, BlockStorage, Deny, Direction, Executable, Isolate, Kill, LockAccount, Peer,
    ProcessTarget, Rule, StopService, Suspend,
};
use cordon_proto::event::Body;
use cordon_proto::policy::responses::Reaction;

use super::read;

/// The action; none where only a finding is raised. The reason where the event does not say what it
/// must be done to, or somebody elsewhere could bring it about.
pub(super) fn action(then: &Reaction, body: &Body) -> Result<Option<Action>, String> {
    let action = match then {
        Reaction::Raise => return Ok(None),
        Reaction::Isolate { lease_secs } => {
            read::not_begun_by_others(body)?;
            Action::Isolate(Isolate { lease_secs: *lease_secs, ..Isolate::default() })
        }
        Reaction::Kill { tree } => {
            Action::Kill(Kill { process: read::process(body)?, tree: *tree })
        }
        Reaction::Suspend { tree, lease_secs } => {
            let (process, lease_secs) = (read::process(body)?, Some(*lease_secs));
            Action::Suspend(Suspend { process, tree: *tree, lease_secs })
        }
        Reaction::Block { lease_secs } => {
            let address = read::peer(body)?;
            let bits = if address.is_ipv4() { 32 } else { 128 };
            let peer = Peer::Network { address, bits };
            let rule = Rule { peer, direction: Direction::Both, ports: None, at: None };
            let (rules, lease_secs) = (vec![rule], Some(*lease_secs));
            Action::Block(Block { rules, lease_secs, except: None, groups: None })
        }
        Reaction::Quarantine => Action::Quarantine(read::file_to_take(body)?),
        Reaction::Deny { lease_secs } => {
            let what = Executable::Sha256(read::program(body)?);
            Action::Deny(Deny { what, lease_secs: Some(*lease_secs) })
        }
        Reaction::LockAccount { user, end_sessions, lease_secs } => {
            read::not_begun_by_others(body)?;
            let (user, end_sessions) = (user.clone(), *end_sessions);
            Action::LockAccount(LockAccount { user, end_sessions, lease_secs: Some(*lease_secs) })
        }
        Reaction::StopService { unit, disable, lease_secs } => {
            read::not_begun_by_others(body)?;
            let (unit, disable) = (unit.clone(), *disable);
            Action::StopService(StopService { unit, disable, lease_secs: Some(*lease_secs) })
        }
        Reaction::BlockStorage { lease_secs } => {
            Action::BlockStorage(BlockStorage { lease_secs: Some(*lease_secs) })
        }
    };
    Ok(Some(action))
}

/// Whether it takes the endpoint, or a service or account of it, away from everybody: a critical
/// endpoint does no such thing by itself.
pub(super) fn is_for_all(then: &Reaction) -> bool {
    match then {
        Reaction::Isolate { .. } | Reaction::LockAccount { .. } | Reaction::StopService { .. } => {
            true
        }
        Reaction::Raise
        | Reaction::Kill { .. }
        | Reaction::Suspend { .. }
        | Reaction::Block { .. }
        | Reaction::Quarantine
        | Reaction::Deny { .. }
        | Reaction::BlockStorage { .. } => false,
    }
}

/// The process that an action is done to.
pub(super) fn process(action: &Action) -> Option<&ProcessTarget> {
    match action {
        Action::Kill(kill) => Some(&kill.process),
        Action::Suspend(suspend) => Some(&suspend.process),
        Action::Isolate(_)
        | Action::Release
        | Action::SetPolicy(_)
        | Action::Query(_)
        | Action::Undo { .. }
        | Action::ReleaseAll
        | Action::Quarantine(_)
        | Action::Deny(_)
        | Action::Block(_)
        | Action::LockAccount(_)
        | Action::StopService(_)
        | Action::BlockStorage(_)
        | Action::Collect(_) => None,
    }
}
