//! What the agent's helper threads do, and what they answer.

use cordon_agent::action::isolate::record::Plan;
use cordon_agent::action::isolate::{Check, CutOutcome, Seen};
use cordon_agent::guard::Authorised;
use cordon_agent::kept::{GUARD, GuardWrite, ISOLATION, LEDGER, TIME};
use cordon_agent::ledger::{self, NotDone};
use cordon_proto::command::Action;
use cordon_proto::event::receipt::Probe;
use cordon_proto::id::CommandId;

use super::super::Broken;
use super::super::machine::{Machine, Wall};
use super::super::operators::Message;

pub(super) enum Job {
    Todo(Work),
    Done(Done),
}

pub(super) enum Work {
    Note(Box<Authorised>, Box<Message>, GuardWrite),
    Time(u64, Vec<u8>),
    SaveIsolation(Vec<u8>),
    Forget,
    Cut(u32, Plan, Check),
    Prove(u32, Plan),
    LetBack(u32),
    SaveLedger(u64, Vec<u8>),
    Prepare(CommandId, Action),
    Apply(CommandId, Action),
    Look(CommandId, Action),
    Undo(CommandId, Action, Vec<u8>),
}

pub(super) enum Done {
    Noted(Box<Authorised>, Box<Message>, Result<(), String>),
    Time(Result<u64, String>),
    Saved(Result<(), String>),
    Cut(u32, CutOutcome),
    Seen(u32, Seen),
    LetBack(u32, Result<(), String>),
    LedgerSaved(u64, Result<(), String>),
    Prepared(CommandId, Result<Vec<u8>, NotDone>),
    Applied(CommandId, Result<ledger::Done, NotDone>),
    Looked(CommandId, ledger::Seen),
    Undone(CommandId, Result<ledger::Done, NotDone>),
}

impl Work {
    pub(super) fn carry_out(self, machine: &mut Machine) -> Done {
        match self {
            Self::Note(may, message, write) => {
                let written = write.write(|bytes| machine.write(GUARD, bytes.to_vec()));
                Done::Noted(may, message, written)
            }
            Self::Time(secs, bytes) => Done::Time(machine.write(TIME, bytes).map(|()| secs)),
            Self::SaveIsolation(bytes) => Done::Saved(machine.write(ISOLATION, bytes)),
            Self::Forget => Done::Saved(machine.remove(ISOLATION)),
            Self::Cut(turn, plan, check) => Done::Cut(turn, machine.cut_off(&plan, check)),
            Self::Prove(turn, plan) => Done::Seen(turn, prove(machine, &plan)),
            Self::LetBack(turn) => Done::LetBack(turn, machine.let_back()),
            Self::SaveLedger(version, bytes) => {
                Done::LedgerSaved(version, machine.write(LEDGER, bytes))
            }
            Self::Prepare(id, action) => Done::Prepared(id, Ok(machine.prepare(&action))),
            Self::Apply(id, action) => Done::Applied(id, machine.lock(&action)),
            Self::Look(id, action) => {
                let holds = machine.is_locked(&action);
                let drifted = || ledger::Seen::Drifted("unlocked".to_owned());
                Done::Looked(id, if holds { ledger::Seen::Holds(seen()) } else { drifted() })
            }
            Self::Undo(id, action, before) => Done::Undone(id, machine.unlock(&action, &before)),
        }
    }
}

fn seen() -> Vec<Probe> {
    vec![Probe { what: "the lock".to_owned(), passed: true, seen: "as asked".to_owned() }]
}

fn prove(machine: &Machine, plan: &Plan) -> Seen {
    match &machine.wall {
        Wall::Whole(standing) if standing == plan => {}
        _ if machine.is_broken(Broken::Blind) => {}
        wall => return Seen::Drifted(format!("{wall:?}")),
    }
    if machine.collector_answers { Seen::Proved } else { Seen::CollectorSilent }
}

impl Machine {
    fn prepare(&self, action: &Action) -> Vec<u8> {
        vec![u8::from(self.is_locked(action))]
    }

    fn is_locked(&self, action: &Action) -> bool {
        self.locked[subject(action)]
    }

    fn lock(&mut self, action: &Action) -> Result<ledger::Done, NotDone> {
        let refused = !self.lives() || self.deed_fails();
        if refused {
            return Err(NotDone::Failed("it could not be locked".to_owned()));
        }
        self.locked[subject(action)] = true;
        self.say(format!("{} locked", subject(action)));
        Ok(ledger::Done { probes: seen(), ..ledger::Done::default() })
    }

    fn unlock(&mut self, action: &Action, before: &[u8]) -> Result<ledger::Done, NotDone> {
        if !self.lives() || self.deed_fails() {
            return Err(NotDone::Failed("it could not be unlocked".to_owned()));
        }
        if !self.is_broken(Broken::ReleaseOnlyTold) {
            self.locked[subject(action)] = before == [1];
            self.say(format!("{} as before: {}", subject(action), before == [1]));
        }
        Ok(ledger::Done { probes: seen(), ..ledger::Done::default() })
    }
}

fn subject(action: &Action) -> usize {
    match action {
        Action::LockAccount(lock) => lock.user.parse().unwrap(),
        other => unreachable!("{other:?} is not part of this world"),
    }
}
