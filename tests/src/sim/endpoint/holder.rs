//! The supervisor: the same core without a collector, on one thread, on a disk that may be full.

use cordon_agent::action::isolate::{CutOutcome, Seen};
use cordon_agent::containment::{Containment, Step};
use cordon_agent::endpoint_time::{EndpointTime, Kept};
use cordon_agent::guard;
use cordon_agent::hold::found::{self, Evidence, Held};
use cordon_agent::hold::only_release;
use cordon_agent::kept::{Found, GUARD, GuardMemory, ISOLATION, KeptIsolation, TIME, resume_time};
use cordon_agent::nonce::{Moment, Nonces};
use cordon_proto::codec;
use cordon_proto::event::receipt::Outcome;
use cordon_proto::id::CommandId;

use super::Broken;
use super::machine::{MARK, Machine, Wall};
use super::operators::Message;

pub(super) struct Holder {
    pub(super) containment: Containment,
    time: EndpointTime,
    keeps_time: bool,
    stands: bool,
    /// Releases that were obeyed though the disk did not take their ids.
    unnoted: Vec<(CommandId, u64)>,
}

impl Holder {
    /// None where nothing is recorded.
    pub(super) fn open(machine: &mut Machine) -> Option<Self> {
        let (boot_id, boot_ns) = (machine.clock.boot_id(), machine.clock.boot_ns());
        let kept: Option<Kept> =
            machine.files.get(TIME).and_then(|bytes| codec::decode_strict(bytes).ok());
        let memory = machine.files.get(GUARD).and_then(|bytes| GuardMemory::from_bytes(bytes));
        let time = kept.map(|kept| resume_time(kept, memory.as_ref(), &boot_id, boot_ns));
        let found = machine.found();
        let now = machine.clock.true_secs;
        if matches!(found, Found::Unreadable(_)) {
            machine.oracle.unreadable(now);
        }
        machine.taken_up();
        if time.is_none() {
            let goes_on = matches!(&found, Found::Isolation(kept) if kept.counted.is_some());
            if !goes_on {
                machine.oracle.time_begun_anew(now);
            }
            machine.oracle.time_lost();
        }
        let verify = |bytes: &[u8]| machine.verify(bytes);
        let evidence = Evidence {
            found,
            verify: Ok(&verify),
            time,
            boot: (&boot_id, boot_ns),
            open: (MARK, machine.doors()),
        };
        let Held { kept, time, is_endpoint_time, is_made_up, .. } = found::judge(evidence)?;
        machine.say("the supervisor holds");
        let mut holder = Self {
            containment: Containment::resume(Some(kept.clone()), time.secs(boot_ns)),
            time,
            keeps_time: is_endpoint_time,
            stands: false,
            unnoted: Vec::new(),
        };
        if is_made_up {
            let saved = holder.save(machine, &kept);
            holder.containment.handle_made_up(saved);
        }
        Some(holder)
    }

    pub(super) fn is_over(&self) -> bool {
        self.containment.plan().is_none() && !self.containment.is_unforgotten()
    }

    pub(super) fn unnoted(&self) -> impl Iterator<Item = CommandId> {
        self.unnoted.iter().map(|(id, _)| *id)
    }

    fn secs(&self, machine: &Machine) -> u64 {
        self.time.secs(machine.clock.boot_ns())
    }

    pub(super) fn tick(&mut self, machine: &mut Machine) {
        if let Some(kept) = self.time.handle_timeout(machine.clock.boot_ns()) {
            if self.keeps_time {
                drop(machine.write(TIME, codec::encode(&kept)));
            } else if let Some(kept) = self.containment.kept(kept.secs) {
                drop(self.save(machine, &kept));
            }
        }
        if !machine.is_broken(Broken::LeaseIgnored) {
            self.containment.handle_timeout(self.secs(machine));
        }
        self.work(machine);
        let Some(plan) = self.containment.plan().filter(|_| self.stands) else { return };
        if machine.wall != Wall::Whole(plan) && !machine.is_broken(Broken::Blind) {
            self.containment.handle_drift("the rules are not ours".to_owned());
            self.work(machine);
        }
    }

