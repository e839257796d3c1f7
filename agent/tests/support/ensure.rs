//! What a test on this kernel expects, said so that the reason of a failure can be read.
#![allow(dead_code, reason = "no test needs all of it")]

use std::fmt::Debug;
use std::time::Duration;

use cordon_agent::clock::Clock;
use libtest_mimic::Failed;

/// How long anything is waited for.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn ensure(is_so: bool, what: &str) -> Result<(), Failed> {
    if is_so { Ok(()) } else { Err(format!("not so: {what}").into()) }
}

#[track_caller]
pub(crate) fn ensure_eq<T: Debug + PartialEq>(found: &T, expected: &T) -> Result<(), Failed> {
    let line = std::panic::Location::caller().line();
    let difference = || format!("line {line}: found {found:?}, expected {expected:?}");
    if found == expected { Ok(()) } else { Err(difference().into()) }
}

/// Looks until it is so.
pub(crate) fn until(what: &str, mut is_so: impl FnMut() -> bool) -> Result<(), Failed> {
    let clock = Clock::start();
    while !is_so() {
        if clock.now() > PATIENCE {
            return Err(format!("waited in vain until {what}").into());
        }
        std::thread::yield_now();
    }
    Ok(())
}
