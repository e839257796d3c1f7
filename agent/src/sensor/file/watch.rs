//! Watched files: what has changed is gathered, looked at, compared with what was known, and told.
//! Pure: what is to be read is asked for as jobs, and what was read comes back as answers.

use std::collections::VecDeque;
use std::path::PathBuf;

use cordon_proto::event::file::{FileActivity, FileMeans};
use cordon_proto::event::{Body, Class, ClassCount, GapReason, Observation};

use crate::clock::Stamp;
use crate::sensor::{Checkpoint, Loss, Sample};

use super::FileSettings;
use super::baseline::{Baseline, Kept, is_directory};
use super::change::{Acts, Change};
use super::coalesce::{Coalescer, Pending};
use super::judge;
use super::look_thread::{Answer, Job, Look, UNDER_WAY_MAX, WalkJob};
use super::watchlist::WatchList;
use super::who::Who;

/// Files that wait to be looked at; what comes beyond is found by the next walk.
const WAITING_MAX: usize = 16_384;

/// All that is known of watched files.
pub(super) struct Watch {
    list: WatchList,
    entries: Vec<String>,
    places: Vec<PathBuf>,
    files_max: usize,
    coalescer: Coalescer,
    baseline: Baseline,
    waiting: VecDeque<Look>,
    under_way: usize,
    walk: Walk,
}

/// A look at everything.
#[derive(Debug, Default)]
struct Walk {
    number: u32,
    /// Another one is asked for.
    is_asked: bool,
    is_running: bool,
    /// It is over but for what is still looked at, and whether it saw everything.
    ended: Option<bool>,
    outstanding: usize,
}

impl Watch {
    /// Begins with a walk, which finds what has changed since the checkpoints were kept.
    pub(super) fn new(
        settings: &FileSettings,
        list: WatchList,
        places: Vec<PathBuf>,
        restored: &[Checkpoint],
    ) -> Self {
        let files_max = settings.files_max;
        let mut entries = settings.watch.clone();
        entries.extend(settings.canaries.iter().cloned());
        Self {
            list,
            entries,
            places,
            files_max,
            coalescer: Coalescer::default(),
            baseline: Baseline::read(restored, files_max),
            waiting: VecDeque::new(),
            under_way: 0,
            walk: Walk { is_asked: true, ..Walk::default() },
        }
    }

    pub(super) fn handle_change(&mut self, change: &Change, who: Option<&Who>, now: Stamp) {
        let (to, from) = change.watched;
        if !to && !from {
            return;
        }
        if change.is_directory {
            self.handle_directory(change, who, now);
        }
        self.coalescer.handle_change(change, who.cloned(), now);
    }

    /// Messages were lost: everything is looked at.
    pub(super) fn handle_loss(&mut self) {
        self.walk.is_asked = true;
    }

    /// Lets what has been gathered for long enough be looked at.
    pub(super) fn handle_timeout(&mut self, means: FileMeans, now: Stamp, sample: &mut Sample) {
        let mut lost = 0;
        for pending in self.coalescer.due(now) {
            if self.waiting.len() >= WAITING_MAX {
                lost += 1;
                self.walk.is_asked = true;
                continue;
            }
            self.waiting.push_back(Look { pending, means, walk: None, is_silent: false });
        }
        if lost > 0 {
            let counts = vec![ClassCount { class: Class::File, count: lost }];
            let detail = Some("files changed faster than they could be looked at".to_owned());
            let (from_ns, to_ns) = (now.time_ns, now.time_ns);
            let reason = GapReason::RateLimit;
            sample.losses.push(Loss { reason, counts, from_ns, to_ns, detail });
        }
    }

    pub(super) fn poll_timeout(&self) -> Option<u64> {
        self.coalescer.poll_timeout()
    }

    /// What is to be read next.
    pub(super) fn poll_job(&mut self) -> Option<Job> {
        if self.walk.is_asked && !self.walk.is_running {
            let number = self.walk.number.wrapping_add(1).max(1);
            self.walk = Walk { number, is_running: true, ..Walk::default() };
            let (places, list) = (self.places.clone(), self.list.clone());
            let job = WalkJob { number, places, list, files_max: self.files_max };
            return Some(Job::Walk(Box::new(job)));
        }
        if self.under_way >= UNDER_WAY_MAX / 2 {
            return None;
        }
        let look = self.waiting.pop_front()?;
        self.under_way += 1;
        Some(Job::Look(Box::new(look)))
    }

