//! Reads programs' files on a thread of its own and hashes them.
//!
//! A file counts only while it is the one that was run, in the same state before and after it was
//! read. It is looked for behind the process first and then by the path as run, which may lead
//! elsewhere in another mount namespace: then it is not the same file, and no hash is told.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::mpsc::{SyncSender, TrySendError, sync_channel};

use cordon_proto::event::process::FileId;
use cordon_proto::id::Hash;
use ring::digest;
use rustix::fs::{Mode, OFlags};
use tokio::sync::mpsc;

use super::hash::{ASKED_MAX, Answer, Request, Unread};
use super::proc_file;

/// Read at a time.
const CHUNK_BYTES: usize = 64 << 10;

/// Enough for one chunk's handling; the chunk itself is on the heap.
const STACK_BYTES: usize = 128 << 10;

/// The least urgent that ordinary threads can be.
const NICE: i32 = 19;

/// The thread; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct HashThread {
    requests: SyncSender<Request>,
    pub(super) answers: mpsc::Receiver<Answer>,
}

impl HashThread {
    /// Starts the thread. It reads files of up to so many bytes.
    pub(super) fn start(bytes_max: u64) -> io::Result<Self> {
        let (requests, asked) = sync_channel::<Request>(ASKED_MAX);
        let (answer, answers) = mpsc::channel(ASKED_MAX);
        let thread = std::thread::Builder::new().name("cordon-hash".to_owned());
        thread.stack_size(STACK_BYTES).spawn(move || {
            if let Err(error) = rustix::process::setpriority_process(None, NICE) {
                tracing::debug!(%error, "the hashing thread keeps its priority");
            }
            let mut chunk = vec![0; CHUNK_BYTES];
            for request in asked {
                let result = hash(&request, bytes_max, &mut chunk);
                if answer.blocking_send(Answer { request, result }).is_err() {
                    break;
                }
            }
        })?;
        Ok(Self { requests, answers })
    }

    /// Hands a request over. There is room for as many as may be asked for at once; where the
    /// thread is gone the answer is that nothing was read.
    pub(super) fn ask(&self, request: Request) -> Result<(), Answer> {
        self.requests.try_send(request).map_err(|error| {
            let (TrySendError::Full(request) | TrySendError::Disconnected(request)) = error;
            Answer { request, result: Err(Unread::Gone) }
        })
    }
}

fn hash(request: &Request, bytes_max: u64, chunk: &mut [u8]) -> Result<Hash, Unread> {
    let Request { file, pid, path } = request;
    if file.bytes > bytes_max {
        return Err(Unread::TooLong);
    }
    let behind = format!("/proc/{pid}/exe");
    let path = path.as_ref().map(|path| Path::new(std::ffi::OsStr::from_bytes(path.as_bytes())));
    let path = path.filter(|path| path.is_absolute());
    let open = |path: &Path| open(path, file);
    let opened = open(Path::new(&behind)).or_else(|| path.and_then(open));
    let mut opened = opened.ok_or(Unread::Gone)?;
    let hash = digest(&mut opened, file.bytes, chunk).map_err(|_unreadable| Unread::Gone)?;
    if is_same(&opened, file) { Ok(hash) } else { Err(Unread::Gone) }
}

/// Opens what may be opened without waiting and without changing anything, if it is that file.
fn open(path: &Path, file: &FileId) -> Option<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let opened = File::from(rustix::fs::open(path, flags, Mode::empty()).ok()?);
    is_same(&opened, file).then_some(opened)
}

/// Devices are not compared: those of subvolumes and overlays differ between the kernel's own view
/// and a program's. Inode, length and both times to the nanosecond name a file well enough.
fn is_same(opened: &File, file: &FileId) -> bool {
    let found = rustix::fs::fstat(opened).ok().and_then(|stat| proc_file::file_id(&stat));
    found.is_some_and(|found| FileId { device: file.device, ..found } == *file)
}

fn digest(file: &mut File, bytes: u64, chunk: &mut [u8]) -> io::Result<Hash> {
    let mut context = digest::Context::new(&digest::SHA256);
    // A file that grows meanwhile is noticed by its times.
    let mut left = file.take(bytes);
    loop {
        match left.read(chunk) {
            Ok(0) => break,
            Ok(read) => context.update(chunk.get(..read).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let digest = context.finish();
    digest.as_ref().try_into().map(Hash).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    /// What comes of a file of this content, asked for in this state and by this path.
    #[track_caller]
    fn check(content: &[u8], change: impl FnOnce(&mut Request), expected: Result<Hash, Unread>) {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(content).unwrap();
        let stat = rustix::fs::stat(file.path()).unwrap();
        let path = Some(file.path().as_os_str().as_bytes().into());
        // No process has this number.
        let mut request = Request { file: proc_file::file_id(&stat).unwrap(), pid: u32::MAX, path };
        change(&mut request);
        let mut thread = HashThread::start(100_000).unwrap();
        thread.ask(request).unwrap();
        assert_eq!(thread.answers.blocking_recv().unwrap().result, expected);
    }

    #[test]
    fn a_file_is_hashed_whole() {
        let long = b"0123456789".repeat(9_999);
        check(b"", |_| {}, Ok(Hash::of(b"")));
        check(&long, |_| {}, Ok(Hash::of(&long)));
    }

    #[test]
    fn a_file_beyond_the_bound_is_not_read() {
        check(&[0; 100_001], |_| {}, Err(Unread::TooLong));
    }

    #[test]
    fn another_file_or_another_state_of_it_has_no_hash_here() {
        check(b"a", |request| request.file.inode += 1, Err(Unread::Gone));
        check(b"a", |request| request.file.changed_ns -= 1, Err(Unread::Gone));
        check(b"a", |request| request.file.bytes = 0, Err(Unread::Gone));
        check(b"a", |request| request.path = Some("relative".into()), Err(Unread::Gone));
        check(b"a", |request| request.path = None, Err(Unread::Gone));
        let own = |request: &mut Request| request.pid = std::process::id();
        check(b"a", own, Ok(Hash::of(b"a")));
    }
}
