//! Moments and lengths of time as people write them. Pure; what time it is comes in as an argument.
//!
//! Moments are nanoseconds since 1970 UTC.

use std::time::Duration;

use cordon_proto::time::{from_rfc3339, rfc3339};

/// Nanoseconds in a second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// Why a text is not a moment or a length of time.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MomentError {
    /// Not a length of time.
    #[error("'{0}' is not a length of time such as 90s, 15m, 24h, 7d or 1h30m")]
    Length(String),
    /// Neither a length of time nor a moment.
    #[error(
        "'{0}' is neither a length of time before now (15m, 7d) nor a moment \
         (2026-11-21, 2026-11-21T03:00:00Z)"
    )]
    Moment(String),
}

/// Reads `90s`, `15m`, `24h`, `7d`, `2w`, or several of them in a row.
pub fn parse_length(text: &str) -> Result<Duration, MomentError> {
    let wrong = || MomentError::Length(text.chars().take(80).collect());
    let mut rest = text.trim();
    let mut secs = 0_u64;
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(wrong)?;
        let (number, after) = rest.split_at(digits);
        let number: u64 = number.parse().ok().ok_or_else(wrong)?;
        let unit = after.chars().next().ok_or_else(wrong)?;
        let unit_secs = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            'w' => 7 * 86_400,
            _ => return Err(wrong()),
        };
        let part = number.checked_mul(unit_secs).ok_or_else(wrong)?;
        secs = secs.checked_add(part).ok_or_else(wrong)?;
        rest = after.get(1..).unwrap_or_default();
    }
    Ok(Duration::from_secs(secs))
}

/// Reads a moment: a length of time before `now_ns`, a day, or RFC 3339.
pub fn parse_moment(text: &str, now_ns: u64) -> Result<u64, MomentError> {
    if let Ok(length) = parse_length(text) {
        let length_ns = u64::try_from(length.as_nanos()).unwrap_or(u64::MAX);
        return Ok(now_ns.saturating_sub(length_ns));
    }
    let wrong = || MomentError::Moment(text.chars().take(80).collect());
    let whole = if text.len() == 10 { format!("{text}T00:00:00Z") } else { text.to_owned() };
    from_rfc3339(&whole).ok_or_else(wrong)
}

/// A length of time for people: its two largest units.
#[must_use]
pub fn length(secs: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "m"), (1, "s")];
    let mut rest = secs;
    let mut words = Vec::new();
    for (unit_secs, unit) in units {
        if rest >= unit_secs && words.len() < 2 {
            words.push(format!("{}{unit}", rest / unit_secs));
            rest %= unit_secs;
        } else if !words.is_empty() {
            break;
        }
    }
    if words.is_empty() { "0s".to_owned() } else { words.join(" ") }
}

/// How long ago a moment was, for people.
#[must_use]
pub fn ago(then_ns: u64, now_ns: u64) -> String {
    // Clocks of two machines differ by a little.
    if then_ns.abs_diff(now_ns) < SECOND_NS {
        return "now".to_owned();
    }
    match now_ns.checked_sub(then_ns) {
        Some(ns) => format!("{} ago", length(ns / SECOND_NS)),
        None => format!("in {}", length(then_ns.saturating_sub(now_ns) / SECOND_NS)),
    }
}

/// Day and time of day in UTC with milliseconds, for tables.
#[must_use]
pub fn table_time(ns: u64) -> String {
    let text = rfc3339(ns);
    let (day, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("{day} {}Z", time.get(..12).unwrap_or_default())
}

/// A moment in a list that people read: to the second.
#[must_use]
pub fn list_time(ns: u64) -> String {
    let text = rfc3339(ns);
    let (day, time) = text.split_once('T').unwrap_or((&text, ""));
    format!("{day} {}Z", time.get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_read_as_people_write_them() {
        for (text, secs) in
            [("90s", 90), ("15m", 900), ("24h", 86_400), ("7d", 604_800), ("1h30m", 5400)]
        {
            assert_eq!(parse_length(text), Ok(Duration::from_secs(secs)), "{text}");
        }
        for text in
            ["", "5", "h", "-5m", "5 m", "5µ", "99999999999999999999s", "99999999999999999w"]
        {
            assert!(parse_length(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_moment_in_a_table_is_cut_to_milliseconds() {
        assert_eq!(table_time(951_782_400_001_999_999), "2000-02-29 00:00:00.001Z");
        assert_eq!(list_time(951_782_400_001_999_999), "2000-02-29 00:00:00Z");
    }

    #[test]
    fn a_moment_may_be_a_length_of_time_before_now() {
        let now = 10_000 * SECOND_NS;
        assert_eq!(parse_moment("1h", now), Ok(6400 * SECOND_NS));
        assert_eq!(parse_moment("1970-01-02", now), Ok(86_400 * SECOND_NS));
        assert!(parse_moment("yesterday", now).is_err());
    }

    #[test]
    fn lengths_are_told_in_their_two_largest_units() {
        for (secs, text) in
            [(0, "0s"), (59, "59s"), (3600, "1h"), (3661, "1h 1m"), (90_061, "1d 1h")]
        {
            assert_eq!(length(secs), text);
        }
    }
}
