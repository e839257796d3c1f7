//! The reading thread: waits for changes, reads, and hands over.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::settings::LogSettings;
use super::wake::{Directories, Woken};
use super::watch::{Round, Watch};
use super::{Said, Stopping};
use crate::clock::Stamp;
use crate::platform::linux::directories::Latch;
use crate::sensor::Checkpoint;

/// How often files are looked at in directories that cannot be watched.
const UNWATCHED_EVERY: Duration = Duration::from_secs(1);

/// Looking at all paths may take this part of the time, so that a directory in which names come
/// and go all the time does not cost a core.
const SCAN_PART: u64 = 20;

/// The longest that new names wait for being looked at because of that.
const SCAN_WAIT_NS_MAX: u64 = 2_000_000_000;

/// When everything may be looked at again.
#[derive(Debug, Default)]
struct Scans {
    wanted: bool,
    not_before_ns: u64,
}

impl Scans {
    /// Puts off looking at everything if it was done just now.
    fn hold_back(&mut self, woken: &mut Woken, now_ns: u64) {
        self.wanted |= woken.everything;
        woken.everything = self.wanted && now_ns >= self.not_before_ns;
        self.wanted &= !woken.everything;
    }

    /// It was done.
    fn done(&mut self, from_ns: u64, to_ns: u64) {
        let wait = to_ns.saturating_sub(from_ns).saturating_mul(SCAN_PART).min(SCAN_WAIT_NS_MAX);
        self.not_before_ns = to_ns.saturating_add(wait);
    }

    fn due_ns(&self) -> u64 {
        if self.wanted { self.not_before_ns } else { u64::MAX }
    }
}

/// Reads until told to stop.
pub(super) fn read(
    settings: &LogSettings,
    clock: fn() -> Stamp,
    restored: Vec<Checkpoint>,
    latch: &Arc<Latch>,
    say: &mpsc::Sender<Said>,
) -> Result<(), Stopping> {
    let say = |said| say.blocking_send(said).map_err(|_closed| Stopping);
    let mut watch = Watch::new(settings, restored);
    let mut directories = Directories::new(Arc::clone(latch));
    let mut scans = Scans::default();
    let mut condition = None;
    let (mut wait, mut is_behind) = (Duration::ZERO, true);
    loop {
        // Who is behind gathers enough as it is.
        let gather = |woken: &Woken| if is_behind { Duration::ZERO } else { watch.gather(woken) };
        let mut woken = directories.wait(wait, gather).ok_or(Stopping)?;
        woken.everything |= directories.problem().is_some();
        let now = clock();
        scans.hold_back(&mut woken, now.boot_ns);
        let afresh = watch.is_stale(now.boot_ns);
        let mut give = |sample| say(Said::Sample(sample));
        let mut round = watch.round(&woken, now, &mut give)?;
        if woken.everything {
            scans.done(now.boot_ns, clock().boot_ns);
        }
        if directories.set(&watch.directories, afresh) {
            // Something may have come between the look and the watch.
            round = watch.round(&Woken::everything(), clock(), &mut give)?;
        }
        let fares = watch.condition(directories.problem());
        if condition.as_ref() != Some(&fares) {
            say(Said::Condition(fares.0, fares.1.clone()))?;
            condition = Some(fares);
        }
        let due_ns = watch.due_ns().min(scans.due_ns());
        let until_due = Duration::from_nanos(due_ns.saturating_sub(clock().boot_ns));
        is_behind = round == Round::Unfinished;
        wait = match (round, directories.problem()) {
            (Round::Unfinished, _) => Duration::ZERO,
            (Round::Idle, Some(_unwatched)) => until_due.min(UNWATCHED_EVERY),
            (Round::Idle, None) => until_due,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn looking_at_everything_takes_no_more_than_its_part_of_the_time() {
        let mut scans = Scans::default();
        let mut looks = |now_ns, everything| {
            let mut woken = Woken { everything, ..Woken::default() };
            scans.hold_back(&mut woken, now_ns);
            if woken.everything {
                scans.done(now_ns, now_ns + 100);
            }
            (woken.everything, scans.due_ns())
        };
        assert_eq!(looks(0, true), (true, u64::MAX));
        assert_eq!(looks(200, true), (false, 2100));
        assert_eq!(looks(2099, false), (false, 2100));
        assert_eq!(looks(2100, false), (true, u64::MAX));
        assert_eq!(looks(9000, false), (false, u64::MAX));
    }
}
