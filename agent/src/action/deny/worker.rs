//! The process that the kernel asks before a program starts. It does nothing else, starts nothing,
//! and answers yes whenever it cannot know in time; when it ends the kernel lets everything through.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cordon_proto::Text;
use cordon_proto::id::Hash;
use ring::digest::{Context, SHA256};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::frame::{self, Orders, Told};
use super::judge::{FileKey, Judge, Verdict};
use super::{places, told};
use crate::clock::Clock;
use crate::platform::linux::fanotify_exec::{Asked, Attempt, Extent};

/// Who starts a program waits no longer than this for its hash.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Files that wait to be hashed; each is open.
const WAITING_MAX: usize = 64;

/// Threads that hash: one may hang on a disk.
const HASHERS: usize = 2;

/// What waits to be told; what does not fit is not told.
const TOLD_MAX: usize = 256;

/// It says so often that it lives, and looks so often for new mounts and at denied paths.
const BEAT: Duration = Duration::from_secs(1);

/// The kernel is waited for so long before what waits is looked through.
const TURN_MS: i64 = 100;

/// Read at once.
const READ_BYTES: usize = 128 << 10;

struct Worker {
    asked: Asked,
    judge: Mutex<Judge>,
    /// Starts that wait for a hash, by a number of our own.
    waiting: Mutex<HashMap<u64, Waiting>>,
    orders: Mutex<Orders>,
    /// The table of mounts as it was when all of it was marked.
    mounts: Mutex<Vec<u8>>,
    told: SyncSender<Told>,
    turns: AtomicU64,
    let_through: AtomicU64,
    clock: Clock,
}

struct Waiting {
    file: Arc<File>,
    until: Duration,
}

/// A file that is to be hashed.
struct Job {
    number: u64,
    file: Arc<File>,
    key: FileKey,
    path: Vec<u8>,
    pid: u32,
}

/// Follows orders from standard input until it ends.
pub fn run() -> io::Result<()> {
    rustix::thread::set_no_new_privs(true)?;
    // A question whose file cannot be opened is answered no by the kernel.
    let files = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: files, maximum: files })?;
    let (told, telling) = sync_channel(TOLD_MAX);
    let worker = Arc::new(Worker {
        asked: Asked::open()?,
        judge: Mutex::default(),
        waiting: Mutex::default(),
        orders: Mutex::default(),
        mounts: Mutex::default(),
        told,
        turns: AtomicU64::new(0),
        let_through: AtomicU64::new(0),
        clock: Clock::start(),
    });
    let (jobs, hashing) = sync_channel(WAITING_MAX);
    let hashing = Arc::new(Mutex::new(hashing));
    for _ in 0..HASHERS {
        let hashing = Arc::clone(&hashing);
        thread("deny-hash", &worker, move |worker| worker.hash(&hashing))?;
    }
    thread("deny-answer", &worker, move |worker| worker.answer(&jobs))?;
    thread("deny-tell", &worker, move |worker| worker.tell(&telling))?;
    thread("deny-mounts", &worker, |worker| worker.follow_mounts())?;
    let mut stdin = io::stdin().lock();
    while let Some(orders) = frame::read::<Orders>(&mut stdin)? {
        worker.obey(orders)?;
    }
    // All threads end with the process, and the kernel asks no more.
    std::process::exit(0)
}

