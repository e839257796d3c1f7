//! The running agent: the real cores, and what its event loop does between them, one job after the
//! other in whatever order they finish.

mod job;

use cordon_agent::action::isolate::CutOutcome;
use cordon_agent::containment::{self, Containment};
use cordon_agent::endpoint_time::{EndpointTime, Kept};
use cordon_agent::guard::{self, Authorised};
use cordon_agent::kept::{self, GUARD, GuardMemory, LEDGER, TIME};
use cordon_agent::ledger::{self, Ledger};
use cordon_agent::nonce::{Moment, Nonces};
use cordon_proto::codec;
use cordon_proto::command::Action;
use cordon_proto::event::Receipt;
use cordon_proto::event::receipt::Outcome;

use super::Broken;
use super::machine::{Machine, Wall};
use super::operators::{Message, Published};
use super::record;
use job::{Done, Job, Work};

/// As many deeds as the agent has under way at once.
const UNDER_WAY_MAX: usize = 3;
/// More jobs than any event could set going; beyond it somebody runs in circles.
const SETTLE_MAX: usize = 2_000;

pub(super) struct Agent {
    time: EndpointTime,
    memory: GuardMemory,
    nonces: Nonces,
    pub(super) containment: Containment,
    pub(super) ledger: Ledger,
    jobs: Vec<Job>,
    busy: bool,
    proving: bool,
    prove_next: Option<containment::Step>,
    /// Whether this process put the wall up, and can look at it.
    raised: bool,
    deeds_under_way: usize,
    keeping_time: bool,
    /// What stood is being taken up; commands wait.
    restoring: bool,
    /// The wall is looked at when nothing is under way.
    look_again: bool,
    ways_seen: u8,
    look_around_at: u64,
}

impl Agent {
    /// None where what it must not forget cannot be used.
    pub(super) fn start(machine: &mut Machine) -> Option<Self> {
        let clock = &machine.clock;
        let kept: Kept = codec::decode_strict(machine.files.get(TIME)?).ok()?;
        let boot_ns = clock.boot_ns();
        let memory = machine.files.get(GUARD).and_then(|bytes| GuardMemory::from_bytes(bytes));
        let mut time = kept::resume_time(kept, memory.as_ref(), &clock.boot_id(), boot_ns);
        let secs = time.secs(boot_ns);
        let mut memory = match memory {
            Some(memory) => memory,
            None => {
                let new = machine.new_memory();
                drop(machine.write(GUARD, new.to_bytes().to_vec()));
                new
            }
        };
        memory.boot = Some(time.boot());
        memory.begun.resume_answered(machine.answered.as_deref().unwrap_or_default());
        if machine.write(TIME, codec::encode(&time.keep(boot_ns))).is_err() {
            memory.renew().unwrap();
            *memory.secret = machine.new_secret();
        }
        let (kept, made_up) = record::take_up(machine, &time).unzip();
        let stood = machine.files.get(LEDGER).map(|bytes| codec::decode_strict(bytes).unwrap());
        machine.say("the agent starts");
        machine.taken_up();
        let mut agent = Self {
            nonces: Nonces::new(&memory.secret),
            memory,
            containment: Containment::resume(kept, secs),
            ledger: Ledger::resume(stood.unwrap_or_default(), secs),
            time,
            jobs: Vec::new(),
            busy: false,
            proving: false,
            prove_next: None,
            raised: false,
            deeds_under_way: 0,
            keeping_time: false,
            restoring: true,
            look_again: false,
            ways_seen: machine.addresses,
            look_around_at: 0,
        };
        if let Some(saved) = made_up.flatten() {
            agent.containment.handle_made_up(saved);
        }
        agent.act(machine);
        Some(agent)
    }

    pub(super) fn is_busy(&self) -> bool {
        !self.jobs.is_empty()
    }

    pub(super) fn is_ready(&self) -> bool {
        !self.restoring
    }

