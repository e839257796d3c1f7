//! Adds changes of one file within a second up to one. Pure.
//!
//! A file that is written anew beside its place and then put there (as editors and package
//! managers do) comes out as one change of the file that it replaced.

use std::collections::{HashMap, VecDeque};

use crate::clock::Stamp;

use super::change::{Acts, Change};
use super::who::Who;

/// How long changes of a file are gathered after the first.
pub(super) const GATHER_NS: u64 = 1_000_000_000;

/// Files whose changes are gathered at once; more of them are told before their time.
const PENDING_MAX: usize = 4096;

/// Endings of names under which package managers unpack a file before they put it in its place.
const UNPACKED: [&[u8]; 2] = [b".dpkg-new", b".dpkg-tmp"];

/// What happened to a file.
#[derive(Clone, Debug)]
pub(super) struct Pending {
    pub(super) path: Vec<u8>,
    /// The name before, where it was not only a name for the time of writing.
    pub(super) from: Option<Vec<u8>>,
    pub(super) acts: Acts,
    pub(super) is_directory: bool,
    /// Who was the last to change it.
    pub(super) who: Option<Who>,
    pub(super) times: u32,
    /// When it began.
    pub(super) first: Stamp,
}

/// Changes that are gathered.
#[derive(Debug, Default)]
pub(super) struct Coalescer {
    pending: HashMap<Vec<u8>, Pending>,
    /// In the order of their time; may name what was told already.
    order: VecDeque<(u64, Vec<u8>)>,
}

impl Coalescer {
    pub(super) fn handle_change(&mut self, change: &Change, who: Option<Who>, now: Stamp) {
        let Change { acts, path, from, is_directory, watched, .. } = change;
        let package_manager = who.as_ref().is_some_and(|who| who.by_package_manager);
        match (from, watched) {
            (None, _) => {
                if !(package_manager && is_unpacked(path)) {
                    self.note(path, *acts, *is_directory, who, now);
                }
            }
            // It went to where nobody watches.
            (Some(from), (false, _)) => {
                self.note(from, Acts::DELETED, *is_directory, who, now);
            }
            (Some(from), (true, _)) => {
                let before = self.pending.remove(from);
                let was_for_writing = before
                    .as_ref()
                    .is_some_and(|before| before.acts.created && before.from.is_none())
                    || is_unpacked(from);
                let origin = before.and_then(|before| before.from);
                let origin = if was_for_writing { None } else { origin.or(Some(from.clone())) };
                let acts = if was_for_writing { Acts::CREATED.and(Acts::WRITTEN) } else { *acts };
                let noted = self.note(path, acts, *is_directory, who, now);
                if noted.from.is_none() {
                    noted.from = origin.filter(|origin| origin != path);
                }
            }
        }
    }

    /// What has been gathered for long enough.
    pub(super) fn due(&mut self, now: Stamp) -> Vec<Pending> {
        let mut due = Vec::new();
        while let Some((at, _)) = self.order.front() {
            if *at > now.boot_ns && self.pending.len() <= PENDING_MAX {
                break;
            }
            let Some((at, path)) = self.order.pop_front() else { break };
            // A file that was told and changed again has a later turn too.
            let is_its_turn = |pending: &Pending| turn(pending) == at;
            if self.pending.get(&path).is_some_and(is_its_turn) {
                due.extend(self.pending.remove(&path));
            }
        }
        due
    }

    /// Whether changes of this file are being gathered.
    pub(super) fn holds(&self, path: &[u8]) -> bool {
        self.pending.contains_key(path)
    }

    /// When [`Self::due`] has something; boot-time clock.
    pub(super) fn poll_timeout(&self) -> Option<u64> {
        self.order.front().map(|(at, _)| *at)
    }

    fn note(
        &mut self,
        path: &[u8],
        acts: Acts,
        is_directory: bool,
        who: Option<Who>,
        now: Stamp,
    ) -> &mut Pending {
        let order = &mut self.order;
        let pending = self.pending.entry(path.to_vec()).or_insert_with(|| {
            order.push_back((now.boot_ns.saturating_add(GATHER_NS), path.to_vec()));
            let path = path.to_vec();
            let acts = Acts::NONE;
            Pending { path, from: None, acts, is_directory, who: None, times: 0, first: now }
        });
        pending.acts = pending.acts.and(acts);
        pending.times = pending.times.saturating_add(1);
        pending.is_directory = is_directory;
        if who.is_some() {
            pending.who = who;
        }
        pending
    }
}

