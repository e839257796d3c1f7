//! What stands on an endpoint, simulated: the isolation core, the guard, the ledger of deeds and
//! the supervisor's decision over a disk, a kernel, a clock and a collector that fail in every way,
//! judged by an oracle that shares nothing with them.
//!
//! The cores are the agent's own. What lies between them, the event loop and the supervisor's
//! hands, waits for sockets and a kernel, and is played here in the same order.

#![allow(
    clippy::wildcard_enum_match_arm,
    reason = "this world has a few of all actions and outcomes; the others do not come up in it"
)]

mod agent;
mod event;
mod holder;
mod machine;
mod operators;
mod oracle;
mod record;
mod world;

use cordon_agent::guard::{Authorised, Refusal};
use cordon_proto::event::receipt::Check;
use cordon_proto::id::Hash;

use event::Event;
use operators::Message;
use world::World;

/// In what the endpoint broke a promise.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// What must stand does not: an isolation was lost, or a lock.
    Lost(String),
    /// Something was obeyed that nobody with the right to it had signed, or not for now, or not
    /// again.
    Forged(String),
    /// What must be gone still stands.
    Stranded(String),
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (kind, what) = match self {
            Self::Lost(what) => ("lost", what),
            Self::Forged(what) => ("forged", what),
            Self::Stranded(what) => ("stranded", what),
        };
        write!(f, "{kind}: {what}")
    }
}

/// An endpoint with a part missing, to see that the oracle notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Whoever signed it, it is obeyed.
    SignatureUnchecked,
    /// However old it is, it is obeyed.
    NonceUnchecked,
    /// However often it comes, it is obeyed.
    IdsForgotten,
    /// Leases do not end.
    LeaseIgnored,
    /// What is written is not on the disk.
    WritesLost,
    /// What is to be removed stays on the disk.
    RecordStays,
    /// The wall is let down, and locks undone, in words only.
    ReleaseOnlyTold,
    /// Nobody looks at what stands.
    Blind,
}

impl Broken {
    /// What a broken guard says instead.
    fn judge(
        self,
        message: &Message,
        judged: &Result<Authorised, Refusal>,
    ) -> Option<Result<Authorised, Refusal>> {
        let refused = judged.as_ref().err().map(|refusal| refusal.check);
        let unsigned = matches!(refused, Some(Check::Signature | Check::Role));
        (self == Self::SignatureUnchecked && unsigned).then(|| {
            Ok(Authorised {
                command: message.command.clone(),
                hash: Hash::of(&message.bytes),
                signed: message.bytes.clone(),
                signers: Vec::new(),
                forget_secs: u64::MAX,
            })
        })
    }
}

/// A life that ended in a broken promise.
#[derive(Clone, Debug)]
pub struct Failed {
    pub fault: Fault,
    /// What happened, as few things as still lead to the fault.
    pub story: Vec<String>,
}

/// Lives the life of a seed to its end.
pub fn run(seed: u64, broken: Option<Broken>) -> Result<(), Fault> {
    live(&event::life(seed), broken).0.map_or(Ok(()), Err)
}

/// The same, told; where it fails, without what is not needed for that.
pub fn tell(seed: u64, broken: Option<Broken>) -> Result<Vec<String>, Failed> {
    let mut life = event::life(seed);
    let (fault, story) = live(&life, broken);
    let Some(fault) = fault else { return Ok(story) };
    let mut shortest = Failed { fault, story };
    for length in [16, 8, 4, 2, 1] {
        let mut at = 0;
        while at < life.len() {
            let mut less = life.clone();
            less.drain(at..(at + length).min(life.len()));
            match live(&less, broken) {
                (Some(fault), story)
                    if std::mem::discriminant(&fault)
                        == std::mem::discriminant(&shortest.fault) =>
                {
                    shortest = Failed { fault, story };
                    life = less;
                }
                _ => at += length,
            }
        }
    }
    Err(shortest)
}

fn live(life: &[Event], broken: Option<Broken>) -> (Option<Fault>, Vec<String>) {
    let mut world = World::new(broken);
    for event in life {
        world.happen(event);
        if let Some(fault) = world.fault() {
            return (Some(fault), world.story());
        }
    }
    world.calm_down();
    (world.fault(), world.story())
}

