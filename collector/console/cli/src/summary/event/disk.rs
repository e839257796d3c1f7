//! File systems and disks in one line.

use serde_json::Value;

use super::{flag, word};

/// What happened to which file system.
pub(super) fn summary(event: &Value) -> String {
    let path = word(event, "/mount/path");
    let activity = word(event, "/activity_name");
    let read_only = if flag(event, "/mount/read_only") { ", read-only" } else { "" };
    if activity != "Space" {
        let (kind, source) = (word(event, "/mount/fs_type"), word(event, "/mount/source"));
        return format!("{} {path} ({kind} on {source}{read_only})", activity.to_lowercase());
    }
    let number = |pointer: &str| word(event, pointer).parse::<u64>().unwrap_or(0);
    let used = |free: u64, total: u64| {
        let used = u128::from(total.saturating_sub(free)) * 100;
        used.checked_div(u128::from(total)).unwrap_or(0)
    };
    let total = number("/space/bytes_total");
    let bytes = used(number("/space/bytes_available"), total);
    let inodes = used(number("/space/inodes_free"), number("/space/inodes_total"));
    let crossed = word(event, "/space/threshold_percent");
    let crossed = if crossed.is_empty() { String::new() } else { format!(", crossed {crossed} %") };
    let total_mib = total >> 20;
    format!("{path} {bytes} % of {total_mib} MiB used, {inodes} % of inodes{crossed}{read_only}")
}
