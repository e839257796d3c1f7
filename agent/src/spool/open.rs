//! Opening: what the last run left, and beginning anew where it left nothing usable.

use std::path::{Path, PathBuf};
use std::{fs, io};

use cordon_proto::event::{Class, Gap, GapReason, Lane};
use cordon_proto::sign::batch::EpochCause;

use super::fault::Fault;
use super::floor::Floor;
use super::lane::LaneState;
use super::store::{self, Store};
use super::{Spool, waiting};

/// A damaged spool is kept beside the new one for this long, for whoever looks into it.
const ASIDE_NS: u64 = 7 * 24 * 3600 * 1_000_000_000;

/// How long before the spool last noted that the agent lives something may have been seen, by the
/// kernel or a sensor, that never came as far as the spool.
const IN_HAND_NS: u64 = 2 * 1_000_000_000;

impl Spool {
    /// Opens what is there; answers whether there was anything.
    pub(super) fn find(&mut self) -> Result<bool, Fault> {
        self.forget_aside();
        if !self.path.try_exists()? {
            return Ok(false);
        }
        let store = Store::open(&self.path, self.limits.file_bytes_max)?;
        if !store.is_made()? {
            return Ok(false);
        }
        let before = store.run()?.ok_or(Fault::Content("no row for a run"))?;
        let power_lost = !before.clean && before.boot_id != self.run.boot_id;
        if power_lost {
            store.check()?;
        }
        for lane in Lane::ALL {
            *self.lanes.get_mut(lane) = store.lane(lane)?;
        }
        self.store = Some(store);
        self.start.unclean = !before.clean;
        if power_lost {
            let cause = EpochCause::SpoolLost;
            let epoch = self.next_epoch(Lane::Telemetry, 0, cause);
            self.lanes.telemetry.begin(epoch, cause);
            self.start.epochs.push((Lane::Telemetry, cause));
        }
        // Logs are read on from where they were left; what came and went meanwhile is missing.
        let counts = waiting::unknown_counts(&[
            Class::Process,
            Class::Disk,
            Class::Network,
            Class::Dns,
            Class::File,
            Class::Device,
        ]);
        let detail = "the machine stopped without warning; telemetry of the last second is missing";
        let gap = Gap {
            reason: GapReason::AgentStopped,
            counts,
            from_ns: before.alive_ns.saturating_sub(IN_HAND_NS),
            to_ns: self.now.time_ns,
            sealed: None,
            detail: power_lost.then(|| detail.to_owned()),
        };
        self.waiting.gap(gap, self.now);
        Ok(true)
    }

    /// Begins a spool where there is none that could be used; a damaged one is set aside.
    pub(super) fn begin_anew(&mut self, damaged: bool) -> Result<(), Fault> {
        self.store = None; // Closed before its files are moved.
        if damaged {
            self.set_aside()?;
        }
        let floor = Floor::read(&self.path)?;
        let known = self.lanes.control.epoch.max(self.lanes.telemetry.epoch) > 0;
        let used = damaged || known || floor.is_some();
        let floor = floor.unwrap_or_default();
        let cause = if used { EpochCause::SpoolLost } else { EpochCause::Enrolled };
        let begun = |lane: Lane| {
            let epoch = self.lanes.get(lane).epoch.max(floor.of(lane)).saturating_add(1);
            LaneState::new(lane, epoch, cause)
        };
        let states = Lane::ALL.map(begun);
        // Raised first: an epoch that was begun and lost at once is not begun again.
        self.raise_floor(floor, &states);
        let mut store = Store::open(&self.path, self.limits.file_bytes_max)?;
        store.make(&states, &self.run)?;
        self.store = Some(store);
        self.start.epochs = Lane::ALL.map(|lane| (lane, cause)).to_vec();
        self.start.unclean |= used;
        for state in states {
            let lane = state.lane;
            *self.lanes.get_mut(lane) = state;
        }
        self.unsynced = false;
        if self.opened {
            self.times_lost = self.times_lost.saturating_add(1);
        }
        if used {
            let what = if damaged { "was damaged" } else { "had gone" };
            let gap = Gap {
                reason: GapReason::SpoolLost,
                counts: waiting::unknown_counts(&Class::ALL),
                from_ns: floor.since_ns,
                to_ns: self.now.time_ns,
                sealed: None,
                detail: Some(format!("the spool {what}; what waited in it is lost")),
            };
            self.waiting.gap(gap, self.now);
        }
        Ok(())
    }

    /// The number of a lane's next epoch; the floor is raised before anybody can use it.
    pub(super) fn next_epoch(&self, lane: Lane, above: u32, cause: EpochCause) -> u32 {
        let floor = Floor::read(&self.path).ok().flatten().unwrap_or_default();
        let mut state = self.lanes.get(lane).clone();
        let epoch = state.epoch.max(above).max(floor.of(lane)).saturating_add(1);
        state.begin(epoch, cause);
        self.raise_floor(floor, &[state]);
        epoch
    }

    /// Without the floor only a spool lost later would suffer, and then the collector still knows.
    fn raise_floor(&self, mut floor: Floor, states: &[LaneState]) {
        for state in states {
            match state.lane {
                Lane::Control => floor.control = floor.control.max(state.epoch),
                Lane::Telemetry => floor.telemetry = floor.telemetry.max(state.epoch),
            }
        }
        floor.since_ns = self.now.time_ns;
        if let Err(error) = floor.write(&self.path) {
            tracing::warn!(%error, "the highest epoch could not be written beside the spool");
        }
    }

    /// Moves a spool that cannot be used out of the way.
    fn set_aside(&self) -> io::Result<()> {
        tracing::error!(path = %self.path.display(), "the spool is damaged; it is set aside");
        for file in store::files(&self.path) {
            match fs::rename(&file, aside(&file)) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn forget_aside(&self) {
        for file in store::files(&self.path).map(|file| aside(&file)) {
            let Ok(changed) = fs::metadata(&file).and_then(|metadata| metadata.modified()) else {
                continue;
            };
            let age = changed.duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let changed_ns = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
            if self.now.time_ns.saturating_sub(changed_ns) > ASIDE_NS
                && let Err(error) = fs::remove_file(&file)
            {
                tracing::warn!(%error, path = %file.display(), "cannot remove an old damaged spool");
            }
        }
    }
}

fn aside(file: &Path) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(".damaged");
    PathBuf::from(name)
}
