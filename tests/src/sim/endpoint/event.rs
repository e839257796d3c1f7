//! Everything that can happen to an endpoint, and how a seed draws a life of it.

use super::super::random::Random;

/// Things on the endpoint, besides its network, of which each can be locked.
pub(super) const SUBJECTS: usize = 3;

/// One thing that happens.
#[derive(Clone, Debug)]
pub(super) enum Event {
    /// So many seconds pass, and whoever runs does what is due.
    Run(u64),
    /// The machine is suspended for so many seconds.
    Sleep(u64),
    /// The boot-time clock is set back by so many seconds, as a broken hypervisor does.
    ClockBack(u64),
    /// So many steps of what is under way are taken, and no time passes.
    Work {
        steps: usize,
        pick: usize,
    },
    /// An operator signs this; it is on its way.
    Order(Order),
    /// Of all that was ever sent the last but so many arrives, for the first time or again.
    Deliver(usize),
    /// The same on a stick, by way of the local administrator.
    Hand(usize),
    /// Something arrives that nobody with the right to it has signed.
    Forge(Forgery, Order),
    /// Whoever runs is killed when it has done so many more things.
    Kill(usize),
    StartAgent,
    StartHolder,
    /// The agent cannot start from now on (a broken upgrade), or can again.
    AgentBroken(bool),
    Reboot,
    Disk(Health),
    /// A file loses its end.
    Tear(&'static str),
    /// The operator enrols the endpoint anew.
    EnrolAnew,
    /// The next so many changes of the network fail in this way.
    Kernel(Refusal, usize),
    /// Somebody changes what stands.
    Tamper(Tamper),
    /// The collector answers from now on, or does not.
    Collector(bool),
    /// The endpoint gets other addresses from another server.
    Addresses(u8),
    /// The agent's own way out would stay open, or would not.
    WayOut(bool),
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Order {
    Isolate {
        lease_secs: u64,
        stay: bool,
        let_go: bool,
        accept_loss: bool,
    },
    Release,
    Lock {
        subject: usize,
        lease_secs: Option<u64>,
    },
    /// Undoes the last but so many of what was locked.
    Undo(usize),
    ReleaseAll,
}

/// In what a command is not what it says.
#[derive(Clone, Copy, Debug)]
pub(super) enum Forgery {
    /// Signed by a key that nobody knows.
    Stranger,
    /// Signed by a person without the right to it.
    Viewer,
    /// One bit of it was changed on its way.
    Bit(usize),
    /// For another endpoint.
    OtherEndpoint,
    /// The signer saw this endpoint under another name.
    OtherName,
    /// With a nonce that this endpoint did not make.
    MadeNonce,
    /// With a nonce that is too old by far.
    OldNonce,
    /// With a lease above the roster's ceiling.
    LongLease,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Health {
    Good,
    /// Nothing can be written; what is there can be removed.
    Full,
    /// Neither.
    ReadOnly,
    /// The next write is done and told as failed: the directory could not be synced.
    Liar,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Nothing is done.
    Before,
    /// It is done, and the answer is lost.
    After,
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Tamper {
    WallGone,
    WallChanged,
    Unlock(usize),
}

pub(super) fn life(seed: u64) -> Vec<Event> {
    let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0xfa17);
    let count = 30 + random.below(90);
    (0..count).map(|_| event(&mut random)).collect()
}

fn event(random: &mut Random) -> Event {
    match random.below(100) {
        0..22 => Event::Run(*choose(random, &[1, 2, 5, 7, 30, 61, 130, 400, 1300])),
        22..24 => Event::Sleep(*choose(random, &[20, 600, 5_000, 100_000])),
        24 => Event::ClockBack(*choose(random, &[1, 30, 200])),
        25..37 => Event::Work { steps: 1 + random.below(6), pick: random.below(8) },
        37..52 => Event::Order(order(random)),
        52..68 => Event::Deliver(random.below(2)),
        68..70 => Event::Deliver(random.below(12)),
        70..72 => Event::Hand(random.below(3)),
        72..75 => {
            let forgery = forgery(random);
            Event::Forge(forgery, order(random))
        }
        75..80 => Event::Kill(*choose(random, &[0, 0, 1, 2, 3, 5, 9])),
        80..83 => Event::StartAgent,
        83 => Event::StartHolder,
        84 => Event::AgentBroken(random.one_in(2)),
        85..87 => Event::Reboot,
        87..90 => Event::Disk(*choose(
            random,
            &[Health::Good, Health::Good, Health::Full, Health::ReadOnly, Health::Liar],
        )),
        90 => rare(random),
        91..93 => {
            let how = if random.one_in(2) { Refusal::Before } else { Refusal::After };
            Event::Kernel(how, 1 + random.below(3))
        }
        93..96 => Event::Tamper(match random.below(4) {
            0 => Tamper::WallGone,
            1 => Tamper::WallChanged,
            _ => Tamper::Unlock(random.below(SUBJECTS)),
        }),
        96 => Event::Collector(random.one_in(2)),
        97..99 => Event::Addresses(u8::try_from(1 + random.below(3)).unwrap()),
        _ => Event::WayOut(random.one_in(2)),
    }
}

fn rare(random: &mut Random) -> Event {
    match random.below(6) {
        0 => Event::EnrolAnew,
        1 => Event::Tear(cordon_agent::kept::TIME),
        2 => Event::Tear(cordon_agent::kept::GUARD),
        _ => Event::Tear(cordon_agent::kept::ISOLATION),
    }
}

fn order(random: &mut Random) -> Order {
    match random.below(16) {
        0..6 => Order::Isolate {
            lease_secs: *choose(random, &[30, 90, 600, 3_600, 86_400]),
            stay: random.one_in(4),
            let_go: random.one_in(4),
            accept_loss: random.one_in(3),
        },
        6..9 => Order::Release,
        9..13 => Order::Lock {
            subject: random.below(SUBJECTS),
            lease_secs: *choose(random, &[None, Some(60), Some(600), Some(86_400)]),
        },
        13..15 => Order::Undo(random.below(3)),
        _ => Order::ReleaseAll,
    }
}

fn forgery(random: &mut Random) -> Forgery {
    match random.below(8) {
        0 => Forgery::Stranger,
        1 => Forgery::Viewer,
        2 => Forgery::Bit(random.below(4096)),
        3 => Forgery::OtherEndpoint,
        4 => Forgery::OtherName,
        5 => Forgery::MadeNonce,
        6 => Forgery::OldNonce,
        _ => Forgery::LongLease,
    }
}

fn choose<'a, T>(random: &mut Random, from: &'a [T]) -> &'a T {
    &from[random.below(from.len())]
}
