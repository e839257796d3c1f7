//! Exactly once, simulated: both ends of a session against cuts, repeats, crashes, lost power, full
//! spools and two connections at once, with a reference model that knows every event made.
//!
//! Each run is decided by its seed, which a failure prints. `CORDON_SIM_SEEDS=FIRST..LAST` runs
//! others, or more.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::expect_used,
    reason = "a model that contradicts itself ends its run, with the seed in the message"
)]

mod log;
mod random;
mod spool;
mod world;

use world::World;

/// Seeds run by default: about fifteen seconds in a debug build.
const SEEDS: std::ops::Range<u64> = 0..150;

/// Steps with faults per run, before everything may calm down.
const STEPS: usize = 400;

fn seeds() -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("CORDON_SIM_SEEDS") else { return SEEDS };
    let (first, last) = text.split_once("..").expect("CORDON_SIM_SEEDS is FIRST..LAST");
    first.parse().expect("FIRST is a number")..last.parse().expect("LAST is a number")
}

#[track_caller]
fn check(faults: world::Faults) {
    for seed in seeds() {
        let mut world = World::new(seed, faults);
        for _ in 0..STEPS {
            world.step();
        }
        world.calm_down();
        if let Err(wrong) = world.judge() {
            panic!("seed {seed}: {wrong}\n{}", world.story());
        }
    }
}

#[test]
fn every_event_arrives_exactly_once_over_cuts_and_crashes() {
    check(world::Faults { cuts: true, crashes: true, ..world::Faults::default() });
}

#[test]
fn a_full_spool_loses_only_what_a_signed_gap_accounts_for() {
    check(world::Faults { cuts: true, overflow: true, ..world::Faults::default() });
}

#[test]
fn lost_power_loses_only_what_was_not_yet_synced_and_doubles_nothing() {
    check(world::Faults { cuts: true, crashes: true, power: true, ..world::Faults::default() });
}

#[test]
fn messages_dropped_repeated_and_reordered_never_double_or_forge() {
    check(world::Faults { cuts: true, mangle: true, ..world::Faults::default() });
}

#[test]
fn everything_at_once() {
    check(world::Faults { cuts: true, crashes: true, overflow: true, power: true, mangle: true });
}