    pub(super) fn release(&mut self, machine: &mut Machine, message: &Message) {
        if only_release(&message.bytes).is_err() {
            return;
        }
        let Some(bytes) = machine.files.get(GUARD) else { return };
        let Some(mut memory) = GuardMemory::from_bytes(bytes) else { return };
        self.unnoted.iter().for_each(|(id, until_secs)| memory.accepted.note(*id, *until_secs));
        if !self.keeps_time {
            return;
        }
        let moment =
            Moment { boot_count: self.time.boot_count(), endpoint_secs: self.secs(machine) };
        let nonces = Nonces::new(&memory.secret);
        let stale = |nonce: &_, age_max_secs, queued| {
            let fresh = nonces.check(nonce, age_max_secs, queued, moment);
            fresh.err().map(|stale| stale.to_string())
        };
        let own = machine.operators.own(moment.endpoint_secs, &stale, &memory.accepted);
        let Ok(may) = guard::judge(&message.bytes, &own) else { return };
        machine.say("the supervisor takes a release");
        let (now, fresh_secs) = (machine.clock.true_secs, machine.fresh_secs());
        let judged = machine.oracle.judged(message, &machine.clock, fresh_secs);
        let obeyed = judged.or_else(|| machine.oracle.obeyed(message, now));
        obeyed.into_iter().for_each(|fault| machine.fault(fault));
        memory.accepted.note(may.command.id, may.forget_secs);
        memory.begun.note(&may);
        // Obeyed all the same: a disk that is full must not keep an endpoint cut off.
        if machine.write(GUARD, memory.to_bytes().to_vec()).is_err() {
            machine.oracle.guard_lost();
            if machine.remove(GUARD).is_err() {
                self.unnoted.push((may.command.id, may.forget_secs));
            }
        }
        self.containment.handle_release(&may);
        self.work(machine);
    }

    fn work(&mut self, machine: &mut Machine) {
        while !machine.dead
            && let Some(step) = self.containment.poll_step(self.secs(machine))
        {
            self.step(machine, step);
        }
    }

    fn step(&mut self, machine: &mut Machine, step: Step) {
        let secs = self.secs(machine);
        match step {
            Step::Save(kept) => {
                let saved = self.save(machine, &kept);
                self.containment.handle_saved(saved);
            }
            Step::Forget => {
                let gone = machine.remove(ISOLATION);
                self.containment.handle_saved(gone);
            }
            Step::CutOff { turn, plan, check } => {
                let outcome = machine.cut_off(&plan, check);
                self.stands = outcome == CutOutcome::Done;
                self.containment.handle_cut(turn, outcome, 1, secs);
            }
            Step::Prove { turn, .. } => {
                let seen = Seen::CannotLook("no agent runs".to_owned());
                self.containment.handle_seen(turn, seen, None, secs);
            }
            Step::LetBack { turn } => {
                let gone = machine.let_back();
                self.stands = gone.is_err();
                self.containment.handle_let_back(turn, gone, 1, secs);
            }
            Step::Receipt(receipt) => {
                // Kept for the next agent; proofs are made again by then.
                if !matches!(receipt.outcome, Outcome::Proved(_) | Outcome::Unproved(_)) {
                    machine.tell(&receipt);
                    if !machine.dead {
                        machine.unsent.push(*receipt);
                    }
                }
            }
        }
    }

    fn save(&self, machine: &mut Machine, kept: &KeptIsolation) -> Result<(), String> {
        let mut kept = kept.clone();
        if !self.keeps_time {
            kept.counted = Some(self.time.clone().keep(machine.clock.boot_ns()));
        }
        machine.write(ISOLATION, kept.to_bytes().unwrap())?;
        if !self.keeps_time {
            machine.oracle.time_kept(machine.clock.true_secs);
        }
        Ok(())
    }
}
