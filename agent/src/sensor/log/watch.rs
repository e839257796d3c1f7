//! All files that are followed: reads them in turns, and knows what to do when one is rotated.
//!
//! Copying and emptying a log (`copytruncate`) loses by its nature what is written between the end
//! of the copy and the emptying; everything before is read from the copy if it was not read from
//! the log itself. A log emptied without a copy loses what was not read yet, which is what was
//! written in the last 5 to 10 ms.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use cordon_proto::event::SensorState;

use crate::clock::Stamp;
use crate::sensor::{Checkpoint, Stopping};

use super::LogSettings;
use super::file::{self, Followed, Progress, Role};
use super::find;
use super::gather::{Gathered, Give};
use super::judge::{Sibling, copy_of, rotated_since};
use super::lines::Line;
use super::pattern::Pattern;
use super::place::Restored;
use super::wake::Woken;

/// Files followed at once; bounds descriptors and memory.
pub(super) const FILES_MAX: usize = 1024;

/// One read. Small enough that a busy file does not keep others waiting.
const READ_BYTES: usize = 64 << 10;

/// Reads of one round: after some 16 MiB directories are looked at again.
const READS_PER_ROUND_MAX: usize = 256;

/// How long a rotated file must be quiet before it is let go. Writers reopen within seconds.
pub(super) const DRAIN_NS: u64 = 10_000_000_000;

/// How often everything is looked at, woken or not.
pub(super) const RESCAN_NS: u64 = 10_000_000_000;

