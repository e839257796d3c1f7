//! What stands on this endpoint: joins the isolation to the commands that asked for it and to the
//! receipts that answer them.
//!
//! Pure. The event loop hands in commands, outcomes and endpoint time, carries [`Step`]s out one
//! after the other, and signs the receipts that come back.

mod disk;
mod drifts;
mod due;
mod receipts;
mod ways;

use std::collections::VecDeque;

use cordon_proto::command::{self, ActionKind, IfUnproved, Isolate};
use cordon_proto::event::Receipt;
use cordon_proto::event::agent::Standing;
use cordon_proto::event::receipt::Proof;
use cordon_proto::id::{CommandId, Hash};
use cordon_proto::policy::Policy;

use crate::action::isolate::record::{AtEnd, Order, Plan, Record, Terms, Unproved};
use crate::action::isolate::{Check, CutOutcome, Effect, Isolation, Report, Seen, What, Why};
use crate::guard::Authorised;
use crate::kept::KeptIsolation;
use disk::Disk;
use drifts::Drifts;
use due::Due;

pub(crate) use receipts::proof;
pub(crate) use ways::COLLECTORS_MAX;
pub use ways::Ways;

/// What the event loop must do, one after the other.
#[derive(Clone, Debug)]
pub enum Step {
    /// Write this to disk before anything else; answer with [`Containment::handle_saved`]. What
    /// could not be written comes again, and so does what could not be forgotten.
    Save(KeptIsolation),
    /// Forget what was written; answer with [`Containment::handle_saved`].
    Forget,
    /// Put the wall up; answer with [`Containment::handle_cut`].
    CutOff {
        /// Names this turn in the answer.
        turn: u32,
        /// What stays open.
        plan: Plan,
        /// What must be found good first.
        check: Check,
    },
    /// Look at the wall; answer with [`Containment::handle_seen`].
    Prove {
        /// Names this turn in the answer.
        turn: u32,
        /// What stays open.
        plan: Plan,
    },
    /// Take the wall down; answer with [`Containment::handle_let_back`].
    LetBack {
        /// Names this turn in the answer.
        turn: u32,
    },
    /// Sign this.
    Receipt(Box<Receipt>),
}

/// A command that something here was done for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
struct Cause {
    id: CommandId,
    hash: Hash,
    action: ActionKind,
}

/// Commands that receipts may still be due for; the oldest is the first to be forgotten.
const CAUSES_MAX: usize = 64;

/// What stands.
#[derive(Debug, Default)]
pub struct Containment {
    isolation: Isolation,
    causes: VecDeque<Cause>,
    /// Those of them that nobody was told anything of.
    due: Due,
    /// The last look at the wall.
    proof: Option<Proof>,
    proved: bool,
    disk: Disk,
    /// How long the last change took.
    change_us: u64,
    drifts: Drifts,
    since_secs: u64,
    /// The isolation that is being ended, for its own last receipt.
    ending: Option<Cause>,
    told: VecDeque<Receipt>,
    /// Isolations as they were signed: the one that stands, and those that may take its place.
    signed: VecDeque<(CommandId, Vec<u8>)>,
}

/// An isolation that is refused leaves the one before it standing; with more than so many under
/// way the oldest is kept without its signatures.
const SIGNED_MAX: usize = 4;

impl Containment {
    /// Takes up what stood when the agent last ran.
    #[must_use]
    pub fn resume(kept: Option<KeptIsolation>, endpoint_secs: u64) -> Self {
        let Some(mut kept) = kept else { return Self::default() };
        let mut disk = Disk::default();
        // Whoever takes it up counts on himself: what another has counted must not count again.
        let counted = kept.counted.take().is_some();
        if kept.count_from(endpoint_secs) || counted {
            disk.must_save();
        }
        let resumed = Self::take_up(kept, |record| Isolation::resume(record, endpoint_secs));
        Self { disk, ..resumed }
    }

    /// Takes up what stood when the agent last ran, to let it back because the single-use code was
    /// typed; it may be gone already.
    #[must_use]
    pub fn resume_ending(kept: Option<KeptIsolation>) -> Self {
        let end = |record| Isolation::resume_ending(record, Why::BreakGlass);
        kept.map_or_else(Self::default, |kept| Self::take_up(kept, end))
    }

    fn take_up(kept: KeptIsolation, resume: impl FnOnce(Record) -> Isolation) -> Self {
        let id = CommandId(uuid::Uuid::from_bytes(kept.record.command));
        let cause = Cause { id, hash: kept.command_hash, action: ActionKind::Isolate };
        let causes = VecDeque::from([cause]);
        let signed = kept.signed.map(|bytes| (id, bytes)).into_iter().collect();
        let due = Due::of(cause);
        Self { isolation: resume(kept.record), causes, due, signed, ..Self::default() }
    }

