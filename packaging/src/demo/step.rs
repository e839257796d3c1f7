//! One step of the demo: one line, with the time it took.

use anyhow::{Context, Result};

use crate::clock::Stopwatch;
use crate::say;

/// Does it and says so; `what` is a sentence about what has been done, not about what will be.
pub fn step<T>(what: &str, act: impl FnOnce() -> Result<T>) -> Result<T> {
    let watch = Stopwatch::start();
    say::begin(what);
    let done = act();
    say::step(if done.is_ok() { "ok" } else { "FAIL" }, watch.elapsed(), what);
    done.with_context(|| format!("the step \"{what}\""))
}