/// Files that are followed, and what is known about where to look for more.
pub(super) struct Watch {
    pub(super) patterns: Vec<Pattern>,
    /// Patterns whose files without a place are read from their beginning, because they were
    /// watched before those files were there.
    pub(super) watched: HashSet<String>,
    pub(super) from_start: bool,
    pub(super) files: Vec<Followed>,
    /// Directories in which files may appear.
    pub(super) directories: Vec<PathBuf>,
    /// What could not be looked at in the last scan.
    pub(super) problems: Vec<String>,
    /// The paths of those problems.
    pub(super) unseen: Vec<PathBuf>,
    pub(super) buffer: Vec<u8>,
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
            patterns: settings.paths.iter().map(|path| Pattern::new(path)).collect(),
            watched: restored.patterns.iter().cloned().collect(),
            from_start: settings.from_start,
            files: Vec::new(),
            directories: Vec::new(),
            problems: Vec::new(),
            unseen: Vec::new(),
            buffer: vec![0; READ_BYTES],
            restored: Some(restored),
            scanned_ns: None,
        }
    }

    /// Reads what there is. After an error this is of no use any more: what was read and not handed over is read again by the next.
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
        let boot_ns = now.boot_ns;
        let is_stale = self.scanned_ns.is_none_or(|at| boot_ns.saturating_sub(at) >= RESCAN_NS);
        let scans = woken.everything || is_stale;
        for file in &mut self.files {
            let named = woken.paths.contains(&file.path) || woken.paths.contains(&file.real);
            file.is_due |= scans || named || matches!(file.role, Role::Draining { .. });
        }
        // Reading comes before looking for new files, so that a file that was emptied is seen as
        // such before its copy could be taken for a new file.
        let mut end = self.read_all(&mut gathered)?;
        if scans {
            self.scanned_ns = Some(boot_ns);
            self.scan(&mut gathered);
            end = self.read_all(&mut gathered)?;
        }
        self.let_go(&mut gathered)?;
        gathered.hand_over()?;
        Ok(end)
    }

    /// When a round is due although nothing happened; boot-time clock.
    pub(super) fn due_ns(&self) -> u64 {
        let drained = self.files.iter().filter_map(|file| match file.role {
            Role::Draining { quiet_since_ns } => Some(quiet_since_ns.saturating_add(DRAIN_NS)),
            Role::Live => None,
        });
        let rescan = self.scanned_ns.map_or(0, |at| at.saturating_add(RESCAN_NS));
        drained.fold(rescan, u64::min)
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
        let mut reads = 0;
        while self.files.iter().any(|file| file.is_due) {
            let mut index = 0;
            while index < self.files.len() {
                if self.files[index].is_due {
                    if reads >= READS_PER_ROUND_MAX {
                        return Ok(Round::Unfinished);
                    }
                    reads += 1;
                    self.read_one(index, gathered)?;
                }
                index += 1;
            }
        }
        Ok(Round::Idle)
    }

    fn read_one(&mut self, index: usize, gathered: &mut Gathered<'_>) -> Result<(), Stopping> {
        let lines_max = gathered.make_room()?;
        let Self { files, buffer, .. } = self;
        let Some(file) = files.get_mut(index) else { return Ok(()) };
        let mut lines: Vec<Line> = Vec::new();
        let stood = file.tail.read_at();
        let progress = file.read(buffer, lines_max, &mut lines);
        if !lines.is_empty() {
            gathered.lines(file, lines);
            gathered.place(file.place().checkpoint());
        }
        if let Role::Draining { quiet_since_ns } = &mut file.role
            && file.tail.read_at() != stood
        {
            *quiet_since_ns = gathered.boot_ns();
        }
        match progress {
            Ok(Progress::More) => file.problem = None,
            Ok(Progress::AtEnd) => (file.problem, file.is_due) = (None, false),
            Ok(Progress::Emptied) => self.emptied(index, gathered),
            Err(error) => {
                file.problem = Some(format!("reading {}: {error}", file.path.display()));
                file.is_due = false;
            }
        }
        Ok(())
    }

    /// A file was emptied: what was in it is read on from its copy, if there is one; it begins
    /// anew itself.
    fn emptied(&mut self, index: usize, gathered: &mut Gathered<'_>) {
        let Some(file) = self.files.get_mut(index) else { return };
        let siblings = file::siblings(&file.path, None);
        let copy = copy_of(&file.fingerprint, file.tail.read_at(), file.id, &siblings);
        let copy = copy.filter(|copy| !find::is_followed(&self.files, copy.id)).cloned();
        let Some(file) = self.files.get_mut(index) else { return };
        let taken =
            copy.as_ref().and_then(|copy| find::drain(copy, &file.path, gathered.boot_ns()));
        let mut behind = Vec::new();
        match taken {
            Some(mut taken) => {
                taken.tail = std::mem::take(&mut file.tail);
                taken.fingerprint = file.fingerprint;
                gathered.place(taken.place().checkpoint());
                behind.push(taken);
            }
            None => {
                let unread = file.unread_bytes();
                if unread > 0 {
                    let path = file.path.display();
                    gathered.loss(format!("{path} was emptied with {unread} bytes not yet read"));
                }
                let rest = file.tail.finish();
                gathered.lines(file, rest);
            }
        }
        file.restart();
        gathered.place(file.place().checkpoint());
        let path = file.path.clone();
        self.files.append(&mut behind);
        if let Some(copy) = copy {
            self.take_rotated(&path, &copy, &siblings, gathered);
        }
    }

    /// Follows the files that were made and rotated away since `before` without being seen.
    pub(super) fn take_rotated(
        &mut self,
        path: &Path,
        before: &Sibling,
        siblings: &[Sibling],
        gathered: &mut Gathered<'_>,
    ) {
        for sibling in rotated_since(path, before, siblings) {
            let is_copy = self.files.iter().any(|file| {
                !file.fingerprint.is_empty() && file.fingerprint.fits(&sibling.facts.head)
            });
            if is_copy || find::is_followed(&self.files, sibling.id) || self.is_full() {
                continue;
            }
            if let Some(file) = find::drain(sibling, path, gathered.boot_ns()) {
                gathered.place(file.place().checkpoint());
                self.files.push(file);
            }
        }
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
            let rest = file.tail.finish();
            gathered.lines(&file, rest);
            gathered.place(file.id.forget());
        }
        Ok(())
    }
}
