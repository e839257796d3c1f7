//! What is wrong with a disk, from what it says of itself.
//!
//! Pure.

use cordon_proto::event::Severity;
use cordon_proto::event::disk::{DiskHealth, HealthProblem};

const NEARLY_WORN_PERCENT: u8 = 90;

/// NVMe's critical warning, from its lowest bit.
const WARNINGS: [HealthProblem; 6] = [
    HealthProblem::SpareLow,
    HealthProblem::Temperature,
    HealthProblem::Unreliable,
    HealthProblem::ReadOnly,
    HealthProblem::BackupFailed,
    HealthProblem::Unreliable,
];

/// All that is wrong, each once, in the order of their numbers; `before` is what the disk said the
/// last time.
pub(super) fn judge(health: &DiskHealth, before: Option<&DiskHealth>) -> Vec<HealthProblem> {
    let warning = health.critical_warning.unwrap_or(0);
    let warned = WARNINGS.iter().enumerate().filter(|(bit, _)| warning >> bit & 1 == 1);
    let mut problems: Vec<_> = warned.map(|(_, problem)| *problem).collect();
    let some = |count: Option<u64>| count.is_some_and(|count| count > 0);
    let rises = |field: fn(&DiskHealth) -> Option<u64>| {
        before.and_then(field).is_some_and(|old| field(health).is_some_and(|new| new > old))
    };
    let spare_low = match (health.spare_percent, health.spare_min_percent) {
        (Some(spare), Some(least)) => spare < least,
        (Some(_), None) | (None, _) => false,
    };
    let used = health.used_percent.unwrap_or(0);
    let found = [
        (health.passed == Some(false), HealthProblem::Failing),
        (spare_low, HealthProblem::SpareLow),
        (used >= 100, HealthProblem::WornOut),
        ((NEARLY_WORN_PERCENT..100).contains(&used), HealthProblem::NearlyWorn),
        (rises(|health| health.media_errors), HealthProblem::MediaErrors),
        (some(health.bad_sectors), HealthProblem::BadSectors),
        (some(health.replaced_sectors), HealthProblem::ReplacedSectors),
    ];
    problems.extend(found.iter().filter(|(is_so, _)| *is_so).map(|(_, problem)| *problem));
    problems.sort_unstable();
    problems.dedup();
    problems
}

/// The gravest of them counts.
pub(super) fn severity(problems: &[HealthProblem]) -> Severity {
    let one = |problem: &HealthProblem| match problem {
        HealthProblem::Failing
        | HealthProblem::SpareLow
        | HealthProblem::Unreliable
        | HealthProblem::ReadOnly
        | HealthProblem::BackupFailed => Severity::High,
        HealthProblem::Temperature
        | HealthProblem::WornOut
        | HealthProblem::MediaErrors
        | HealthProblem::BadSectors => Severity::Medium,
        HealthProblem::NearlyWorn | HealthProblem::ReplacedSectors => Severity::Low,
    };
    problems.iter().map(one).max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::nvme_log;
    use super::*;

    #[track_caller]
    fn check(change: impl Fn(&mut DiskHealth), problems: &[HealthProblem], how_grave: Severity) {
        let mut health = nvme_log::parse(&[0; 512]).unwrap();
        change(&mut health);
        assert_eq!(judge(&health, None), problems);
        assert_eq!(severity(problems), how_grave);
    }

    #[test]
    fn each_bit_of_the_warning_is_a_problem() {
        use HealthProblem::{BackupFailed, ReadOnly, SpareLow, Temperature, Unreliable};
        check(|_| {}, &[], Severity::Informational);
        check(|h| h.critical_warning = Some(1), &[SpareLow], Severity::High);
        check(|h| h.critical_warning = Some(2), &[Temperature], Severity::Medium);
        let all = [SpareLow, Temperature, Unreliable, ReadOnly, BackupFailed];
        check(|h| h.critical_warning = Some(0xff), &all, Severity::High);
    }

    #[test]
    fn wear_and_spare_have_limits() {
        use HealthProblem::{NearlyWorn, SpareLow, WornOut};
        check(|h| h.used_percent = Some(89), &[], Severity::Informational);
        check(|h| h.used_percent = Some(90), &[NearlyWorn], Severity::Low);
        check(|h| h.used_percent = Some(255), &[WornOut], Severity::Medium);
        let spare = |spare| {
            move |h: &mut DiskHealth| {
                (h.spare_percent, h.spare_min_percent) = (Some(spare), Some(10));
            }
        };
        check(spare(10), &[], Severity::Informational);
        check(spare(9), &[SpareLow], Severity::High);
    }

    #[test]
    fn a_disk_that_says_it_fails_is_believed() {
        check(|h| h.passed = Some(false), &[HealthProblem::Failing], Severity::High);
        check(|h| h.bad_sectors = Some(1), &[HealthProblem::BadSectors], Severity::Medium);
        check(|h| h.replaced_sectors = Some(1), &[HealthProblem::ReplacedSectors], Severity::Low);
    }
}