    fn secs(&self, machine: &Machine) -> u64 {
        self.time.secs(machine.clock.boot_ns())
    }

    fn moment(&self, machine: &Machine) -> Moment {
        Moment { boot_count: self.time.boot_count(), endpoint_secs: self.secs(machine) }
    }

    /// What its health says, once the collector hears it.
    pub(super) fn publish(&mut self, machine: &mut Machine) {
        let nonce = self.nonces.current(self.moment(machine));
        let (true_secs, boot) = (machine.clock.true_secs, machine.clock.boot);
        let known = machine.published.last().is_some_and(|last| last.nonce == nonce);
        if machine.collector_answers && !known {
            machine.published.push(Published { nonce, true_secs, boot });
        }
    }

    pub(super) fn command(&mut self, machine: &mut Machine, message: &Message) {
        if self.restoring {
            return;
        }
        let moment = self.moment(machine);
        let unchecked = machine.is_broken(Broken::NonceUnchecked);
        let nonces = &self.nonces;
        let stale = |nonce: &_, age_max_secs, queued| {
            let fresh = nonces.check(nonce, age_max_secs, queued, moment);
            fresh.err().filter(|_| !unchecked).map(|stale| stale.to_string())
        };
        let own = machine.operators.own(moment.endpoint_secs, &stale, &self.memory.accepted);
        let judged = guard::judge(&message.bytes, &own);
        let judged = machine.broken.and_then(|how| how.judge(message, &judged)).unwrap_or(judged);
        let Ok(may) = judged else { return };
        machine.say(format!("takes {:?}", may.command.action));
        let fresh_secs = machine.fresh_secs();
        if let Some(fault) = machine.oracle.judged(message, &machine.clock, fresh_secs) {
            machine.fault(fault);
        }
        if !machine.is_broken(Broken::IdsForgotten) {
            self.memory.accepted.note(may.command.id, may.forget_secs);
        }
        self.memory.begun.note(&may);
        let write = self.memory.to_write();
        let note = Work::Note(Box::new(may), Box::new(message.clone()), write);
        self.jobs.push(Job::Todo(note));
    }

    fn noted(&mut self, machine: &mut Machine, may: &Authorised, message: &Message) {
        let (now, secs) = (machine.clock.true_secs, self.secs(machine));
        if let Some(fault) = machine.oracle.obeyed(message, now) {
            machine.fault(fault);
        }
        match &may.command.action {
            Action::Isolate(isolate) => {
                let ways = machine.ways();
                self.containment.handle_isolate(may, isolate, None, ways, secs);
            }
            Action::Release => self.containment.handle_release(may),
            Action::Undo { of } => self.ledger.handle_undo(may, *of, secs),
            Action::ReleaseAll => {
                let isolated = self.containment.since();
                self.ledger.handle_release_all(may, isolated, secs);
            }
            _ => self.ledger.handle_command(may, secs),
        }
        self.act(machine);
        self.act_deeds(machine);
    }

    /// A second, or more, has passed.
    pub(super) fn tick(&mut self, machine: &mut Machine) {
        let (boot_ns, secs) = (machine.clock.boot_ns(), self.secs(machine));
        if !self.keeping_time
            && let Some(kept) = self.time.handle_timeout(boot_ns)
        {
            self.keeping_time = true;
            self.jobs.push(Job::Todo(Work::Time(kept.secs, codec::encode(&kept))));
        }
        if !machine.is_broken(Broken::LeaseIgnored) {
            self.containment.handle_timeout(secs);
        }
        self.act(machine);
        self.look(machine);
        if !machine.is_broken(Broken::LeaseIgnored) {
            self.ledger.handle_timeout(secs);
        }
        self.act_deeds(machine);
        if self.look_around_at <= machine.clock.true_secs && self.ways_seen != machine.addresses {
            self.look_around_at = machine.clock.true_secs + 60;
            self.ways_seen = machine.addresses;
            self.containment.handle_ways(None, machine.ways());
            self.act(machine);
        }
        if self.is_ready() {
            self.publish(machine);
        }
    }

