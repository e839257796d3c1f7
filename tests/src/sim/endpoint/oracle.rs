//! What must stand on the endpoint, what may, and what must not, reckoned from what operators
//! signed, what the endpoint told, and a clock that nobody on the endpoint sees.
//!
//! It knows nothing of the cores that it judges.

mod thing;

use std::collections::{BTreeMap, BTreeSet};

use cordon_proto::command::{Action, AtEnd, IfUnproved};
use cordon_proto::event::Receipt;
use cordon_proto::event::receipt::{EndCause, Outcome};
use cordon_proto::id::CommandId;

use super::Fault;
use super::event::SUBJECTS;
use super::machine::{Clock, Wall};
use super::operators::Message;
use thing::{Live, State, Thing};

/// A wall that is missing, or should be gone, may be so for this long while somebody runs and the
/// kernel obeys: what failed is tried again every five seconds.
const WALL_GRACE_SECS: u64 = 20;
/// The same for what is locked: it is looked at every minute and tried again after a quarter.
const LOCK_GRACE_SECS: u64 = 110;
/// What a boot costs of every lease, and how often endpoint time is kept.
const BOOT_SECS: u64 = 60;
/// For how long a record that nobody can read may hold.
const UNREADABLE_SECS: u64 = 3_600;
/// For how long the collector must be silent before an order that says so lets go.
const SILENT_SECS: u64 = 290;

/// The command of a record that nobody can read.
const NOBODY: CommandId = CommandId(uuid::Uuid::nil());

pub(super) struct Oracle {
    network: Thing,
    subjects: [Thing; SUBJECTS],
    history: BTreeMap<CommandId, Live>,
    obeyed: BTreeSet<CommandId>,
    /// Of those, what nobody was told the outcome of.
    unanswered: BTreeSet<CommandId>,
    guard_is_lost: bool,
    /// Which command each undoing is for.
    undoes: BTreeMap<CommandId, CommandId>,
    reboots: u64,
    /// Time that the endpoint cannot know of: it was not kept before a boot, or its clock was set
    /// back.
    lost_secs: u64,
    kept_at: u64,
    /// What of the time since then is counted as lost already.
    counted_secs: u64,
    /// 1 once the machine has booted since then.
    boots_unkept: u64,
    /// Endpoint time stands still until then, because the clock was set back.
    held_until: u64,
    silent_since: Option<u64>,
    /// When the disk refused something last.
    pub(super) disk_refused_at: Option<u64>,
    pub(super) first_fault: Option<Fault>,
}

impl Default for Oracle {
    fn default() -> Self {
        Self {
            network: Thing::new("the network", WALL_GRACE_SECS),
            subjects: std::array::from_fn(|_| Thing::new("a lock", LOCK_GRACE_SECS)),
            history: BTreeMap::new(),
            obeyed: BTreeSet::new(),
            unanswered: BTreeSet::new(),
            guard_is_lost: false,
            undoes: BTreeMap::new(),
            reboots: 0,
            lost_secs: 0,
            kept_at: 0,
            counted_secs: 0,
            boots_unkept: 0,
            held_until: 0,
            silent_since: None,
            disk_refused_at: None,
            first_fault: None,
        }
    }
}

impl Oracle {
    pub(super) fn fault(&mut self, fault: Fault) {
        self.first_fault.get_or_insert(fault);
    }

    /// What the guard keeps is lost, and with it what wants an answer, until it is written again.
    pub(super) fn guard_lost(&mut self) {
        self.unanswered.clear();
        self.guard_is_lost = true;
    }

    pub(super) fn guard_kept(&mut self) {
        self.guard_is_lost = false;
    }

    /// A release whose id no disk took may be taken again after a restart: whoever can bring that
    /// about is root on the endpoint.
    pub(super) fn unnoted(&mut self, id: CommandId) {
        self.obeyed.remove(&id);
    }

    /// A command that was obeyed and never answered.
    pub(super) fn unanswered(&self) -> Option<CommandId> {
        self.unanswered.first().copied()
    }

    pub(super) fn lost_secs(&self) -> u64 {
        self.lost_secs
    }

    pub(super) fn time_kept(&mut self, now: u64) {
        (self.kept_at, self.counted_secs, self.boots_unkept) = (now, 0, 0);
    }

    pub(super) fn clock_set_back(&mut self, secs: u64, now: u64) {
        self.lost_secs += secs;
        self.held_until = self.held_until.max(now) + secs;
    }

    pub(super) fn collector(&mut self, answers: bool, now: u64) {
        self.silent_since = if answers { None } else { self.silent_since.or(Some(now)) };
    }

    /// The machine was off for a moment; what ran since time was kept last is lost, but for what a
    /// boot costs.
    pub(super) fn rebooted(&mut self, now: u64) {
        self.reboots += 1;
        let lost_secs = now.saturating_sub(self.kept_at).saturating_sub(BOOT_SECS);
        self.lost_secs += lost_secs.saturating_sub(self.counted_secs);
        self.counted_secs = lost_secs;
        // What each boot costs is added to what was kept, and not to the boot before.
        self.lost_secs += self.boots_unkept * BOOT_SECS;
        self.boots_unkept = 1;
    }

