//! The process that makes an archive: gives up what it does not need, reads, and ends.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;

use cordon_proto::codec;
use cordon_proto::command::{Collect, Source};
use minicbor::{Decode, Encode};

use super::archive::{Archive, Report};
use super::glob::Glob;
use super::walk::Walk;
use super::{snapshot, source};
use crate::clock::Clock;
use crate::query::frame::Facts;
use crate::query::worker::confine_for;

/// Seconds of processor time: some gigabytes, read and compressed.
const CPU_SECS_MAX: u64 = 600;

/// What the process is asked, and told.
#[derive(Debug, Encode, Decode)]
pub struct Request {
    /// What is wanted.
    #[n(0)]
    pub collect: Collect,
    /// What only the agent knows.
    #[n(1)]
    pub facts: Facts,
    /// The agent's own folder, which is left out.
    #[cbor(n(2), with = "minicbor::bytes")]
    pub own_dir: Vec<u8>,
    /// What of a snapshot was taken already; none for what is no snapshot.
    #[n(3)]
    pub snapshot: Option<Early>,
}

/// What the agent took itself, before the process was started.
#[derive(Clone, Debug, Default, Eq, PartialEq, Encode, Decode)]
pub struct Early {
    /// The sockets that an isolation was to end, as lines of JSON; none where none were taken.
    #[cbor(n(0), with = "minicbor::bytes")]
    pub sockets: Option<Vec<u8>>,
    /// Why they are not there, or not all.
    #[n(1)]
    pub missing: Option<String>,
}

/// A question, the agent's health with as much as it can hold, and a policy's patterns.
const REQUEST_BYTES_MAX: u64 = 2 << 20;

/// What the process says last.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Encode, Decode)]
pub struct Ended {
    /// Sources and files.
    #[n(0)]
    pub entries: u64,
    /// What is not in it, or not whole.
    #[n(1)]
    pub missing: u64,
    /// Whether a limit kept something out.
    #[n(2)]
    pub cut: bool,
}

/// Reads the request from standard input and writes the archive to standard output: parts, each
/// after its length in four bytes, the lowest first; after one of no length, an [`Ended`].
pub fn run() -> io::Result<()> {
    confine_for(CPU_SECS_MAX)?;
    let mut bytes = Vec::new();
    io::stdin().lock().take(REQUEST_BYTES_MAX).read_to_end(&mut bytes)?;
    let request: Request = codec::decode_strict(&bytes).map_err(io::Error::other)?;
    let out = Parts { out: io::stdout().lock(), part: Vec::new() };
    let (mut out, report) = make(&request, &Clock::start(), out)?;
    let Report { entries, missing, cut } = report;
    out.flush()?;
    let mut out = out.out;
    out.write_all(&0_u32.to_le_bytes())?;
    out.write_all(&codec::encode(&Ended { entries, missing, cut }))?;
    out.flush()
}

/// Makes an archive of what was asked for. What passes soon is taken first.
fn make<W: Write>(request: &Request, clock: &Clock, out: W) -> io::Result<(W, Report)> {
    let Request { collect, facts, own_dir, snapshot: early } = request;
    let mut archive = Archive::begin(out, collect.bytes_max)?;
    if let Some(early) = early {
        snapshot::write(&mut archive, early, facts, clock)?;
        return archive.finish();
    }
    let mut sources = collect.sources.clone();
    sources.sort();
    sources.dedup();
    for table in sources.iter().flat_map(|source| source::tables(*source)) {
        let (lines, missing) = source::lines(table, facts, clock);
        archive.source(table, &lines, missing)?;
    }
    let mut walk = Walk::without(Some(OsStr::from_bytes(own_dir).into()));
    for glob in &collect.globs {
        walk.find(&Glob::new(glob.as_bytes()));
    }
    if sources.contains(&Source::Logs) {
        walk.find(&Glob::new(source::LOGS));
    }
    if walk.cut {
        archive.cut();
    }
    for path in &walk.files {
        archive.file(path)?;
    }
    for (path, why) in walk.missing {
        archive.miss(&path, why)?;
    }
    archive.finish()
}

/// Written to the pipe at once.
const PART_BYTES: usize = 64 << 10;

struct Parts<W: Write> {
    out: W,
    part: Vec<u8>,
}

impl<W: Write> Write for Parts<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = bytes.len().min(PART_BYTES - self.part.len());
        self.part.extend_from_slice(&bytes[..taken]);
        if self.part.len() == PART_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> io::Result<()> {
        if !self.part.is_empty() {
            let length = u32::try_from(self.part.len()).map_err(io::Error::other)?;
            self.out.write_all(&length.to_le_bytes())?;
            self.out.write_all(&self.part)?;
            self.part.clear();
        }
        self.out.flush()
    }
}
