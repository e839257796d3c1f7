//! What wakes the reader: changes in watched directories, and the end of the sensor.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use notify::event::ModifyKind;
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher};

/// Changed paths that are remembered; more of them mean everything.
const PATHS_MAX: usize = 1024;

/// What has changed since the last round.
#[derive(Debug, Default)]
pub(super) struct Woken {
    /// Files were written to.
    pub(super) paths: HashSet<PathBuf>,
    /// Names came or went, or nobody knows.
    pub(super) everything: bool,
    /// The sensor ends.
    pub(super) stops: bool,
}

impl Woken {
    fn is_quiet(&self) -> bool {
        self.paths.is_empty() && !self.everything && !self.stops
    }

    fn note(&mut self, event: notify::Result<Event>) {
        let Ok(event) = event else {
            self.everything = true;
            return;
        };
        match event.kind {
            EventKind::Access(_) => {}
            EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) if !event.need_rescan() => {
                self.paths.extend(event.paths);
            }
            EventKind::Any
            | EventKind::Create(_)
            | EventKind::Modify(_)
            | EventKind::Remove(_)
            | EventKind::Other => self.everything = true,
        }
        if self.paths.len() > PATHS_MAX {
            self.paths.clear();
            self.everything = true;
        }
    }
}

/// Rung by whoever sees a change, waited for by the reader.
#[derive(Debug, Default)]
pub(super) struct Bell {
    woken: Mutex<Woken>,
    rung: Condvar,
}

impl Bell {
    /// Ends the reader, now and for good.
    pub(super) fn stop(&self) {
        self.lock().stops = true;
        self.rung.notify_all();
    }

    /// Waits for a change, at most for `within`; then as long as `gather` for more of them.
    pub(super) fn wait(&self, within: Duration, gather: Duration) -> Woken {
        let quiet = |woken: &mut Woken| woken.is_quiet();
        let woken = self.lock();
        let (woken, waited) = self
            .rung
            .wait_timeout_while(woken, within, quiet)
            .unwrap_or_else(PoisonError::into_inner);
        let going_on = |woken: &mut Woken| !woken.stops;
        let mut woken = if waited.timed_out() {
            woken
        } else {
            let waited = self.rung.wait_timeout_while(woken, gather, going_on);
            waited.unwrap_or_else(PoisonError::into_inner).0
        };
        let stops = woken.stops;
        let taken = std::mem::take(&mut *woken);
        woken.stops = stops;
        taken
    }

    fn lock(&self) -> MutexGuard<'_, Woken> {
        self.woken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self, event: notify::Result<Event>) {
        let mut woken = self.lock();
        woken.note(event);
        if !woken.is_quiet() {
            self.rung.notify_all();
        }
    }
}

/// Watches directories, so that a change wakes at once.
pub(super) struct Directories {
    watcher: notify::Result<RecommendedWatcher>,
    watched: HashSet<PathBuf>,
    problem: Option<String>,
}

impl Directories {
    pub(super) fn new(bell: &Arc<Bell>) -> Self {
        let bell = Arc::clone(bell);
        let watcher = notify::recommended_watcher(move |event| bell.ring(event));
        let problem = watcher.as_ref().err().map(|error| format!("watching directories: {error}"));
        Self { watcher, watched: HashSet::new(), problem }
    }

    /// Watches these and no others; returns whether one is new, which then is to be looked at
    /// again. `afresh` asks for each again, because one may have been replaced under its name.
    pub(super) fn set(&mut self, directories: &[PathBuf], afresh: bool) -> bool {
        let Ok(watcher) = &mut self.watcher else { return false };
        self.problem = None;
        let gone: Vec<PathBuf> =
            self.watched.iter().filter(|path| !directories.contains(path)).cloned().collect();
        for path in gone {
            self.watched.remove(&path);
            // A directory that was deleted is not watched any more, and that is all right.
            drop(watcher.unwatch(&path));
        }
        let mut has_new = false;
        for path in directories {
            let is_new = !self.watched.contains(path);
            if !is_new && !afresh {
                continue;
            }
            match watcher.watch(path, RecursiveMode::NonRecursive) {
                Ok(()) => {
                    has_new |= is_new;
                    self.watched.insert(path.clone());
                }
                Err(error) => {
                    self.watched.remove(path);
                    self.problem = Some(unwatched(path, &error));
                }
            }
        }
        has_new
    }

    /// Why changes are not seen at once.
    pub(super) fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }
}

fn unwatched(path: &Path, error: &notify::Error) -> String {
    format!("{} is only looked at every second: {error}", path.display())
}