    /// Cuts the endpoint off, or changes how it is.
    pub fn handle_isolate(
        &mut self,
        may: &Authorised,
        isolate: &Isolate,
        policy: Option<&Policy>,
        ways: Ways,
        endpoint_secs: u64,
    ) {
        self.remember(may);
        if self.isolation.record().is_none() {
            self.since_secs = endpoint_secs;
        }
        // What the endpoint does by itself is held by the supervisor without any signature.
        if !may.signed.is_empty() {
            self.signed.push_back((may.command.id, may.signed.clone()));
        }
        if self.signed.len() > SIGNED_MAX {
            let standing = self.standing_cause().map(|cause| cause.id);
            let oldest = self.signed.iter().position(|(id, _)| Some(*id) != standing);
            oldest.and_then(|at| self.signed.remove(at));
        }
        let plan = ways.plan(policy, None);
        let command = may.command.id.0.into_bytes();
        let order = Order { command, lease_secs: isolate.lease_secs, terms: terms(isolate), plan };
        self.isolation.handle_order(order, endpoint_secs);
    }

    /// The policy, or the ways that must stay open, may have changed.
    pub fn handle_ways(&mut self, policy: Option<&Policy>, ways: Ways) {
        if let Some(standing) = self.plan() {
            self.isolation.handle_plan(ways.plan(policy, Some(&standing)));
        }
    }

    /// Lets the endpoint back.
    pub fn handle_release(&mut self, may: &Authorised) {
        self.ending = self.standing_cause();
        self.remember(may);
        self.isolation.handle_release(may.command.id.0.into_bytes());
    }

    /// The single-use code was typed: lets the endpoint back; answers whether anything stands.
    pub fn handle_break_glass(&mut self) -> bool {
        self.isolation.handle_break_glass()
    }

    /// The outcome of [`Step::Save`] or [`Step::Forget`].
    pub fn handle_saved(&mut self, outcome: Result<(), String>) {
        self.disk.handle_saved(outcome);
    }

    /// What was resumed was not on the disk, and has been written there, or could not be.
    pub fn handle_made_up(&mut self, saved: Result<(), String>) {
        self.disk.saves();
        self.disk.handle_saved(saved);
    }

    /// The outcome of [`Step::CutOff`], and how long the change took.
    pub fn handle_cut(&mut self, turn: u32, outcome: CutOutcome, change_us: u64, now_secs: u64) {
        self.change_us = change_us;
        self.isolation.handle_cut(turn, outcome, now_secs);
    }

    /// The outcome of [`Step::Prove`]; the proof is missing where nobody could look.
    pub fn handle_seen(&mut self, turn: u32, seen: Seen, proof: Option<Proof>, now_secs: u64) {
        self.proved = seen == Seen::Proved;
        self.proof = proof;
        self.isolation.handle_seen(turn, seen, now_secs);
    }

    /// The outcome of [`Step::LetBack`], and how long the change took.
    pub fn handle_let_back(
        &mut self,
        turn: u32,
        outcome: Result<(), String>,
        change_us: u64,
        now_secs: u64,
    ) {
        self.change_us = change_us;
        self.isolation.handle_let_back(turn, outcome, now_secs);
    }

    /// Somebody changed the wall.
    pub fn handle_drift(&mut self, found: String) {
        self.proved = false;
        self.isolation.handle_drift(found);
    }

    /// Devices came or went.
    pub fn handle_devices(&mut self) {
        self.isolation.handle_devices();
    }

    /// Ends leases, proves again, tries again, sums up.
    pub fn handle_timeout(&mut self, now_secs: u64) {
        if let (Some(cause), Some(sum)) =
            (self.standing_cause(), self.drifts.handle_timeout(now_secs))
        {
            self.told.push_back(receipts::receipt(cause, sum, now_secs));
        }
        self.isolation.handle_timeout(now_secs);
        self.disk.handle_timeout(self.isolation.record().is_some(), now_secs);
    }

    /// What is to be done next.
    pub fn poll_step(&mut self, now_secs: u64) -> Option<Step> {
        if let Some(receipt) = self.told.pop_front() {
            return Some(Step::Receipt(Box::new(receipt)));
        }
        loop {
            let Some(effect) = self.isolation.poll_effect() else {
                return self.disk_step(now_secs);
            };
            let step = match effect {
                Effect::Save(record) => self.save(record, now_secs),
                Effect::CutOff { turn, plan, check } => match self.disk.refuses(check) {
                    None => Step::CutOff { turn, plan, check },
                    Some(why) => {
                        let refused = CutOutcome::Refused(why);
                        self.isolation.handle_cut(turn, refused, now_secs);
                        continue;
                    }
                },
                Effect::Prove { turn } => match self.plan() {
                    Some(plan) => Step::Prove { turn, plan },
                    None => continue,
                },
                Effect::LetBack { turn } => Step::LetBack { turn },
                Effect::Forget => {
                    self.disk.forgets();
                    Step::Forget
                }
                Effect::Report(report) => {
                    self.report(report, now_secs);
                    match self.told.pop_front() {
                        Some(receipt) => Step::Receipt(Box::new(receipt)),
                        None => continue,
                    }
                }
            };
            return Some(step);
        }
    }

