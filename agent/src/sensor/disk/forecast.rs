//! When a file system will be full, as far as its past tells.
//!
//! Pure. Two bounded histories are kept of what is left: an hour, minute by minute, and three days,
//! half-hour by half-hour. A slope is the median of the slopes between all pairs of points
//! (Theil-Sen), which one dump or one clean-up does not move. It is believed only
//! - where most pairs agree that it falls (Kendall's tau is the confidence),
//! - as far into the future as four times what was observed, and
//! - for the short history, where it takes the file system to where it was not within the three
//!   days: logs that grow and are rotated fall and rise for ever between the same bounds.
//!
//! So what fills at once and is cleaned again, over and over, is told by the thresholds of space
//! alone.

mod history;

use std::time::Duration;

use cordon_proto::event::Severity;

use self::history::{History, Slope};

/// How near the end must be to be told, in seconds: three days, one day, four hours.
pub(super) const WITHIN_SECS: [u64; 3] = [3 * 86_400, 86_400, 4 * 3600];

const SHORT: History = History::new(Duration::from_secs(60), 60);
const LONG: History = History::new(Duration::from_secs(1800), 144);

/// Pairs that agree, less those that do not, of all pairs, in percent. Noise is near zero, two
/// teeth of a saw are near fifty.
const CONFIDENCE_MIN_PERCENT: u8 = 60;

/// How far into the future a slope is believed, as a multiple of the time observed.
const BELIEVED_TIMES: u64 = 4;

/// Less than this part of the least that was ever left is new ground.
const NEW_GROUND_PERCENT: u64 = 90;

/// Forecasts in a row that must say the same before a threshold counts as reached.
const REACHED_AFTER: u8 = 3;
/// The same for one that is left behind; patient, because growth has pauses.
const LEFT_AFTER: u8 = 15;
/// A threshold is left behind only when the end is half as far again.
const LEFT_PERCENT: u64 = 150;

/// The end that can be seen coming.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct End {
    pub(super) in_secs: u64,
    pub(super) confidence_percent: u8,
}

/// What is left of one thing that can run out, and where that leads.
#[derive(Clone, Debug)]
pub(super) struct Forecaster {
    short: History,
    long: History,
    long_slope: Option<Slope>,
    end: Option<End>,
    /// How many of [`WITHIN_SECS`] are reached.
    level: usize,
    nearer: u8,
    farther: u8,
}

impl Default for Forecaster {
    fn default() -> Self {
        let (short, long) = (SHORT, LONG);
        Self { short, long, long_slope: None, end: None, level: 0, nearer: 0, farther: 0 }
    }
}

impl Forecaster {
    /// Takes what is left now; where a threshold was reached or left behind, how grave that is.
    pub(super) fn step(&mut self, left: u64, now: Duration) -> Option<Severity> {
        if !self.short.note(left, now) {
            return None;
        }
        if self.long.note(left, now) {
            self.long_slope = self.long.slope();
        }
        self.end = self.foresee(left);
        let in_secs = self.end.map(|end| end.in_secs);
        let reached = |limit: u64| in_secs.is_some_and(|secs| secs <= limit);
        let level = WITHIN_SECS.iter().filter(|limit| reached(**limit)).count();
        let held = |limit: u64| reached(limit.saturating_mul(LEFT_PERCENT) / 100);
        let held = WITHIN_SECS.iter().filter(|limit| held(**limit)).count();
        self.nearer = if level > self.level { self.nearer.saturating_add(1) } else { 0 };
        self.farther = if held < self.level { self.farther.saturating_add(1) } else { 0 };
        let severity = if self.nearer >= REACHED_AFTER {
            self.level = level;
            severity(level)
        } else if self.farther >= LEFT_AFTER {
            self.level = held;
            Severity::Informational
        } else {
            return None;
        };
        (self.nearer, self.farther) = (0, 0);
        Some(severity)
    }

    /// The end, if one can be seen coming.
    pub(super) fn end(&self) -> Option<End> {
        self.end
    }

    /// The nearest threshold reached, in seconds.
    pub(super) fn within_secs(&self) -> Option<u64> {
        WITHIN_SECS.get(self.level.checked_sub(1)?).copied()
    }

    /// The nearer of the ends that the two histories foresee.
    fn foresee(&self, left: u64) -> Option<End> {
        let least = self.long.lowest_before(&self.short);
        let is_new_ground = least.is_some_and(|least| left < least / 100 * NEW_GROUND_PERCENT);
        let short = self.short.slope().filter(|_| is_new_ground);
        let ends = [short, self.long_slope].into_iter().flatten();
        ends.filter_map(|slope| end(slope, left)).min_by_key(|end| end.in_secs)
    }
}

/// How grave it is that so many thresholds are reached.
fn severity(level: usize) -> Severity {
    match level {
        0 => Severity::Informational,
        1 => Severity::Low,
        2 => Severity::Medium,
        _ => Severity::High,
    }
}

fn end(slope: Slope, left: u64) -> Option<End> {
    let Slope { falls_by, over_secs, confidence_percent, observed_secs } = slope;
    if confidence_percent < CONFIDENCE_MIN_PERCENT {
        return None;
    }
    let in_secs = u128::from(left) * u128::from(over_secs);
    let in_secs = u64::try_from(in_secs.checked_div(u128::from(falls_by))?).ok()?;
    let believed = observed_secs.saturating_mul(BELIEVED_TIMES);
    (in_secs <= believed).then_some(End { in_secs, confidence_percent })
}

#[cfg(test)]
mod tests;
