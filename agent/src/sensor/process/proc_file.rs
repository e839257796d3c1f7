//! What /proc says of one process, for the tiers that have nothing better.
//!
//! A process is opened once by its directory, so that everything read through it is of the same
//! process even if its number is given to another meanwhile. Start times are rounded down to the
//! kernel's hundredth of a second: they identify a process, but are not those of tier BPF.

use std::os::fd::OwnedFd;

use cordon_proto::Text;
use cordon_proto::event::process::{Exec, Tier};
use cordon_proto::limits::ARGS_BYTES_MAX;
use rustix::fs::{CWD, Dir, Mode, OFlags};
use rustix::io;

/// Linux shows times in /proc in hundredths of a second, whatever it counts in itself.
const TICK_NS: u64 = 10_000_000;

/// A line of `stat` with a name of 64 bytes and 50 numbers, and room for more of them.
const STAT_BYTES_MAX: usize = 2048;

/// The names and ids come in the first lines of `status`.
const STATUS_BYTES_MAX: usize = 1024;

/// The kernel's own threads; they run no program.
const KERNEL_THREAD: u32 = 0x0020_0000;

/// /proc, kept open.
#[derive(Debug)]
pub(super) struct Proc(OwnedFd);

/// One process, kept open.
#[derive(Debug)]
pub(super) struct Process(OwnedFd);

/// The line of `stat`, as far as it is needed.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Stat {
    pub(super) parent: u32,
    pub(super) is_kernel_thread: bool,
    pub(super) is_zombie: bool,
    pub(super) start_boot_ns: u64,
    /// How long the arguments are; none without the right to know.
    pub(super) args_bytes: Option<u64>,
}

/// Whose a process is.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Ids {
    pub(super) uid: u32,
    pub(super) euid: u32,
}

impl Proc {
    pub(super) fn open() -> io::Result<Self> {
        rustix::fs::openat(CWD, "/proc", directory(), Mode::empty()).map(Self)
    }

    /// The numbers of all processes.
    pub(super) fn pids(&self) -> io::Result<Vec<u32>> {
        let mut pids = Vec::new();
        for entry in Dir::read_from(&self.0)? {
            let entry = entry?;
            pids.extend(entry.file_name().to_str().ok().and_then(|name| name.parse::<u32>().ok()));
        }
        Ok(pids)
    }

    /// None if the process is gone.
    pub(super) fn process(&self, pid: u32) -> Option<Process> {
        let mut name = itoa(pid);
        name.push('/');
        rustix::fs::openat(&self.0, name, directory(), Mode::empty()).ok().map(Process)
    }
}

impl Process {
    pub(super) fn stat(&self) -> Option<Stat> {
        parse_stat(&self.read("stat", STAT_BYTES_MAX)?)
    }

    pub(super) fn ids(&self) -> Option<Ids> {
        parse_ids(&self.read("status", STATUS_BYTES_MAX)?)
    }

    /// The program that it runs now, links resolved.
    pub(super) fn program(&self) -> Option<Vec<u8>> {
        let link = rustix::fs::readlinkat(&self.0, "exe", Vec::new()).ok()?;
        Some(link.into_bytes())
    }

    /// A process that has ended, or is ending, shows none: unknown, not empty.
    pub(super) fn args(&self) -> Option<Vec<u8>> {
        self.read("cmdline", ARGS_BYTES_MAX).filter(|args| !args.is_empty())
    }

    /// All that can be told of the program it runs. The path as it was executed is not in /proc.
    pub(super) fn exec(&self, tier: Tier, pid: u32, stat: Option<Stat>) -> Exec {
        let ids = self.ids();
        let args = self.args();
        Exec {
            tier,
            pid,
            start_boot_ns: stat.map(|stat| stat.start_boot_ns),
            parent_pid: stat.map(|stat| stat.parent),
            uid: ids.map(|ids| ids.uid),
            euid: ids.map(|ids| ids.euid),
            cgroup_id: None,
            image: None,
            image_resolved: self.program().map(Text::from),
            args_bytes: args_bytes(args.as_deref(), stat),
            redacted: None,
            args: args.map(Text::from),
        }
    }

