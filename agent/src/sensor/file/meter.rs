//! The meter of mass changes: tells when somebody makes other people's files unreadable. Pure.
//!
//! What counts is a victim: a file that was there and whose content no longer is what its name
//! promises, whether it was written over, renamed, or replaced by a scrambled copy. New files,
//! deletions alone and renames that leave the content alone weigh nothing, so that unpacking,
//! building, checking out, backing up and clearing up stay silent. Points fade with a half-life of
//! ten minutes, so that a slow hand is seen too: one file a minute is enough.
//!
//! Points are kept for each process, for its parent (a script that runs a program for each file),
//! and for all processes together that were gone before they could be looked at; the last need
//! twice as many.

mod account;
#[cfg(test)]
mod tests;
pub(super) mod touch;

use std::collections::{HashMap, HashSet};

use cordon_proto::event::Actor;

use self::account::{Account, Told};
use self::touch::{Mark, Touch, Want};
use super::content::Content;
use crate::clock::Stamp;

/// Points at which it is told: those of twelve files where each is certain, and of what fades while
/// they are done within a minute or two.
pub(super) const POINTS: f64 = 11.5;

/// The same for processes that nobody could look at.
const POINTS_OF_UNKNOWN: f64 = 23.0;

/// Below this share of the points it may be told as something new.
const CALM: f64 = 0.25;

/// While it goes on it is told again so often.
const AGAIN_NS: u64 = 60_000_000_000;

/// Processes with points; those that have been quiet for longest are forgotten.
const ACCOUNTS_MAX: usize = 64;

/// Names made lately, and by whom, so that a new file is known as new; the older half goes first.
const NEW_MAX: usize = 8192;

/// Files of which is known what they were like; the older half goes first.
const JUDGED_MAX: usize = 4096;

/// Who is meant.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
enum Key {
    Process { pid: u32, start_boot_ns: u64 },
    Parent { pid: u32 },
    Unknown,
}

/// What is told.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Alarm {
    /// Which of the meter's alarms; the same while it goes on.
    pub(super) number: u64,
    pub(super) repeated: bool,
    pub(super) actor: Option<Actor>,
    /// The actor is the parent of those who did it.
    pub(super) through_children: bool,
    pub(super) account: Account,
}

/// All accounts.
#[derive(Debug, Default)]
pub(super) struct Meter {
    accounts: HashMap<Key, Account>,
    new: [HashSet<u64>; 2],
    /// Files that were looked at lately, and whether they were scrambled.
    judged: [HashMap<u64, bool>; 2],
    alarms: u64,
}

impl Meter {
    /// Whether a change's content has to be looked at, and under which name it is now. Must be
    /// asked before [`Self::handle`] for each change, in order.
    pub(super) fn want(&mut self, touch: &Touch<'_>) -> Want {
        let by = touch.actor.map_or(0, |actor| actor.pid);
        let is_new = self.is_new(touch.from.unwrap_or(touch.path), by);
        if touch.acts.created && !touch.acts.deleted {
            self.note_new(touch.path, by);
            return touch.want(true);
        }
        touch.want(is_new)
    }

    /// Takes a change; `content` is what was found where it was wanted.
    pub(super) fn handle(
        &mut self,
        touch: &Touch<'_>,
        want: Want,
        content: Content,
        now: Stamp,
    ) -> Option<Alarm> {
        let marks = touch.marks(want, content, self.judged(touch.path, content));
        if marks.is_empty() {
            return None;
        }
        let actor = touch.actor;
        let known = actor.and_then(|actor| Some((actor, actor.start_boot_ns?)));
        let own = match known {
            Some((actor, start_boot_ns)) => Key::Process { pid: actor.pid, start_boot_ns },
            None => Key::Unknown,
        };
        self.credit(own, actor, &marks, touch, now);
        if let Some(alarm) = self.alarm(own, now) {
            // The parent is not told of for what its child was told of.
            if let Some(parent) = parent_of(actor) {
                self.accounts.remove(&Key::Parent { pid: parent });
            }
            return Some(alarm);
        }
        let parent = Key::Parent { pid: parent_of(actor)? };
        let own_was_told = self.accounts.get(&own).is_some_and(|own| own.told.is_some());
        if own_was_told {
            return None;
        }
        self.credit(parent, actor, &marks, touch, now);
        let children = self.accounts.get(&parent).map_or(0, |account| account.children());
        if children > 1 { self.alarm(parent, now) } else { None }
    }

    /// Adds marks to an account.
    fn credit(
        &mut self,
        key: Key,
        actor: Option<&Actor>,
        marks: &[Mark],
        touch: &Touch<'_>,
        now: Stamp,
    ) {
        if !self.accounts.contains_key(&key) && self.accounts.len() >= ACCOUNTS_MAX {
            let quietest = self.accounts.iter().min_by_key(|(key, a)| (a.last.boot_ns, **key));
            if let Some(quietest) = quietest.map(|(key, _)| *key) {
                self.accounts.remove(&quietest);
            }
        }
        let account = self.accounts.entry(key).or_insert_with(|| Account::new(now));
        account.credit(actor, marks, touch, now);
    }

    fn alarm(&mut self, key: Key, now: Stamp) -> Option<Alarm> {
        let account = self.accounts.get_mut(&key)?;
        let points = if key == Key::Unknown { POINTS_OF_UNKNOWN } else { POINTS };
        let (number, repeated) = match account.told {
            Some(Told { victims, .. }) if victims == account.victims => return None,
            Some(Told { at_ns, .. }) if now.boot_ns.saturating_sub(at_ns) < AGAIN_NS => {
                return None;
            }
            Some(Told { number, .. }) if account.points >= points * CALM => (number, true),
            Some(_) | None if account.points >= points => {
                self.alarms += 1;
                (self.alarms, false)
            }
            Some(_) | None => return None,
        };
        account.told = Some(Told { number, at_ns: now.boot_ns, victims: account.victims });
        let account = account.clone();
        let through_children = matches!(key, Key::Parent { .. });
        let actor = match key {
            Key::Process { .. } => account.actor.clone(),
            Key::Parent { pid } => Some(Actor { pid, ..Actor::default() }),
            Key::Unknown => None,
        };
        Some(Alarm { number, repeated, actor, through_children, account })
    }

    fn is_new(&self, path: &[u8], by: u32) -> bool {
        let made = touch::hash((path, by));
        self.new.iter().any(|half| half.contains(&made))
    }

    fn note_new(&mut self, path: &[u8], by: u32) {
        self.new[0].insert(touch::hash((path, by)));
        if self.new[0].len() >= NEW_MAX / 2 {
            self.new.swap(0, 1);
            self.new[0].clear();
        }
    }

    /// Whether a file was scrambled when it was looked at before; and takes note of what it is now.
    fn judged(&mut self, path: &[u8], content: Content) -> Option<bool> {
        if content == Content::Unknown {
            return None;
        }
        let path = touch::hash(path);
        let before = self.judged.iter().find_map(|half| half.get(&path).copied());
        self.judged[0].insert(path, content == Content::Scrambled);
        if self.judged[0].len() >= JUDGED_MAX / 2 {
            self.judged.swap(0, 1);
            self.judged[0].clear();
        }
        before
    }
}

/// The first process of all is nobody's script.
fn parent_of(actor: Option<&Actor>) -> Option<u32> {
    actor?.parent_pid.filter(|pid| *pid > 1)
}
