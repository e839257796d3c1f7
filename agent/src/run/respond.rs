//! Tries the responses of policy on what sensors say, has what they decided written down and told in
//! one, and carries it out.

use std::net::IpAddr;

use cordon_proto::codec;
use cordon_proto::command::{Action, ActionKind, Command};
use cordon_proto::event::receipt::Outcome;
use cordon_proto::event::{Body, Observation, Receipt, Severity};
use cordon_proto::id::CommandId;
use cordon_proto::policy::Policy;

use super::Agent;
use super::jobs::Done;
use crate::action::block::vital::{Vital, is_vital};
use crate::break_glass::Orderer;
use crate::clock;
use crate::endpoint_time::EndpointTime;
use crate::guard::Authorised;
use crate::response::{Due, Fired, Kept, Own, Responder};
use crate::sensor::{Checkpoint, Sample};
use crate::spool::{Spool, SpoolError, Taken};

/// Under which the spool keeps what responses did, in one with what is told of it.
const KEY: &str = "response";

/// The number of the machine's first process.
const FIRST_PROCESS: u32 = 1;

/// What responses decided, on its way to the disk: one write at a time, so that the newest is the
/// last. Its length is bounded by how often responses may do or tell something.
#[derive(Default)]
pub(super) struct Reacting {
    responder: Responder,
    waiting: Vec<Fired>,
    writing: bool,
    /// What is being written is not the newest.
    stale: bool,
}

impl Reacting {
    /// Takes up the policy held and what its responses did before a restart.
    pub(super) fn resume(
        spool: &mut Spool,
        policy: Option<&Policy>,
        time: &EndpointTime,
        now_secs: u64,
    ) -> Result<Self, SpoolError> {
        let mut responder = Responder::default();
        if let Some(policy) = policy {
            responder.set_policy(policy);
        }
        let kept = spool.checkpoints(KEY)?.into_iter().next();
        let read = kept.map_or(Ok(Kept::default()), |(_, bytes)| codec::decode_strict(&bytes));
        if let Err(error) = &read {
            tracing::error!(%error, "what the endpoint did by itself cannot be read; it waits an hour");
        }
        responder.resume(read.ok(), time.boot_count(), now_secs);
        Ok(Self { responder, ..Self::default() })
    }

    /// Whether something is on its way to the disk.
    pub(super) fn is_writing(&self) -> bool {
        self.writing
    }

