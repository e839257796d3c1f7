//! What is told of file systems, and when they are measured.
//!
//! Pure: tables of mounts, answers and the time come in; measures to take and events to report go
//! out. A file system that does not answer is told once and left alone until it does.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::time::Duration;

use cordon_proto::Text;
use cordon_proto::event::disk::{DiskEvent, Forecast, Mount, Space};
use cordon_proto::event::{SensorState, Severity};

use super::forecast::{End, Forecaster};
use super::level::{Facts, Level};
use super::mountinfo::Line;

/// How long a file system may take to answer; a local one takes microseconds.
pub(super) const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// Measures under way at once. Each is a thread, which a dead file system holds for good.
pub(super) const MEASURES_MAX: usize = 8;

/// Types that hold no files of anybody's: they are neither told nor measured.
const PSEUDO: [&str; 27] = [
    "autofs",
    "binder",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fuse.gvfsd-fuse",
    "fuse.lxcfs",
    "fuse.portal",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nfsd",
    "nsfs",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];

/// Types that are full by their nature: their mounts are told, their space is not.
const IMAGES: [&str; 6] = ["cramfs", "erofs", "iso9660", "romfs", "squashfs", "udf"];

/// Whether a file system of this type is told of at all.
pub(super) fn is_watched(fs_type: &[u8]) -> bool {
    !PSEUDO.iter().any(|pseudo| pseudo.as_bytes() == fs_type)
}

/// What the shell must do.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum Effect {
    /// Measure a file system and answer with [`Watch::handle_answer`].
    Measure { serial: u64, path: Text },
    /// Report an event.
    Report(Severity, DiskEvent),
}

/// One mount, told apart from one that later has the same number.
#[derive(Clone, Debug)]
struct Watched {
    serial: u64,
    line: Line,
    /// Whether its space is measured.
    is_measured: bool,
    level: Level,
    /// Of bytes and of inodes.
    forecasts: [Forecaster; 2],
    /// When it was last asked.
    asked: Option<Duration>,
    /// When its space was last told.
    told: Option<Duration>,
    problem: Option<String>,
}

/// A measure that was not answered yet.
#[derive(Clone, Copy, Debug)]
struct Asked {
    at: Duration,
    is_overdue: bool,
}

/// All mounts of one mount namespace.
#[derive(Debug)]
pub(super) struct Watch {
    measure_every: Duration,
    report_every: Duration,
    mounts: Vec<Watched>,
    /// Also of mounts that are gone by now: their threads are not.
    asked: BTreeMap<u64, Asked>,
    has_listed: bool,
    next_serial: u64,
    effects: VecDeque<Effect>,
}

impl Watch {
    pub(super) fn new(measure_every: Duration, report_every: Duration) -> Self {
        Self {
            measure_every,
            report_every,
            mounts: Vec::new(),
            asked: BTreeMap::new(),
            has_listed: false,
            next_serial: 0,
            effects: VecDeque::new(),
        }
    }

    /// The table as it is now. What stands in the first is not told as mounted.
    pub(super) fn handle_mounts(&mut self, lines: Vec<Line>, now: Duration) {
        let mut before = std::mem::take(&mut self.mounts);
        let mut mounts = Vec::with_capacity(lines.len());
        let mut mounted = Vec::new();
        for line in lines {
            match before.iter().position(|watched| watched.is(&line)) {
                Some(at) => mounts.push(self.remounted(before.swap_remove(at), line)),
                None => {
                    mounted.push(line.mount.clone());
                    mounts.push(self.begin(line));
                }
            }
        }
        before.sort_by_key(|gone| gone.serial);
        for gone in before {
            self.report(Severity::Informational, DiskEvent::Unmounted(gone.line.mount));
        }
        if self.has_listed {
            for mount in mounted {
                self.report(Severity::Informational, DiskEvent::Mounted(mount));
            }
        }
        self.has_listed = true;
        choose(&mut mounts);
        self.mounts = mounts;
        self.handle_timeout(now);
    }

