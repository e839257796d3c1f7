//! What disks say of their own health, and when that is told: at the start, when it changes, and
//! once a day.
//!
//! NVMe controllers are asked for their health log directly; all others by way of `smartctl` where
//! it is installed. A disk that sleeps is left asleep. What neither can ask (most disks on the USB,
//! virtual disks, disks behind a RAID controller) says nothing, and nothing is told of it.

mod ask;
mod judge;
mod nvme_log;
mod smartctl;

use std::collections::HashMap;
use std::time::Duration;

use cordon_proto::event::Severity;
use cordon_proto::event::disk::{DiskHealth, HealthProblem};

pub(super) use self::ask::{Answers, ask_all};
use self::judge::{judge, severity};

/// Told so often though nothing changed.
const TOLD_EVERY: Duration = Duration::from_secs(86_400);

/// A temperature is told anew only when it changed the verdict, and so is everything that only
/// grows with time.
#[derive(Debug, Default)]
pub(super) struct Healths {
    known: HashMap<Vec<u8>, Known>,
}

#[derive(Debug)]
struct Known {
    told_at: Duration,
    told: Vec<HealthProblem>,
    last: DiskHealth,
}

impl Healths {
    /// Takes what the disks said; what is to be told comes out. A disk that is not among them any
    /// more is forgotten.
    pub(super) fn handle_answers(
        &mut self,
        answers: Vec<DiskHealth>,
        now: Duration,
    ) -> Vec<(Severity, DiskHealth)> {
        let is_there = |key: &Vec<u8>| answers.iter().any(|health| key_of(health) == *key);
        self.known.retain(|key, _| is_there(key));
        answers.into_iter().filter_map(|health| self.handle_answer(health, now)).collect()
    }

    fn handle_answer(
        &mut self,
        mut health: DiskHealth,
        now: Duration,
    ) -> Option<(Severity, DiskHealth)> {
        let key = key_of(&health);
        let before = self.known.get(&key);
        health.problems = judge(&health, before.map(|known| &known.last));
        let is_news = before.is_none_or(|known| {
            known.told != health.problems || now.saturating_sub(known.told_at) >= TOLD_EVERY
        });
        let (told_at, told) = match before {
            Some(known) if !is_news => (known.told_at, known.told.clone()),
            Some(_) | None => (now, health.problems.clone()),
        };
        self.known.insert(key, Known { told_at, told, last: health.clone() });
        is_news.then(|| (severity(&health.problems), health))
    }
}

/// One disk: the same name with another serial number is another.
fn key_of(health: &DiskHealth) -> Vec<u8> {
    let serial = health.serial.as_ref().map_or(&b""[..], |serial| serial.as_bytes());
    [health.device.as_bytes(), b"/", serial].concat()
}

#[cfg(test)]
mod tests {
    use cordon_proto::event::disk::HealthMeans;

    use super::*;

    fn nvme(media_errors: u64, critical_warning: u8) -> DiskHealth {
        let mut health = nvme_log::parse(&[0; 512]).unwrap();
        health.device = "nvme0".into();
        health.media_errors = Some(media_errors);
        health.critical_warning = Some(critical_warning);
        health
    }

    /// Hours, media errors and warnings; what is told when.
    #[track_caller]
    fn check(answers: &[(u64, u64, u8)], expected: &[&str]) {
        let mut healths = Healths::default();
        let mut told = Vec::new();
        for (hours, media_errors, warning) in answers {
            let now = Duration::from_secs(hours * 3600);
            for (severity, health) in
                healths.handle_answers(vec![nvme(*media_errors, *warning)], now)
            {
                told.push(format!("{hours}: {severity:?} {:?}", health.problems));
            }
        }
        assert_eq!(told, expected);
    }

    #[test]
    fn a_healthy_disk_is_told_once_a_day() {
        let hourly: Vec<_> = (0..50).map(|hour| (hour, 0, 0)).collect();
        check(&hourly, &["0: Informational []", "24: Informational []", "48: Informational []"]);
    }

    #[test]
    fn a_change_is_told_at_once_and_so_is_its_end() {
        check(
            &[(0, 0, 0), (1, 0, 1), (2, 0, 1), (3, 0, 0)],
            &["0: Informational []", "1: High [SpareLow]", "3: Informational []"],
        );
    }

    #[test]
    fn old_media_errors_are_known_and_new_ones_are_told() {
        check(
            &[(0, 7, 0), (1, 7, 0), (2, 8, 0), (3, 8, 0)],
            &["0: Informational []", "2: Medium [MediaErrors]", "3: Informational []"],
        );
    }

    #[test]
    fn another_disk_under_the_same_name_begins_anew() {
        let mut healths = Healths::default();
        let mut other = nvme(9, 0);
        other.serial = Some("2".into());
        assert_eq!(healths.handle_answers(vec![nvme(0, 0)], Duration::ZERO).len(), 1);
        let told = healths.handle_answers(vec![other], Duration::ZERO);
        assert_eq!(told[0].1.problems, []);
        assert_eq!(told[0].1.means, HealthMeans::NvmeLog);
        assert_eq!(healths.known.len(), 1);
    }
}
