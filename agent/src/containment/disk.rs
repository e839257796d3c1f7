//! Whether the record of the isolation is on the disk as it must be, and what follows where the
//! disk refuses.
//!
//! Pure.

use crate::action::isolate::record::CommandId;
use crate::action::isolate::{Check, RETRY_SECS, Report, What};

#[derive(Debug, Default)]
pub(super) struct Disk {
    asked: Asked,
    /// Why it refused what was asked last.
    refused: Option<String>,
    /// Not before then is it asked again.
    again_at_secs: u64,
    due: bool,
    /// A longer lease that is not recorded yet.
    renewed: Option<Report>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Asked {
    #[default]
    ToForget,
    ToSave,
}

impl Disk {
    /// What stands is not what the disk says.
    pub(super) fn must_save(&mut self) {
        (self.asked, self.due) = (Asked::ToSave, true);
    }

    pub(super) fn saves(&mut self) {
        (self.asked, self.due) = (Asked::ToSave, false);
    }

    pub(super) fn forgets(&mut self) {
        (self.asked, self.due, self.renewed) = (Asked::ToForget, false, None);
    }

    pub(super) fn handle_saved(&mut self, outcome: Result<(), String>) {
        self.refused = outcome.err();
    }

    /// Asks again what was refused, now and then. What has no record any more needs no saving.
    pub(super) fn handle_timeout(&mut self, has_record: bool, now_secs: u64) {
        let wanted = has_record == (self.asked == Asked::ToSave);
        if self.refused.is_some() && wanted && self.again_at_secs <= now_secs {
            self.again_at_secs = now_secs.saturating_add(RETRY_SECS);
            self.due = true;
        }
    }

    pub(super) fn is_due(&self) -> bool {
        self.due
    }

    /// Why a wall must not be put up just now: its record is not on disk, and a wall that nobody
    /// remembers stands for ever. One that stood is put up again all the same.
    pub(super) fn refuses(&self, check: Check) -> Option<String> {
        let why = self.refused.as_ref().filter(|_| check != Check::Again)?;
        Some(format!("the isolation could not be recorded: {why}"))
    }

    /// A longer lease that is not on the disk would be forgotten by a restart, and is told when it
    /// is.
    pub(super) fn told_later(&mut self, command: CommandId, renewed: What) -> What {
        let Some(why) = &self.refused else { return renewed };
        let why = format!("the new lease could not be recorded: {why}; it will be tried again");
        self.renewed = Some(Report { command, what: renewed });
        What::Refused(why)
    }

    /// What can be told now.
    pub(super) fn renewed(&mut self) -> Option<Report> {
        if self.refused.is_some() || self.asked != Asked::ToSave {
            return None;
        }
        self.renewed.take()
    }

    pub(super) fn is_unforgotten(&self) -> bool {
        self.asked == Asked::ToForget && self.refused.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full() -> Result<(), String> {
        Err("full".to_owned())
    }

    #[test]
    fn what_the_disk_refused_is_asked_of_it_again_until_it_is_done() {
        let mut disk = Disk::default();
        disk.saves();
        disk.handle_saved(full());
        disk.handle_timeout(true, 7);
        assert!(disk.is_due());
        disk.saves();
        disk.handle_saved(full());
        disk.handle_timeout(true, 8);
        assert!(!disk.is_due(), "not all the time");
        disk.handle_timeout(true, 12);
        assert!(disk.is_due());
        disk.saves();
        disk.handle_saved(Ok(()));
        disk.handle_timeout(true, 99);
        assert!(!disk.is_due());
        disk.forgets();
        disk.handle_saved(full());
        assert!(disk.is_unforgotten());
        disk.handle_timeout(false, 100);
        assert!(disk.is_due());
    }

    #[test]
    fn a_wall_that_stood_is_put_up_again_though_its_record_could_not_be_written() {
        let mut disk = Disk::default();
        disk.saves();
        disk.handle_saved(full());
        assert!(disk.refuses(Check::Full).is_some() && disk.refuses(Check::AcceptLoss).is_some());
        assert_eq!(disk.refuses(Check::Again), None);
    }

    #[test]
    fn a_longer_lease_is_told_once_it_is_on_the_disk() {
        let mut disk = Disk::default();
        disk.saves();
        disk.handle_saved(full());
        let told = disk.told_later([1; 16], What::Renewed { until_secs: 9 });
        assert!(
            matches!(told, What::Refused(why) if why.ends_with("full; it will be tried again"))
        );
        assert_eq!(disk.renewed(), None);
        disk.saves();
        disk.handle_saved(Ok(()));
        let what = What::Renewed { until_secs: 9 };
        assert_eq!(disk.renewed(), Some(Report { command: [1; 16], what }));
    }
}