    /// An answer came, or a refusal with its reason; however late.
    pub(super) fn handle_answer(
        &mut self,
        serial: u64,
        answer: Result<Facts, String>,
        now: Duration,
    ) {
        let was_overdue = self.asked.remove(&serial).is_some_and(|asked| asked.is_overdue);
        let every = self.report_every;
        let Some(watched) = self.mounts.iter_mut().find(|watched| watched.serial == serial) else {
            return;
        };
        let facts = match answer {
            Ok(facts) => facts,
            Err(reason) => {
                watched.problem = Some(reason);
                return;
            }
        };
        watched.problem = None;
        // File systems without a size have no space to tell of.
        if facts.bytes_total == 0 {
            return;
        }
        watched.foresee(&facts, now, &mut self.effects);
        let level = watched.level;
        let crossed = watched.level.step(facts.percent_used());
        let is_due = watched.told.is_none_or(|told| now.saturating_sub(told) >= every);
        if crossed.is_none() && !is_due && !was_overdue {
            return;
        }
        watched.told = Some(now);
        let is_worse = watched.level > level;
        let severity = if is_worse { watched.level.severity() } else { Severity::Informational };
        let space = DiskEvent::Space(Space {
            mount: watched.line.mount.clone(),
            bytes_total: facts.bytes_total,
            bytes_available: facts.bytes_available,
            inodes_total: facts.inodes_total,
            inodes_free: facts.inodes_free,
            threshold_percent: crossed,
            full_in_secs: watched.end().map(|end| end.in_secs),
            confidence_percent: watched.end().map(|end| end.confidence_percent),
        });
        self.report(severity, space);
    }

    /// Tells of those that do not answer, and measures those that are due.
    pub(super) fn handle_timeout(&mut self, now: Duration) {
        let mut overdue = Vec::new();
        for (serial, asked) in &mut self.asked {
            if !asked.is_overdue && now >= asked.at.saturating_add(ANSWER_WITHIN) {
                asked.is_overdue = true;
                overdue.push(*serial);
            }
        }
        for serial in overdue {
            let watched = self.mounts.iter().find(|watched| watched.serial == serial);
            if let Some(mount) = watched.map(|watched| watched.line.mount.clone()) {
                self.report(Severity::High, DiskEvent::Unresponsive(mount));
            }
        }
        let Self { mounts, asked, effects, measure_every, .. } = self;
        let mut due: Vec<&mut Watched> = mounts
            .iter_mut()
            .filter(|watched| watched.is_measured && !asked.contains_key(&watched.serial))
            .filter(|watched| watched.due(*measure_every) <= now)
            .collect();
        // Those that waited longest come first, so that nobody starves when few may be asked.
        due.sort_by_key(|watched| watched.asked);
        for watched in due.into_iter().take(MEASURES_MAX.saturating_sub(asked.len())) {
            watched.asked = Some(now);
            asked.insert(watched.serial, Asked { at: now, is_overdue: false });
            let (serial, path) = (watched.serial, watched.line.mount.path.clone());
            effects.push_back(Effect::Measure { serial, path });
        }
    }

