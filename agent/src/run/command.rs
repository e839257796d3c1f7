//! Commands and rosters: judged, noted, answered, carried out.

use cordon_proto::codec;
use cordon_proto::command::{Action, Isolate};
use cordon_proto::event::Receipt;
use cordon_proto::event::receipt::Outcome;
use cordon_proto::id::CommandId;
use cordon_proto::policy::Policy;

use super::Agent;
use super::jobs::{Done, blocking};
use crate::break_glass::Orderer;
use crate::guard::{self, Authorised, Own};
use crate::identity::StateDirError;
use crate::kept::{GUARD, POLICY};
use crate::machine;
use crate::redact::Redactor;

impl Agent {
    /// Judges a command and sets about it; its id, or why not.
    pub(super) fn command(&mut self, bytes: &[u8]) -> Result<CommandId, String> {
        let (moment, host_name) = (self.moment(), machine::host_name());
        let stale = |nonce: &_, age_max_secs, queued| {
            let fresh = self.nonces.check(nonce, age_max_secs, queued, moment);
            fresh.err().map(|stale| stale.to_string())
        };
        let own = Own {
            endpoint: self.identity.endpoint,
            host_name: &host_name,
            client: &self.identity.client,
            roster: self.roster.held(),
            policy: self.policy.as_ref(),
            endpoint_secs: moment.endpoint_secs,
            stale: &stale,
            accepted: &self.memory.accepted,
        };
        match guard::judge(bytes, &own) {
            Ok(may) => {
                let id = may.command.id;
                self.note_command(may);
                Ok(id)
            }
            Err(refusal) => {
                let reason = refusal.reason.clone();
                tracing::warn!(check = ?refusal.check, reason = refusal.reason, "refused a command");
                if let Some(refusal) = self.refusals.handle(refusal, self.clock.now()) {
                    let receipt = refusal.receipt(moment.endpoint_secs, 0);
                    self.tell_receipt(receipt);
                }
                Err(reason)
            }
        }
    }

    /// The id is on disk before anything is done: a crash in between must not let it be obeyed
    /// twice, and what it leaves nothing of is answered then.
    fn note_command(&mut self, may: Authorised) {
        self.memory.accepted.note(may.command.id, may.forget_secs);
        self.memory.begun.note(&may);
        let (own, memory) = (self.own.clone(), self.memory.to_write());
        self.jobs.push(async move {
            let written = blocking(move || memory.write(|bytes| own.write(GUARD, bytes))).await;
            Done::Noted(Box::new((may, flat(written))))
        });
    }

    pub(super) fn noted(&mut self, (may, written): (Authorised, Result<(), StateDirError>)) {
        let id = may.command.id;
        if let Err(error) = written {
            tracing::error!(command = %id, %error, "an authorised command could not be noted");
            self.memory.begun.forget(id);
            let reason = format!("not obeyed, because its id could not be kept: {error}");
            return self.answer(&may, Outcome::Failed { reason });
        }
        let action = may.command.action.kind().name();
        tracing::info!(command = %id, action, signers = ?may.signers, "obeying a command");
        self.answer(&may, Outcome::Accepted { signers: may.signers.clone() });
        if may.command.snapshot.is_some() {
            return self.hold(may);
        }
        if may.command.action.kind().undoes() {
            // What is undone was asked for before.
            self.go_on_all();
        }
        self.obey(may);
    }

    /// Sets about a command.
    pub(super) fn obey(&mut self, may: Authorised) {
        match &may.command.action {
            Action::Isolate(isolate) => {
                self.may_isolate(Orderer::Operators);
                self.isolate(&may, isolate);
            }
            Action::Release => {
                self.containment.handle_release(&may);
                self.act();
            }
            Action::Undo { .. }
            | Action::ReleaseAll
            | Action::Kill(_)
            | Action::Suspend(_)
            | Action::Quarantine(_)
            | Action::Deny(_)
            | Action::Block(_)
            | Action::LockAccount(_)
            | Action::StopService(_)
            | Action::BlockStorage(_) => self.deed(&may),
            Action::Collect(collect) => {
                let collect = collect.clone();
                self.collect(&may, collect);
            }
            Action::SetPolicy(policy) => {
                let policy = policy.clone();
                self.keep_policy(may, policy);
            }
            Action::Query(query) => {
                let query = query.clone();
                self.ask_query(may, query);
            }
        }
    }

    pub(super) fn isolate(&mut self, may: &Authorised, isolate: &Isolate) {
        let (ways, secs) = (self.ways(), self.secs());
        let policy = self.policy.as_ref();
        self.containment.handle_isolate(may, isolate, policy, ways, secs);
        self.act();
        self.look_around();
    }

    fn keep_policy(&mut self, may: Authorised, policy: Policy) {
        let (own, bytes) = (self.own.clone(), codec::encode(&policy));
        self.jobs.push(async move {
            let written = blocking(move || own.write(POLICY, &bytes)).await;
            Done::PolicyKept(Box::new((may, policy, flat(written))))
        });
    }

    pub(super) fn policy_kept(
        &mut self,
        (may, policy, written): (Authorised, Policy, Result<(), StateDirError>),
    ) {
        let outcome = match written {
            Ok(()) => {
                self.sensors.redact_by(redactor(&policy));
                self.reacting.set_policy(&policy);
                self.policy = Some(policy);
                self.follow_budget();
                Outcome::Applied { change_us: 0, until_secs: None, stood_already: false }
            }
            Err(error) => Outcome::Failed { reason: error.to_string() },
        };
        self.answer(&may, outcome);
        // With the new policy's users; what it opens and closes follows when they are known.
        self.look_around();
    }

    pub(super) fn answer(&mut self, may: &Authorised, outcome: Outcome) {
        let receipt = Receipt {
            command: Some(may.command.id),
            command_hash: may.hash,
            action: Some(may.command.action.kind()),
            endpoint_secs: self.secs(),
            outcome,
            repeated: 0,
        };
        self.tell_receipt(receipt);
    }

    /// Says what a restart has cut short: commands that were taken, and neither answered nor left in
    /// a record that is gone on with.
    pub(super) fn answer_interrupted(&mut self) {
        let goes_on =
            |id| self.isolated_by(id) || self.ledger.knows(id) || self.collecting.orders.knows(id);
        let interrupted = self.memory.begun.interrupted(goes_on, self.secs());
        for receipt in interrupted {
            tracing::warn!(command = ?receipt.command, "a command was interrupted");
            self.tell_receipt(receipt);
        }
    }

    pub(super) fn take_roster(&mut self, bytes: &[u8]) {
        match self.roster.offer(bytes) {
            Ok(false) => {}
            Ok(true) => {
                let version = self.roster.held().reference.version;
                tracing::info!(version, "took a newer roster");
                self.follow_roster();
                self.keep_way_out();
                self.replan();
                // Signed health names the roster held, and operators wait for that.
                self.ask_health();
            }
            Err(error) => tracing::warn!(%error, "refused a roster"),
        }
    }
}

/// What a policy wants taken out. The guard has refused what cannot be used; should it be kept from
/// another version of the agent, the agent's own rules stay.
pub(super) fn redactor(policy: &Policy) -> Redactor {
    Redactor::new(policy.redactions.as_ref()).unwrap_or_else(|error| {
        tracing::error!(%error, "the policy's redactions cannot be used; only the agent's own are");
        Redactor::default()
    })
}

/// An error of the helper thread is one of the disk it worked on.
pub(super) fn flat(
    written: std::io::Result<Result<(), StateDirError>>,
) -> Result<(), StateDirError> {
    written.unwrap_or_else(|cause| Err(StateDirError::helper(cause)))
}
