//! Tries the responses of policy on what sensors say, writes down what they decided, and carries it
//! out.

use std::net::IpAddr;

use cordon_proto::codec;
use cordon_proto::command::{Action, ActionKind, Command};
use cordon_proto::event::{Body, Observation, Severity};
use cordon_proto::id::{CommandId, Hash};
use cordon_proto::policy::Policy;

use super::Agent;
use super::jobs::{Done, blocking};
use crate::action::block::vital::{Vital, is_vital};
use crate::guard::Authorised;
use crate::identity::StateDir;
use crate::kept::{self, KeptError, RESPONSES};
use crate::response::{Fired, Own, Responder};
use crate::sensor::Sample;

/// What responses decided, on its way to the disk: one write at a time, so that the newest is the
/// last. Its length is bounded by how often responses may do something.
#[derive(Default)]
pub(super) struct Reacting {
    responder: Responder,
    waiting: Vec<Fired>,
    writing: bool,
}

impl Reacting {
    /// Takes up the policy held and what its responses did before a restart.
    pub(super) fn resume(
        own: &StateDir,
        policy: Option<&Policy>,
        now_secs: u64,
    ) -> Result<Self, KeptError> {
        let mut responder = Responder::default();
        if let Some(policy) = policy {
            responder.set_policy(policy);
        }
        responder.resume(kept::load_responses(own)?.as_ref(), now_secs);
        Ok(Self { responder, ..Self::default() })
    }

    pub(super) fn set_policy(&mut self, policy: &Policy) {
        self.responder.set_policy(policy);
    }
}

impl Agent {
    /// Tries what a sensor says, as it is going to be signed.
    pub(super) fn respond(&mut self, sample: &Sample) {
        let looks = |seen: &Observation| self.reacting.responder.looks_at(seen.body.class());
        if !sample.observations.iter().any(looks) {
            return;
        }
        let mut responder = std::mem::take(&mut self.reacting.responder);
        let vital =
            |address: IpAddr| is_vital(address, &Vital::read(&self.ways(), self.policy.as_ref()));
        let stands = |action: &Action| {
            let isolate = action.kind() == ActionKind::Isolate;
            isolate && self.containment.since_secs().is_some() || self.ledger.has(action)
        };
        let own = Own {
            autonomy: self.roster.held().roster.ceilings.autonomy.as_ref(),
            critical: self.is_critical(),
            vital: &vital,
            stands: &stands,
            new_id: &|| CommandId(uuid::Uuid::now_v7()),
            now_secs: self.secs(),
        };
        let seen = sample.observations.iter();
        let fired: Vec<_> = seen.flat_map(|seen| responder.handle(seen, &own)).collect();
        self.reacting.responder = responder;
        for fired in fired {
            if fired.action.is_some() {
                self.reacting.waiting.push(fired);
            } else {
                self.tell(Severity::Medium, Body::Response(Box::new(fired.reacted)));
            }
        }
        self.write_reactions();
    }

    fn is_critical(&self) -> bool {
        let endpoint = self.identity.endpoint;
        self.policy.as_ref().is_some_and(|policy| policy.critical.contains(&endpoint))
    }

    /// Nothing is done before it is on disk that it was: a crash must not begin the limits anew.
    fn write_reactions(&mut self) {
        if self.reacting.writing || self.reacting.waiting.is_empty() {
            return;
        }
        self.reacting.writing = true;
        let fired = std::mem::take(&mut self.reacting.waiting);
        let (own, bytes) = (self.own.clone(), codec::encode(&self.reacting.responder.kept()));
        self.jobs.push(async move {
            let written = blocking(move || own.write(RESPONSES, &bytes)).await;
            let written = super::command::flat(written).map_err(|error| error.to_string());
            Done::Reacted(Box::new((fired, written)))
        });
    }

    pub(super) fn reacted(&mut self, (fired, written): (Vec<Fired>, Result<(), String>)) {
        self.reacting.writing = false;
        for Fired { mut reacted, action, policy } in fired {
            let Some(action) = action else { continue };
            if let Err(why) = &written {
                tracing::error!(why, "a response could not be recorded and is withheld");
                reacted.action = None;
                reacted.withheld = Some(format!("it could not be recorded: {why}"));
                self.tell(Severity::High, Body::Response(Box::new(reacted)));
                continue;
            }
            let (id, response) = (reacted.id, reacted.response.clone());
            tracing::warn!(command = %id, response, action = action.kind().name(), "reacting");
            let reason = format!("policy response {response}, version {}", reacted.policy_version);
            self.tell(Severity::High, Body::Response(Box::new(reacted)));
            self.carry_out(id, policy, action, reason);
        }
        self.write_reactions();
    }

    /// As if a command had asked for it; nobody signed one, and the receipts carry the hash of the
    /// policy that says so.
    fn carry_out(&mut self, id: CommandId, hash: Hash, action: Action, reason: String) {
        let command = Command {
            id,
            client: self.identity.client.clone(),
            targets: Vec::new(),
            action,
            age_max_secs: 0,
            queued: false,
            roster_min: self.roster.held().reference,
            reason,
            incident: None,
        };
        let (signed, signers) = (Vec::new(), Vec::new());
        let may = Authorised { command, hash, signed, signers, forget_secs: 0 };
        if let Action::Isolate(isolate) = &may.command.action {
            self.isolate(&may, isolate);
        } else {
            self.deed(&may);
        }
    }
}