    /// What the disk refused is asked of it again.
    fn disk_step(&mut self, now_secs: u64) -> Option<Step> {
        if let Some(renewed) = self.disk.renewed() {
            self.report(renewed, now_secs);
            return self.told.pop_front().map(|receipt| Step::Receipt(Box::new(receipt)));
        }
        if !self.disk.is_due() {
            return None;
        }
        if let Some(record) = self.isolation.record().cloned() {
            return Some(self.save(record, now_secs));
        }
        self.disk.forgets();
        Some(Step::Forget)
    }

    fn save(&mut self, record: Record, now_secs: u64) -> Step {
        self.disk.saves();
        Step::Save(self.as_kept(record, now_secs))
    }

    /// The record as it stands, for a supervisor that counts its lease; none where nothing stands.
    #[must_use]
    pub fn kept(&self, now_secs: u64) -> Option<KeptIsolation> {
        Some(self.as_kept(self.isolation.record()?.clone(), now_secs))
    }

    fn as_kept(&self, record: Record, now_secs: u64) -> KeptIsolation {
        let cause = self.cause(CommandId(uuid::Uuid::from_bytes(record.command)));
        let signed = self.signed.iter().find(|(id, _)| *id == cause.id);
        let signed = signed.map(|(_, bytes)| bytes.clone());
        let (command_hash, saved_secs) = (cause.hash, Some(now_secs));
        KeptIsolation { record, command_hash, signed, saved_secs, counted: None }
    }

    fn report(&mut self, report: Report, now_secs: u64) {
        let Report { command, what } = report;
        let renewed = matches!(what, What::Renewed { .. });
        let what = if renewed { self.disk.told_later(command, what) } else { what };
        let id = CommandId(uuid::Uuid::from_bytes(command));
        let settled = due::Settled::by(&what);
        let mut receipts = self.receipts(self.cause(id), what, now_secs);
        self.due.handle_receipts(&receipts);
        receipts.extend(self.overtaken(id, settled, now_secs));
        self.due.handle_receipts(&receipts);
        self.told.extend(receipts);
    }

    /// Whether what is over is still on the disk, because that does not let go of it.
    #[must_use]
    pub fn is_unforgotten(&self) -> bool {
        self.disk.is_unforgotten()
    }

    /// What stays open, while the endpoint is cut off or is being cut off.
    #[must_use]
    pub fn plan(&self) -> Option<Plan> {
        self.isolation.record().map(|record| record.plan.clone())
    }

    /// What stands, for health.
    #[must_use]
    pub fn standing(&self) -> Vec<Standing> {
        let record = self.isolation.record();
        let standing = record.map(|record| Standing {
            command: CommandId(uuid::Uuid::from_bytes(record.command)),
            action: ActionKind::Isolate,
            until_secs: Some(record.until_secs),
            proved: self.proved,
        });
        standing.into_iter().collect()
    }

    /// The command of the isolation that stands, and when the first one that made it stand was asked
    /// for, in seconds of endpoint time; 0 where that was before the agent last started.
    #[must_use]
    pub fn since(&self) -> Option<(CommandId, u64)> {
        Some((self.standing_cause()?.id, self.since_secs))
    }

    fn remember(&mut self, may: &Authorised) {
        let (id, action) = (may.command.id, may.command.action.kind());
        let cause = Cause { id, hash: may.hash, action };
        self.causes.push_back(cause);
        self.due.push(cause);
        if self.causes.len() > CAUSES_MAX {
            let standing = self.standing_cause().map(|cause| cause.id);
            let oldest = self.causes.iter().position(|cause| Some(cause.id) != standing);
            oldest.and_then(|at| self.causes.remove(at));
        }
    }

    fn standing_cause(&self) -> Option<Cause> {
        let record = self.isolation.record()?;
        Some(self.cause(CommandId(uuid::Uuid::from_bytes(record.command))))
    }

    fn cause(&self, id: CommandId) -> Cause {
        let known = self.causes.iter().find(|cause| cause.id == id);
        known.copied().unwrap_or(Cause { id, hash: Hash::default(), action: ActionKind::Isolate })
    }
}

