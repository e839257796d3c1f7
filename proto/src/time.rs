//! Times as text: RFC 3339 in UTC, always with nanoseconds.

use jiff::Timestamp;

/// Nanoseconds since 1970 UTC as RFC 3339. Past the year 9999, which no clock here shows, it is the
/// last moment that can be written.
#[must_use]
pub fn rfc3339(ns: u64) -> String {
    let time = Timestamp::from_nanosecond(i128::from(ns)).unwrap_or(Timestamp::MAX);
    format!("{time:.9}")
}

/// Reads RFC 3339 with any offset; none if it is not one, or before 1970.
#[must_use]
pub fn from_rfc3339(text: &str) -> Option<u64> {
    u64::try_from(text.parse::<Timestamp>().ok()?.as_nanosecond()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339_with_nanoseconds_and_read_back() {
        for (ns, says) in [
            (0, "1970-01-01T00:00:00.000000000Z"),
            (951_782_400_000_000_001, "2000-02-29T00:00:00.000000001Z"),
            (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000000Z"),
        ] {
            assert_eq!(rfc3339(ns), says);
            assert_eq!(from_rfc3339(says), Some(ns));
        }
        assert_eq!(from_rfc3339("1970-01-01T01:00:00+01:00"), Some(0));
        assert_eq!(from_rfc3339("1969-12-31T00:00:00Z"), None);
        assert_eq!(from_rfc3339("yesterday"), None);
        assert!(rfc3339(u64::MAX).starts_with("2554-"));
    }
}