    /// Somebody takes up leases without knowing when they began: they may be counted from now.
    pub(super) fn time_begun_anew(&mut self, now: u64) {
        for thing in self.things() {
            thing.live.iter_mut().for_each(|live| live.counted_from(now));
        }
    }

    /// Endpoint time is gone: nobody could tell whether a release is fresh, so that what was to
    /// stay may end with its lease.
    pub(super) fn time_lost(&mut self) {
        self.network.live.iter_mut().for_each(|live| live.may_end = true);
    }

    /// Somebody starts and finds a record that cannot be read.
    pub(super) fn unreadable(&mut self, now: u64) {
        self.network.live.retain(|live| live.id != NOBODY);
        self.network.live.iter_mut().for_each(|live| live.state = State::Doubtful);
        let live = self.live(NOBODY, now, Some(UNREADABLE_SECS));
        self.network.live.push(live);
    }

    fn live(&self, id: CommandId, now: u64, lease_secs: Option<u64>) -> Live {
        Live {
            id,
            subject: None,
            state: State::Pending,
            from: now,
            lease_secs,
            stays: false,
            may_end: false,
            was_asked: false,
            lets_go: false,
            is_going: false,
            reboots: self.reboots,
            lost_secs: self.lost_secs.saturating_sub(self.held_until.saturating_sub(now)),
            extra_secs: 0,
            ended_at: 0,
        }
    }

    /// A command passed the guard.
    pub(super) fn judged(
        &self,
        message: &Message,
        clock: &Clock,
        fresh_secs: u64,
    ) -> Option<Fault> {
        let id = message.command.id;
        if let Some(forgery) = message.forgery {
            return Some(Fault::Forged(format!("{id} is forged ({forgery:?}) and was taken")));
        }
        if self.obeyed.contains(&id) {
            return Some(Fault::Forged(format!("{id} was obeyed before and was taken again")));
        }
        let age_secs = clock.true_secs.saturating_sub(message.published.true_secs);
        if age_secs > fresh_secs {
            return Some(Fault::Forged(format!("{id} is {age_secs} s old and was taken")));
        }
        let other_boot = message.published.boot != clock.boot;
        (other_boot && !message.command.queued)
            .then(|| Fault::Forged(format!("{id} is of another boot and was taken")))
    }

    /// A command is about to be done.
    pub(super) fn obeyed(&mut self, message: &Message, now: u64) -> Option<Fault> {
        let id = message.command.id;
        if !self.obeyed.insert(id) {
            return Some(Fault::Forged(format!("{id} is obeyed twice")));
        }
        if !self.guard_is_lost {
            self.unanswered.insert(id);
        }
        match &message.command.action {
            Action::Isolate(isolate) => {
                let stays = isolate.at_end == AtEnd::Stay;
                let lets_go = isolate.if_unproved == IfUnproved::Release;
                let live = self.live(id, now, Some(isolate.lease_secs));
                let live = Live { stays, lets_go, ..live };
                self.history.insert(id, live.clone());
                self.network.live.push(live);
            }
            Action::LockAccount(lock) => {
                let subject: usize = lock.user.parse().unwrap();
                let live = self.live(id, now, lock.lease_secs);
                let live = Live { subject: Some(subject), ..live };
                self.history.insert(id, live.clone());
                self.subjects[subject].live.push(live);
            }
            Action::Release => self.network.release(|_| true),
            Action::Undo { of } => {
                self.undoes.insert(id, *of);
                self.subjects.iter_mut().for_each(|thing| thing.release(|live| live.id == *of));
            }
            Action::ReleaseAll => {
                self.network.release(|_| true);
                self.subjects.iter_mut().for_each(|thing| thing.release(|_| true));
            }
            other => unreachable!("{other:?} is not part of this world"),
        }
        None
    }

    /// What the endpoint told about a command.
    pub(super) fn told(&mut self, receipt: &Receipt, now: u64) -> Option<Fault> {
        let id = receipt.command?;
        self.unanswered.remove(&id);
        match &receipt.outcome {
            Outcome::Applied { .. } => {
                self.things().for_each(|thing| thing.applied(id));
                None
            }
            // Neither is an end: it goes on trying.
            Outcome::Failed { reason }
                if reason.contains("tried again") || reason.contains("stays cut off") =>
            {
                if self.is_silent(now) {
                    let live = self.network.live.iter_mut().find(|live| live.id == id);
                    live.into_iter().for_each(|live| live.is_going = true);
                }
                None
            }
            // It may have been done, and be over.
            Outcome::Failed { reason } if reason.contains("interrupted") => {
                self.things().for_each(|thing| thing.interrupted(id));
                None
            }
            Outcome::Failed { reason } => {
                if reason.contains("still stands")
                    && let Some(of) = self.undoes.get(&id).copied()
                {
                    self.things().for_each(|thing| thing.doubt(|live| live.id == of));
                }
                self.things().for_each(|thing| thing.refused(id));
                None
            }
            Outcome::Observed { probes } if probes.iter().any(|probe| !probe.passed) => {
                self.things().for_each(|thing| thing.doubt(|_| true));
                None
            }
            Outcome::Ended { cause, .. } => self.ended(id, *cause, now),
            _ => None,
        }
    }