    /// When [`Self::handle_timeout`] must be called next.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let overdue = self.asked.values().filter(|asked| !asked.is_overdue);
        let overdue = overdue.map(|asked| asked.at.saturating_add(ANSWER_WITHIN));
        // With no room to ask, an answer is what is waited for.
        let has_room = self.asked.len() < MEASURES_MAX;
        let due = self.mounts.iter().filter(|watched| {
            has_room && watched.is_measured && !self.asked.contains_key(&watched.serial)
        });
        overdue.chain(due.map(|watched| watched.due(self.measure_every))).min()
    }

    /// What is to be done.
    pub(super) fn poll_effect(&mut self) -> Option<Effect> {
        self.effects.pop_front()
    }

    /// How the sensor fares.
    pub(super) fn condition(&self) -> (SensorState, Option<String>) {
        const NAMED_MAX: usize = 5;
        let is_overdue = |serial| self.asked.get(&serial).is_some_and(|asked| asked.is_overdue);
        let problem = |watched: &Watched| {
            let path = watched.line.mount.path.to_lossy();
            if is_overdue(watched.serial) {
                return Some(format!("{path} does not answer"));
            }
            watched.problem.as_ref().map(|reason| format!("{path}: {reason}"))
        };
        let mut problems: Vec<String> =
            self.mounts.iter().filter_map(problem).take(NAMED_MAX).collect();
        if self.asked.values().filter(|asked| asked.is_overdue).count() >= MEASURES_MAX {
            let stuck = format!("{MEASURES_MAX} measures never ended, so none is begun any more");
            problems.insert(0, stuck);
        }
        match problems.is_empty() {
            true => (SensorState::Running, None),
            false => (SensorState::Degraded, Some(problems.join("; "))),
        }
    }

    fn remounted(&mut self, mut watched: Watched, line: Line) -> Watched {
        if watched.line.mount.read_only != line.mount.read_only {
            let severity =
                if line.mount.read_only { Severity::High } else { Severity::Informational };
            self.report(severity, DiskEvent::AccessChanged(line.mount.clone()));
        }
        watched.line = line;
        watched
    }

    fn begin(&mut self, line: Line) -> Watched {
        let serial = self.next_serial;
        self.next_serial = serial.wrapping_add(1);
        let (asked, told, problem) = (None, None, None);
        let (is_measured, level, forecasts) = Default::default();
        Watched { serial, line, is_measured, level, forecasts, asked, told, problem }
    }

    fn report(&mut self, severity: Severity, event: DiskEvent) {
        self.effects.push_back(Effect::Report(severity, event));
    }
}

impl Watched {
    fn is(&self, line: &Line) -> bool {
        let Line { number, device, mount: Mount { path, source, fs_type, read_only: _ }, .. } =
            line;
        let mine = &self.line.mount;
        self.line.number == *number
            && self.line.device == *device
            && (&mine.path, &mine.source, &mine.fs_type) == (path, source, fs_type)
    }

    /// Takes what is left into account; tells when that moves the end nearer or farther.
    fn foresee(&mut self, facts: &Facts, now: Duration, effects: &mut VecDeque<Effect>) {
        let bytes = (facts.bytes_total, facts.bytes_available, false);
        let inodes = (facts.inodes_total, facts.inodes_free, true);
        for ((total, left, of_inodes), forecast) in
            [bytes, inodes].into_iter().zip(&mut self.forecasts)
        {
            let severity = (total > 0).then(|| forecast.step(left, now)).flatten();
            let Some(severity) = severity else { continue };
            let mount = self.line.mount.clone();
            let end = forecast.end();
            let event = Forecast {
                mount,
                full_in_secs: end.map(|end| end.in_secs),
                confidence_percent: end.map(|end| end.confidence_percent),
                within_secs: forecast.within_secs(),
                of_inodes,
                left,
            };
            effects.push_back(Effect::Report(severity, DiskEvent::Forecast(event)));
        }
    }

    /// The nearest end that can be seen coming.
    fn end(&self) -> Option<End> {
        self.forecasts.iter().filter_map(Forecaster::end).min_by_key(|end| end.in_secs)
    }

    fn due(&self, every: Duration) -> Duration {
        self.asked.map_or(Duration::ZERO, |asked| asked.saturating_add(every))
    }
}

/// Chooses what is measured: each file system once, where it was mounted first; nothing that
/// another mount hides; no images; of the layered file systems of containers, which all tell the
/// numbers of the one below, only the root.
fn choose(mounts: &mut [Watched]) {
    let top: HashMap<Text, u64> =
        mounts.iter().map(|watched| (watched.line.mount.path.clone(), watched.serial)).collect();
    let mut devices = HashSet::new();
    for watched in mounts {
        let mount = &watched.line.mount;
        let fs_type = mount.fs_type.as_bytes();
        let is_image = IMAGES.iter().any(|image| image.as_bytes() == fs_type);
        let is_layer = fs_type == b"overlay" && mount.path.as_bytes() != b"/";
        let is_hidden = top.get(&mount.path) != Some(&watched.serial);
        watched.is_measured =
            !is_image && !is_layer && !is_hidden && devices.insert(watched.line.device);
    }
}

#[cfg(test)]
mod tests;
