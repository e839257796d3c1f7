//! Which files are watched, and which count in the meter of mass changes. Pure.
//!
//! An entry is an absolute path with `*` and `?` in it; it means what has that path and everything
//! below. What is ignored wins.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use crate::sensor::log::pattern::matches;

use super::FileSettings;

/// What of a directory is of interest.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Interest {
    pub(super) watched: Reach,
    pub(super) metered: Reach,
}

/// How much of a directory an entry means.
#[derive(Clone, Copy, Debug, Default, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Reach {
    /// Nothing in it.
    #[default]
    None,
    /// Perhaps some names in it, or below.
    Some,
    /// Everything in it and below, but for what is ignored.
    All,
}

impl Interest {
    pub(super) fn is_none(self) -> bool {
        self == Self::default()
    }
}

/// All entries.
#[derive(Clone, Debug, Default)]
pub(super) struct WatchList {
    entries: Vec<String>,
    watched: Entries,
    metered: Entries,
}

#[derive(Clone, Debug, Default)]
struct Entries {
    wanted: Vec<Entry>,
    ignored: Vec<Entry>,
}

/// An entry, cut at its slashes.
#[derive(Clone, Debug)]
struct Entry(Vec<Vec<u8>>);

impl WatchList {
    pub(super) fn new(settings: &FileSettings) -> Self {
        let FileSettings { watch, watch_ignore, canaries, mass_change, mass_change_ignore, .. } =
            settings;
        let mut watched = Entries::new(watch, watch_ignore);
        // Whatever else is ignored: a canary is always looked at.
        watched.wanted.extend(canaries.iter().map(|path| Entry::new(path)));
        let entries = watch.iter().chain(canaries).cloned().collect();
        Self { entries, watched, metered: Entries::new(mass_change, mass_change_ignore) }
    }

    pub(super) fn of_directory(&self, path: &[u8]) -> Interest {
        Interest { watched: self.watched.reach(path), metered: self.metered.reach(path) }
    }

    /// Whether a name in a directory of this interest is watched, and whether it is metered.
    pub(super) fn of_name(&self, directory: Interest, path: &[u8]) -> (bool, bool) {
        let of = |entries: &Entries, reach| reach != Reach::None && entries.holds(path);
        (of(&self.watched, directory.watched), of(&self.metered, directory.metered))
    }

    pub(super) fn is_watched(&self, path: &[u8]) -> bool {
        self.watched.holds(path)
    }

    /// The entries that mean a path.
    pub(super) fn entries_of<'a>(&'a self, path: &'a [u8]) -> impl Iterator<Item = &'a String> {
        let both = self.entries.iter().zip(&self.watched.wanted);
        both.filter(|(_, entry)| entry.reach(path) == Reach::All).map(|(text, _)| text)
    }

    /// Whether anything below a directory may be watched, so that a walk has to go there.
    pub(super) fn leads_to_watched(&self, path: &[u8]) -> bool {
        self.watched.reach(path) != Reach::None
    }
}

impl Entries {
    fn new(wanted: &[String], ignored: &[String]) -> Self {
        let cut = |list: &[String]| list.iter().map(|path| Entry::new(path)).collect();
        Self { wanted: cut(wanted), ignored: cut(ignored) }
    }

    fn reach(&self, path: &[u8]) -> Reach {
        if self.ignored.iter().any(|entry| entry.reach(path) == Reach::All) {
            return Reach::None;
        }
        self.wanted.iter().map(|entry| entry.reach(path)).max().unwrap_or_default()
    }

    fn holds(&self, path: &[u8]) -> bool {
        self.reach(path) == Reach::All
    }
}

impl Entry {
    fn new(path: &str) -> Self {
        let parts = path.split('/').filter(|part| !part.is_empty());
        Self(parts.map(|part| part.as_bytes().to_vec()).collect())
    }

    /// All: the path is what the entry means, or below it. Some: the path leads there.
    fn reach(&self, path: &[u8]) -> Reach {
        let mut names = path.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
        for part in &self.0 {
            match names.next() {
                None => return Reach::Some,
                Some(name) if !matches(part, OsStr::from_bytes(name)) => return Reach::None,
                Some(_) => {}
            }
        }
        Reach::All
    }
}

/// The longest beginning of an entry that has no wild part, as a path: where a file system is
/// looked for.
pub(super) fn tame_part(entry: &str) -> String {
    let parts = entry.split('/').filter(|part| !part.is_empty());
    let tame: Vec<&str> = parts.take_while(|part| !part.contains(['*', '?'])).collect();
    format!("/{}", tame.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> WatchList {
        let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
        WatchList::new(&FileSettings {
            watch: texts(&["/etc", "/home/*/.ssh", "/opt/app/run.sh"]),
            watch_ignore: texts(&["/etc/cups/sub*"]),
            canaries: texts(&["/srv/share/aaa.odt"]),
            mass_change: texts(&["/home", "/srv"]),
            mass_change_ignore: texts(&["/home/*/.cache"]),
            ..FileSettings::default()
        })
    }

    #[track_caller]
    fn check(path: &str, watched: bool, metered: bool) {
        let list = list();
        let (directory, _) = super::super::change::split(path.as_bytes());
        let found = list.of_name(list.of_directory(directory), path.as_bytes());
        assert_eq!(found, (watched, metered), "{path}");
    }

    #[test]
    fn an_entry_means_what_has_its_path_and_everything_below() {
        check("/etc/passwd", true, false);
        check("/etc/a/b/c", true, false);
        check("/etcetera/x", false, false);
        check("/home/ann/.ssh/authorized_keys", true, true);
        check("/home/ann/.ssh", true, true);
        check("/home/ann/letter.odt", false, true);
        check("/opt/app/run.sh", true, false);
        check("/opt/app/run.sh.bak", false, false);
    }

    #[test]
    fn what_is_ignored_wins_and_a_canary_is_always_watched() {
        check("/etc/cups/subscriptions.conf.O", false, false);
        check("/etc/cups/cupsd.conf", true, false);
        check("/home/ann/.cache/x/y", false, false);
        check("/srv/share/aaa.odt", true, true);
    }

    #[test]
    fn a_directory_that_leads_nowhere_is_dropped_at_once() {
        let list = list();
        assert!(list.of_directory(b"/var/lib/dpkg").is_none());
        assert_eq!(list.of_directory(b"/opt").watched, Reach::Some);
        assert_eq!(list.of_directory(b"/etc/x").watched, Reach::All);
        assert_eq!(list.of_directory(b"/").watched, Reach::Some);
        assert!(list.leads_to_watched(b"/home/ann"));
        assert!(!list.leads_to_watched(b"/home/ann/Mail"));
    }

    #[test]
    fn the_tame_part_ends_before_the_first_wild_one() {
        assert_eq!(tame_part("/home/*/.ssh"), "/home");
        assert_eq!(tame_part("/etc"), "/etc");
        assert_eq!(tame_part("/*"), "/");
    }
}
