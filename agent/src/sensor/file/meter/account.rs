//! What one process has done so far. Pure.

use std::collections::{BTreeMap, HashMap, HashSet};

use cordon_proto::Text;
use cordon_proto::event::Actor;

use super::touch::{How, Mark, Touch, Weight, ending};
use super::{CALM, POINTS};
use crate::clock::Stamp;

/// How long until points are worth half.
const HALF_LIFE_SECS: f64 = 600.0;

/// Paths that are shown to a person.
const PATHS_MAX: usize = 10;

/// Names, directories and endings that are remembered; then they are forgotten all at once, which
/// may count a file twice, and misses a pair.
const REMEMBERED_MAX: usize = 512;

/// Notes, and files of which little is known, never bring more than this share of what is needed.
const HINTS_SHARE: f64 = 0.5;

/// What notes in one more directory bring.
const NOTE_POINTS: f64 = 0.5;

/// What a process has done.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::sensor::file) struct Account {
    pub(super) points: f64,
    pub(in crate::sensor::file) first: Stamp,
    pub(in crate::sensor::file) last: Stamp,
    pub(super) actor: Option<Actor>,
    pub(in crate::sensor::file) victims: u64,
    pub(in crate::sensor::file) rewritten: u64,
    pub(in crate::sensor::file) renamed: u64,
    pub(in crate::sensor::file) replaced: u64,
    pub(in crate::sensor::file) deleted: u64,
    pub(in crate::sensor::file) notes: u64,
    pub(in crate::sensor::file) paths: Vec<Text>,
    /// Endings that victims were given, and how many.
    pub(in crate::sensor::file) endings: BTreeMap<Vec<u8>, u64>,
    pub(super) told: Option<Told>,
    children: HashSet<u32>,
    counted: HashSet<u64>,
    copies: HashSet<u64>,
    gone: HashSet<u64>,
    /// Of each directory: copies and gone files that have no partner yet.
    unpaired: HashMap<u64, (u32, u32)>,
    noted: HashSet<(u64, u64)>,
    /// What notes and weak marks have brought.
    hint_points: f64,
    faded_ns: u64,
}

/// When it was told last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Told {
    pub(super) number: u64,
    pub(super) at_ns: u64,
    pub(super) victims: u64,
}

impl Account {
    pub(super) fn new(now: Stamp) -> Self {
        Self {
            points: 0.0,
            first: now,
            last: now,
            actor: None,
            victims: 0,
            rewritten: 0,
            renamed: 0,
            replaced: 0,
            deleted: 0,
            notes: 0,
            paths: Vec::new(),
            endings: BTreeMap::new(),
            told: None,
            children: HashSet::new(),
            counted: HashSet::new(),
            copies: HashSet::new(),
            gone: HashSet::new(),
            unpaired: HashMap::new(),
            noted: HashSet::new(),
            hint_points: 0.0,
            faded_ns: now.boot_ns,
        }
    }

    /// Adds marks.
    pub(super) fn credit(
        &mut self,
        actor: Option<&Actor>,
        marks: &[Mark],
        touch: &Touch<'_>,
        now: Stamp,
    ) {
        self.fade(now);
        self.actor = actor.cloned().or(self.actor.take());
        self.children.extend(actor.map(|actor| actor.pid));
        bound(&mut self.children);
        for mark in marks {
            match *mark {
                Mark::Victim { how, weight, file } => self.victim(how, weight, file, touch),
                Mark::Copy { of, directory } => self.copy(of, directory, touch),
                Mark::Gone { file, directory } => self.gone(file, directory, touch),
                Mark::Note { name, directory } => self.note(name, directory, touch),
            }
        }
    }

    /// How many processes have done it.
    pub(super) fn children(&self) -> usize {
        self.children.len()
    }

