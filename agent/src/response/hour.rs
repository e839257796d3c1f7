//! How often each action was done within the hour, whichever responses said so: the roster's ceiling
//! is for all of them together, so that neither many responses nor another name for one exceed it.

use std::collections::VecDeque;

use cordon_proto::command::ActionKind;
use cordon_proto::policy::responses::{KINDS, PER_HOUR_MAX};

/// The hour that limits count.
pub(super) const HOUR_SECS: u64 = 3600;

/// What was done when; bounded by [`PER_HOUR_MAX`] for each action.
#[derive(Debug, Default)]
pub(super) struct Hour {
    done: VecDeque<(ActionKind, u64)>,
}

impl Hour {
    /// Takes up what was done; what lies ahead counts as done just now.
    pub(super) fn resume(done: impl IntoIterator<Item = (ActionKind, u64)>, now_secs: u64) -> Self {
        let done = done.into_iter().map(|(kind, at_secs)| (kind, at_secs.min(now_secs)));
        let mut hour = Self { done: done.collect() };
        hour.forget(now_secs);
        hour
    }

    pub(super) fn note(&mut self, kind: ActionKind, now_secs: u64) {
        self.done.push_back((kind, now_secs));
    }

    pub(super) fn done(&self) -> impl Iterator<Item = (ActionKind, u64)> {
        self.done.iter().copied()
    }

    /// Counts as if all had been done as often as anything may be.
    pub(super) fn spend(&mut self, now_secs: u64) {
        for kind in KINDS {
            self.done.extend((0..PER_HOUR_MAX).map(|_| (kind, now_secs)));
        }
    }

    pub(super) fn forget(&mut self, now_secs: u64) {
        self.done.retain(|(_, at_secs)| now_secs.saturating_sub(*at_secs) < HOUR_SECS);
    }

    /// Refuses what was done as often as the roster lets all responses together do it.
    pub(super) fn check(&self, kind: ActionKind, roster_max: u32) -> Result<(), String> {
        let most = roster_max.min(PER_HOUR_MAX);
        let done = self.done.iter().filter(|(done, _)| *done == kind).count();
        if done < usize::try_from(most).unwrap_or(usize::MAX) {
            return Ok(());
        }
        let name = kind.name();
        Err(format!("all responses together did {name} {done} time(s) within an hour already"))
    }
}
