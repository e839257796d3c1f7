//! The way out when everything else fails: which single-use code holds, how slowly it may be
//! tried, and what a right one sets going.
//!
//! Pure. The event loop hands in the roster held, codes that were looked at, and endpoint time
//! (whole seconds), and carries the effects out in their order. Attempts are slowed and never used
//! up: a limit would let anyone lock the door. A right code is noted before anything is opened, and
//! its work goes on after a crash until it is done.

pub mod alone;
pub mod enter;
pub mod kept;
pub mod make;
pub mod reply;
#[cfg(test)]
mod timeline;

use std::collections::VecDeque;

use cordon_proto::event::WayOut;
use cordon_proto::event::way_out::MadeFor;
use cordon_proto::roster::RosterRef;

use kept::{Kept, Opening};
use make::{CodeCheck, Made};

/// Wrong codes in a row that cost nothing: somebody mistyped what he heard.
const FREE_WRONG: u64 = 3;
/// What the next wrong one costs; each one after it costs twice as much.
const SLOW_SECS: u64 = 5;
/// What it costs at most.
pub const SLOW_SECS_MAX: u64 = 300;
/// What could not be made or written is tried again after this long.
const RETRY_SECS: u64 = 60;

/// What the event loop must do, one after the other.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Effect {
    /// Write this to disk; answer with [`BreakGlass::handle_saved`].
    Save(Box<Kept>),
    /// Make the code with this number; answer with [`BreakGlass::handle_made`].
    Make {
        /// Its number.
        serial: u64,
    },
    /// Sign this.
    Tell(Box<WayOut>),
    /// End everything that stands; answer with [`BreakGlass::handle_opened`].
    Open,
    /// Tell, as an event that somebody looks at, that the way out was taken.
    ReportUse(Use),
    /// Tell that wrong codes were typed.
    ReportWrong {
        /// The number of the code that was meant.
        serial: u64,
        /// How many so far.
        wrong: u64,
    },
}

/// A code that was used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Use {
    /// Its number.
    pub serial: u64,
    /// When, by the wall clock, nanoseconds since 1970 UTC.
    pub time_ns: u64,
    /// How many wrong codes came before it.
    pub wrong: u64,
    /// Whether it was typed while no agent ran.
    pub alone: bool,
}

/// What becomes of a code that somebody types.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Attempt {
    /// Look at it with this, and answer with [`BreakGlass::handle_checked`].
    Check {
        /// The number of the code that holds.
        serial: u64,
        /// What to look with.
        check: CodeCheck,
    },
    /// There is none, or none any more.
    NoCode,
    /// Not for so many seconds.
    Slowed(u64),
    /// A right one was typed before; its work is not done yet.
    UnderWay,
}

/// The way out.
#[derive(Debug)]
pub struct BreakGlass {
    kept: Kept,
    /// A code is being made, under this roster.
    making: bool,
    retry_at: u64,
    /// Whether the code that holds was told since the start.
    told: bool,
    effects: VecDeque<Effect>,
}

impl BreakGlass {
    /// Takes up what was kept.
    #[must_use]
    pub fn resume(kept: Kept) -> Self {
        let mut effects = VecDeque::new();
        if kept.opening.is_some() {
            effects.push_back(Effect::Open);
        }
        Self { kept, making: false, retry_at: 0, told: false, effects }
    }

    /// What is kept.
    #[must_use]
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// Whether a right code was typed, and everything asked for that was handed out.
    #[must_use]
    pub fn awaits_end(&self) -> bool {
        self.kept.opening.is_some() && self.effects.is_empty()
    }

    /// Somebody types a code.
    #[must_use]
    pub fn attempt(&self, held: RosterRef, now_secs: u64) -> Attempt {
        if self.kept.opening.is_some() {
            return Attempt::UnderWay;
        }
        // Of a roster that revokes somebody the code is void at once, not once the next is made.
        let holds = self.kept.due.is_none() && self.kept.roster == held;
        let Some(check) = self.kept.check.clone().filter(|_| holds) else { return Attempt::NoCode };
        match self.wait_secs(now_secs) {
            0 => Attempt::Check { serial: self.kept.serial, check },
            wait_secs => Attempt::Slowed(wait_secs),
        }
    }

    /// How long until a code is looked at again.
    #[must_use]
    pub fn wait_secs(&self, now_secs: u64) -> u64 {
        // A clock that went back must not lock the door for longer than a wrong code can.
        self.kept.next_secs.saturating_sub(now_secs).min(SLOW_SECS_MAX)
    }

    /// A code was looked at; answers what whoever typed it is told.
    pub fn handle_checked(
        &mut self,
        serial: u64,
        right: bool,
        held: RosterRef,
        now_secs: u64,
        time_ns: u64,
    ) -> Verdict {
        let holds = matches!(self.attempt(held, now_secs), Attempt::Check { serial: now, .. } if now == serial);
        if !holds {
            return Verdict::Void;
        }
        if right {
            let wrong = std::mem::take(&mut self.kept.wrong);
            self.kept.next_secs = 0;
            self.kept.check = None;
            let opening = Opening { at_secs: now_secs, time_ns, wrong, isolation: None };
            self.kept.opening = Some(opening);
            self.save();
            self.effects.push_back(Effect::Open);
            return Verdict::Right;
        }
        self.kept.wrong = self.kept.wrong.saturating_add(1);
        let wrong = self.kept.wrong;
        self.kept.next_secs = now_secs.saturating_add(slow_secs(wrong));
        self.save();
        if wrong == FREE_WRONG || (wrong > FREE_WRONG && wrong.is_multiple_of(10)) {
            self.effects.push_back(Effect::ReportWrong { serial, wrong });
        }
        Verdict::Wrong { wait_secs: self.wait_secs(now_secs) }
    }