#[cfg(test)]
mod tests {
    use super::event::{Health, Order};
    use super::*;

    /// In the second boot the disk takes what the guard keeps and endpoint time not, so that only
    /// the guard knows of that boot.
    #[test]
    fn a_boot_whose_count_was_not_kept_lends_its_nonces_to_no_other() {
        let life = [
            Event::Disk(Health::Full),
            Event::Reboot,
            Event::Run(61),
            Event::Disk(Health::Liar),
            Event::Order(Order::Release),
            Event::Order(Order::Release),
            Event::Order(Order::Release),
            Event::Deliver(1),
            Event::Work { steps: 6, pick: 3 },
            Event::Reboot,
            Event::Run(400),
            Event::Deliver(0),
            Event::Deliver(2),
        ];
        let (fault, story) = live(&life, None);
        assert_eq!(fault, None, "{}", story.join("\n"));
        let late = |line: &String| line.contains("boot 3") && line.ends_with("takes Release");
        assert!(!story.iter().any(late), "{}", story.join("\n"));
    }

    const ISOLATE: Order =
        Order::Isolate { lease_secs: 86_400, stay: false, let_go: false, accept_loss: false };

    /// Lives a life that must be without fault; its story.
    #[track_caller]
    fn check(life: &[Event]) -> Vec<String> {
        let (fault, story) = live(life, None);
        assert_eq!(fault, None, "{}", story.join("\n"));
        story
    }

    #[track_caller]
    fn check_told(life: &[Event], told: &str, times: usize) {
        let story = check(life);
        let found = story.iter().filter(|line| line.contains(told)).count();
        assert_eq!(found, times, "{}", story.join("\n"));
    }

    /// What a supervisor counts in place of endpoint time is the same in the second boot as endpoint
    /// time was in the first.
    #[test]
    fn a_supervisor_without_endpoint_time_takes_no_release_for_fresh() {
        let life = [
            Event::Order(ISOLATE),
            Event::Deliver(0),
            Event::Work { steps: 3, pick: 1 },
            Event::Kill(0),
            Event::Tear(cordon_agent::kept::TIME),
            Event::Run(12),
            Event::Order(Order::Release),
            Event::Reboot,
            Event::Hand(0),
        ];
        check_told(&life, "takes a release", 0);
    }

    #[test]
    fn a_release_that_no_disk_takes_note_of_is_taken_once() {
        let life = [
            Event::Order(ISOLATE),
            Event::Deliver(0),
            Event::Work { steps: 3, pick: 5 },
            Event::Disk(Health::ReadOnly),
            Event::Order(Order::Release),
            Event::Kill(0),
            Event::Run(1),
            Event::StartHolder,
            Event::Hand(0),
            Event::Hand(0),
        ];
        check_told(&life, "takes a release", 1);
    }

    /// The id is on the disk, and nothing else.
    #[test]
    fn a_command_is_answered_whose_agent_dies_before_anything_is_recorded_of_it() {
        let lock = Order::Lock { subject: 1, lease_secs: None };
        let orders = [(ISOLATE, 1), (ISOLATE, 2), (lock, 1), (lock, 2), (Order::Release, 1)];
        for (order, steps) in orders {
            let life = [
                Event::Order(order),
                Event::Deliver(0),
                Event::Work { steps, pick: 0 },
                Event::Kill(0),
                Event::Run(40),
            ];
            check_told(&life, "interrupted", 1);
        }
    }

    /// A command comes at the end of its nonce's life, is forgotten, and the clock goes back.
    #[test]
    fn a_clock_set_back_brings_no_command_back_that_was_obeyed() {
        let mut lives = 0;
        for wait_secs in 860..920 {
            let life = [
                Event::Order(ISOLATE),
                Event::Run(wait_secs),
                Event::Deliver(0),
                Event::Sleep(20),
                Event::ClockBack(200),
                Event::Deliver(0),
            ];
            let story = check(&life);
            lives += usize::from(story.iter().any(|line| line.contains("takes Isolate")));
        }
        assert!(lives > 20, "it came too late in all but {lives} lives");
    }
}
