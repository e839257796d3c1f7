//! `processes`: what runs now.

use std::sync::Arc;

use cordon_proto::query::{Row, Value};

use super::proc::{self, Process};
use super::{INTEGER, TEXT, column, maybe, number, rows, text, word};
use crate::clock;
use crate::platform::sqlite::{Asked, Column, Rows, Table};
use crate::redact::Redactor;

/// Linux shows times in /proc in hundredths of a second, whatever it counts in itself.
const TICKS_PER_SEC: u64 = 100;

/// One row a process; threads are not told apart.
pub(super) struct Processes(pub(super) Arc<Redactor>);

impl Table for Processes {
    fn name(&self) -> &'static str {
        "processes"
    }

    fn about(&self) -> &'static str {
        "what runs now, as /proc tells it"
    }

    fn columns(&self) -> &'static [Column] {
        const COLUMNS: &[Column] = &[
            column("pid", INTEGER, "its number"),
            column("parent_pid", INTEGER, "its parent's number"),
            column("name", TEXT, "its name, 15 bytes, as it calls itself"),
            column("path", TEXT, "the program's file; none for a thread of the kernel"),
            column(
                "cmdline",
                TEXT,
                "its arguments with spaces between, up to 16 KiB, without secrets",
            ),
            column("state", TEXT, "R runs, S sleeps, D waits for a device, T stopped, Z ended"),
            column("uid", INTEGER, "whose it is"),
            column("euid", INTEGER, "with whose rights it acts"),
            column("gid", INTEGER, "its group"),
            column("started_secs", INTEGER, "when it started, seconds since 1970 UTC"),
            column(
                "start_boot_ns",
                INTEGER,
                "when it started, nanoseconds of the boot-time clock, in steps of 10 ms",
            ),
            column("cpu_ms", INTEGER, "processor time it has used"),
            column("rss_bytes", INTEGER, "its resident memory"),
            column("threads", INTEGER, "its threads"),
            column("cwd", TEXT, "the folder it is in"),
            column("cgroup", TEXT, "its control group (version 2)"),
        ];
        COLUMNS
    }

    fn rows(&self, _asked: &[Asked]) -> Result<Rows, String> {
        let clock::Stamp { time_ns, boot_ns } = clock::stamp();
        let booted_secs = time_ns.saturating_sub(boot_ns) / 1_000_000_000;
        let found = proc::pids().into_iter();
        Ok(rows(found.filter_map(|pid| row(pid, booted_secs, &self.0)).collect()))
    }
}

fn row(pid: u32, booted_secs: u64, redactor: &Redactor) -> Option<Row> {
    let process = Process::new(pid);
    let stat = process.stat()?;
    let status = process.read("status").unwrap_or_default();
    let [uid, euid] = Process::ids(&status, "Uid:");
    let [gid, _] = Process::ids(&status, "Gid:");
    let optional = |bytes: Option<Vec<u8>>| bytes.map_or(Value::Null, |bytes| text(&bytes));
    let cgroup = process.read("cgroup").unwrap_or_default();
    Some(vec![
        number(process.pid),
        maybe(stat.parent),
        text(&stat.name),
        optional(process.link("exe")),
        arguments(process.read("cmdline").unwrap_or_default(), redactor),
        word(stat.state),
        maybe(uid),
        maybe(euid),
        maybe(gid),
        maybe(stat.start_ticks.map(|ticks| booted_secs.saturating_add(ticks / TICKS_PER_SEC))),
        maybe(stat.start_ticks.map(|ticks| ticks.saturating_mul(1_000_000_000 / TICKS_PER_SEC))),
        maybe(stat.cpu_ticks.map(|ticks| ticks.saturating_mul(1000 / TICKS_PER_SEC))),
        maybe(Process::kib(&status, "VmRSS:").map(|kib| kib.saturating_mul(1024))),
        maybe(stat.threads),
        optional(process.link("cwd")),
        unified(&cgroup).map_or(Value::Null, text),
    ])
}

/// The kernel ends each argument with NUL.
fn arguments(bytes: Vec<u8>, redactor: &Redactor) -> Value {
    if bytes.is_empty() {
        return Value::Null;
    }
    let arguments = redactor.arguments(bytes.into());
    let bytes = arguments.as_bytes();
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    let space = |byte: &u8| if *byte == 0 { b' ' } else { *byte };
    text(&bytes.iter().map(space).collect::<Vec<_>>())
}

/// The line of the unified hierarchy: `0::/path`.
fn unified(cgroup: &[u8]) -> Option<&[u8]> {
    cgroup.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::"))
}
