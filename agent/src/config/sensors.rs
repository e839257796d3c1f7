//! What is watched: the sensors' settings, and what of them cannot be.

use serde::{Deserialize, Serialize};

use crate::sensor::disk::DiskSettings;
use crate::sensor::inventory::InventorySettings;
use crate::sensor::log::LogSettings;
use crate::sensor::login::LoginSettings;

/// What is watched.
#[derive(Clone, Debug, Default, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct Sensors {
    /// Starts and ends of processes.
    pub process: ProcessSensor,
    /// Lines appended to log files.
    pub logs: LogSettings,
    /// File systems and disks.
    pub disks: DiskSettings,
    /// Logins, failed logins and logouts.
    pub logins: LoginSettings,
    /// What is on the machine.
    pub inventory: InventorySettings,
}

/// Starts and ends of processes.
#[derive(Clone, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProcessSensor {
    /// Whether they are watched at all.
    pub enabled: bool,
    /// Whether forks are events of their own.
    pub forks: bool,
    /// The kernel's ring buffer, in bytes.
    pub ring_bytes: usize,
}

impl Default for ProcessSensor {
    fn default() -> Self {
        Self { enabled: true, forks: false, ring_bytes: 512 << 10 }
    }
}

impl Sensors {
    /// Says what is of the right type and still cannot be, sensor by sensor.
    pub(super) fn impossible(&self, check: &mut impl FnMut(bool, &'static str, &str)) {
        self.impossible_process(check);
        self.impossible_logs(check);
        self.impossible_disks(check);
        self.impossible_inventory(check);
    }

    fn impossible_process(&self, check: &mut impl FnMut(bool, &'static str, &str)) {
        let rings = (64 << 10)..=(64 << 20);
        let fine = rings.contains(&self.process.ring_bytes);
        check(fine, "sensors.process.ring_bytes", "must be 65536 to 67108864");
    }

    fn impossible_logs(&self, check: &mut impl FnMut(bool, &'static str, &str)) {
        let paths = &self.logs.paths;
        let absolute = paths.iter().all(|path| path.starts_with('/'));
        check(absolute, "sensors.logs.paths", "must all be absolute paths");
        check(paths.len() <= LOG_PATHS_MAX, "sensors.logs.paths", "must be at most 256 paths");
    }

    fn impossible_disks(&self, check: &mut impl FnMut(bool, &'static str, &str)) {
        let period = (5..=86_400).contains(&self.disks.period_secs);
        check(period, "sensors.disks.period_secs", "must be 5 to 86400");
        let report = (5..=604_800).contains(&self.disks.report_secs);
        check(report, "sensors.disks.report_secs", "must be 5 to 604800");
    }

    fn impossible_inventory(&self, check: &mut impl FnMut(bool, &'static str, &str)) {
        let period = (60..=604_800).contains(&self.inventory.period_secs);
        check(period, "sensors.inventory.period_secs", "must be 60 to 604800");
        let state = (30..=604_800).contains(&self.inventory.state_secs);
        check(state, "sensors.inventory.state_secs", "must be 30 to 604800");
    }
}

/// More is a glob that was written out.
const LOG_PATHS_MAX: usize = 256;