/// A thread without which the process is worth nothing: it ends with it, and so lets all through.
fn thread(
    name: &str,
    worker: &Arc<Worker>,
    run: impl FnOnce(&Worker) -> io::Result<()> + Send + 'static,
) -> io::Result<()> {
    struct Ends;
    impl Drop for Ends {
        fn drop(&mut self) {
            std::process::exit(1);
        }
    }
    let worker = Arc::clone(worker);
    let ends = move || {
        let _ends = Ends;
        run(&worker)
    };
    std::thread::Builder::new().name(name.to_owned()).stack_size(256 << 10).spawn(ends).map(drop)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Worker {
    fn obey(&self, orders: Orders) -> io::Result<()> {
        let version = orders.version;
        lock(&self.judge).order(&orders.rules, orders.canary);
        *lock(&self.orders) = orders;
        self.look_at_paths();
        let (watched, unwatched) = self.mark()?;
        self.told.send(Told::Armed { version, watched, unwatched }).map_err(io::Error::other)
    }

    /// What a denied path leads to may change at any time.
    fn look_at_paths(&self) {
        let paths = lock(&self.judge).paths();
        for path in paths {
            let at = std::fs::metadata(Path::new(std::ffi::OsStr::from_bytes(&path)));
            let file = at.ok().filter(|at| at.is_file()).map(|at| (at.dev(), at.ino()));
            lock(&self.judge).found(&path, file);
        }
    }

    fn mark(&self) -> io::Result<(u64, Vec<String>)> {
        let own_mounts_only = lock(&self.orders).own_mounts_only;
        let extent = if own_mounts_only { Extent::Mount } else { Extent::FileSystem };
        let table = std::fs::read("/proc/self/mounts")?;
        let places::Places { watched, mut unwatched } = places::of(&table);
        let mut marked = 0;
        for path in watched {
            match self.asked.mark(&path, extent) {
                Ok(()) => marked += 1,
                Err(error) => unwatched.push(format!("{} ({error})", path.display())),
            }
        }
        *lock(&self.mounts) = table;
        Ok((marked, unwatched))
    }

    fn follow_mounts(&self) -> io::Result<()> {
        loop {
            pause(BEAT)?;
            if lock(&self.orders).version == 0 {
                continue;
            }
            self.look_at_paths();
            if std::fs::read("/proc/self/mounts")? != *lock(&self.mounts) {
                self.mark()?;
            }
        }
    }

    fn answer(&self, jobs: &SyncSender<Job>) -> io::Result<()> {
        let mut number = 0_u64;
        loop {
            let time = Timespec { tv_sec: 0, tv_nsec: TURN_MS * 1_000_000 };
            let mut fds = [PollFd::from_borrowed_fd(self.asked.as_fd(), PollFlags::IN)];
            match poll(&mut fds, Some(&time)) {
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error.into()),
            }
            for attempt in self.asked.take()? {
                number = number.wrapping_add(1);
                self.attempt(attempt, number, jobs)?;
            }
            self.let_late_ones_through()?;
            self.turns.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn attempt(&self, attempt: Attempt, number: u64, jobs: &SyncSender<Job>) -> io::Result<()> {
        let Attempt { file, pid } = attempt;
        let file = Arc::new(File::from(file));
        let Ok(key) = key_of(&file) else { return self.in_doubt(&file) };
        let link = std::fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd()));
        let path = link.map(|path| path.as_os_str().as_bytes().to_vec()).unwrap_or_default();
        let verdict = lock(&self.judge).judge(key, &path);
        if verdict != Verdict::HashFirst {
            return self.say(&file, verdict, &path, pid);
        }
        let until = self.clock.now().saturating_add(ANSWER_MAX);
        lock(&self.waiting).insert(number, Waiting { file: Arc::clone(&file), until });
        match jobs.try_send(Job { number, file: Arc::clone(&file), key, path, pid }) {
            Ok(()) => Ok(()),
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                lock(&self.waiting).remove(&number);
                self.in_doubt(&file)
            }
        }
    }

    fn let_late_ones_through(&self) -> io::Result<()> {
        let now = self.clock.now();
        let late: Vec<_> =
            lock(&self.waiting).extract_if(|_, waiting| waiting.until <= now).collect();
        late.iter().try_for_each(|(_, waiting)| self.in_doubt(&waiting.file))
    }

    fn in_doubt(&self, file: &File) -> io::Result<()> {
        self.let_through.fetch_add(1, Ordering::Relaxed);
        self.asked.answer(file.as_fd(), true)
    }

    fn say(&self, file: &File, verdict: Verdict, path: &[u8], pid: u32) -> io::Result<()> {
        let Verdict::Deny(rule) = verdict else { return self.asked.answer(file.as_fd(), true) };
        let denied =
            rule.map(|rule| Told::Denied { rule, path: Text::from(path), actor: told::actor(pid) });
        self.asked.answer(file.as_fd(), false)?;
        if let Some(denied) = denied {
            // Who is in a hurry to be denied must not hold others up.
            self.told.try_send(denied).ok();
        }
        Ok(())
    }

    fn hash(&self, jobs: &Mutex<Receiver<Job>>) -> io::Result<()> {
        loop {
            let job = lock(jobs).recv().map_err(io::Error::other)?;
            let Job { number, file, key, path, pid } = job;
            let hash = self.hash_one(number, &file).ok().flatten();
            // What changed while it was read has no hash that means anything.
            let hash = hash.filter(|_hash| key_of(&file).is_ok_and(|now| now == key));
            let verdict = hash.map(|hash| {
                let mut judge = lock(&self.judge);
                judge.hashed(key, hash);
                judge.judge_hash(hash)
            });
            // Otherwise it was let through meanwhile.
            if lock(&self.waiting).remove(&number).is_some() {
                match verdict {
                    Some(verdict) => self.say(&file, verdict, &path, pid)?,
                    None => self.in_doubt(&file)?,
                }
            }
        }
    }

    /// None if nobody waits for it any more.
    fn hash_one(&self, number: u64, file: &File) -> io::Result<Option<Hash>> {
        let mut context = Context::new(&SHA256);
        let (mut buffer, mut at) = (vec![0; READ_BYTES], 0_u64);
        loop {
            let read = file.read_at(&mut buffer, at)?;
            if read == 0 {
                break;
            }
            context.update(buffer.get(..read).unwrap_or_default());
            at = at.saturating_add(u64::try_from(read).unwrap_or_default());
            if !lock(&self.waiting).contains_key(&number) {
                return Ok(None);
            }
        }
        let hash = <[u8; 32]>::try_from(context.finish().as_ref()).map_err(io::Error::other)?;
        Ok(Some(Hash(hash)))
    }

    fn tell(&self, telling: &Receiver<Told>) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let (mut turns, mut let_through, mut beat) = (0, 0, Duration::ZERO);
        loop {
            match telling.recv_timeout(BEAT) {
                Ok(told) => frame::write(&mut out, &told)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(error @ RecvTimeoutError::Disconnected) => return Err(io::Error::other(error)),
            }
            let now = self.clock.now();
            if now < beat {
                continue;
            }
            beat = now.saturating_add(BEAT);
            // It lives as long as the kernel is answered.
            let made = self.turns.load(Ordering::Relaxed);
            if std::mem::replace(&mut turns, made) != made {
                frame::write(&mut out, &Told::Alive)?;
            }
            let count = self.let_through.load(Ordering::Relaxed);
            if std::mem::replace(&mut let_through, count) != count {
                frame::write(&mut out, &Told::LetThrough(count))?;
            }
        }
    }
}

fn key_of(file: &File) -> io::Result<FileKey> {
    let now = file.metadata()?;
    Ok(FileKey {
        device: now.dev(),
        inode: now.ino(),
        bytes: now.len(),
        modified: (now.mtime(), now.mtime_nsec()),
        changed: (now.ctime(), now.ctime_nsec()),
    })
}

fn pause(time: Duration) -> io::Result<()> {
    let time = Timespec {
        tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: time.subsec_nanos().into(),
    };
    match poll(&mut [], Some(&time)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
