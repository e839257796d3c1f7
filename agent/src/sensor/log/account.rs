//! Accounts for every rotated file beside a log: it has been read, is being read, or is read now.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;

use super::beside::{Beside, Logs};
use super::file::{self, Followed, Role};
use super::find::is_followed;
use super::gather::Gathered;
use super::judge::Sibling;
use super::past::{InHand, Verdict};
use super::place::{FileId, Place};
use super::watch::{FILES_MAX, Watch};
use crate::sensor::Stopping;

impl Watch {
    /// Looks at the rotated files of these logs and follows those that nobody has read; `named` are
    /// followed for their own names. `since_ns` is from when on the lines of a log are wanted, and
    /// `is_kept` whether a log may come back whose rotated files cannot be seen now.
    pub(super) fn account(
        &mut self,
        logs: &Logs,
        named: &BTreeSet<FileId>,
        since_ns: impl Fn(&Beside) -> u64,
        is_kept: impl Fn(&Place) -> bool,
        gathered: &mut Gathered<'_>,
    ) -> Result<(), Stopping> {
        let look = logs.look();
        // Kept once all are judged: a number that is used again was perhaps that of a file whose
        // compressed copy is to be known by it.
        let mut known = Vec::new();
        for beside in &look.found {
            let is_read = named.contains(&beside.id) || is_followed(&self.files, beside.id);
            if is_read || beside.is_under_way || self.is_as_it_was(beside) {
                continue;
            }
            gathered.make_room()?;
            match file::open_sibling(&beside.path) {
                Ok(Some(sibling)) => {
                    known.extend(self.take_rotated(beside, &sibling, &since_ns, gathered));
                }
                Ok(None) => {}
                // History that cannot be read is missed by nobody.
                Err(error) if beside.changed_ns >= since_ns(beside) => {
                    self.note(&beside.path, &error);
                }
                Err(_history) => {}
            }
        }
        let there: BTreeSet<FileId> = look.found.iter().map(|beside| beside.id).collect();
        let gone = self.past.sweep(|place| {
            !there.contains(&place.id) && !look.unseen.contains(&place.path()) && !is_kept(place)
        });
        for id in gone {
            gathered.make_room()?;
            gathered.place(id.forget_past());
        }
        for place in known {
            gathered.make_room()?;
            gathered.place(place.checkpoint());
            self.past.keep(place);
        }
        Ok(())
    }

    /// Whether a rotated file is known, and nothing has been written to it since.
    fn is_as_it_was(&self, beside: &Beside) -> bool {
        self.past.get(beside.id).is_some_and(|place| {
            place.changed_ns() == beside.changed_ns
                && place.born_ns == beside.born_ns
                && place.disk_bytes == Some(beside.size)
        })
    }

    /// Follows a file that nobody has read; answers what is to be kept of one that was.
    fn take_rotated(
        &mut self,
        beside: &Beside,
        sibling: &Sibling,
        since_ns: &impl Fn(&Beside) -> u64,
        gathered: &mut Gathered<'_>,
    ) -> Option<Place> {
        let in_hand = match self.in_hand(beside) {
            Ok(Some(in_hand)) => in_hand,
            // The log was emptied just now. Its copy is found when that is seen; only then can it
            // be said what the others are.
            Ok(None) => {
                self.look_again(gathered.boot_ns());
                return None;
            }
            Err(error) => {
                self.note(&beside.log, &error);
                return None;
            }
        };
        match self.past.judge(&beside.log, sibling, since_ns(beside), &in_hand) {
            Verdict::Known(place) => Some(Place { disk_bytes: Some(beside.size), ..place }),
            Verdict::Unread(place) => {
                self.read_on(&place, sibling, &beside.log, gathered);
                None
            }
            Verdict::Open => None,
        }
    }

    fn read_on(
        &mut self,
        place: &Place,
        sibling: &Sibling,
        log: &Path,
        gathered: &mut Gathered<'_>,
    ) {
        if self.is_full() {
            let shown = sibling.path.display();
            return self.problems.push(format!("{shown} is left out: {FILES_MAX} are read"));
        }
        let file = self.resume(place, sibling, log, gathered.boot_ns());
        let Some(file) = file else { return };
        // One that was made while the log stood there holds what was copied out of it.
        let is_copied = |live: &Followed| {
            live.role == Role::Live && live.path == log && live.is_older_than(sibling)
        };
        if place.offset == 0 && self.files.iter().any(is_copied) {
            gathered.emptied_after_copy(log);
        }
        gathered.place(file.place().checkpoint());
        self.files.push(file);
    }

    /// What is being read of a log; none if it is not what it was when it was last read.
    fn in_hand(&self, beside: &Beside) -> io::Result<Option<Vec<InHand>>> {
        let files = self.files.iter().filter(|file| file.path == beside.log);
        files.map(Followed::in_hand).collect()
    }
}
