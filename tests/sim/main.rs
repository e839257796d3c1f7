//! The worlds of `cordon_tests::sim`, a few hundred seeds of each; `cargo measure faults` runs
//! thousands.
//!
//! Each run is decided by its seed, which a failure prints. `CORDON_SIM_SEEDS=FIRST..LAST` runs
//! others, or more.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "a broken promise ends its test, with the seed in the message"
)]

use cordon_tests::sim::endpoint::{self, Broken, Fault};
use cordon_tests::sim::wire;

/// Seeds run by default: about fifteen seconds in a debug build.
const WIRE_SEEDS: std::ops::Range<u64> = 0..150;
const ENDPOINT_SEEDS: std::ops::Range<u64> = 0..400;
/// A broken endpoint shows within so many lives, or the oracle is blind.
const BROKEN_SEEDS: std::ops::Range<u64> = 0..600;

fn seeds(default: std::ops::Range<u64>) -> std::ops::Range<u64> {
    let Ok(text) = std::env::var("CORDON_SIM_SEEDS") else { return default };
    let (first, last) = text.split_once("..").expect("CORDON_SIM_SEEDS is FIRST..LAST");
    first.parse().expect("FIRST is a number")..last.parse().expect("LAST is a number")
}

#[track_caller]
fn check(faults: wire::Faults) {
    for seed in seeds(WIRE_SEEDS) {
        if let Err((wrong, story)) = wire::run(seed, faults) {
            panic!("seed {seed}: {wrong}\n{story}");
        }
    }
}

#[test]
fn every_event_arrives_exactly_once_over_cuts_and_crashes() {
    check(wire::CUTS_AND_CRASHES);
}

#[test]
fn a_full_spool_loses_only_what_a_signed_gap_accounts_for() {
    check(wire::FULL_SPOOL);
}

#[test]
fn lost_power_loses_only_what_was_not_yet_synced_and_doubles_nothing() {
    check(wire::LOST_POWER);
}

#[test]
fn messages_dropped_repeated_and_reordered_never_double_or_forge() {
    check(wire::MANGLED_MESSAGES);
}

#[test]
fn everything_at_once() {
    check(wire::EVERYTHING);
}

#[test]
fn nothing_is_stranded_lost_or_forged_whatever_fails() {
    for seed in seeds(ENDPOINT_SEEDS) {
        if endpoint::run(seed, None).is_ok() {
            continue;
        }
        if let Err(failed) = endpoint::tell(seed, None) {
            panic!("seed {seed}: {}\n{}", failed.fault, failed.story.join("\n"));
        }
    }
}

/// Lives in which something once went wrong, for as long as seeds draw the same lives.
#[test]
fn lives_that_once_ended_in_a_broken_promise_do_not_any_more() {
    for seed in [18_979, 43_441, 43_816, 46_049, 53_260, 100_294, 111_444, 129_122] {
        assert_eq!(endpoint::run(seed, None), Ok(()), "seed {seed}");
    }
}

/// An endpoint without this part breaks its promise within a few hundred lives.
#[track_caller]
fn check_broken(broken: Broken, expected: fn(&Fault) -> bool) {
    let mut faults = BROKEN_SEEDS.filter_map(|seed| endpoint::run(seed, Some(broken)).err());
    assert!(faults.any(|fault| expected(&fault)), "{broken:?} is not noticed");
}

#[test]
fn an_endpoint_that_obeys_without_authority_is_noticed() {
    for broken in [Broken::SignatureUnchecked, Broken::NonceUnchecked, Broken::IdsForgotten] {
        check_broken(broken, |fault| matches!(fault, Fault::Forged(_)));
    }
}

#[test]
fn an_endpoint_that_is_left_cut_off_is_noticed() {
    for broken in [Broken::LeaseIgnored, Broken::RecordStays, Broken::ReleaseOnlyTold] {
        check_broken(broken, |fault| matches!(fault, Fault::Stranded(_)));
    }
}

#[test]
fn an_endpoint_that_loses_an_isolation_is_noticed() {
    for broken in [Broken::WritesLost, Broken::Blind] {
        check_broken(broken, |fault| matches!(fault, Fault::Lost(_)));
    }
}
