//! The process that makes an archive as the agent sees it: started, read from, and ended in time.
//! What it says goes into a file, hashed and sealed on the way, a chunk at a time.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, ChildStdout};
use std::time::Duration;

use cordon_proto::codec;
use cordon_proto::collection::{Archive, Inside};
use cordon_proto::id::Hash;
use cordon_proto::limits::ARCHIVE_BYTES_MAX;
use ring::digest::{Context, SHA256};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::sealer::{Sealer, Sealing};
use super::worker::{Ended, Request};
use crate::clock::{self, Clock};
use crate::own_program::{PATH, worker};

/// The word by which the program knows that it is to make an archive.
pub const WORD: &str = "collect-worker";

/// How long an archive may take.
const TIME_MAX: Duration = Duration::from_secs(900);

/// How long a snapshot may take, whether or not the action waits for it.
const SNAPSHOT_MAX: Duration = Duration::from_secs(60);

/// Room that the file system keeps: the agent's spool needs some, and its owner more.
const FREE_BYTES_MIN: u64 = 512 << 20;

/// How often that is looked at, in bytes written.
const FREE_LOOK_BYTES: u64 = 4 << 20;

/// Read from the pipe at once.
const READ_BYTES: usize = 64 << 10;

/// The process. It ends when this is dropped.
struct Worker(Child);

impl Drop for Worker {
    fn drop(&mut self) {
        // Both fail only if it is gone, which is what they are for.
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Makes an archive in a file that must not be there yet. Blocks until it is whole and on disk. The
/// process ends with the thread that calls.
///
/// `sealing` says to whom it is sealed; nothing of it is on the disk unsealed then.
pub fn make(
    program: &Path,
    request: &Request,
    file: &Path,
    sealing: Option<&Sealing>,
    clock: Clock,
) -> io::Result<Archive> {
    let began = clock.now();
    let time_max = if request.snapshot.is_some() { SNAPSHOT_MAX } else { TIME_MAX };
    let mut child = worker(program, WORD).env("PATH", PATH).spawn()?;
    let pipes = child.stdin.take().zip(child.stdout.take());
    let mut worker = Worker(child);
    let (mut stdin, out) = pipes.ok_or_else(|| io::Error::other("it has no pipes"))?;
    // One that ended before it read says how by its end.
    stdin.write_all(&codec::encode(request)).ok();
    drop(stdin);
    let mut taking = Taking::into(File::create_new(file)?, file, sealing)?;
    let deadline = began.saturating_add(time_max);
    let ended = taking.all(out, deadline, clock);
    let status = worker.0.try_wait()?;
    let ended = ended.map_err(|error| match status {
        Some(status) if !status.success() => {
            io::Error::other(format!("{error}: its process ended with {status}"))
        }
        Some(_) | None => error,
    })?;
    let (travels, inside) = taking.finish()?;
    let took_ms = clock.now().saturating_sub(began).as_millis();
    Ok(Archive {
        bytes: travels.bytes,
        sha256: travels.sha256,
        entries: ended.entries,
        missing: ended.missing,
        cut: ended.cut,
        time_ns: clock::stamp().time_ns,
        took_ms: u64::try_from(took_ms).unwrap_or(u64::MAX),
        inside,
    })
}

/// What was taken so far.
struct Taking<'a> {
    out: Out,
    path: &'a Path,
    /// What came from the process, before it was sealed.
    plain: Tally,
    look_at_bytes: u64,
}

/// Where it goes.
enum Out {
    Plain(Box<Counted>),
    Sealed(Box<Sealer<Counted>>),
}

/// Counts and hashes bytes.
struct Tally {
    hash: Context,
    bytes: u64,
}

/// A file, and what went into it.
struct Counted {
    file: File,
    tally: Tally,
}

impl Tally {
    fn new() -> Self {
        Self { hash: Context::new(&SHA256), bytes: 0 }
    }

    /// An archive may have no more.
    fn add(&mut self, part: &[u8]) -> io::Result<()> {
        self.bytes = self.bytes.saturating_add(u64::try_from(part.len()).unwrap_or(u64::MAX));
        if self.bytes > ARCHIVE_BYTES_MAX {
            return Err(io::Error::other("the archive is longer than one may be"));
        }
        self.hash.update(part);
        Ok(())
    }