    fn read(&self, name: &str, bytes_max: usize) -> Option<Vec<u8>> {
        let access = OFlags::RDONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat(&self.0, name, access, Mode::empty()).ok()?;
        let mut bytes = vec![0; bytes_max];
        let mut filled = 0;
        while let Some(room) = bytes.get_mut(filled..).filter(|room| !room.is_empty()) {
            match rustix::io::read(&file, room) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(io::Errno::INTR) => {}
                Err(_gone) => return None,
            }
        }
        bytes.truncate(filled);
        Some(bytes)
    }
}

/// The file behind a process's program: where it stands now, if it is still the one given by
/// inode and length. So a process that has run something else meanwhile is never mistaken.
pub(super) fn resolve(pid: u32, file: super::record::File) -> Option<Text> {
    let path = format!("/proc/{pid}/exe");
    let link = rustix::fs::readlinkat(CWD, &path, Vec::new()).ok()?.into_bytes();
    let stat = rustix::fs::stat(&path).ok()?;
    let is_same = stat.st_ino == file.inode && u64::try_from(stat.st_size) == Ok(file.bytes);
    let link = match link.strip_suffix(b" (deleted)") {
        Some(path) if stat.st_nlink == 0 => path.to_vec(),
        Some(_) | None => link,
    };
    is_same.then(|| Text::from(link))
}

fn directory() -> OFlags {
    OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC
}

fn itoa(pid: u32) -> String {
    pid.to_string()
}

/// A process may write over its arguments; where more or less is there than the kernel was given,
/// what is there counts.
fn args_bytes(args: Option<&[u8]>, stat: Option<Stat>) -> Option<u64> {
    let held = u64::try_from(args?.len()).ok()?;
    let is_cut = args.is_some_and(|args| args.len() == ARGS_BYTES_MAX);
    let given = stat.and_then(|stat| stat.args_bytes);
    if is_cut { given.map(|given| given.max(held)) } else { Some(held) }
}

/// The name stands in parentheses and may itself hold parentheses, spaces and line ends; what
/// follows the last parenthesis never does.
fn parse_stat(line: &[u8]) -> Option<Stat> {
    let after_name = line.iter().rposition(|byte| *byte == b')')? + 1;
    let text = std::str::from_utf8(line.get(after_name..)?).ok()?;
    let fields: Vec<&str> = text.split_ascii_whitespace().collect();
    // proc(5) counts from 1, and the state, first here, is the third.
    let field = |number: usize| fields.get(number - 3).copied();
    let number = |place| field(place)?.parse::<u64>().ok();
    let flags: u32 = field(9)?.parse().ok()?;
    let (start, end) = (number(48).unwrap_or(0), number(49).unwrap_or(0));
    Some(Stat {
        parent: field(4)?.parse().ok()?,
        is_kernel_thread: flags & KERNEL_THREAD != 0,
        is_zombie: matches!(field(3)?, "Z" | "X"),
        start_boot_ns: number(22)?.checked_mul(TICK_NS)?,
        args_bytes: if start == 0 { None } else { end.checked_sub(start) },
    })
}