    fn fade(&mut self, now: Stamp) {
        // Whole seconds only: a storm of changes need not be counted finer.
        let secs = now.boot_ns.saturating_sub(self.faded_ns) / 1_000_000_000;
        self.faded_ns = self.faded_ns.saturating_add(secs.saturating_mul(1_000_000_000));
        let secs = u32::try_from(secs).unwrap_or(u32::MAX);
        let share = 0.5_f64.powf(f64::from(secs) / HALF_LIFE_SECS);
        self.points *= share;
        self.hint_points *= share;
        if self.told.is_some() && self.points < POINTS * CALM {
            *self = Self::new(now);
        }
        self.last = now;
    }

    fn victim(&mut self, how: How, weight: Weight, file: u64, touch: &Touch<'_>) {
        // A file that was counted when it was written is given its ending all the same.
        if how == How::Renamed && self.endings.len() < PATHS_MAX {
            *self.endings.entry(ending(touch.path)).or_default() += 1;
        }
        if !bound(&mut self.counted).insert(file) {
            return;
        }
        match weight {
            Weight::Weak => self.hint(weight.points()),
            Weight::Certain | Weight::Likely => self.points += weight.points(),
        }
        match how {
            How::Rewritten | How::Put => self.rewritten += 1,
            How::Renamed => self.renamed += 1,
            How::Copy => self.replaced += 1,
        }
        if weight != Weight::Weak {
            self.victims += 1;
            self.show(touch);
        }
    }

    fn copy(&mut self, of: u64, directory: u64, touch: &Touch<'_>) {
        self.show(touch);
        if self.endings.len() < PATHS_MAX {
            *self.endings.entry(ending(touch.path)).or_default() += 1;
        }
        let is_pair = self.gone.remove(&of);
        let unpaired = bound_map(&mut self.unpaired).entry(directory).or_default();
        let weight = if is_pair {
            unpaired.1 = unpaired.1.saturating_sub(1);
            Weight::Certain
        } else if unpaired.1 > 0 {
            unpaired.1 -= 1;
            Weight::Likely
        } else {
            unpaired.0 += 1;
            bound(&mut self.copies).insert(of);
            return;
        };
        self.victim(How::Copy, weight, of, touch);
    }

    fn gone(&mut self, file: u64, directory: u64, touch: &Touch<'_>) {
        self.deleted += 1;
        let is_pair = self.copies.remove(&file);
        let unpaired = bound_map(&mut self.unpaired).entry(directory).or_default();
        let weight = if is_pair {
            unpaired.0 = unpaired.0.saturating_sub(1);
            Weight::Certain
        } else if unpaired.0 > 0 {
            unpaired.0 -= 1;
            Weight::Likely
        } else {
            unpaired.1 += 1;
            bound(&mut self.gone).insert(file);
            return;
        };
        self.victim(How::Copy, weight, file, touch);
    }

    fn note(&mut self, name: u64, directory: u64, touch: &Touch<'_>) {
        if !bound(&mut self.noted).insert((name, directory)) {
            return;
        }
        self.notes += 1;
        // The same name in another directory makes it a note.
        let again = self.noted.iter().filter(|(known, _)| *known == name).count() > 1;
        if again {
            self.hint(NOTE_POINTS);
            self.show(touch);
        }
    }

    fn hint(&mut self, points: f64) {
        let points = points.min(POINTS * HINTS_SHARE - self.hint_points).max(0.0);
        self.hint_points += points;
        self.points += points;
    }

    fn show(&mut self, touch: &Touch<'_>) {
        if self.paths.len() < PATHS_MAX && self.paths.iter().all(|p| p.as_bytes() != touch.path) {
            self.paths.push(Text::from(touch.path));
        }
    }
}

fn bound<T: Eq + std::hash::Hash>(set: &mut HashSet<T>) -> &mut HashSet<T> {
    if set.len() >= REMEMBERED_MAX {
        set.clear();
    }
    set
}

fn bound_map(map: &mut HashMap<u64, (u32, u32)>) -> &mut HashMap<u64, (u32, u32)> {
    if map.len() >= REMEMBERED_MAX {
        map.clear();
    }
    map
}

impl Account {
    /// Whether there are names that are kept for pairs only.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.counted.len() + self.copies.len() + self.gone.len() + self.unpaired.len()
    }
}
