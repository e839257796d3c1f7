//! Watches directories by inotify, where fanotify is not to be had: without the process, and only
//! as many directories as there is room for.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{
    AccessKind, AccessMode, CreateKind, MetadataKind, ModifyKind, RemoveKind, RenameMode,
};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};

use super::change::{Acts, Change, split};
use super::listen::Heard;
use super::wake::Wake;
use super::watchlist::{Reach, WatchList};

/// Directories that are watched; each takes a kilobyte of the kernel's memory.
const DIRECTORIES_MAX: usize = 8192;

/// Events that wait; more of them are lost, and that is told.
const EVENTS_MAX: usize = 16_384;

/// Directories below a directory that are looked into at most.
const DEPTH_MAX: usize = 24;

#[derive(Debug, Default)]
struct Waiting {
    events: Vec<Event>,
    lost: bool,
}

/// All directories that are watched.
pub(super) struct Watcher {
    watcher: RecommendedWatcher,
    waiting: Arc<Mutex<Waiting>>,
    directories: usize,
    left_out: usize,
}

impl Watcher {
    /// Watches what the list means below these places.
    pub(super) fn open(
        places: &[PathBuf],
        list: &WatchList,
        wake: &Arc<Wake>,
    ) -> notify::Result<Self> {
        let waiting: Arc<Mutex<Waiting>> = Arc::default();
        let (seen, wake) = (Arc::clone(&waiting), Arc::clone(wake));
        let watcher = notify::recommended_watcher(move |event: notify::Result<Event>| {
            let mut waiting = seen.lock().unwrap_or_else(PoisonError::into_inner);
            match event {
                Ok(event) if is_of_use(&event) && waiting.events.len() < EVENTS_MAX => {
                    waiting.lost |= event.need_rescan();
                    waiting.events.push(event);
                }
                Ok(event) if !is_of_use(&event) => return,
                Ok(_) | Err(_) => waiting.lost = true,
            }
            wake.ring();
        })?;
        let mut opened = Self { watcher, waiting, directories: 0, left_out: 0 };
        places.iter().for_each(|place| opened.add(place, list, 0));
        Ok(opened)
    }

    /// What has happened since the last time.
    pub(super) fn hear(&mut self, list: &WatchList) -> Heard {
        let waiting = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            std::mem::take(&mut *waiting)
        };
        let was_any = !waiting.events.is_empty();
        let mut heard = Heard { overflow: waiting.lost, was_any, ..Heard::default() };
        for event in &waiting.events {
            for change in changes(event, list) {
                if change.is_directory && (change.acts.created || change.from.is_some()) {
                    self.add(super::baseline::os(&change.path), list, 0);
                }
                if change.watched.0 || change.watched.1 || change.metered {
                    heard.changes.push(change);
                }
            }
        }
        heard
    }

    /// Directories that are not watched for want of room.
    pub(super) fn left_out(&self) -> usize {
        self.left_out
    }

    fn add(&mut self, place: &Path, list: &WatchList, depth: usize) {
        let interest = list.of_directory(place.as_os_str().as_bytes());
        if interest.is_none() || depth > DEPTH_MAX || !is_directory(place) {
            return;
        }
        let fits = self.directories < DIRECTORIES_MAX
            && self.watcher.watch(place, RecursiveMode::NonRecursive).is_ok();
        if !fits {
            self.left_out += 1;
            return;
        }
        self.directories += 1;
        // Below a place of which only some names count, only those are looked into.
        let Ok(entries) = std::fs::read_dir(place) else { return };
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                self.add(&entry.path(), list, depth + 1);
            }
        }
        debug_assert!(interest.watched != Reach::None || interest.metered != Reach::None);
    }
}

fn is_directory(path: &Path) -> bool {
    path.symlink_metadata().is_ok_and(|found| found.is_dir())
}

fn is_of_use(event: &Event) -> bool {
    match event.kind {
        EventKind::Access(kind) => kind == AccessKind::Close(AccessMode::Write),
        EventKind::Modify(ModifyKind::Data(_) | ModifyKind::Any) => event.need_rescan(),
        EventKind::Modify(ModifyKind::Metadata(_) | ModifyKind::Name(_) | ModifyKind::Other)
        | EventKind::Any
        | EventKind::Create(_)
        | EventKind::Remove(_)
        | EventKind::Other => true,
    }
}

/// What an event tells; the halves of a rename are told together by a third one, or stay halves.
fn changes(event: &Event, list: &WatchList) -> Vec<Change> {
    let path = |at: usize| event.paths.get(at).map(|path| path.as_os_str().as_bytes().to_vec());
    let one = |acts: Acts, path: Vec<u8>, from: Option<Vec<u8>>, is_directory: bool| {
        let of = |path: &[u8]| list.of_name(list.of_directory(split(path).0), path);
        let (watched, metered) = of(&path);
        let (watched_from, metered_from) = from.as_deref().map_or((false, false), of);
        Change {
            pid: None,
            acts,
            is_directory,
            watched: (watched, watched_from),
            metered: metered || metered_from,
            path,
            from,
        }
    };
    let there = |path: &[u8]| is_directory(super::baseline::os(path));
    let Some(first) = path(0) else { return Vec::new() };
    match event.kind {
        EventKind::Create(kind) => {
            vec![one(Acts::CREATED, first, None, kind == CreateKind::Folder)]
        }
        EventKind::Remove(kind) => {
            vec![one(Acts::DELETED, first, None, kind == RemoveKind::Folder)]
        }
        EventKind::Access(_) => vec![one(Acts::WRITTEN, first, None, false)],
        EventKind::Modify(ModifyKind::Metadata(
            MetadataKind::Any
            | MetadataKind::Permissions
            | MetadataKind::Ownership
            | MetadataKind::Extended
            | MetadataKind::WriteTime
            | MetadataKind::AccessTime
            | MetadataKind::Other,
        )) => {
            let is_directory = there(&first);
            vec![one(Acts::ATTRIBUTES, first, None, is_directory)]
        }
        EventKind::Modify(ModifyKind::Name(RenameMode::Both)) => {
            let Some(to) = path(1) else { return Vec::new() };
            let is_directory = there(&to);
            vec![one(Acts::NONE, to, Some(first), is_directory)]
        }
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) if !there(&first) => {
            vec![one(Acts::CREATED, first, None, false)]
        }
        EventKind::Modify(ModifyKind::Name(RenameMode::To)) => {
            vec![one(Acts::CREATED, first, None, true)]
        }
        EventKind::Modify(ModifyKind::Name(RenameMode::From)) => {
            vec![one(Acts::DELETED, first, None, false)]
        }
        EventKind::Modify(_) | EventKind::Any | EventKind::Other => Vec::new(),
    }
}