fn parse_ids(status: &[u8]) -> Option<Ids> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    let mut ids = std::str::from_utf8(line).ok()?.split_ascii_whitespace().map(str::parse);
    Some(Ids { uid: ids.next()?.ok()?, euid: ids.next()?.ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const AFTER: &str = "S 42 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 9 10 11 12 13 14 15 \
                         0 0 0 0 0 0 0 0 17 0 0 0 0 0 0 100 200 300 4096 4196 5000 6000 0";

    #[track_caller]
    fn check(name: &str, after: &str, expected: Option<Stat>) {
        assert_eq!(parse_stat(format!("4711 ({name}) {after}\n").as_bytes()), expected);
    }

    fn stat() -> Stat {
        Stat {
            parent: 42,
            is_kernel_thread: false,
            is_zombie: false,
            start_boot_ns: 123_450_000_000,
            args_bytes: Some(100),
        }
    }

    #[test]
    fn a_name_may_hold_anything_at_all() {
        for name in ["sh", "a b", ") S 1 1 (", "new\nline)", "", "((("] {
            check(name, AFTER, Some(stat()));
        }
    }

    #[test]
    fn zombies_kernel_threads_and_hidden_arguments_are_told() {
        check("z", &AFTER.replacen('S', "Z", 1), Some(Stat { is_zombie: true, ..stat() }));
        let kernel = AFTER.replace("4194560", "2129984");
        check("kworker", &kernel, Some(Stat { is_kernel_thread: true, ..stat() }));
        let hidden = AFTER.replace("4096 4196", "0 0");
        check("other", &hidden, Some(Stat { args_bytes: None, ..stat() }));
    }

    #[test]
    fn a_line_that_ends_early_is_nothing() {
        check("sh", "S 42 1 1", None);
        assert_eq!(parse_stat(b"4711 (sh"), None);
        assert_eq!(parse_stat(b""), None);
    }

    #[test]
    fn ids_come_from_the_line_that_begins_with_their_name() {
        let status = b"Name:\tUid:\\n9 9\nPPid:\t1\nUid:\t1000\t0\t0\t0\nGid:\t5\t5\n";
        assert_eq!(parse_ids(status), Some(Ids { uid: 1000, euid: 0 }));
        assert_eq!(parse_ids(b"Name:\tx\nUid:\t1000\n"), None);
    }

    #[test]
    fn arguments_that_filled_the_room_take_their_length_from_the_kernel() {
        let full = vec![b'x'; ARGS_BYTES_MAX];
        let known = Some(Stat { args_bytes: Some(9000), ..stat() });
        let hidden = Some(Stat { args_bytes: None, ..stat() });
        assert_eq!(args_bytes(Some(&full), known), Some(9000));
        assert_eq!(args_bytes(Some(&full), hidden), None);
        assert_eq!(args_bytes(Some(b"sh\0"), hidden), Some(3));
        assert_eq!(args_bytes(None, known), None);
    }

    #[test]
    fn this_very_process_is_found() {
        let proc = Proc::open().unwrap();
        let pid = std::process::id();
        assert!(proc.pids().unwrap().contains(&pid));
        let process = proc.process(pid).unwrap();
        let exec = process.exec(Tier::ProcList, pid, process.stat());
        let program = std::env::current_exe().unwrap();
        assert_eq!(exec.image_resolved.unwrap().as_str(), program.to_str());
        assert_eq!(exec.uid, Some(rustix::process::getuid().as_raw()));
        let args = exec.args.unwrap();
        assert!(exec.start_boot_ns.is_some());
        assert_eq!(exec.args_bytes, process.stat().unwrap().args_bytes);
        assert_eq!(exec.args_bytes, u64::try_from(args.len()).ok());
        assert!(proc.process(u32::MAX).is_none());
    }

    #[test]
    fn a_program_is_resolved_only_while_it_is_the_same_file() {
        let path = std::env::current_exe().unwrap();
        let stat = rustix::fs::stat(&path).unwrap();
        let bytes = u64::try_from(stat.st_size).unwrap();
        let file = super::super::record::File { inode: stat.st_ino, bytes };
        let found = resolve(std::process::id(), file).unwrap();
        assert_eq!(found.as_str(), path.to_str());
        let other = super::super::record::File { inode: stat.st_ino, bytes: bytes + 1 };
        assert_eq!(resolve(std::process::id(), other), None);
    }

    proptest! {
        #[test]
        fn arbitrary_lines_never_panic(line in proptest::collection::vec(any::<u8>(), 0..400)) {
            prop_assert!(parse_stat(&line).is_none() || line.contains(&b')'));
            prop_assert!(parse_ids(&line).is_none() || line.len() > 4);
        }
    }
}