    /// Nothing stands any more: the outcome of [`Effect::Open`].
    pub fn handle_opened(&mut self) {
        let Some(opening) = self.kept.opening.take() else { return };
        let Opening { time_ns, wrong, isolation, .. } = opening;
        let (serial, alone) = (self.kept.serial, isolation.is_some());
        // Told first and forgotten then: a crash in between tells it twice, under one name.
        self.effects.push_back(Effect::ReportUse(Use { serial, time_ns, wrong, alone }));
        self.void(MadeFor::Used);
    }

    /// The endpoint is to be isolated; answers whether it may be. While the end of everything is
    /// under way, an order that operators signed is newer than the code and gives that up; what the
    /// endpoint would do by itself must not close what an administrator opens.
    pub fn handle_isolate(&mut self, by: Orderer) -> bool {
        match by {
            Orderer::Endpoint => self.kept.opening.is_none(),
            Orderer::Operators => {
                // What was not begun would end the newer order, too.
                self.effects.retain(|effect| !matches!(effect, Effect::Open));
                self.handle_opened();
                true
            }
        }
    }

    /// The endpoint was rolled back: a code that was used may hold again.
    pub fn handle_rolled_back(&mut self) {
        if self.kept.opening.is_none() && self.kept.serial > 0 {
            self.void(MadeFor::RolledBack);
        }
    }

    /// The outcome of [`Effect::Make`], and the roster it was made under.
    pub fn handle_made(&mut self, made: Result<Made, String>, held: RosterRef, now_secs: u64) {
        self.making = false;
        let Ok(Made { check, boxes }) = made else {
            self.retry_at = now_secs.saturating_add(RETRY_SECS);
            return;
        };
        let made_for = self.reason(held).unwrap_or(MadeFor::First);
        self.kept.serial = self.kept.serial.saturating_add(1);
        self.kept.roster = held;
        self.kept.made_secs = now_secs;
        self.kept.made_for = Some(made_for);
        self.kept.check = check;
        self.kept.boxes = boxes;
        self.kept.due = None;
        self.save();
        self.tell();
    }

    /// The outcome of [`Effect::Save`]. A code that is not on disk would not outlive the agent, so
    /// nobody is told of it.
    pub fn handle_saved(&mut self, outcome: &Result<(), String>, now_secs: u64) {
        if outcome.is_err() && matches!(self.effects.front(), Some(Effect::Tell(_))) {
            self.effects.pop_front();
            self.kept.check = None;
            self.kept.due = self.kept.made_for;
            self.retry_at = now_secs.saturating_add(RETRY_SECS);
        }
    }

    /// What is to be done next, under the roster held.
    pub fn poll_effect(&mut self, held: RosterRef, now_secs: u64) -> Option<Effect> {
        if let Some(effect) = self.effects.pop_front() {
            return Some(effect);
        }
        if self.making || self.kept.opening.is_some() {
            return None;
        }
        if self.reason(held).is_some() {
            if now_secs < self.retry_at {
                return None;
            }
            self.making = true;
            return Some(Effect::Make { serial: self.kept.serial.saturating_add(1) });
        }
        if !self.told {
            self.tell();
        }
        self.effects.pop_front()
    }

    /// Why the next code is due, if it is.
    fn reason(&self, held: RosterRef) -> Option<MadeFor> {
        let first = (self.kept.serial == 0).then_some(MadeFor::First);
        let other = (self.kept.roster != held).then_some(MadeFor::Roster);
        first.or(self.kept.due).or(other)
    }

    fn void(&mut self, due: MadeFor) {
        self.kept.check = None;
        self.kept.due = Some(due);
        self.save();
    }

    fn save(&mut self) {
        self.effects.push_back(Effect::Save(Box::new(self.kept.clone())));
    }

    fn tell(&mut self) {
        self.told = true;
        self.effects.extend(self.kept.way_out().map(|way_out| Effect::Tell(Box::new(way_out))));
    }
}

/// Who wants the endpoint isolated.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Orderer {
    /// People, by a signed command.
    Operators,
    /// The endpoint itself, by signed policy.
    Endpoint,
}

/// What whoever typed a code is told.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// Everything that stands is being ended.
    Right,
    /// It is not the one.
    Wrong {
        /// How long until the next is looked at.
        wait_secs: u64,
    },
    /// Meanwhile the code it was held against is void.
    Void,
}

/// What a wrong code costs, by how many there were.
fn slow_secs(wrong: u64) -> u64 {
    let Some(over) = wrong.checked_sub(FREE_WRONG) else { return 0 };
    let doubled = u32::try_from(over).ok().and_then(|over| 1_u64.checked_shl(over));
    doubled.unwrap_or(u64::MAX).saturating_mul(SLOW_SECS).min(SLOW_SECS_MAX)
}
