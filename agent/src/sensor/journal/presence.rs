//! Whether this machine has a journal that is worth following.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use cordon_proto::event::SensorState;

use super::{Follows, JournalSettings};

/// Where journald keeps its files, on disk and in memory.
const DIRECTORIES: [&str; 2] = ["/var/log/journal", "/run/log/journal"];

/// Where journalctl is.
const PROGRAMS: [&str; 2] = ["/usr/bin/journalctl", "/bin/journalctl"];

/// What syslog's files with everything in them are called.
const SYSLOG: [&str; 4] = ["syslog", "messages", "auth.log", "secure"];

/// A file of syslog not written to for so long was left behind by a syslog that is gone.
const STALE: Duration = Duration::from_secs(7 * 24 * 3600);

/// Whether the journal is followed.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Presence {
    /// It is.
    Follow,
    /// It is not.
    Not {
        /// Off, or blind where it was asked for.
        state: SensorState,
        /// Why.
        reason: String,
    },
}

/// Looks at the machine. `syslog` are the log files that are followed besides.
#[must_use]
pub fn presence(settings: &JournalSettings, syslog: &[String], now_ns: u64) -> Presence {
    let state = match settings.enabled {
        Follows::Auto => SensorState::Off,
        Follows::Always => SensorState::Blind,
        Follows::Never => return not(SensorState::Off, "switched off"),
    };
    let has_journal = match &settings.directory {
        Some(directory) => directory.is_dir(),
        None => DIRECTORIES.iter().any(|directory| Path::new(directory).is_dir()),
    };
    if !has_journal {
        return not(state, "this machine keeps no systemd journal");
    }
    if program().is_none() {
        return not(state, "this machine has no journalctl to read its journal with");
    }
    match syslog.iter().find(|path| holds_the_same(Path::new(path), now_ns)) {
        Some(path) if settings.enabled == Follows::Auto => {
            not(state, &format!("{path} holds the same lines and is followed"))
        }
        Some(_) | None => Presence::Follow,
    }
}

fn not(state: SensorState, reason: &str) -> Presence {
    Presence::Not { state, reason: reason.to_owned() }
}

/// Whether a followed file is one into which syslog copies the journal.
fn holds_the_same(path: &Path, now_ns: u64) -> bool {
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    let written = path.metadata().and_then(|metadata| metadata.modified()).ok();
    let written = written.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let is_fresh = written.is_some_and(|at| Duration::from_nanos(now_ns) < at + STALE);
    SYSLOG.contains(&name) && is_fresh
}

/// Where journalctl is, if the machine has it.
pub(super) fn program() -> Option<PathBuf> {
    PROGRAMS.iter().map(PathBuf::from).find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(enabled: Follows, directory: &Path, syslog: &[String], later: u64, says: &str) {
        let directory = Some(directory.to_owned());
        let settings = JournalSettings { enabled, directory, ..JournalSettings::default() };
        let now_ns = crate::clock::stamp().time_ns + later * 1_000_000_000;
        let told = match presence(&settings, syslog, now_ns) {
            Presence::Follow => "follow".to_owned(),
            Presence::Not { state, reason } => format!("{state:?}: {reason}"),
        };
        assert_eq!(told, says);
    }

    #[test]
    fn a_journal_that_syslog_copies_is_left_to_its_files() {
        let temp = tempfile::tempdir().unwrap();
        let (dir, none) = (temp.path(), temp.path().join("none"));
        let file = dir.join("syslog");
        std::fs::write(&file, "x").unwrap();
        let path = |path: &Path| vec![path.display().to_string()];
        let (syslog, other) = (path(&file), path(&dir.join("auth.log")));
        check(Follows::Never, dir, &[], 0, "Off: switched off");
        check(Follows::Auto, &none, &[], 0, "Off: this machine keeps no systemd journal");
        check(Follows::Always, &none, &[], 0, "Blind: this machine keeps no systemd journal");
        if program().is_none() {
            check(
                Follows::Auto,
                dir,
                &[],
                0,
                "Off: this machine has no journalctl to read its journal with",
            );
            return;
        }
        let same = format!("Off: {} holds the same lines and is followed", file.display());
        check(Follows::Auto, dir, &syslog, 0, &same);
        check(Follows::Always, dir, &syslog, 0, "follow");
        check(Follows::Auto, dir, &syslog, 8 * 24 * 3600, "follow");
        check(Follows::Auto, dir, &other, 0, "follow");
    }
}
