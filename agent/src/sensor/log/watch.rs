//! All files that are followed: reads them in turns, and knows what to do when one is rotated.
//!
//! Copying and emptying a log (`copytruncate`) loses by its nature what is written between the end
//! of the copy and the emptying; everything before is read from the copy if it was not read from
//! the log itself. A log emptied without a copy loses what was not read yet: what was written in
//! the last 5 to 10 ms where it is known to be emptied in place (it was, or a copy of it lies
//! beside it), else in the last 20 to 25 ms. Both are told as a loss each time, whether anything
//! was written then or not.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cordon_proto::event::SensorState;

use crate::clock::Stamp;
use crate::sensor::{Checkpoint, Stopping};

use super::LogSettings;
use super::file::{self, Followed, Progress, Role};
use super::find;
use super::gather::{Gathered, Give};
use super::judge::copy_of;
use super::limit::Limits;
use super::past::Past;
use super::pattern::Pattern;
use super::place::{Place, Restored};
use super::treat::{Treat, Treats};
use super::wake::Woken;

/// Files followed at once; bounds descriptors and memory.
pub(super) const FILES_MAX: usize = 4096;

/// One read. Small enough that a busy file does not keep others waiting.
const READ_BYTES: usize = 256 << 10;

/// What is cut into lines at once; bounds what one sample holds.
const FEED_BYTES_MAX: usize = 64 << 10;

/// What is read in one round before directories are looked at again.
const ROUND_BYTES_MAX: usize = 16 << 20;

/// What a read counts for in a round at least: every file has its turn.
const READ_COSTS_BYTES: usize = ROUND_BYTES_MAX / FILES_MAX;

/// How long changes are gathered after the first. Longer loses lines of files that are emptied in
/// place; shorter costs a wake for every line.
const GATHER: Duration = Duration::from_millis(20);

/// The same for files that are known to be emptied in place.
const GATHER_EMPTIED: Duration = Duration::from_millis(5);

/// How long a log over its limit is left alone, so that a gap tells of more than a moment.
const REST_NS: u64 = 1_000_000_000;

/// How long a rotated file must be quiet before it is let go. Writers reopen within seconds.
pub(super) const DRAIN_NS: u64 = 10_000_000_000;

/// How often everything is looked at, woken or not: a directory high above a log may have become
/// another.
pub(super) const RESCAN_NS: u64 = 60_000_000_000;

/// Files that are followed, and what is known about where to look for more.
pub(super) struct Watch {
    pub(super) patterns: Vec<Pattern>,
    /// Patterns whose files without a place are read from their beginning, because they were
    /// watched before those files were there; and since when, nanoseconds since 1970.
    pub(super) watched: HashMap<String, u64>,
    pub(super) from_start: bool,
    pub(super) files: Vec<Followed>,
    /// Rotated files that have been read.
    pub(super) past: Past,
    /// Directories in which files may appear.
    pub(super) directories: Vec<PathBuf>,
    /// What could not be looked at in the last scan.
    pub(super) problems: Vec<String>,
    /// The paths of those problems.
    pub(super) unseen: Vec<PathBuf>,
    pub(super) buffer: Vec<u8>,
    treats: Treats,
    limits: Limits,
    /// Whose turn it was last.
    turn: usize,
    restored: Option<Restored>,
    scanned_ns: Option<u64>,
}

/// Whether a round ended because there is nothing more to read.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Round {
    Idle,
    /// There is more at once.
    Unfinished,
}

impl Watch {
    pub(super) fn new(settings: &LogSettings, checkpoints: Vec<Checkpoint>) -> Self {
        let restored = Restored::read(checkpoints);
        Self {
            patterns: settings.all_paths().map(|path| Pattern::new(path)).collect(),
            watched: restored.patterns.iter().cloned().collect(),
            from_start: settings.from_start,
            files: Vec::new(),
            past: Past::default(),
            directories: Vec::new(),
            problems: Vec::new(),
            unseen: Vec::new(),
            buffer: vec![0; READ_BYTES],
            treats: Treats::new(settings),
            limits: Limits::default(),
            turn: usize::MAX,
            restored: Some(restored),
            scanned_ns: None,
        }
    }

    /// Reads what there is. After an error this is of no use any more: what was read and not
    /// handed over is read again by the next.
    pub(super) fn round(
        &mut self,
        woken: &Woken,
        now: Stamp,
        give: Give<'_>,
    ) -> Result<Round, Stopping> {
        let mut gathered = Gathered::new(give, now);
        if let Some(restored) = self.restored.take() {
            self.restore(restored, &mut gathered);
        }
        let scans = woken.everything || self.is_stale(now.boot_ns);
        for file in &mut self.files {
            let named = file.is_one_of(&woken.files);
            file.is_due |= scans || named || matches!(file.role, Role::Draining { .. });
        }
        // Reading comes before looking for new files, so that a file that was emptied is seen as
        // such before its copy could be taken for a new file.
        let mut end = self.read_all(&mut gathered)?;
        if scans {
            self.scanned_ns = Some(now.boot_ns);
            self.scan(&mut gathered)?;
            let files = &self.files;
            self.limits.retain(|path| files.iter().any(|file| file.path == path));
            end = self.read_all(&mut gathered)?;
        }
        self.finish_joined(&mut gathered)?;
        self.let_go(&mut gathered)?;
        gathered.hand_over()?;
        Ok(end)
    }

