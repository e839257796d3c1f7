//! What lies under an agent: disk, kernel, clock, and the hand that kills. Whoever is killed does
//! nothing any more, however far its code still runs.

use std::collections::BTreeMap;
use std::net::IpAddr;

use cordon_agent::action::isolate::record::Plan;
use cordon_agent::action::isolate::{Check, CutOutcome};
use cordon_agent::containment::Ways;
use cordon_proto::event::Receipt;
use cordon_proto::limits::NONCE_AGE_SECS_DEFAULT;

use super::event::{Health, Refusal, SUBJECTS, Tamper};
use super::operators::{Operators, Published};
use super::oracle::Oracle;
use super::{Broken, Fault};

/// The mark of the agent's own packets.
pub(super) const MARK: u32 = 7;

/// Our table, as it stands in the kernel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Wall {
    Absent,
    Whole(Plan),
    /// Somebody changed a rule.
    Changed,
}

#[derive(Debug, Clone)]
pub(super) struct Clock {
    /// The boot-time clock, in seconds.
    pub(super) boot_secs: u64,
    pub(super) boot: u64,
    /// Seconds that the machine was on, told by nothing but the simulation itself.
    pub(super) true_secs: u64,
}

impl Clock {
    pub(super) fn boot_ns(&self) -> u64 {
        self.boot_secs * 1_000_000_000
    }

    pub(super) fn boot_id(&self) -> String {
        format!("boot {}", self.boot)
    }
}

pub(super) struct Machine {
    pub(super) files: BTreeMap<&'static str, Vec<u8>>,
    pub(super) health: Health,
    pub(super) wall: Wall,
    pub(super) locked: [bool; SUBJECTS],
    pub(super) refusals: Option<(Refusal, usize)>,
    pub(super) clock: Clock,
    pub(super) collector_answers: bool,
    pub(super) addresses: u8,
    pub(super) way_out: bool,
    pub(super) operators: Operators,
    pub(super) published: Vec<Published>,
    pub(super) oracle: Oracle,
    pub(super) broken: Option<Broken>,
    /// Whoever runs is killed after so many more things.
    pub(super) fuse: Option<usize>,
    pub(super) dead: bool,
    /// When a change of the network or of a subject failed last.
    pub(super) failed_at: Option<u64>,
    pub(super) story: Vec<String>,
    /// Leases in these files are counted from the next start on, because endpoint time was begun
    /// anew since they were written.
    pub(super) counted_anew: Vec<&'static str>,
    /// How many nonce secrets there were.
    pub(super) secrets: u64,
    /// What the spool keeps of which commands were answered.
    pub(super) answered: Option<Vec<u8>>,
    /// What the supervisor did, for the next agent.
    pub(super) unsent: Vec<Receipt>,
}

impl Machine {
    pub(super) fn new(broken: Option<Broken>) -> Self {
        Self {
            files: BTreeMap::new(),
            health: Health::Good,
            wall: Wall::Absent,
            locked: [false; SUBJECTS],
            refusals: None,
            clock: Clock { boot_secs: 1_000, boot: 1, true_secs: 0 },
            collector_answers: true,
            addresses: 1,
            way_out: true,
            operators: Operators::new(),
            published: Vec::new(),
            oracle: Oracle::default(),
            broken,
            fuse: None,
            dead: false,
            failed_at: None,
            story: Vec::new(),
            counted_anew: Vec::new(),
            secrets: 0,
            answered: None,
            unsent: Vec::new(),
        }
    }

    pub(super) fn is_broken(&self, how: Broken) -> bool {
        self.broken == Some(how)
    }

    pub(super) fn say(&mut self, what: impl std::fmt::Display) {
        let Clock { true_secs, boot, .. } = self.clock;
        self.story.push(format!("{true_secs:>8} boot {boot}: {what}"));
    }

    pub(super) fn fault(&mut self, fault: Fault) {
        self.say(format!("!! {fault}"));
        self.oracle.fault(fault);
    }

    /// Somebody starts, and takes up what the disk says.
    pub(super) fn taken_up(&mut self) {
        if !self.counted_anew.is_empty() {
            self.oracle.time_begun_anew(self.clock.true_secs);
        }
    }

    /// Whether whoever runs lives to do one more thing.
    pub(super) fn lives(&mut self) -> bool {
        match &mut self.fuse {
            _ if self.dead => false,
            Some(0) => {
                self.say("killed");
                self.dead = true;
                false
            }
            Some(left) => {
                *left -= 1;
                true
            }
            None => true,
        }
    }

