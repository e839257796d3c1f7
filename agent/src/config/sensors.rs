//! What is watched: the sensors' settings, and what of them cannot be.

use serde::{Deserialize, Serialize};

use crate::sensor::device::DeviceSettings;
use crate::sensor::disk::DiskSettings;
use crate::sensor::dns::DnsSettings;
use crate::sensor::file::FileSettings;
use crate::sensor::inventory::InventorySettings;
use crate::sensor::journal::JournalSettings;
use crate::sensor::kernel_log::KernelSettings;
use crate::sensor::log::LogSettings;
use crate::sensor::login::LoginSettings;
use crate::sensor::network::NetworkSettings;
use crate::sensor::process::ProcessSettings;

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
    /// Connections, listeners and datagrams.
    pub network: NetworkSettings,
    /// Answers of the domain name system.
    pub dns: DnsSettings,
    /// Entries of the systemd journal.
    pub journal: JournalSettings,
    /// Files that change.
    pub files: FileSettings,
    /// The kernel's log.
    pub kernel: KernelSettings,
    /// Devices that come and go.
    pub devices: DeviceSettings,
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
    /// How often what was told is compared with a list of /proc, in seconds.
    pub reconcile_secs: u64,
    /// Programs' files of up to so many bytes are hashed; 0 for none.
    pub hash_bytes_max: u64,
}

impl Default for ProcessSensor {
    fn default() -> Self {
        let ProcessSettings { forks, ring_bytes, reconcile_secs, hash_bytes_max, .. } =
            ProcessSettings::default();
        Self { enabled: true, forks, ring_bytes, reconcile_secs, hash_bytes_max }
    }
}

