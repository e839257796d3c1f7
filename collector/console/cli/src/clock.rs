//! The one reader of the wall clock in this program.

use std::time::{SystemTime, UNIX_EPOCH};

/// Nanoseconds since 1970 UTC.
#[expect(clippy::disallowed_methods, reason = "this is the file that reads the time")]
#[must_use]
pub fn now_ns() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
