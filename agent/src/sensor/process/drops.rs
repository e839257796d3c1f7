//! What the kernel's programs had no room for, and what is told of it. Pure.

use cordon_proto::event::{Class, ClassCount, GapReason};

use crate::sensor::Loss;

/// Records that the kernel could not hand over, since the programs were loaded.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Drops {
    pub(super) execs: u64,
    pub(super) forks: u64,
    pub(super) exits: u64,
    /// Programs that did not run, or records that made no sense: of any kind.
    pub(super) others: u64,
}

impl Drops {
    /// What came on top.
    pub(super) fn since(self, before: Self) -> Self {
        Self {
            execs: self.execs.saturating_sub(before.execs),
            forks: self.forks.saturating_sub(before.forks),
            exits: self.exits.saturating_sub(before.exits),
            others: self.others.saturating_sub(before.others),
        }
    }

    /// What is told of it. Forks that would not have been told are no lost events, but are named:
    /// chains of makers may end early by them.
    pub(super) fn loss(self, tells_forks: bool, from_ns: u64, to_ns: u64) -> Option<Loss> {
        let Self { execs, forks, exits, others } = self;
        let count = execs + exits + others + if tells_forks { forks } else { 0 };
        let detail = format!("{execs} starts, {forks} forks, {exits} ends, {others} of any kind");
        (count > 0).then(|| Loss {
            reason: GapReason::KernelRing,
            counts: vec![ClassCount { class: Class::Process, count }],
            from_ns,
            to_ns,
            detail: Some(detail),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losses_are_told_by_difference_and_only_where_there_are_some() {
        let before = Drops { execs: 10, forks: 0, exits: 4, others: 0 };
        assert_eq!(before.since(before).loss(true, 1, 2), None);
        let after = Drops { execs: 12, forks: 9, exits: 5, others: 1 };
        let loss = after.since(before).loss(false, 1, 2).unwrap();
        assert_eq!(loss.reason, GapReason::KernelRing);
        assert_eq!(loss.counts, [ClassCount { class: Class::Process, count: 4 }]);
        assert_eq!(loss.detail.as_deref(), Some("2 starts, 9 forks, 1 ends, 1 of any kind"));
    }
}
