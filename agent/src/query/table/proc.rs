//! /proc, as far as the tables need it: one process's files, and whose a socket is.

use std::collections::HashMap;
use std::fs;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Arguments are told so far.
const ARGS_BYTES_MAX: u64 = 16 << 10;

/// `status` and `stat` are a few KiB.
const FILE_BYTES_MAX: u64 = 16 << 10;

/// Numbers of all processes.
pub(super) fn pids() -> Vec<u32> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect()
}

/// What /proc tells of one process. What it does not tell is unknown.
pub(super) struct Process {
    pub(super) pid: u32,
    folder: PathBuf,
}

/// What stands in `stat`, `status` and beside them.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Stat {
    pub(super) name: Vec<u8>,
    pub(super) state: String,
    pub(super) parent: Option<u32>,
    pub(super) cpu_ticks: Option<u64>,
    pub(super) threads: Option<u64>,
    pub(super) start_ticks: Option<u64>,
}

impl Process {
    pub(super) fn new(pid: u32) -> Self {
        Self { pid, folder: PathBuf::from(format!("/proc/{pid}")) }
    }

    pub(super) fn read(&self, name: &str) -> Option<Vec<u8>> {
        let bytes_max = if name == "cmdline" { ARGS_BYTES_MAX } else { FILE_BYTES_MAX };
        let mut bytes = Vec::new();
        fs::File::open(self.folder.join(name))
            .ok()?
            .take(bytes_max)
            .read_to_end(&mut bytes)
            .ok()?;
        Some(bytes)
    }

    pub(super) fn link(&self, name: &str) -> Option<Vec<u8>> {
        let link = fs::read_link(self.folder.join(name)).ok()?;
        Some(link.as_os_str().as_bytes().to_vec())
    }

    /// None if the process is gone.
    pub(super) fn stat(&self) -> Option<Stat> {
        parse_stat(&self.read("stat")?)
    }

    /// The first number of a line of `status`, and the second.
    pub(super) fn ids(status: &[u8], line: &str) -> [Option<u32>; 2] {
        let status = String::from_utf8_lossy(status);
        let found = status.lines().find_map(|one| one.strip_prefix(line));
        let mut numbers = found.unwrap_or_default().split_whitespace();
        [(); 2].map(|()| numbers.next().and_then(|number| number.parse().ok()))
    }

    /// A line of `status` that tells a size.
    pub(super) fn kib(status: &[u8], line: &str) -> Option<u64> {
        let status = String::from_utf8_lossy(status);
        let found = status.lines().find_map(|one| one.strip_prefix(line))?;
        found.trim().strip_suffix(" kB")?.trim().parse().ok()
    }

    /// The inodes of the sockets that it has open.
    fn sockets(&self) -> Vec<u64> {
        let entries = fs::read_dir(self.folder.join("fd")).into_iter().flatten().flatten();
        let links = entries.filter_map(|entry| fs::read_link(entry.path()).ok());
        links.filter_map(|link| socket_inode(link.to_str()?)).collect()
    }
}

fn socket_inode(link: &str) -> Option<u64> {
    link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// The name stands in round brackets and may hold any byte, brackets too.
fn parse_stat(line: &[u8]) -> Option<Stat> {
    let open = line.iter().position(|byte| *byte == b'(')?;
    let close = line.iter().rposition(|byte| *byte == b')')?;
    let name = line.get(open + 1..close)?.to_vec();
    let rest = String::from_utf8_lossy(line.get(close + 1..)?).into_owned();
    // The first of these is the third field of the file.
    let fields: Vec<&str> = rest.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let cpu_ticks = field(14).zip(field(15)).map(|(user, system)| user.saturating_add(system));
    Some(Stat {
        name,
        state: (*fields.first()?).to_owned(),
        parent: field(4).and_then(|pid| u32::try_from(pid).ok()),
        cpu_ticks,
        threads: field(20),
        start_ticks: field(22),
    })
}

/// Which process has which socket open; of several the first.
pub(super) fn socket_owners() -> HashMap<u64, u32> {
    let mut owners = HashMap::new();
    let mut pids = pids();
    pids.sort_unstable();
    for pid in pids {
        for inode in Process::new(pid).sockets() {
            owners.entry(inode).or_insert(pid);
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_and_spaces_does_not_shift_the_fields() {
        let line = b"42 (a) b (c)) S 1 42 42 0 -1 4194560 1 2 3 4 50 60 0 0 20 0 3 0 777 1000 9 1";
        let stat = parse_stat(line).unwrap();
        assert_eq!(stat.name, b"a) b (c)");
        assert_eq!((stat.state.as_str(), stat.parent, stat.threads), ("S", Some(1), Some(3)));
        assert_eq!((stat.cpu_ticks, stat.start_ticks), (Some(110), Some(777)));
        assert_eq!(parse_stat(b"42 (a"), None);
    }

    #[test]
    fn a_link_that_is_no_socket_has_no_inode() {
        assert_eq!(socket_inode("socket:[123]"), Some(123));
        assert_eq!(socket_inode("pipe:[123]"), None);
        assert_eq!(socket_inode("/tmp/socket:[1]"), None);
    }
}
