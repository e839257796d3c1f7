//! One look at the sockets that exist, and at whose they are, on a thread of its own.
//!
//! The kernel lists the sockets of the agent's own network namespace only. Whose a socket is stands
//! in /proc: every descriptor of every process is looked at, but only when the list holds a socket
//! whose owner is not known yet.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::sync::Arc;

use cordon_proto::Text;
use cordon_proto::event::network::Owner;
use tokio::sync::oneshot;

use super::sampled::Look;
use crate::platform::linux::nft::wall::Transport;
use crate::platform::linux::sock_diag::{Listed, Sockets, Standing};

/// A machine with more descriptors than this has better to do; the rest has no owner.
const DESCRIPTORS_MAX: usize = 1 << 20;

/// Linux shows times in /proc in hundredths of a second, whatever it counts in itself.
const TICK_NS: u64 = 10_000_000;

/// Ports that are given to sockets which ask for none, where the kernel does not say.
const EPHEMERAL: std::ops::RangeInclusive<u16> = 32768..=60999;

/// What the list says.
#[derive(Debug)]
pub(super) struct Survey {
    pub(super) sockets: Vec<Listed>,
    /// By the socket's inode.
    pub(super) owners: HashMap<u32, Arc<Owner>>,
    /// Ports that are given to sockets which ask for none.
    pub(super) ephemeral: std::ops::RangeInclusive<u16>,
}

/// Starts looking; the answer comes when it comes. `known` are owners of an earlier look.
pub(super) fn begin(
    wanted: Look,
    known: HashMap<u32, Arc<Owner>>,
) -> std::io::Result<oneshot::Receiver<Result<Survey, String>>> {
    let (answer, received) = oneshot::channel();
    std::thread::Builder::new().name("cordon-sockets".to_owned()).spawn(move || {
        // A sensor that has ended wants no answer.
        drop(answer.send(look(wanted, known)));
    })?;
    Ok(received)
}

fn look(wanted: Look, known: HashMap<u32, Arc<Owner>>) -> Result<Survey, String> {
    let range = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let ephemeral = parse_range(&range).unwrap_or(EPHEMERAL);
    let transports: &[Transport] = match wanted {
        Look::UdpListeners => &[Transport::Udp],
        Look::Everything => &[Transport::Tcp, Transport::Udp],
    };
    let listed = Sockets::open().and_then(|mut sockets| sockets.all(transports));
    let mut sockets = listed.map_err(|error| error.to_string())?;
    // What nobody will tell needs no owner either.
    sockets.retain(|listed| {
        let waits = listed.standing == Standing::Listening;
        listed.transport == Transport::Tcp || waits && !ephemeral.contains(&listed.local.port())
    });
    let inodes: HashSet<u32> =
        sockets.iter().map(|listed| listed.inode).filter(|inode| *inode != 0).collect();
    let mut owners = known;
    owners.retain(|inode, _| inodes.contains(inode));
    let new: HashSet<u32> =
        inodes.into_iter().filter(|inode| !owners.contains_key(inode)).collect();
    if !new.is_empty() {
        owners.extend(find(&new, Path::new("/proc")));
    }
    Ok(Survey { sockets, owners, ephemeral })
}

fn parse_range(text: &str) -> Option<std::ops::RangeInclusive<u16>> {
    let mut numbers = text.split_ascii_whitespace().map(str::parse);
    Some(numbers.next()?.ok()?..=numbers.next()?.ok()?)
}

/// Whose these sockets are. One that several processes share is given to the oldest of them.
fn find(inodes: &HashSet<u32>, proc: &Path) -> HashMap<u32, Arc<Owner>> {
    let mut owners: HashMap<u32, Arc<Owner>> = HashMap::new();
    let mut descriptors = 0;
    for entry in fs::read_dir(proc).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        let folder = entry.path();
        let mut owner = None;
        for link in fs::read_dir(folder.join("fd")).into_iter().flatten().flatten() {
            descriptors += 1;
            if descriptors > DESCRIPTORS_MAX {
                return owners;
            }
            let Some(inode) = socket_of(&link.path()).filter(|inode| inodes.contains(inode)) else {
                continue;
            };
            let owner = owner.get_or_insert_with(|| Arc::new(describe(pid, &folder)));
            let older = |known: &Arc<Owner>| known.start_boot_ns <= owner.start_boot_ns;
            if !owners.get(&inode).is_some_and(older) {
                owners.insert(inode, Arc::clone(owner));
            }
        }
    }
    owners
}

fn socket_of(link: &Path) -> Option<u32> {
    let target = fs::read_link(link).ok()?;
    target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok()
}

/// What /proc says of a process; its start is rounded down to a hundredth of a second.
fn describe(pid: u32, folder: &Path) -> Owner {
    let stat = fs::read(folder.join("stat")).unwrap_or_default();
    let (name, start_boot_ns) = parse_stat(&stat).unzip();
    let status = fs::read(folder.join("status")).unwrap_or_default();
    let start_boot_ns = start_boot_ns.flatten();
    Owner { pid, start_boot_ns, uid: parse_uid(&status), cgroup_id: None, name }
}

/// The name stands in parentheses and may hold anything, parentheses too.
fn parse_stat(line: &[u8]) -> Option<(Text, Option<u64>)> {
    const START: usize = 22;
    let opens = line.iter().position(|byte| *byte == b'(')?;
    let closes = line.iter().rposition(|byte| *byte == b')')?;
    let name = line.get(opens + 1..closes)?;
    let rest = std::str::from_utf8(line.get(closes + 1..)?).ok()?;
    // proc(5) counts from 1, and the state, first here, is the third.
    let start = rest.split_ascii_whitespace().nth(START - 3);
    let ticks = start.and_then(|start| start.parse::<u64>().ok());
    Some((Text::from(name), ticks.and_then(|ticks| ticks.checked_mul(TICK_NS))))
}

fn parse_uid(status: &[u8]) -> Option<u32> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    std::str::from_utf8(line).ok()?.split_ascii_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_very_process_is_found_by_its_socket() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let survey = look(Look::Everything, HashMap::new()).unwrap();
        let listed = survey.sockets.iter().find(|listed| listed.local == address).unwrap();
        let owner = &survey.owners[&listed.inode];
        assert_eq!(owner.pid, std::process::id());
        assert_eq!(owner.uid, Some(rustix::process::getuid().as_raw()));
        assert!(owner.start_boot_ns.is_some() && owner.name.is_some());
        assert!(survey.ephemeral.contains(&address.port()));
        let known = HashMap::from([(listed.inode, Arc::clone(owner))]);
        let again = look(Look::Everything, known).unwrap();
        assert!(Arc::ptr_eq(&again.owners[&listed.inode], owner), "not looked for twice");
    }

    #[test]
    fn a_name_may_hold_anything_at_all() {
        let rest = "S 42 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 12345 9";
        for name in ["sh", "a b", ") S 1 (", "((("] {
            let line = format!("4711 ({name}) {rest}\n");
            let (found, start) = parse_stat(line.as_bytes()).unwrap();
            assert_eq!((found, start), (Text::from(name.as_bytes()), Some(123_450_000_000)));
        }
        assert_eq!(parse_stat(b"4711 (sh"), None);
        assert_eq!(parse_stat(b")4711 ("), None);
        assert_eq!(parse_uid(b"Name:\tsh\nUid:\t1000\t0\n"), Some(1000));
        assert_eq!(parse_range("1024\t2000\n"), Some(1024..=2000));
        assert_eq!(parse_range("x"), None);
    }
}
