//! A point in time as people and programs read it: RFC 3339, UTC, nanoseconds.
//!
//! Shown and compared; nothing that an endpoint does depends on it.

use std::fmt;
use std::str::FromStr;

use cordon_proto::time::{from_rfc3339, rfc3339};
use serde::{Deserialize, Serialize};

/// Nanoseconds since 1970 UTC.
#[derive(
    Clone, Copy, Debug, Default, Eq, PartialEq, Ord, PartialOrd, Hash, Serialize, Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Time(pub u64);

/// Why a text is not a time.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
#[error("'{0}' is not a time as RFC 3339 writes it, such as 2026-11-21T22:30:00Z")]
pub struct TimeError(String);

const NS: u64 = 1_000_000_000;

impl Time {
    /// As many seconds later, or the last time there is.
    #[must_use]
    pub fn plus_secs(self, secs: u64) -> Self {
        Self(self.0.saturating_add(secs.saturating_mul(NS)))
    }

    /// As many seconds earlier, or the first time there is.
    #[must_use]
    pub fn minus_secs(self, secs: u64) -> Self {
        Self(self.0.saturating_sub(secs.saturating_mul(NS)))
    }

    /// Whole seconds since an earlier time; 0 if it is later.
    #[must_use]
    pub fn secs_since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0) / NS
    }

    /// When an event happened by the collector's clock: the endpoint's word with the measured
    /// offset taken off, and never later than it was received.
    #[must_use]
    pub fn corrected(event_ns: u64, clock_offset_ns: i64, received_ns: u64) -> Self {
        let corrected = i128::from(event_ns) - i128::from(clock_offset_ns);
        Self(u64::try_from(corrected).unwrap_or_default().min(received_ns))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&rfc3339(self.0))
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        time.to_string()
    }
}

impl TryFrom<String> for Time {
    type Error = TimeError;
    fn try_from(text: String) -> Result<Self, TimeError> {
        text.parse()
    }
}

impl FromStr for Time {
    type Err = TimeError;
    fn from_str(text: &str) -> Result<Self, TimeError> {
        from_rfc3339(text).map(Self).ok_or_else(|| TimeError(text.chars().take(40).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_whose_clock_is_ten_years_off_is_still_told_in_order() {
        let years = 10 * 365 * 86_400 * NS;
        let offset = i64::try_from(years).unwrap();
        assert_eq!(Time::corrected(years + 5, offset, 9), Time(5));
        assert_eq!(Time::corrected(5, -offset, 9), Time(9), "never after it was received");
        assert_eq!(Time::corrected(5, offset, 9), Time(0));
    }
}