    fn look(&mut self, machine: &mut Machine) {
        let Some(plan) = self.containment.plan() else { return };
        if !self.raised || machine.is_broken(Broken::Blind) {
            return;
        }
        self.look_again = self.busy;
        if self.busy {
            return;
        }
        if machine.wall != Wall::Whole(plan) {
            self.containment.handle_drift("the rules are not ours".to_owned());
            self.act(machine);
        }
    }

    fn act(&mut self, machine: &mut Machine) {
        while !self.busy {
            let secs = self.secs(machine);
            let Some(step) = self.containment.poll_step(secs) else {
                if std::mem::take(&mut self.restoring) {
                    self.answer_interrupted(machine);
                }
                break;
            };
            self.step(machine, step);
        }
    }

    /// What the supervisor did was told meanwhile.
    fn answer_interrupted(&mut self, machine: &mut Machine) {
        for receipt in std::mem::take(&mut machine.unsent) {
            let answers = self.memory.begun.handle_receipt(&receipt);
            machine.answered = answers.or(machine.answered.take());
        }
        let isolated = self.containment.standing().into_iter().map(|standing| standing.command);
        let isolated: Vec<_> = isolated.collect();
        let goes_on = |id| isolated.contains(&id) || self.ledger.knows(id);
        for receipt in self.memory.begun.interrupted(goes_on, self.secs(machine)) {
            self.tell(machine, &receipt);
        }
    }

    /// Signed, and in one with it which command it answers.
    fn tell(&mut self, machine: &mut Machine, receipt: &Receipt) {
        machine.tell(receipt);
        if !machine.dead
            && let Some(answers) = self.memory.begun.handle_receipt(receipt)
        {
            machine.answered = Some(answers);
        }
    }

    fn step(&mut self, machine: &mut Machine, step: containment::Step) {
        use containment::Step;
        let work = match step {
            Step::Receipt(receipt) => return self.tell(machine, &receipt),
            Step::Save(kept) => Work::SaveIsolation(kept.to_bytes().unwrap()),
            Step::Forget => Work::Forget,
            Step::CutOff { turn, plan, check } => Work::Cut(turn, plan, check),
            prove @ Step::Prove { .. } if self.proving => {
                self.prove_next = Some(prove);
                return;
            }
            Step::Prove { turn, plan } => {
                self.proving = true;
                return self.jobs.push(Job::Todo(Work::Prove(turn, plan)));
            }
            Step::LetBack { turn } => Work::LetBack(turn),
        };
        self.busy = true;
        self.jobs.push(Job::Todo(work));
    }

    fn act_deeds(&mut self, machine: &mut Machine) {
        use ledger::Step;
        if self.restoring {
            return;
        }
        loop {
            let may_begin = self.deeds_under_way < UNDER_WAY_MAX;
            let secs = self.secs(machine);
            let Some(step) = self.ledger.poll_step(may_begin, secs) else { break };
            let work = match step {
                Step::Receipt(receipt) => {
                    self.tell(machine, &receipt);
                    continue;
                }
                Step::LetBack(may, isolation) => {
                    let isolated = self.containment.since().map(|(id, _)| id);
                    if isolated == Some(isolation) {
                        self.containment.handle_release(&may);
                        self.act(machine);
                    } else {
                        self.ledger.handle_let_back(Ok(()));
                    }
                    continue;
                }
                Step::Save { version, kept } => Work::SaveLedger(version, codec::encode(&kept)),
                Step::Prepare(id, action) => Work::Prepare(id, action),
                Step::Apply(id, action, _) => Work::Apply(id, action),
                Step::Look(id, action, _) => Work::Look(id, action),
                Step::Undo(id, action, before) => Work::Undo(id, action, before),
            };
            if !matches!(work, Work::SaveLedger(..)) {
                self.deeds_under_way += 1;
            }
            self.jobs.push(Job::Todo(work));
        }
    }