    /// Whether everything is to be looked at, woken or not.
    pub(super) fn is_stale(&self, now_ns: u64) -> bool {
        self.scanned_ns.is_none_or(|at| now_ns.saturating_sub(at) >= RESCAN_NS)
    }

    /// When a round is due although nothing happened; boot-time clock.
    pub(super) fn due_ns(&self) -> u64 {
        let of_file = |file: &Followed| {
            let drained = match file.role {
                Role::Draining { quiet_since_ns } => quiet_since_ns.saturating_add(DRAIN_NS),
                Role::Live => u64::MAX,
            };
            let joined = match file.tail.is_joining() {
                true => file.grew_ns.saturating_add(file.treat.wait_ns),
                false => u64::MAX,
            };
            let rested = if file.is_due { file.rests_until_ns } else { u64::MAX };
            drained.min(joined).min(rested)
        };
        let rescan = self.scanned_ns.map_or(0, |at| at.saturating_add(RESCAN_NS));
        self.files.iter().map(of_file).fold(rescan, u64::min)
    }

    /// How long more changes are gathered after these.
    pub(super) fn gather(&self, woken: &Woken) -> Duration {
        let is_hasty = |file: &Followed| file.is_emptied_in_place && file.is_one_of(&woken.files);
        if self.files.iter().any(is_hasty) { GATHER_EMPTIED } else { GATHER }
    }

    /// What is done with the lines of the log at this path.
    pub(super) fn treat(&self, path: &Path) -> Arc<Treat> {
        self.treats.of(path)
    }

    /// How the sensor fares, after what was found in the last scan.
    pub(super) fn condition(&self, unwatched: Option<&str>) -> (SensorState, Option<String>) {
        const NAMED_MAX: usize = 5;
        let unread = self.files.iter().filter_map(|file| file.problem.as_deref());
        let mut problems: Vec<&str> = self.problems.iter().map(String::as_str).collect();
        problems.extend(unread.chain(unwatched));
        if self.files.is_empty() && problems.is_empty() {
            problems.push("none of the files is there");
        }
        let more = problems.len().saturating_sub(NAMED_MAX);
        let mut reason = problems[..problems.len().min(NAMED_MAX)].join("; ");
        if more > 0 {
            reason.push_str(&format!("; and {more} more"));
        }
        match problems.is_empty() {
            true => (SensorState::Running, None),
            false => (SensorState::Degraded, Some(reason)),
        }
    }

    /// Reads every file that may have more, in turns.
    fn read_all(&mut self, gathered: &mut Gathered<'_>) -> Result<Round, Stopping> {
        let now_ns = gathered.boot_ns();
        let may_read = |file: &Followed| file.is_due && file.rests_until_ns <= now_ns;
        let mut left = ROUND_BYTES_MAX;
        while self.files.iter().any(may_read) {
            for _file in 0..self.files.len() {
                // On from where the last round ended, if there was more: busy files do not keep
                // others waiting.
                let next = self.turn.wrapping_add(1);
                self.turn = if next < self.files.len() { next } else { 0 };
                if may_read(&self.files[self.turn]) {
                    if left == 0 {
                        return Ok(Round::Unfinished);
                    }
                    let read = self.read_one(self.turn, gathered)?;
                    left = left.saturating_sub(read.max(READ_COSTS_BYTES));
                }
            }
        }
        // The oldest first.
        self.turn = usize::MAX;
        Ok(Round::Idle)
    }

    /// Reads once; answers how much.
    fn read_one(&mut self, index: usize, gathered: &mut Gathered<'_>) -> Result<usize, Stopping> {
        let Some(file) = self.files.get_mut(index) else { return Ok(0) };
        match file.read(&mut self.buffer) {
            Ok(Progress::Read(read, is_all)) => {
                file.problem = None;
                file.is_due = !is_all;
                if read > 0 {
                    self.take_in(index, read, gathered)?;
                }
                return Ok(read);
            }
            Ok(Progress::Emptied) => self.emptied(index, gathered),
            Err(error) => {
                file.problem = Some(format!("reading {}: {error}", file.path.display()));
                file.is_due = false;
            }
        }
        Ok(0)
    }