    pub(super) fn write(&mut self, name: &'static str, bytes: Vec<u8>) -> Result<(), String> {
        if !self.lives() {
            return Err("killed".to_owned());
        }
        if self.is_broken(Broken::WritesLost) && name != cordon_agent::kept::TIME {
            return Ok(());
        }
        if self.health != Health::Good {
            self.oracle.disk_refused_at = Some(self.clock.true_secs);
        }
        match self.health {
            Health::Full | Health::ReadOnly => {
                self.say(format!("{name} could not be written"));
                return Err(format!("{:?} disk", self.health));
            }
            Health::Liar => {
                self.health = Health::Good;
                self.files.insert(name, bytes);
                self.say(format!("{name} was written and told as failed"));
                return Err("the directory could not be synced".to_owned());
            }
            Health::Good => {
                self.files.insert(name, bytes);
            }
        }
        self.counted_anew.retain(|anew| *anew != name);
        if name == cordon_agent::kept::GUARD {
            self.oracle.guard_kept();
        }
        if name == cordon_agent::kept::TIME {
            self.oracle.time_kept(self.clock.true_secs);
        }
        Ok(())
    }

    pub(super) fn remove(&mut self, name: &'static str) -> Result<(), String> {
        if !self.lives() {
            return Err("killed".to_owned());
        }
        if self.health == Health::ReadOnly {
            self.oracle.disk_refused_at = Some(self.clock.true_secs);
            self.say(format!("{name} could not be removed"));
            return Err("read-only disk".to_owned());
        }
        if !self.is_broken(Broken::RecordStays) {
            self.files.remove(name);
        }
        Ok(())
    }

    fn refused(&mut self) -> Option<Refusal> {
        let (how, left) = self.refusals.take()?;
        self.refusals = (left > 1).then_some((how, left - 1));
        self.failed_at = Some(self.clock.true_secs);
        self.say(format!("the kernel refuses ({how:?})"));
        Some(how)
    }

    pub(super) fn deed_fails(&mut self) -> bool {
        self.refused().is_some()
    }

    pub(super) fn cut_off(&mut self, plan: &Plan, check: Check) -> CutOutcome {
        if !self.lives() {
            return CutOutcome::Failed("killed".to_owned());
        }
        if check == Check::Full && !self.way_out {
            return CutOutcome::Refused("the way to the collector would be lost".to_owned());
        }
        let refused = self.refused();
        if refused != Some(Refusal::Before) {
            self.wall = Wall::Whole(plan.clone());
            self.say("wall up");
        }
        refused.map_or(CutOutcome::Done, |_| CutOutcome::Failed("netlink".to_owned()))
    }

    pub(super) fn let_back(&mut self) -> Result<(), String> {
        if !self.lives() {
            return Err("killed".to_owned());
        }
        if self.is_broken(Broken::ReleaseOnlyTold) {
            return Ok(());
        }
        let refused = self.refused();
        if refused != Some(Refusal::Before) {
            self.wall = Wall::Absent;
            self.say("wall down");
        }
        refused.map_or(Ok(()), |_| Err("netlink".to_owned()))
    }

    pub(super) fn tamper(&mut self, how: Tamper) {
        match how {
            Tamper::WallGone => self.wall = Wall::Absent,
            Tamper::WallChanged if self.wall != Wall::Absent => self.wall = Wall::Changed,
            Tamper::WallChanged => {}
            Tamper::Unlock(subject) => self.locked[subject] = false,
        }
    }

    /// The ways that must stay open, as somebody who looks around finds them.
    pub(super) fn ways(&self) -> Ways {
        let server = IpAddr::from([192, 0, 2, self.addresses]);
        let collectors = vec!["198.51.100.7:7443".parse().unwrap()];
        Ways { mark: MARK, collectors, dhcp_servers: vec![server], ..Ways::default() }
    }

    /// Signed, so that it gets to the operators.
    pub(super) fn tell(&mut self, receipt: &Receipt) {
        if self.lives() {
            self.say(format!("told: {}", super::oracle::in_words(receipt)));
            let now = self.clock.true_secs;
            let told = self.oracle.told(receipt, now);
            told.into_iter().for_each(|fault| self.fault(fault));
        }
    }

    /// For how long a command is fresh, and what may be added to that for time that was not kept.
    pub(super) fn fresh_secs(&self) -> u64 {
        NONCE_AGE_SECS_DEFAULT + self.oracle.lost_secs() + 2
    }
}
