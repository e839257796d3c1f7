//! What the meter and the canaries have found, in words. Pure.

use cordon_proto::Text;
use cordon_proto::event::finding::{Finding, FindingCount};
use cordon_proto::event::{Actor, Body, Observation, Severity};

use super::meter::Alarm;
use crate::clock::Stamp;

/// The rule of mass changes.
pub(super) const MASS_CHANGE: &str = "files.mass_change";

/// The rule of canary files.
pub(super) const CANARY: &str = "files.canary";

/// Data encrypted for impact.
const ENCRYPTED: &str = "T1486";

/// Data destruction.
const DESTROYED: &str = "T1485";

/// Somebody makes files unreadable. `actor`: as much as is known of the process.
pub(super) fn mass_change(alarm: &Alarm, actor: Option<Actor>, now: Stamp) -> Observation {
    let Alarm { number, repeated, through_children, account, .. } = alarm;
    let nanos = account.last.boot_ns.saturating_sub(account.first.boot_ns);
    let secs = nanos.div_ceil(1_000_000_000).max(1);
    let rate = account.victims.saturating_mul(60) / secs;
    let endings = account.endings.iter().filter(|(ending, _)| !ending.is_empty());
    let endings: Vec<String> =
        endings.map(|(ending, count)| format!(".{} ({count})", ending.escape_ascii())).collect();
    let by = if *through_children { "by processes that the named one has started; " } else { "" };
    let mut detail = format!(
        "{} files no longer hold what their names promise, {rate} a minute; {by}a program that \
         encrypts files because it was told to looks the same",
        account.victims
    );
    if !endings.is_empty() {
        detail.push_str(&format!("; new endings: {}", endings.join(", ")));
    }
    let counts = [
        ("files", account.victims),
        ("written over", account.rewritten),
        ("renamed", account.renamed),
        ("replaced", account.replaced),
        ("deleted", account.deleted),
        ("notes", account.notes),
        ("a minute", rate),
    ];
    let counts = counts.iter().filter(|(_, count)| *count > 0);
    observation(
        Finding {
            rule: MASS_CHANGE.to_owned(),
            uid: format!("{MASS_CHANGE}/{}/{number}", account.first.time_ns),
            repeated: *repeated,
            title: "files are being made unreadable".to_owned(),
            detail,
            techniques: vec![ENCRYPTED.to_owned(), DESTROYED.to_owned()],
            actor,
            counts: counts.map(|(name, count)| count_of(name, *count)).collect(),
            paths: account.paths.clone(),
            first_ns: account.first.time_ns,
            last_ns: account.last.time_ns,
        },
        now,
    )
}

/// Somebody touched a file that nobody has a reason to touch.
pub(super) fn canary(path: &[u8], what: &str, actor: Option<Actor>, now: Stamp) -> Observation {
    let shown = path.escape_ascii();
    observation(
        Finding {
            rule: CANARY.to_owned(),
            uid: format!("{CANARY}/{}/{shown}", now.time_ns),
            repeated: false,
            title: format!("a canary file was {what}"),
            detail: "nobody has a reason to touch this file; a person who clears up looks the same"
                .to_owned(),
            techniques: vec![ENCRYPTED.to_owned()],
            actor,
            counts: vec![count_of("files", 1)],
            paths: vec![Text::from(path)],
            first_ns: now.time_ns,
            last_ns: now.time_ns,
        },
        now,
    )
}

fn count_of(name: &str, count: u64) -> FindingCount {
    FindingCount { name: name.to_owned(), count }
}

fn observation(finding: Finding, now: Stamp) -> Observation {
    let Stamp { time_ns, boot_ns } = now;
    let body = Body::Finding(Box::new(finding));
    Observation { time_ns, boot_ns, severity: Severity::High, body }
}
