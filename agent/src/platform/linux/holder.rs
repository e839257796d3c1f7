//! Who holds a netlink port of nf_tables, and the end of that process.
//!
//! A port is a number of the holder's own choice, so the process is found by the socket that it
//! has open, and looked at again behind a handle that cannot come to mean another process. A
//! socket that is in nobody's table of files (under way between two processes) has no holder here.

use std::fs;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use thiserror::Error;

use super::cgroup_scope;

/// The netlink sockets of the calling thread's network namespace.
const SOCKETS: &str = "/proc/thread-self/net/netlink";
const SOCKETS_BYTES_MAX: u64 = 1 << 20;
/// The number of netlink's protocol for nf_tables.
const NETFILTER: &str = "12";
/// More processes than this share one socket with intent; the rest is found the next time.
const HOLDERS_MAX: usize = 8;
/// A killed process is gone long before.
const END_WAIT: Timespec = Timespec { tv_sec: 1, tv_nsec: 0 };

/// A process that has the socket open.
#[derive(Debug)]
pub struct Holder {
    pub pid: u32,
    /// Its own name for itself.
    pub name: String,
    /// What it runs, where that can be read.
    pub exe: Option<PathBuf>,
    handle: OwnedFd,
}

/// Which processes may be ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Any of the machine's.
    Machine,
    /// Those in the agent's own control group, if that is not the root.
    OwnGroup,
}

#[derive(Debug, Error)]
pub enum EndError {
    #[error("it is not in the agent's own control group, and this agent may end no other")]
    OutOfReach,
    #[error("it is the first process, or the agent itself")]
    NotThis,
    #[error("whether it may be ended cannot be told: {0}")]
    Group(io::Error),
    #[error("it cannot be ended: {0}")]
    Signal(Errno),
    #[error("it was killed and is still there")]
    StillThere,
}

/// The processes that hold the socket with this port.
pub fn find(port: u32) -> io::Result<Vec<Holder>> {
    let mut table = String::new();
    fs::File::open(SOCKETS)?.take(SOCKETS_BYTES_MAX).read_to_string(&mut table)?;
    let Some(inode) = inode(&table, port) else { return Ok(Vec::new()) };
    let socket = PathBuf::from(format!("socket:[{inode}]"));
    let mut holders = Vec::new();
    for entry in fs::read_dir("/proc")?.flatten() {
        let pid = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        let Some(pid) = pid.filter(|pid| holds(*pid, &socket)) else { continue };
        let named = i32::try_from(pid).ok().and_then(Pid::from_raw);
        // Gone meanwhile: then it holds nothing.
        let Some(handle) = named.and_then(|pid| pidfd_open(pid, PidfdFlags::empty()).ok()) else {
            continue;
        };
        // Seen again behind the handle: it is the process that the handle means.
        if holds(pid, &socket) {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            let exe = fs::read_link(format!("/proc/{pid}/exe")).ok();
            holders.push(Holder { pid, name: name.trim_end().to_owned(), exe, handle });
        }
        if holders.len() == HOLDERS_MAX {
            break;
        }
    }
    Ok(holders)
}

/// What `/proc` says a process runs, if it is still the one of that name.
pub fn exe_of(pid: u32, name: &[u8]) -> Option<PathBuf> {
    let now = fs::read(format!("/proc/{pid}/comm")).ok()?;
    let same = now.strip_suffix(b"\n").unwrap_or(&now) == name;
    if same { fs::read_link(format!("/proc/{pid}/exe")).ok() } else { None }
}

impl Holder {
    /// Kills it and waits until it is gone.
    pub fn end(&self, reach: Reach) -> Result<(), EndError> {
        if self.pid == 1 || self.pid == std::process::id() {
            return Err(EndError::NotThis);
        }
        if reach == Reach::OwnGroup
            && !cgroup_scope::is_in_own(self.pid).map_err(EndError::Group)?
        {
            return Err(EndError::OutOfReach);
        }
        match pidfd_send_signal(&self.handle, Signal::KILL) {
            Ok(()) => {}
            Err(Errno::SRCH) => return Ok(()),
            Err(error) => return Err(EndError::Signal(error)),
        }
        let mut ended = [PollFd::new(&self.handle, PollFlags::IN)];
        match poll(&mut ended, Some(&END_WAIT)) {
            Ok(1..) => Ok(()),
            Ok(0) | Err(_) => Err(EndError::StillThere),
        }
    }
}

/// The inode of the nf_tables socket with this port, in the kernel's table.
fn inode(table: &str, port: u32) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut fields = line.split_ascii_whitespace();
        let (protocol, found) = (fields.nth(1)?, fields.next()?);
        let is_it = protocol == NETFILTER && found.parse() == Ok(port);
        if is_it { fields.nth(6)?.parse().ok() } else { None }
    })
}

fn holds(pid: u32, socket: &PathBuf) -> bool {
    let Ok(files) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    files.flatten().any(|file| fs::read_link(file.path()).is_ok_and(|target| target == *socket))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::linux::netlink::Netlink;

    const TABLE: &str = "\
sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode
0000000000000000 0   4041       00000111 0        0        0     2        0        7
0000000000000000 12  4041       00000000 0        0        0     2        0        3344
0000000000000000 12  4294966000 00000000 0        0        0     2        0        3345
";

    #[test]
    fn the_socket_is_the_one_of_nf_tables_with_that_port() {
        assert_eq!(inode(TABLE, 4041), Some(3344));
        assert_eq!(inode(TABLE, 4_294_966_000), Some(3345));
        assert_eq!(inode(TABLE, 1), None);
        assert_eq!(inode("", 4041), None);
    }

    #[test]
    fn this_process_is_found_by_its_own_socket_and_will_not_end_itself() {
        let Ok(mut socket) = Netlink::open(Some(rustix::net::netlink::NETFILTER), 0) else {
            return; // A kernel without it has no holders either.
        };
        let port = socket.port().unwrap();
        let holders = find(port).unwrap();
        let [holder] = holders.as_slice() else { panic!("{holders:?}") };
        assert_eq!(holder.pid, std::process::id());
        assert_eq!(holder.exe, std::env::current_exe().ok());
        assert!(matches!(holder.end(Reach::Machine), Err(EndError::NotThis)));
        let _open = &mut socket;
    }
}