    fn checkpoint(&self) -> Checkpoint {
        Checkpoint { key: KEY.to_owned(), value: Some(codec::encode(&self.responder.kept())) }
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
            isolate && self.containment.since().is_some() || self.ledger.has(action)
        };
        let own_process = std::process::id();
        let spared = |pid| match pid {
            FIRST_PROCESS => Some("the machine's first one"),
            own if own == own_process => Some("the agent itself"),
            _ => None,
        };
        let own = Own {
            autonomy: self.roster.held().roster.ceilings.autonomy.as_ref(),
            critical: self.is_critical(),
            vital: &vital,
            stands: &stands,
            spared: &spared,
            new_id: &|| CommandId(uuid::Uuid::now_v7()),
            now_secs: self.secs(),
        };
        let mut fired = Vec::new();
        for seen in &sample.observations {
            if !responder.looks_at(seen.body.class()) {
                continue;
            }
            // A response looks at a line, however many travel together.
            let lines = seen.apart();
            let seen = lines.as_deref().unwrap_or(std::slice::from_ref(seen));
            fired.extend(seen.iter().flat_map(|seen| responder.handle(seen, &own)));
        }
        self.reacting.responder = responder;
        self.reacting.waiting.extend(fired);
        self.write_reactions();
    }

    fn is_critical(&self) -> bool {
        let endpoint = self.identity.endpoint;
        self.policy.as_ref().is_some_and(|policy| policy.critical.contains(&endpoint))
    }

    /// Nothing is done before it is on disk that it was decided, and told: a crash must neither begin
    /// the limits anew nor tell of it twice.
    /// What was handed to the spool before goes first, so that no older state follows a newer one.
    pub(super) fn write_reactions(&mut self) {
        let wanted = self.reacting.stale || !self.reacting.waiting.is_empty();
        if !wanted || self.reacting.writing || !self.delivery.is_idle() {
            return;
        }
        (self.reacting.writing, self.reacting.stale) = (true, false);
        let waiting = std::mem::take(&mut self.reacting.waiting);
        let clock::Stamp { time_ns, boot_ns } = clock::stamp();
        let (mut observations, mut due) = (Vec::new(), Vec::new());
        for Fired { reacted, due: one } in waiting {
            let severity = if one.is_some() { Severity::High } else { Severity::Medium };
            let body = Body::Response(Box::new(reacted));
            observations.push(Observation { time_ns, boot_ns, severity, body });
            due.extend(one);
        }
        let checkpoints = vec![self.reacting.checkpoint()];
        let sample = Sample { observations, checkpoints, ..Sample::default() };
        let spool = self.spool.clone();
        self.jobs.push(async move { Done::Reacted(Box::new((due, spool.keep(sample).await))) });
    }

    pub(super) fn reacted(&mut self, (due, kept): (Vec<Due>, Result<Taken, SpoolError>)) {
        self.reacting.writing = false;
        match kept {
            Ok(Taken::Stored) => {}
            // It will be told once there is room. Whatever leaves a trace is refused for itself
            // where its own record cannot be written.
            Ok(Taken::Waiting(why)) => {
                tracing::error!(why, "what the endpoint does by itself is not on disk yet");
            }
            Err(error) => {
                // The spool has ended, and with it the agent: what was written is done at the next
                // start, and what was not never was.
                tracing::error!(%error, "what the endpoint would do by itself is not recorded");
                return;
            }
        }
        due.into_iter().for_each(|due| self.carry_out(due));
        self.write_reactions();
    }

    /// Carries out what was decided before a restart and never begun. What isolation or the ledger
    /// took up by itself is theirs.
    pub(super) fn resume_reactions(&mut self) {
        let now_secs = self.secs();
        for (due, may) in self.reacting.responder.unfinished(now_secs) {
            let id = due.id;
            if self.ledger.knows(id) || self.isolated_by(id) {
                continue;
            }
            match may {
                Ok(()) => self.carry_out(due),
                Err(reason) => self.tell_receipt(Receipt {
                    command: Some(id),
                    command_hash: due.policy,
                    action: Some(due.action.kind()),
                    endpoint_secs: now_secs,
                    outcome: Outcome::Failed { reason },
                    repeated: 0,
                }),
            }
        }
    }

    /// The first receipt of something that the endpoint does by itself says that others have it in
    /// hand: that goes to disk in one with the receipt, so that a restart does not begin it again.
    pub(super) fn receipt_of_reaction(&mut self, receipt: &Receipt) -> Option<Checkpoint> {
        let news = self.reacting.responder.handle_receipt(receipt.command?);
        self.reacting.stale |= news && self.reacting.writing;
        (news && !self.reacting.writing).then(|| self.reacting.checkpoint())
    }

    /// The spool was lost, with what it kept for responses.
    pub(super) fn keep_reactions(&mut self) {
        self.reacting.stale = true;
        self.write_reactions();
    }

    /// As if a command had asked for it; nobody signed one, and the receipts carry the hash of the
    /// policy that says so.
    fn carry_out(&mut self, due: Due) {
        let Due { id, policy: hash, action, reason, .. } = due;
        tracing::warn!(command = %id, reason, action = action.kind().name(), "reacting");
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
            snapshot: None,
        };
        let (signed, signers) = (Vec::new(), Vec::new());
        let may = Authorised { command, hash, signed, signers, forget_secs: 0 };
        let Action::Isolate(isolate) = &may.command.action else { return self.deed(&may) };
        if self.may_isolate(Orderer::Endpoint) {
            return self.isolate(&may, isolate);
        }
        let reason = "an administrator has typed a break-glass code, and what it opens is not closed \
                      by the endpoint itself";
        self.answer(&may, Outcome::Failed { reason: reason.to_owned() });
    }
}
