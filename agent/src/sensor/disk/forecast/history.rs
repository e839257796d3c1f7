//! What was left at regular times, and the slope through it.
//!
//! Pure.

use std::collections::VecDeque;
use std::time::Duration;

/// Fewer points than this have no slope.
const POINTS_MIN: usize = 10;

/// A bounded history with at most one point a period.
#[derive(Clone, Debug)]
pub(super) struct History {
    every: Duration,
    points_max: usize,
    points: VecDeque<Point>,
}

#[derive(Clone, Copy, Debug)]
struct Point {
    at_secs: u64,
    left: u64,
    /// The least that was left until the next point.
    lowest: u64,
}

/// The median slope of a history that falls.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Slope {
    /// It falls by so much …
    pub(super) falls_by: u64,
    /// … in so many seconds; never zero.
    pub(super) over_secs: u64,
    pub(super) confidence_percent: u8,
    pub(super) observed_secs: u64,
}

impl History {
    pub(super) const fn new(every: Duration, points_max: usize) -> Self {
        Self { every, points_max, points: VecDeque::new() }
    }

    /// Takes a point unless the last one is too young; answers whether it did.
    pub(super) fn note(&mut self, left: u64, now: Duration) -> bool {
        // Measures come a little early or late; half a second does not count.
        let at_secs = now.saturating_add(Duration::from_millis(500)).as_secs();
        if let Some(last) = self.points.back_mut() {
            last.lowest = last.lowest.min(left);
            if at_secs < last.at_secs.saturating_add(self.every.as_secs()) {
                return false;
            }
        }
        if self.points.len() >= self.points_max {
            self.points.pop_front();
        }
        self.points.push_back(Point { at_secs, left, lowest: left });
        true
    }

    /// The least that was left before the other history began; none where nothing is known of
    /// that time.
    pub(super) fn lowest_before(&self, other: &Self) -> Option<u64> {
        let begin_secs = other.points.front()?.at_secs;
        let before = self.points.iter().take_while(|point| point.at_secs < begin_secs);
        before.map(|point| point.lowest).min()
    }

    /// The slope; none where it does not fall, or there are too few points to tell.
    pub(super) fn slope(&self) -> Option<Slope> {
        if self.points.len() < POINTS_MIN {
            return None;
        }
        let (first, last) = (self.points.front()?, self.points.back()?);
        let mut falls: Vec<(i128, u64)> = Vec::with_capacity(self.points.len().pow(2) / 2);
        let (mut down, mut up) = (0_u64, 0_u64);
        for (index, early) in self.points.iter().enumerate() {
            for late in self.points.iter().skip(index + 1) {
                let over_secs = late.at_secs.saturating_sub(early.at_secs).max(1);
                falls.push((i128::from(early.left) - i128::from(late.left), over_secs));
                down += u64::from(late.left < early.left);
                up += u64::from(late.left > early.left);
            }
        }
        let middle = falls.len() / 2;
        let by_slope = |one: &(i128, u64), other: &(i128, u64)| {
            (one.0 * i128::from(other.1)).cmp(&(other.0 * i128::from(one.1)))
        };
        let (_, median, _) = falls.select_nth_unstable_by(middle, by_slope);
        let (falls_by, over_secs) = *median;
        let falls_by = u64::try_from(falls_by).ok().filter(|falls_by| *falls_by > 0)?;
        let pairs = u64::try_from(falls.len()).ok()?;
        let agreed = down.saturating_sub(up).saturating_mul(100) / pairs;
        Some(Slope {
            falls_by,
            over_secs,
            confidence_percent: u8::try_from(agreed).unwrap_or(100),
            observed_secs: last.at_secs.saturating_sub(first.at_secs),
        })
    }
}
