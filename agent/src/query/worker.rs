//! The process of one query: gives up what it does not need, answers, and ends.

use std::io::{self, Write};

use rusqlite::Connection;
use rustix::process::{Resource, Rlimit, Signal, setrlimit};

use super::{engine, frame, table};
use crate::clock::Clock;

/// What SQLite may use: beyond it a query ends with a sentence instead of with its process.
const SQLITE_BYTES_MAX: i64 = 24 << 20;

/// What the whole process may use. The service's own bound is above this and the agent together.
const DATA_BYTES_MAX: u64 = 40 << 20;

/// Address space: the program itself, its libraries, and room for what is mapped and not used.
const ADDRESS_BYTES_MAX: u64 = 1 << 30;

/// Files open at once: a walk has one folder open, a hash one file.
const FILES_MAX: u64 = 64;

/// What may be written to a file. This process writes none; rpm, which it asks for packages, makes
/// the 32 KiB index beside its SQLite database anew and is killed where it cannot.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Seconds of processor time on top of the time that the query has.
const CPU_GRACE_SECS: u64 = 2;

/// Behind everything that the user of the machine does.
const NICE: i32 = 10;

/// Reads the request from standard input and answers on standard output.
pub fn run() -> io::Result<()> {
    confine()?;
    let request = frame::read_request(io::stdin().lock())?;
    let cpu_secs = request.query.time_ms_max / 1000 + CPU_GRACE_SECS;
    limit(Resource::Cpu, cpu_secs)?;
    let mut out = io::stdout().lock();
    let tables = table::all(&request.facts);
    let clock = Clock::start();
    engine::answer(&request.query, tables, &clock, &mut |frame| frame::write(&mut out, &frame))?;
    out.flush()
}

/// Gives up what a process that only looks does not need, and all but so much processor time.
pub fn confine_for(cpu_secs: u64) -> io::Result<()> {
    confine()?;
    limit(Resource::Cpu, cpu_secs)
}

fn confine() -> io::Result<()> {
    // Whatever becomes of the agent, its queries end with it.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    rustix::thread::set_no_new_privs(true)?;
    rustix::process::nice(NICE)?;
    // If memory runs out, this goes first. Where that cannot be said, the limits below hold.
    if let Err(error) = std::fs::write("/proc/self/oom_score_adj", "1000") {
        tracing::debug!(%error, "a query is as precious as the agent");
    }
    limit(Resource::Data, DATA_BYTES_MAX)?;
    limit(Resource::As, ADDRESS_BYTES_MAX)?;
    limit(Resource::Nofile, FILES_MAX)?;
    limit(Resource::Fsize, FILE_BYTES_MAX)?;
    limit(Resource::Core, 0)?;
    bound_sqlite().map_err(io::Error::other)
}

fn limit(resource: Resource, value: u64) -> io::Result<()> {
    Ok(setrlimit(resource, Rlimit { current: Some(value), maximum: Some(value) })?)
}

/// The limit is one for the whole process, and the first word on it is the last.
fn bound_sqlite() -> rusqlite::Result<()> {
    let connection = Connection::open_in_memory()?;
    connection.pragma_update(None, "hard_heap_limit", SQLITE_BYTES_MAX)
}