    /// Cuts what was read from a file into lines and hands them over, sample by sample.
    fn take_in(
        &mut self,
        index: usize,
        read: usize,
        gathered: &mut Gathered<'_>,
    ) -> Result<(), Stopping> {
        let Self { files, buffer, limits, .. } = self;
        let Some(file) = files.get_mut(index) else { return Ok(()) };
        let now_ns = gathered.boot_ns();
        file.grew_ns = now_ns;
        if let Role::Draining { quiet_since_ns } = &mut file.role {
            *quiet_since_ns = now_ns;
        }
        let (mut from, mut lines) = (0, Vec::new());
        loop {
            let room = gathered.make_room()?;
            let to = read.min(from + FEED_BYTES_MAX);
            let taken = file.feed(&buffer[from..to], room, &mut lines);
            if taken == 0 {
                return Ok(());
            }
            from += taken;
            if lines.is_empty() {
                continue;
            }
            let over = limits.keep(&file.path, file.treat.limit, &mut lines, now_ns);
            if over > 0 {
                file.rests_until_ns = now_ns.saturating_add(REST_NS);
                gathered.limited(file, over);
            }
            gathered.lines(file, &lines);
            lines.clear();
            gathered.place(file.place().checkpoint());
        }
    }

    /// Hands over lines that have waited long enough for more that belong to them.
    fn finish_joined(&mut self, gathered: &mut Gathered<'_>) -> Result<(), Stopping> {
        let now_ns = gathered.boot_ns();
        for file in &mut self.files {
            let has_waited = now_ns.saturating_sub(file.grew_ns) >= file.treat.wait_ns;
            if file.tail.is_joining() && has_waited && !file.is_due {
                gathered.make_room()?;
                let line = file.tail.finish_joined();
                gathered.lines(file, line.as_slice());
                gathered.place(file.place().checkpoint());
            }
        }
        Ok(())
    }

    /// A file was emptied: what was in it is read on from its copy, if there is one; it begins
    /// anew itself. What nobody saw before that is told as a loss, because it cannot be known.
    fn emptied(&mut self, index: usize, gathered: &mut Gathered<'_>) {
        let Some(file) = self.files.get_mut(index) else { return };
        let mut siblings = file::siblings(&file.path, None);
        let read_to = Place { offset: file.tail.read_at(), ..file.place() };
        siblings.retain(|one| !find::is_followed(&self.files, one.id) && !self.past.knows(one));
        let Some(file) = self.files.get_mut(index) else { return };
        let taken = copy_of(&read_to, &siblings).and_then(|copy| {
            find::drain(copy, &file.path, Arc::clone(&file.treat), gathered.boot_ns())
        });
        match taken {
            Some(mut taken) => {
                taken.tail = std::mem::take(&mut file.tail);
                (taken.fingerprint, taken.mark, taken.grew_ns) =
                    (file.fingerprint, file.mark, file.grew_ns);
                gathered.emptied_after_copy(&file.path);
                gathered.place(taken.place().checkpoint());
                file.restart();
                gathered.place(file.place().checkpoint());
                self.files.push(taken);
            }
            None => {
                let (path, end, unread) =
                    (file.path.display(), file.tail.read_at(), file.unread_bytes());
                gathered.loss(match unread {
                    0 => format!(
                        "{path} was emptied; what followed byte {end}, if anything, is gone"
                    ),
                    _ => format!("{path} was emptied with at least {unread} bytes not yet read"),
                });
                let rest = file.finish();
                gathered.lines(file, &rest);
                file.restart();
                gathered.place(file.place().checkpoint());
            }
        }
    }

    /// Everything is to be looked at again soon, because not all could be told.
    pub(super) fn look_again(&mut self, now_ns: u64) {
        const SOON_NS: u64 = 100_000_000;
        self.scanned_ns = Some(now_ns.saturating_add(SOON_NS).saturating_sub(RESCAN_NS));
    }

    pub(super) fn is_full(&self) -> bool {
        self.files.len() >= FILES_MAX
    }

    /// Lets rotated files go that have been quiet for long enough.
    fn let_go(&mut self, gathered: &mut Gathered<'_>) -> Result<(), Stopping> {
        let now_ns = gathered.boot_ns();
        let is_over = |file: &mut Followed| match file.role {
            Role::Live => false,
            Role::Draining { quiet_since_ns } => {
                !file.is_due && now_ns.saturating_sub(quiet_since_ns) >= DRAIN_NS
            }
        };
        for mut file in self.files.extract_if(.., is_over) {
            gathered.make_room()?;
            if let Some(problem) = &file.problem {
                gathered.loss(format!("{problem}; what had not been read of it is gone"));
            }
            let rest = file.finish();
            gathered.lines(&file, &rest);
            // As long as it or its compressed copy lies there, it is known as read.
            gathered.place(file.id.forget());
            if let Some(place) = file.past() {
                gathered.place(place.checkpoint());
                self.past.keep(place);
            }
        }
        Ok(())
    }
}
