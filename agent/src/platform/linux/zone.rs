//! How far the machine's own zone is from UTC, from the C library's tables.
#![allow(unsafe_code, reason = "the C library's time zone functions")]

/// The zone's offset east of UTC at a moment, in seconds.
#[must_use]
pub fn offset_secs(unix_secs: i64) -> i32 {
    // SAFETY: a `tm` of zeros is a valid one.
    let mut local: libc::tm = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are good for the call, and nothing of them is kept.
    let known = unsafe { libc::localtime_r(&raw const unix_secs, &raw mut local) };
    if known.is_null() { 0 } else { i32::try_from(local.tm_gmtoff).unwrap_or(0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_within_a_day_of_utc() {
        assert!(offset_secs(1_795_000_000).abs() < 86_400);
    }
}