impl Sensors {
    /// Says what is of the right type and still cannot be, sensor by sensor.
    pub(super) fn impossible(&self, check: &mut impl FnMut(bool, &'static str, &str)) {
        self.impossible_process(check);
        self.impossible_logs(check);
        self.impossible_disks(check);
        self.impossible_network(check);
        self.impossible_journal(check);
        self.impossible_files(check);
        let lines = (1..=10_000).contains(&self.kernel.lines_per_sec);
        check(lines, "sensors.kernel.lines_per_sec", "must be 1 to 10000");
        self.impossible_inventory(check);
    }

    fn impossible_process(&self, check: &mut impl FnMut(bool, &'static str, &str)) {
        let rings = (64 << 10)..=(64 << 20);
        let fine = rings.contains(&self.process.ring_bytes);
        check(fine, "sensors.process.ring_bytes", "must be 65536 to 67108864");
        let reconcile = (5..=86_400).contains(&self.process.reconcile_secs);
        check(reconcile, "sensors.process.reconcile_secs", "must be 5 to 86400");
        let hash = self.process.hash_bytes_max <= HASH_BYTES_MAX;
        check(hash, "sensors.process.hash_bytes_max", "must be 0 to 4294967296");
    }

    fn impossible_logs(&self, check: &mut impl FnMut(bool, &'static str, &str)) {
        let absolute = self.logs.all_paths().all(|path| path.starts_with('/'));
        check(absolute, "sensors.logs.paths", "must all be absolute paths");
        let few = self.logs.all_paths().count() <= LOG_PATHS_MAX;
        check(few, "sensors.logs.paths", "must be at most 256 paths");
        let burst = (1..=86_400).contains(&self.logs.burst_secs);
        check(burst, "sensors.logs.burst_secs", "must be 1 to 86400");
        let files = &self.logs.files;
        let waits = files.iter().all(|file| (10..=60_000).contains(&file.wait_ms));
        check(waits, "sensors.logs.files", "wait_ms must be 10 to 60000");
        let one = files.iter().all(|file| !(file.indented && file.starts.is_some()));
        check(one, "sensors.logs.files", "indented and starts do not go together");
        let begins = files.iter().all(|file| file.starts.as_deref() != Some(""));
        check(begins, "sensors.logs.files", "starts must not be empty");
    }

    fn impossible_disks(&self, check: &mut impl FnMut(bool, &'static str, &str)) {
        let period = (5..=86_400).contains(&self.disks.period_secs);
        check(period, "sensors.disks.period_secs", "must be 5 to 86400");
        let report = (5..=604_800).contains(&self.disks.report_secs);
        check(report, "sensors.disks.report_secs", "must be 5 to 604800");
        let load = (5..=3600).contains(&self.disks.load_secs);
        check(load, "sensors.disks.load_secs", "must be 5 to 3600");
        let busy = (20..=100).contains(&self.disks.busy_percent);
        check(busy, "sensors.disks.busy_percent", "must be 20 to 100");
        let wait = (1..=600_000).contains(&self.disks.wait_ms);
        check(wait, "sensors.disks.wait_ms", "must be 1 to 600000");
        let overload = (5..=86_400).contains(&self.disks.overload_secs);
        check(overload, "sensors.disks.overload_secs", "must be 5 to 86400");
        let health = (60..=604_800).contains(&self.disks.health_secs);
        check(health, "sensors.disks.health_secs", "must be 60 to 604800");
    }

    fn impossible_network(&self, check: &mut impl FnMut(bool, &'static str, &str)) {
        let NetworkSettings { ring_bytes, udp_idle_secs, sample_secs, .. } = self.network;
        let ring = ((64 << 10)..=(64 << 20)).contains(&ring_bytes);
        check(ring, "sensors.network.ring_bytes", "must be 65536 to 67108864");
        let idle = (5..=3600).contains(&udp_idle_secs);
        check(idle, "sensors.network.udp_idle_secs", "must be 5 to 3600");
        let sample = (1..=3600).contains(&sample_secs);
        check(sample, "sensors.network.sample_secs", "must be 1 to 3600");
    }

    fn impossible_journal(&self, check: &mut impl FnMut(bool, &'static str, &str)) {
        let lines = (1..=10_000_000).contains(&self.journal.unit_lines_per_min_max);
        let key = "sensors.journal.unit_lines_per_min_max";
        check(lines, key, "must be 1 to 10000000");
        let directory = self.journal.directory.as_ref();
        let absolute = directory.is_none_or(|directory| directory.is_absolute());
        check(absolute, "sensors.journal.directory", "must be an absolute path");
    }

    fn impossible_files(&self, check: &mut impl FnMut(bool, &'static str, &str)) {
        let files = &self.files;
        let mut lists = |list: &Vec<String>, key| {
            let fine = list.iter().all(|path| path.starts_with('/') && path.len() > 1);
            check(fine, key, "must all be absolute paths, and not the root");
            check(list.len() <= FILE_PATHS_MAX, key, "must be at most 256 paths");
        };
        lists(&files.watch, "sensors.files.watch");
        lists(&files.watch_ignore, "sensors.files.watch_ignore");
        lists(&files.mass_change, "sensors.files.mass_change");
        lists(&files.mass_change_ignore, "sensors.files.mass_change_ignore");
        lists(&files.canaries, "sensors.files.canaries");
        let tame = files.canaries.iter().all(|path| !path.contains(['*', '?']));
        check(tame, "sensors.files.canaries", "must be whole paths, without * and ?");
        let remembered = (16..=65_536).contains(&files.files_max);
        check(remembered, "sensors.files.files_max", "must be 16 to 65536");
        let hashed = files.hash_bytes_max <= 1 << 30;
        check(hashed, "sensors.files.hash_bytes_max", "must be 1073741824 or less");
    }

    fn impossible_inventory(&self, check: &mut impl FnMut(bool, &'static str, &str)) {
        let period = (60..=604_800).contains(&self.inventory.period_secs);
        check(period, "sensors.inventory.period_secs", "must be 60 to 604800");
        let state = (30..=604_800).contains(&self.inventory.state_secs);
        check(state, "sensors.inventory.state_secs", "must be 30 to 604800");
    }
}

/// More takes a slow disk minutes.
const HASH_BYTES_MAX: u64 = 4 << 30;

/// More is a glob that was written out.
const LOG_PATHS_MAX: usize = 256;

/// More is a list of single files; their directory says the same.
const FILE_PATHS_MAX: usize = 256;
