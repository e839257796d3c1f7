//! The ports that somebody listens on, and who.
//!
//! Seen are the TCP listeners and unconnected UDP sockets of the agent's network namespace, not
//! those of containers. UDP ports from the range that the kernel gives out by itself are the local
//! ends of somebody's questions more often than services, and are left out.

use std::collections::HashMap;
use std::net::IpAddr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cordon_proto::Text;
use cordon_proto::limits::INVENTORY_ITEMS_MAX;

use super::tree::Tree;
use super::{CollectError, Columns, Found, Row, number};
use crate::platform::linux::listening::{self, Listening};

/// One port.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Listener {
    /// `tcp` or `udp`.
    pub protocol: &'static str,
    /// On which address; the unspecified one for all.
    pub address: IpAddr,
    /// Which port.
    pub port: u16,
    /// The user that opened it.
    pub uid: u32,
    /// A process that holds it; none where it cannot be told.
    pub pid: Option<u32>,
    /// The program of that process.
    pub program: Text,
}

impl Row for Listener {
    fn key(&self) -> Text {
        let Self { protocol, address, port, .. } = self;
        format!("{protocol} {} {port}", address.to_canonical()).into()
    }

    fn columns(&self, columns: &mut Columns) {
        columns
            .word("protocol", self.protocol)
            .word("address", &self.address.to_string())
            .number("port", u64::from(self.port))
            .number("uid", u64::from(self.uid))
            .text("program", &self.program);
    }
}

/// Processes that are looked at.
const PROCESSES_MAX: usize = 65_536;

/// All ports.
pub fn collect(root: &Path) -> Result<Found<Listener>, CollectError> {
    let tree = Tree::new(root);
    if !tree.is_machine() {
        tree.problem("ports are asked of the kernel of the machine itself only".to_owned());
        return Ok(tree.found(Vec::new()));
    }
    let what = "the sockets that wait";
    let found = listening::listening(INVENTORY_ITEMS_MAX + 1);
    let mut found =
        found.map_err(|error| CollectError::Kernel { what, reason: error.to_string() })?;
    let ephemeral = ephemeral(&tree.read(PORT_RANGE).unwrap_or_default());
    found.retain(|one| one.protocol != "udp" || !ephemeral.contains(&one.local.port()));
    let holders = holders(&tree, &found);
    let listeners = found.into_iter().map(|one| {
        let Listening { protocol, local, uid, inode } = one;
        let pid = holders.get(&inode).copied();
        let program = pid.and_then(|pid| tree.link(format!("/proc/{pid}/exe")));
        let program = program.map(|path| path.as_os_str().as_bytes().into()).unwrap_or_default();
        Listener { protocol, address: local.ip(), port: local.port(), uid, pid, program }
    });
    let listeners = listeners.collect();
    Ok(tree.found(listeners))
}

const PORT_RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// The ports that the kernel gives out by itself.
fn ephemeral(text: &[u8]) -> std::ops::RangeInclusive<u16> {
    let mut words = text.split(u8::is_ascii_whitespace).filter_map(number);
    match (words.next(), words.next()) {
        (Some(first), Some(last)) => first..=last,
        _ => 32_768..=60_999,
    }
}

/// By inode, a process that holds the socket: the one with the lowest number, so that of a server
/// and its workers it is the server.
fn holders(tree: &Tree<'_>, sockets: &[Listening]) -> HashMap<u32, u32> {
    let mut holders: HashMap<u32, u32> = HashMap::new();
    let mut pids: Vec<u32> = tree
        .names("/proc")
        .iter()
        .filter_map(|name| number(name.as_bytes()))
        .take(PROCESSES_MAX)
        .collect();
    pids.sort_unstable();
    for pid in pids {
        if holders.len() == sockets.len() {
            break;
        }
        // One that ends meanwhile, or that cannot be looked at, holds nothing that can be told.
        let Ok(fds) = std::fs::read_dir(tree.below(&PathBuf::from(format!("/proc/{pid}/fd"))))
        else {
            continue;
        };
        for fd in fds.filter_map(Result::ok) {
            let Some(inode) = std::fs::read_link(fd.path()).ok().and_then(socket_inode) else {
                continue;
            };
            if sockets.iter().any(|socket| socket.inode == inode) {
                holders.entry(inode).or_insert(pid);
            }
        }
    }
    holders
}

/// The number in `socket:[number]`.
fn socket_inode(link: PathBuf) -> Option<u32> {
    number(link.as_os_str().as_bytes().strip_prefix(b"socket:[")?.strip_suffix(b"]")?)
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_is_told_with_the_process_and_program_behind_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let found = collect(Path::new("/")).unwrap();
        let own = found.rows.iter().find(|row| row.port == port && row.protocol == "tcp").unwrap();
        assert_eq!(own.pid, Some(std::process::id()));
        let program = std::env::current_exe().unwrap();
        assert_eq!(own.program.as_bytes(), program.as_os_str().as_bytes());
        assert_eq!(own.key().to_lossy(), format!("tcp 127.0.0.1 {port}"));
    }

    #[test]
    fn the_ports_that_the_kernel_gives_out_are_those_of_its_range() {
        assert_eq!(ephemeral(b"1024\t65535\n"), 1024..=65_535);
        assert_eq!(ephemeral(b"x"), 32_768..=60_999);
        assert_eq!(socket_inode("socket:[77]".into()), Some(77));
        assert_eq!(socket_inode("pipe:[77]".into()), None);
    }
}