fn turn(pending: &Pending) -> u64 {
    pending.first.boot_ns.saturating_add(GATHER_NS)
}

fn is_unpacked(path: &[u8]) -> bool {
    UNPACKED.iter().any(|ending| path.ends_with(ending))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lines `milliseconds: create|write|attrib|delete PATH` or `rename FROM TO`; a path in /etc
    /// is watched. What comes out is `PATH acts times`, with `from FROM`.
    #[track_caller]
    fn check(timeline: &str, expected: &[&str]) {
        let mut coalescer = Coalescer::default();
        let mut out = Vec::new();
        let stamp = |ms: u64| Stamp { time_ns: ms, boot_ns: ms * 1_000_000 };
        for line in timeline.lines().map(str::trim) {
            let (ms, what) = line.split_once(": ").unwrap();
            let now = stamp(ms.parse().unwrap());
            out.extend(coalescer.due(now));
            let words: Vec<&str> = what.split(' ').collect();
            let watched = |path: &str| path.starts_with("/etc/");
            let (acts, path, from) = match words[..] {
                ["create", path] => (Acts::CREATED, path, None),
                ["write", path] => (Acts::WRITTEN, path, None),
                ["attrib", path] => (Acts::ATTRIBUTES, path, None),
                ["delete", path] => (Acts::DELETED, path, None),
                ["rename", from, to] => (Acts::NONE, to, Some(from)),
                ["wait"] => continue,
                _ => panic!("{line}"),
            };
            let change = Change {
                pid: None,
                acts,
                path: path.as_bytes().to_vec(),
                from: from.map(|from| from.as_bytes().to_vec()),
                is_directory: false,
                watched: (watched(path), from.is_some_and(watched)),
                metered: false,
            };
            coalescer.handle_change(&change, None, now);
        }
        out.extend(coalescer.due(stamp(1_000_000)));
        assert_eq!(coalescer.poll_timeout(), None);
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let out: Vec<String> = out
            .iter()
            .map(|pending| {
                let Pending { path, from, acts, times, .. } = pending;
                let letters = [
                    (acts.created, 'c'),
                    (acts.written, 'w'),
                    (acts.attributes, 'a'),
                    (acts.deleted, 'd'),
                ];
                let acts: String = letters.iter().filter(|(is, _)| *is).map(|(_, c)| c).collect();
                let from = from.as_ref().map(|from| format!(" from {}", text(from)));
                format!("{} {acts}{times}{}", text(path), from.unwrap_or_default())
            })
            .collect();
        assert_eq!(out, expected);
    }

    #[test]
    fn changes_within_a_second_are_one() {
        check("0: write /etc/a\n 300: write /etc/a\n 900: attrib /etc/a", &["/etc/a wa3"]);
        check("0: write /etc/a\n 1100: write /etc/a", &["/etc/a w1", "/etc/a w1"]);
        check("0: write /etc/a\n 100: write /etc/b", &["/etc/a w1", "/etc/b w1"]);
    }

    #[test]
    fn a_file_written_beside_its_place_counts_as_the_one_it_replaces() {
        check(
            "0: create /etc/.a.swp\n 1: write /etc/.a.swp\n 2: rename /etc/.a.swp /etc/a",
            &["/etc/a cw1"],
        );
        check("0: rename /etc/a.dpkg-new /etc/a", &["/etc/a cw1"]);
    }

    #[test]
    fn a_rename_keeps_the_first_name() {
        check("0: rename /etc/a /etc/b\n 1: rename /etc/b /etc/c", &["/etc/c 1 from /etc/a"]);
        check("0: rename /tmp/x /etc/ls", &["/etc/ls 1 from /tmp/x"]);
        check("0: rename /etc/a /etc/b\n 1: rename /etc/b /etc/a", &["/etc/a 1"]);
    }

    #[test]
    fn what_goes_to_where_nobody_watches_is_gone() {
        check("0: rename /etc/a /tmp/a", &["/etc/a d1"]);
    }

    #[test]
    fn too_many_files_are_told_before_their_time() {
        let mut coalescer = Coalescer::default();
        let now = Stamp { time_ns: 0, boot_ns: 5 };
        for number in 0..PENDING_MAX + 10 {
            let path = format!("/etc/{number}").into_bytes();
            coalescer.note(&path, Acts::WRITTEN, false, None, now);
        }
        assert_eq!(coalescer.due(now).len(), 10);
    }
}
