//! Adds up faults by device and kind, so that a dying disk is told and does not flood.
//!
//! Pure. The first window is a second; each window that is followed by another fault soon is
//! followed by one twice as long, up to a minute.

use std::collections::BTreeMap;
use std::time::Duration;

use cordon_proto::Text;
use cordon_proto::event::Severity;
use cordon_proto::event::disk::{IoError, IoErrorKind};

use super::meaning::{Fault, fault_severity};

const WINDOW_MIN: Duration = Duration::from_secs(1);
const WINDOW_MAX: Duration = Duration::from_secs(60);

/// Kinds of faults on devices that are remembered. More than this at once, and the oldest window
/// ends early.
const REMEMBERED_MAX: usize = 64;

#[derive(Debug, Default)]
pub(super) struct Faults {
    remembered: BTreeMap<(String, u8), Remembered>,
}

#[derive(Debug)]
struct Remembered {
    kind: IoErrorKind,
    window: Duration,
    began: Duration,
    /// What came in the window; none between two.
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    sector: Option<u64>,
    line: Text,
    count: u64,
}

impl Faults {
    /// Takes a fault; what is full, or pushed out by it, is told at once.
    pub(super) fn note(&mut self, fault: Fault, line: &Text, now: Duration) -> Option<Told> {
        let Fault { device, kind, sector } = fault;
        let key = (device, number(kind));
        let room = self.remembered.len() < REMEMBERED_MAX || self.remembered.contains_key(&key);
        let pushed_out = if room { None } else { self.push_out() };
        let remembered = self.remembered.entry(key).or_insert(Remembered {
            kind,
            window: WINDOW_MIN,
            began: now,
            open: None,
        });
        match &mut remembered.open {
            Some(open) => open.count = open.count.saturating_add(1),
            None => {
                let since = now.saturating_sub(remembered.began);
                let is_again = since > Duration::ZERO && since <= remembered.window * 3;
                let window = if is_again { remembered.window * 2 } else { WINDOW_MIN };
                remembered.window = window.min(WINDOW_MAX);
                remembered.began = now;
                remembered.open = Some(Open { sector, line: line.clone(), count: 1 });
            }
        }
        pushed_out
    }

    /// What came in windows that are over.
    pub(super) fn handle_timeout(&mut self, now: Duration) -> Vec<Told> {
        let mut told = Vec::new();
        self.remembered.retain(|(device, _), remembered| {
            let is_over = now >= remembered.ends();
            if is_over && let Some(open) = remembered.open.take() {
                told.push(tell(device, remembered.kind, open));
            }
            remembered.open.is_some() || now < remembered.began + remembered.window * 4
        });
        told
    }

    /// When [`Self::handle_timeout`] must be called next.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let open = self.remembered.values().filter(|remembered| remembered.open.is_some());
        open.map(Remembered::ends).min()
    }

    fn push_out(&mut self) -> Option<Told> {
        let oldest = self.remembered.iter().min_by_key(|(_, remembered)| remembered.began);
        let key = oldest.map(|(key, _)| key.clone())?;
        let Remembered { kind, open, .. } = self.remembered.remove(&key)?;
        open.map(|open| tell(&key.0, kind, open))
    }
}

/// An event with how grave it is.
pub(super) type Told = (Severity, IoError);

impl Remembered {
    fn ends(&self) -> Duration {
        self.began.saturating_add(self.window)
    }
}

fn tell(device: &str, kind: IoErrorKind, open: Open) -> Told {
    let Open { sector, line, count } = open;
    (fault_severity(kind), IoError { device: device.into(), kind, sector, count, line })
}

fn number(kind: IoErrorKind) -> u8 {
    let place = IoErrorKind::ALL.iter().position(|known| *known == kind);
    place.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Faults as `millisecond device sector`, then every window's end; what is told when.
    fn told(faults: &[(u64, &str, u64)]) -> Vec<String> {
        let mut all = Faults::default();
        let mut told = Vec::new();
        let mut tell = |at: Duration, (_, error): Told| {
            let IoError { device, sector, count, .. } = error;
            let sector = sector.unwrap();
            told.push(format!("{} {} {count}x {sector}", at.as_millis(), device.to_lossy()));
        };
        for (at, device, sector) in faults {
            let now = Duration::from_millis(*at);
            while let Some(due) = all.poll_timeout().filter(|due| *due <= now) {
                all.handle_timeout(due).into_iter().for_each(|event| tell(due, event));
            }
            let kind = IoErrorKind::Io;
            let fault = Fault { device: (*device).to_owned(), kind, sector: Some(*sector) };
            all.note(fault, &"line".into(), now).into_iter().for_each(|event| tell(now, event));
        }
        while let Some(due) = all.poll_timeout() {
            all.handle_timeout(due).into_iter().for_each(|event| tell(due, event));
        }
        told
    }

    #[test]
    fn faults_of_a_second_are_one_event_with_the_first_sector() {
        let faults = [(0, "sda", 8), (10, "sda", 16), (20, "sdb", 1), (999, "sda", 24)];
        assert_eq!(told(&faults), ["1000 sda 3x 8", "1020 sdb 1x 1"]);
    }

    #[test]
    fn a_disk_that_goes_on_failing_is_told_ever_more_seldom() {
        let hour: Vec<_> = (0..3600).map(|second| (second * 1000, "sda", second)).collect();
        let told = told(&hour);
        assert_eq!(
            told[..4],
            ["1000 sda 1x 0", "3000 sda 2x 1", "7000 sda 4x 3", "15000 sda 8x 7"]
        );
        assert!(told.len() < 70, "{}", told.len());
        let count = |line: &String| {
            line.split(' ').nth(2).and_then(|n| n.trim_end_matches('x').parse::<u64>().ok())
        };
        assert_eq!(told.iter().filter_map(count).sum::<u64>(), 3600);
    }

    #[test]
    fn after_a_rest_the_windows_are_short_again() {
        let faults = [(0, "sda", 1), (1000, "sda", 2), (60_000, "sda", 3)];
        assert_eq!(told(&faults), ["1000 sda 1x 1", "3000 sda 1x 2", "61000 sda 1x 3"]);
    }

    #[test]
    fn many_devices_at_once_are_bounded_and_all_are_told() {
        let names: Vec<_> = (0..200).map(|number| format!("sd{number}")).collect();
        let faults: Vec<_> = (0..).zip(&names).map(|(at, name)| (at, name.as_str(), 0)).collect();
        assert_eq!(told(&faults).len(), 200);
    }
}