    fn finish(self) -> Inside {
        let mut sha256 = Hash::default();
        sha256.0.copy_from_slice(self.hash.finish().as_ref());
        Inside { bytes: self.bytes, sha256 }
    }
}

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tally.add(bytes)?;
        self.file.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl<'a> Taking<'a> {
    fn into(file: File, path: &'a Path, sealing: Option<&Sealing>) -> io::Result<Self> {
        rustix::fs::fchmod(&file, rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR)?;
        let counted = Counted { file, tally: Tally::new() };
        let out = match sealing {
            Some(sealing) => Out::Sealed(Box::new(Sealer::begin(counted, sealing)?)),
            None => Out::Plain(Box::new(counted)),
        };
        Ok(Self { out, path, plain: Tally::new(), look_at_bytes: 0 })
    }

    /// What travels; and what is inside, where that is something else.
    fn finish(self) -> io::Result<(Inside, Option<Inside>)> {
        let (counted, inside) = match self.out {
            Out::Plain(counted) => (*counted, None),
            Out::Sealed(sealer) => (sealer.finish()?, Some(self.plain.finish())),
        };
        counted.file.sync_all()?;
        Ok((counted.tally.finish(), inside))
    }

    fn all(&mut self, mut out: ChildStdout, deadline: Duration, clock: Clock) -> io::Result<Ended> {
        let mut read = Vec::new();
        loop {
            while let Some((length, rest)) = read.split_first_chunk::<4>() {
                let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX);
                if length == 0 {
                    let last = rest.to_vec();
                    return last_word(last, out, deadline, clock);
                }
                if length > READ_BYTES {
                    return Err(io::Error::other(format!("a part of {length} bytes")));
                }
                let Some(part) = rest.get(..length) else { break };
                self.take(part)?;
                read.drain(..4 + length);
            }
            if some(&mut out, &mut read, deadline, clock)? == 0 {
                return Err(io::Error::other("the archive was not finished"));
            }
        }
    }

    fn take(&mut self, part: &[u8]) -> io::Result<()> {
        if self.plain.bytes >= self.look_at_bytes {
            self.look_at_bytes = self.plain.bytes.saturating_add(FREE_LOOK_BYTES);
            let room = rustix::fs::statvfs(self.path)?;
            let free = room.f_bavail.saturating_mul(room.f_frsize);
            if free < FREE_BYTES_MIN {
                let mib = FREE_BYTES_MIN >> 20;
                let why = format!("less than {mib} MiB are free beside the agent's spool");
                return Err(io::Error::other(why));
            }
        }
        self.plain.add(part)?;
        match &mut self.out {
            Out::Plain(counted) => counted.write_all(part),
            Out::Sealed(sealer) => sealer.write(part),
        }
    }
}

/// What the process says of the archive, up to its end.
fn last_word(
    mut read: Vec<u8>,
    mut out: ChildStdout,
    deadline: Duration,
    clock: Clock,
) -> io::Result<Ended> {
    while read.len() <= READ_BYTES {
        if some(&mut out, &mut read, deadline, clock)? == 0 {
            return codec::decode_strict(&read).map_err(io::Error::other);
        }
    }
    Err(io::Error::other("it does not stop talking"))
}

/// Reads what there is; blocks until there is something, or its time is over.
fn some(
    out: &mut ChildStdout,
    read: &mut Vec<u8>,
    deadline: Duration,
    clock: Clock,
) -> io::Result<usize> {
    loop {
        let left = deadline.saturating_sub(clock.now());
        let wait = Timespec::try_from(left).map_err(io::Error::other)?;
        let mut fds = [PollFd::from_borrowed_fd(out.as_fd(), PollFlags::IN)];
        match poll(&mut fds, Some(&wait)) {
            Ok(0) => {
                return Err(io::Error::other("it took longer than it may"));
            }
            Ok(_) => {}
            Err(rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        let mut buffer = [0; READ_BYTES];
        match out.read(&mut buffer) {
            Ok(count) => {
                read.extend_from_slice(&buffer[..count]);
                return Ok(count);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