fn terms(isolate: &Isolate) -> Terms {
    let if_unproved = match isolate.if_unproved {
        IfUnproved::Hold => Unproved::Hold,
        IfUnproved::Release => Unproved::Release,
    };
    let at_end = match isolate.at_end {
        command::AtEnd::LetBack => AtEnd::LetBack,
        command::AtEnd::Stay => AtEnd::Stay,
    };
    Terms::new(if_unproved, at_end, isolate.accept_loss)
}

#[cfg(test)]
mod tests {
    use cordon_proto::command::{Action, Command};
    use cordon_proto::event::receipt::{EndCause, Outcome};
    use cordon_proto::policy;
    use cordon_proto::roster::RosterRef;

    use super::*;

    /// A command of this number, which is its id; its hash is that of the id's text.
    pub(super) fn authorised(number: u128, action: ActionKind) -> Authorised {
        let id = CommandId(uuid::Uuid::from_u128(number));
        let action = if action == ActionKind::Isolate {
            Action::Isolate(Isolate::default())
        } else {
            Action::Release
        };
        let command = Command {
            id,
            client: "acme".parse().unwrap(),
            targets: vec![],
            action,
            age_max_secs: 1,
            queued: false,
            roster_min: RosterRef::default(),
            reason: String::new(),
            incident: None,
            snapshot: None,
        };
        let hash = Hash::of(id.to_string().as_bytes());
        Authorised { command, hash, signed: b"signed".to_vec(), signers: vec![], forget_secs: 0 }
    }

    pub(super) fn ways() -> Ways {
        let collectors = vec!["192.0.2.7:7443".parse().unwrap()];
        Ways { mark: 7, collectors, ..Ways::default() }
    }

    #[test]
    fn what_is_resumed_keeps_its_command_and_its_lease() {
        let mut before = Containment::default();
        let may = authorised(1, ActionKind::Isolate);
        before.handle_isolate(&may, &Isolate::default(), None, ways(), 0);
        let Some(Step::Save(kept)) = before.poll_step(0) else { panic!("nothing saved") };
        assert_eq!(kept.signed.as_deref(), Some(b"signed".as_slice()));
        let mut resumed = Containment::resume(Some(kept), 10);
        let Some(Step::CutOff { turn, plan, check }) = resumed.poll_step(10) else {
            panic!("not cut off again")
        };
        assert_eq!((plan.collectors.len(), check), (1, Check::Again));
        resumed.handle_cut(turn, CutOutcome::Done, 5, 10);
        let Some(Step::Receipt(receipt)) = resumed.poll_step(10) else { panic!("no receipt") };
        assert_eq!((receipt.command, receipt.command_hash), (Some(may.command.id), may.hash));
        assert_eq!(resumed.standing()[0].until_secs, Some(Isolate::default().lease_secs));
    }

    #[test]
    fn what_a_typed_code_ended_is_receipted_once_under_the_isolation_also_after_a_restart() {
        let mut before = Containment::default();
        let may = authorised(1, ActionKind::Isolate);
        before.handle_isolate(&may, &Isolate::default(), None, ways(), 0);
        let Some(Step::Save(kept)) = before.poll_step(0) else { panic!("nothing saved") };
        assert!(before.handle_break_glass());
        let resumed = Containment::resume_ending(Some(kept));
        for mut containment in [before, resumed] {
            let mut receipts = Vec::new();
            while let Some(step) = containment.poll_step(10) {
                match step {
                    Step::LetBack { turn } => containment.handle_let_back(turn, Ok(()), 5, 10),
                    Step::Receipt(receipt) => receipts.push(*receipt),
                    Step::Forget | Step::CutOff { .. } => {}
                    other @ (Step::Save(_) | Step::Prove { .. }) => panic!("{other:?}"),
                }
            }
            let [receipt] = receipts.as_slice() else { panic!("{receipts:?}") };
            assert_eq!((receipt.command, receipt.command_hash), (Some(may.command.id), may.hash));
            let ended = Outcome::Ended { cause: EndCause::BreakGlass, observed_gone: true };
            assert_eq!(receipt.outcome, ended);
            assert!(containment.standing().is_empty());
            assert!(!containment.handle_break_glass(), "nothing is left");
        }
        assert!(Containment::resume_ending(None).poll_step(0).is_none());
    }

    #[test]
    fn the_policys_exemptions_stay_open() {
        let exempt = policy::Exemption {
            address: "192.0.2.9".parse().unwrap(),
            port: 22,
            transport: policy::Transport::Tcp,
            process: None,
            user: None,
        };
        let policy = Policy { exemptions: vec![exempt], ..Policy::new("acme".parse().unwrap(), 1) };
        let mut containment = Containment::default();
        let may = authorised(1, ActionKind::Isolate);
        containment.handle_isolate(&may, &Isolate::default(), Some(&policy), ways(), 0);
        let plan = containment.plan().unwrap();
        assert_eq!(plan.exemptions[0].peer.to_string(), "192.0.2.9:22");
    }
}