    /// Does one job, or hears what came of one.
    pub(super) fn work(&mut self, machine: &mut Machine, pick: usize) {
        if self.jobs.is_empty() || machine.dead {
            return;
        }
        let at = pick % self.jobs.len();
        match self.jobs.remove(at) {
            Job::Todo(work) => {
                let done = work.carry_out(machine);
                self.jobs.insert(at, Job::Done(done));
            }
            Job::Done(done) => self.done(machine, done),
        }
    }

    /// Until nothing is under way any more; false if that never comes.
    pub(super) fn settle(&mut self, machine: &mut Machine) -> bool {
        for round in 0..SETTLE_MAX {
            if self.jobs.is_empty() || machine.dead {
                return true;
            }
            self.work(machine, round * 7);
        }
        false
    }

    fn done(&mut self, machine: &mut Machine, done: Done) {
        let secs = self.secs(machine);
        match done {
            Done::Noted(may, message, Ok(())) => self.noted(machine, &may, &message),
            Done::Noted(may, _, Err(reason)) => {
                self.memory.begun.forget(may.command.id);
                let reason = format!("not obeyed, because its id could not be kept: {reason}");
                self.tell(machine, &answer(&may, Outcome::Failed { reason }, secs));
            }
            Done::Time(kept) => {
                self.keeping_time = false;
                match kept {
                    Ok(secs) => self.memory.accepted.forget(secs),
                    Err(_) => self.renew_secret(machine),
                }
            }
            Done::Saved(saved) => {
                self.busy = false;
                self.containment.handle_saved(saved);
            }
            Done::Cut(turn, outcome) => {
                self.busy = false;
                self.raised |= outcome == CutOutcome::Done;
                self.containment.handle_cut(turn, outcome, 1, secs);
            }
            Done::Seen(turn, seen) => {
                self.proving = false;
                self.containment.handle_seen(turn, seen, None, secs);
                if let Some(prove) = self.prove_next.take() {
                    self.step(machine, prove);
                }
            }
            Done::LetBack(turn, gone) => {
                self.busy = false;
                self.raised &= gone.is_err();
                self.ledger.handle_let_back(gone.clone());
                self.containment.handle_let_back(turn, gone, 1, secs);
            }
            Done::LedgerSaved(version, saved) => self.ledger.handle_saved(version, saved, secs),
            Done::Prepared(id, outcome) => {
                self.deeds_under_way -= 1;
                self.ledger.handle_prepared(id, outcome, secs);
            }
            Done::Applied(id, outcome) => {
                self.deeds_under_way -= 1;
                self.ledger.handle_applied(id, outcome, 1, secs);
            }
            Done::Looked(id, seen) => {
                self.deeds_under_way -= 1;
                self.ledger.handle_seen(id, seen, secs);
            }
            Done::Undone(id, outcome) => {
                self.deeds_under_way -= 1;
                self.ledger.handle_undone(id, outcome, 1, secs);
            }
        }
        self.act(machine);
        self.act_deeds(machine);
        if self.look_again {
            self.look(machine);
        }
    }

    fn renew_secret(&mut self, machine: &mut Machine) {
        self.memory.renew().unwrap();
        *self.memory.secret = machine.new_secret();
        self.nonces = Nonces::new(&self.memory.secret);
        // In memory at once, though the disk may not take it.
        let write = self.memory.to_write();
        drop(write.write(|bytes| machine.write(GUARD, bytes.to_vec())));
    }
}

fn answer(may: &Authorised, outcome: Outcome, endpoint_secs: u64) -> Receipt {
    Receipt {
        command: Some(may.command.id),
        command_hash: may.hash,
        action: Some(may.command.action.kind()),
        endpoint_secs,
        outcome,
        repeated: 0,
    }
}