    fn ended(&mut self, id: CommandId, cause: EndCause, now: u64) -> Option<Fault> {
        let (reboots, is_silent) = (self.reboots, self.is_silent(now));
        let live = self.things().find_map(|thing| thing.ended(id, now))?;
        self.history.insert(id, Live { ended_at: now, ..live.clone() });
        let early = live.earliest_end(reboots).is_none_or(|earliest| now < earliest);
        match cause {
            EndCause::LeaseEnded if early && live.state != State::Doubtful => {
                Some(Fault::Lost(format!("the lease of {id} ended too early")))
            }
            EndCause::Released if live.state == State::Told && !live.was_asked => {
                Some(Fault::Lost(format!("{id} was released and nobody asked for it")))
            }
            EndCause::Unproved => {
                let may = live.lets_go && (is_silent || live.is_going);
                (!may).then(|| Fault::Lost(format!("{id} was let go and must not be")))
            }
            _ => None,
        }
    }

    fn is_silent(&self, now: u64) -> bool {
        self.silent_since.is_some_and(|since| now.saturating_sub(since) >= SILENT_SECS)
    }

    fn things(&mut self) -> impl Iterator<Item = &mut Thing> {
        std::iter::once(&mut self.network).chain(&mut self.subjects)
    }

    /// Whoever ran has died, and this is what its disk says stands. What it knew and could not
    /// write down is forgotten.
    pub(super) fn died(&mut self, isolation: Option<CommandId>, deeds: &[CommandId]) {
        let refused_at = self.disk_refused_at;
        for thing in self.things() {
            thing.forget_releases();
        }
        let Some(refused_at) = refused_at else { return };
        let kept = isolation.into_iter().chain(deeds.iter().copied());
        for id in kept {
            let Some(live) = self.history.get(&id).cloned() else { continue };
            // It ended, or another took its place, while the disk refused to take note of that.
            let is_live = self.things().any(|thing| thing.live.iter().any(|live| live.id == id));
            if is_live || refused_at.saturating_add(BOOT_SECS) < live.ended_at {
                continue;
            }
            let thing = match live.subject {
                Some(subject) => &mut self.subjects[subject],
                None => &mut self.network,
            };
            thing.revive(live);
        }
    }

    /// Looks at what stands after a moment in which whoever runs could do something about it.
    pub(super) fn observe(
        &mut self,
        (now, step): (u64, u64),
        (wall, locked): (&Wall, &[bool; SUBJECTS]),
        (somebody_runs, agent_runs): (bool, bool),
    ) -> Option<Fault> {
        let (reboots, lost) = (self.reboots, self.lost_secs);
        let (whole, stands) = (matches!(wall, Wall::Whole(_)), *wall != Wall::Absent);
        // While endpoint time stands still nothing is due; a step may have begun in that time.
        let runs_on = now >= self.held_until + WALL_GRACE_SECS;
        let step_of = |runs: bool| (runs && runs_on).then_some(step);
        let mut faults = vec![self.network.observe(
            (now, reboots, lost),
            (whole, stands),
            step_of(somebody_runs),
        )];
        for (thing, locked) in self.subjects.iter_mut().zip(locked) {
            let seen = (*locked, *locked);
            faults.push(thing.observe((now, reboots, lost), seen, step_of(agent_runs)));
        }
        faults.into_iter().flatten().next()
    }

    /// Whether something is just now not as it must be.
    pub(super) fn is_uneasy(&self) -> bool {
        self.network.is_uneasy() || self.subjects.iter().any(Thing::is_uneasy)
    }

    /// When the last lease is over at the latest.
    pub(super) fn last_end(&self) -> Option<u64> {
        let all = std::iter::once(&self.network).chain(&self.subjects);
        all.flat_map(|thing| &thing.live).filter_map(|live| live.latest_end(self.lost_secs)).max()
    }
}

/// A receipt in a few words.
pub(super) fn in_words(receipt: &Receipt) -> String {
    let number = receipt.command.map_or(0, |id| id.0.as_u128());
    let outcome = match &receipt.outcome {
        Outcome::Proved(_) => "proved".to_owned(),
        Outcome::Unproved(_) => "unproved".to_owned(),
        outcome => format!("{outcome:?}"),
    };
    let action = receipt.action.map_or("?", |action| action.name());
    format!("{action} {number} at {}: {outcome}", receipt.endpoint_secs)
}
