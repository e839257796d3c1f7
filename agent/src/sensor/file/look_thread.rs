//! The thread that reads: hashes files and walks directories beside the sensor, at the lowest
//! priority, so that neither the machine nor the next message has to wait for it.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, TrySendError, sync_channel};

use cordon_proto::event::file::FileMeans;

use super::baseline::Kept;
use super::coalesce::Pending;
use super::look;
use super::wake::Wake;
use super::watchlist::WatchList;

/// Files and batches on their way to the thread, and answers on their way back.
pub(super) const UNDER_WAY_MAX: usize = 64;

/// Files of a walk that are handed over at once.
const BATCH_FILES: usize = 128;

/// How deep a walk goes.
const DEPTH_MAX: usize = 40;

/// Low, as every thread that can wait should be.
const PRIORITY: i32 = 15;

/// A file to be looked at.
#[derive(Debug)]
pub(super) struct Look {
    pub(super) pending: Pending,
    pub(super) means: FileMeans,
    /// The walk that found it.
    pub(super) walk: Option<u32>,
    /// It is only to be known, not to be told.
    pub(super) is_silent: bool,
}

/// All watched files are to be listed.
pub(super) struct WalkJob {
    pub(super) number: u32,
    pub(super) places: Vec<PathBuf>,
    pub(super) list: WatchList,
    pub(super) files_max: usize,
}

/// What the thread is to do.
pub(super) enum Job {
    Look(Box<Look>),
    Walk(Box<WalkJob>),
}

/// What it has found.
pub(super) enum Answer {
    Looked(Box<Look>, Option<Kept>),
    /// Files that a walk has seen; without hashes.
    Walked(u32, Vec<(Vec<u8>, Kept)>),
    /// A walk is over, and whether it has looked everywhere.
    WalkEnded {
        number: u32,
        whole: bool,
    },
}

/// The sensor's end.
pub(super) struct Looker {
    jobs: SyncSender<Job>,
    answers: Receiver<Answer>,
}

impl Looker {
    pub(super) fn start(hash_bytes_max: u64, wake: Arc<Wake>) -> std::io::Result<Self> {
        let (jobs, to_do) = sync_channel::<Job>(UNDER_WAY_MAX);
        let (answer, answers) = sync_channel(UNDER_WAY_MAX);
        let thread = std::thread::Builder::new().name("cordon-hash".to_owned());
        thread.spawn(move || {
            // Whoever may not be nicer goes on as it is.
            rustix::process::setpriority_process(None, PRIORITY).ok();
            let give = |found| {
                let gone = answer.send(found).is_err();
                wake.ring();
                !gone
            };
            // The sensor that has ended sends no more, and takes no more.
            while let Ok(job) = to_do.recv() {
                let goes_on = match job {
                    Job::Look(look) => {
                        let found = look::whole(&look.pending.path, hash_bytes_max);
                        give(Answer::Looked(look, found))
                    }
                    Job::Walk(job) => walk(&job, &give),
                };
                if !goes_on {
                    break;
                }
            }
        })?;
        Ok(Self { jobs, answers })
    }

    /// Gives a job; back comes one that there is no room for.
    pub(super) fn give(&self, job: Job) -> Result<(), Job> {
        self.jobs.try_send(job).map_err(|refused| match refused {
            TrySendError::Full(job) | TrySendError::Disconnected(job) => job,
        })
    }

    /// The next answer; an error if the thread is gone.
    pub(super) fn take(&self) -> Result<Option<Answer>, &'static str> {
        match self.answers.try_recv() {
            Ok(answer) => Ok(Some(answer)),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err("the thread that hashes files has ended"),
        }
    }
}

/// A walk under way.
struct Walk<'a> {
    number: u32,
    list: &'a WatchList,
    files_max: usize,
    files: usize,
    batch: Vec<(Vec<u8>, Kept)>,
    whole: bool,
    give: &'a dyn Fn(Answer) -> bool,
}

fn walk(job: &WalkJob, give: &dyn Fn(Answer) -> bool) -> bool {
    let WalkJob { number, places, list, files_max } = job;
    let (number, files_max, batch) = (*number, *files_max, Vec::new());
    let mut walk = Walk { number, list, files_max, files: 0, batch, whole: true, give };
    let mut goes_on = true;
    for (at, place) in places.iter().enumerate() {
        let is_below = |other: &PathBuf| place != other && place.starts_with(other);
        let is_known = places[..at].contains(place) || places.iter().any(is_below);
        goes_on = goes_on && (is_known || walk.visit(place, 0));
    }
    let rest = std::mem::take(&mut walk.batch);
    goes_on
        && give(Answer::Walked(number, rest))
        && give(Answer::WalkEnded { number, whole: walk.whole })
}

impl Walk<'_> {
    /// Answers whether to go on.
    fn visit(&mut self, path: &Path, depth: usize) -> bool {
        let bytes = path.as_os_str().as_bytes();
        let leads_on = self.list.leads_to_watched(bytes);
        if !leads_on || depth > DEPTH_MAX {
            return true;
        }
        let Some(kept) = look::facts(bytes) else { return true };
        let is_directory = super::baseline::is_directory(Some(&kept));
        if self.list.is_watched(bytes) {
            if self.files >= self.files_max {
                self.whole = false;
                return true;
            }
            self.files += 1;
            self.batch.push((bytes.to_vec(), kept));
        }
        if self.batch.len() >= BATCH_FILES {
            let batch = std::mem::take(&mut self.batch);
            if !(self.give)(Answer::Walked(self.number, batch)) {
                return false;
            }
        }
        if !is_directory {
            return true;
        }
        match std::fs::read_dir(path) {
            Ok(entries) => {
                let entries = entries.flatten().map(|entry| entry.path());
                entries.into_iter().all(|entry| self.visit(&entry, depth + 1))
            }
            Err(_unreadable) => {
                self.whole = false;
                true
            }
        }
    }
}