    pub(super) fn handle_answer(&mut self, answer: Answer, now: Stamp, sample: &mut Sample) {
        match answer {
            Answer::Looked(look, found) => {
                self.under_way = self.under_way.saturating_sub(1);
                if look.walk == Some(self.walk.number) {
                    self.walk.outstanding = self.walk.outstanding.saturating_sub(1);
                }
                self.looked(&look, found, now, sample);
            }
            Answer::Walked(number, files) if number == self.walk.number => {
                files.into_iter().for_each(|(path, kept)| self.walked(path, &kept, now));
            }
            Answer::WalkEnded { number, whole } if number == self.walk.number => {
                self.walk.ended = Some(whole);
            }
            Answer::Walked(..) | Answer::WalkEnded { .. } => {}
        }
        if let Some(whole) = self.walk.ended.filter(|_| self.walk.outstanding == 0) {
            self.walk.is_running = false;
            self.walk.ended = None;
            if whole {
                self.settle(now, sample);
            }
        }
    }

    /// Whether everything has been looked at that is to be.
    pub(super) fn is_settled(&self) -> bool {
        !self.walk.is_running && !self.walk.is_asked && self.under_way == 0
    }

    /// Why not everything that is watched is known.
    pub(super) fn problem(&self) -> Option<String> {
        let left_out = self.baseline.left_out();
        (left_out > 0).then(|| {
            format!("{left_out} files beyond {} are watched, but not remembered", self.files_max)
        })
    }

    fn handle_directory(&mut self, change: &Change, who: Option<&Who>, now: Stamp) {
        let gone = match &change.from {
            Some(from) => Some(from),
            None => change.acts.deleted.then_some(&change.path),
        };
        for path in gone.map(|gone| self.baseline.below(gone)).unwrap_or_default() {
            let change = Change {
                acts: Acts::DELETED,
                path,
                from: None,
                is_directory: false,
                watched: (true, false),
                ..change.clone()
            };
            self.coalescer.handle_change(&change, who.cloned(), now);
        }
        // What came with it has no messages of its own.
        self.walk.is_asked |= change.from.is_some() && change.watched.0;
    }

    /// A walk has seen a file.
    fn walked(&mut self, path: Vec<u8>, found: &Kept, now: Stamp) {
        let number = self.walk.number;
        let known = self.baseline.get(&path);
        if known.is_some_and(|known| known.is_untouched(found)) || self.coalescer.holds(&path) {
            self.baseline.seen(&path, number);
            return;
        }
        let knows = |entry: &String| self.baseline.knows_entry(entry);
        let is_silent = known.is_none() && !self.list.entries_of(&path).any(knows);
        self.walk.outstanding += 1;
        let pending = compared(path, Acts::CREATED, is_directory(Some(found)), now);
        let means = FileMeans::Comparison;
        self.waiting.push_back(Look { pending, means, walk: Some(number), is_silent });
    }

    /// A walk is over: what it did not see is gone, and all that is there is known.
    fn settle(&mut self, now: Stamp, sample: &mut Sample) {
        for path in self.baseline.unseen(self.walk.number) {
            if !self.list.is_watched(&path) {
                sample.checkpoints.extend(self.baseline.put(&path, None, 0));
            } else if !self.coalescer.holds(&path) {
                let is_directory = is_directory(self.baseline.get(&path));
                let pending = compared(path, Acts::DELETED, is_directory, now);
                let means = FileMeans::Comparison;
                self.waiting.push_back(Look { pending, means, walk: None, is_silent: false });
            }
        }
        sample.checkpoints.extend(self.baseline.complete(&self.entries));
    }

    /// A file was looked at.
    fn looked(&mut self, look: &Look, found: Option<Kept>, now: Stamp, sample: &mut Sample) {
        let Look { pending, means, is_silent, .. } = look;
        let known = self.baseline.get(&pending.path).cloned();
        let from = pending.from.as_deref();
        if !is_silent {
            let state = |kept: &Option<Kept>| kept.as_ref().map(|kept| kept.state.clone());
            let event = judge::event(*means, pending, state(&known), state(&found));
            sample.observations.extend(event.map(|mut event| {
                if event.activity == FileActivity::Renamed {
                    let before = from.and_then(|from| self.baseline.get(from));
                    event.before = before.map(|kept| kept.state.clone());
                }
                let severity = judge::severity(&event);
                let Stamp { time_ns, boot_ns } =
                    if *means == FileMeans::Comparison { now } else { pending.first };
                Observation { time_ns, boot_ns, severity, body: Body::File(Box::new(event)) }
            }));
        }
        if let Some(from) = from {
            sample.checkpoints.extend(self.baseline.put(from, None, 0));
        }
        if *is_silent && self.coalescer.holds(&pending.path) {
            // It changed while it was first looked at: told as a change of what nobody knew, and
            // not silently taken for what was always there.
            return;
        }
        if known == found {
            self.baseline.seen(&pending.path, self.walk.number);
        } else {
            let kept = self.baseline.put(&pending.path, found, self.walk.number);
            sample.checkpoints.extend(kept);
        }
    }
}

/// A file that a walk found to differ.
fn compared(path: Vec<u8>, acts: Acts, is_directory: bool, now: Stamp) -> Pending {
    Pending { path, from: None, acts, is_directory, who: None, times: 1, first: now }
}

#[cfg(test)]
mod tests;
