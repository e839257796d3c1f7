//! Which DHCP servers gave this endpoint its addresses, from what the usual clients keep on disk.
//!
//! Only these may be asked directly while cut off; everybody else only by broadcast. Clients that
//! keep no lease, or one without its server (NetworkManager's own since 1.20, busybox), renew by
//! broadcast when half of the time left has passed. DHCPv6 asks a multicast group, which is open.
//! Whoever can write these files as root names a server of their own: one more way of a kind that
//! root has anyway, bounded to the ports of DHCP.

use std::fs::{self, File};
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// An endpoint with more interfaces than this is a router.
const SERVERS_MAX: usize = 16;
const FILES_MAX: usize = 128;
/// A lease is a few hundred bytes, a file of dhclient holds its history.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// Where the lease begins in a file of dhcpcd: the message as it came from the server.
const BOOTP_BYTES: usize = 236;
const BOOTP_COOKIE: [u8; 4] = [99, 130, 83, 99];
const OPTION_PAD: u8 = 0;
const OPTION_END: u8 = 255;
const OPTION_SERVER: u8 = 54;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `SERVER_ADDRESS=…`, one lease a file: systemd-networkd, NetworkManager before 1.20.
    Keys,
    /// `option dhcp-server-identifier …;` in blocks, the last of an interface counts: dhclient.
    Blocks,
    /// One message of the protocol: dhcpcd.
    Message,
}

/// Folder, how a file's name ends, and what is in it.
const PLACES: [(&str, &str, Kind); 7] = [
    ("run/systemd/netif/leases", "", Kind::Keys),
    ("var/lib/NetworkManager", ".lease", Kind::Keys),
    ("var/lib/NetworkManager", ".lease", Kind::Blocks),
    ("var/lib/dhcp", ".leases", Kind::Blocks),
    ("var/lib/dhclient", ".leases", Kind::Blocks),
    ("var/lib/dhcpcd", ".lease", Kind::Message),
    ("var/lib/dhcpcd5", ".lease", Kind::Message),
];

/// The servers on record, each once.
pub fn servers() -> Vec<IpAddr> {
    servers_below(Path::new("/"))
}

fn servers_below(root: &Path) -> Vec<IpAddr> {
    let mut servers = Vec::new();
    for (folder, ending, kind) in PLACES {
        let Ok(entries) = fs::read_dir(root.join(folder)) else { continue };
        let mut paths: Vec<_> =
            entries.flatten().take(FILES_MAX).map(|entry| entry.path()).collect();
        paths.retain(|path| path.as_os_str().as_encoded_bytes().ends_with(ending.as_bytes()));
        paths.sort();
        for server in paths.iter().filter_map(|path| read(path)).flat_map(|file| kind.parse(&file))
        {
            let server = IpAddr::V4(server);
            if servers.len() < SERVERS_MAX && !servers.contains(&server) {
                servers.push(server);
            }
        }
    }
    servers
}

/// A regular file of this size; what cannot be read names no server.
fn read(path: &Path) -> Option<Vec<u8>> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags).open(path).ok()?;
    let known = file.metadata().ok()?;
    let mut bytes = Vec::new();
    let fits = known.is_file() && known.len() <= FILE_BYTES_MAX;
    (fits && file.take(FILE_BYTES_MAX).read_to_end(&mut bytes).is_ok()).then_some(bytes)
}

impl Kind {
    fn parse(self, file: &[u8]) -> Vec<Ipv4Addr> {
        let mut found = match self {
            Self::Keys => keys(file),
            Self::Blocks => blocks(file),
            Self::Message => message(file).into_iter().collect(),
        };
        found.retain(is_a_server);
        found.truncate(SERVERS_MAX);
        found
    }
}

/// Can one machine have this address?
fn is_a_server(address: &Ipv4Addr) -> bool {
    !(address.is_unspecified()
        || address.is_loopback()
        || address.is_multicast()
        || address.is_broadcast())
}

fn keys(file: &[u8]) -> Vec<Ipv4Addr> {
    let lines = file.split(|byte| *byte == b'\n');
    let servers = lines.filter_map(|line| line.strip_prefix(b"SERVER_ADDRESS="));
    servers.filter_map(address).collect()
}

fn blocks(file: &[u8]) -> Vec<Ipv4Addr> {
    let mut by_interface: Vec<(&[u8], Ipv4Addr)> = Vec::new();
    let (mut interface, mut server): (&[u8], _) = (b"", None);
    for line in file.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if line.starts_with(b"lease") && line.ends_with(b"{") {
            (interface, server) = (b"", None);
        } else if let Some(name) = line.strip_prefix(b"interface ") {
            interface = name;
        } else if let Some(text) = line.strip_prefix(b"option dhcp-server-identifier ") {
            server = address(text.strip_suffix(b";").unwrap_or(text));
        } else if line == b"}" {
            let Some(server) = server.take() else { continue };
            by_interface.retain(|(known, _)| *known != interface);
            if by_interface.len() < SERVERS_MAX {
                by_interface.push((interface, server));
            }
        }
    }
    by_interface.into_iter().map(|(_, server)| server).collect()
}

fn message(file: &[u8]) -> Option<Ipv4Addr> {
    let (_, rest) = file.split_at_checked(BOOTP_BYTES)?;
    let mut options = rest.strip_prefix(&BOOTP_COOKIE)?;
    loop {
        match options {
            [] | [OPTION_END, ..] => return None,
            [OPTION_PAD, rest @ ..] => options = rest,
            [kind, length, rest @ ..] => {
                let (value, rest) = rest.split_at_checked(usize::from(*length))?;
                if *kind == OPTION_SERVER {
                    return <[u8; 4]>::try_from(value).ok().map(Ipv4Addr::from);
                }
                options = rest;
            }
            [_] => return None,
        }
    }
}

fn address(text: &[u8]) -> Option<Ipv4Addr> {
    std::str::from_utf8(text.trim_ascii()).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NETWORKD: &str = "# This is private data. Do not parse.\nADDRESS=10.0.2.15\n\
                            NETMASK=255.255.255.0\nROUTER=10.0.2.2\nSERVER_ADDRESS=10.0.2.2\nT1=43200\n";
    const DHCLIENT: &str = "lease {\n  interface \"eth0\";\n  fixed-address 10.1.0.5;\n  \
        option dhcp-server-identifier 10.1.0.1;\n  expire 4 2026/11/19 10:00:00;\n}\n\
        lease {\n  interface \"eth1\";\n  option dhcp-server-identifier 10.2.0.1;\n}\n\
        lease {\n  interface \"eth0\";\n  option dhcp-server-identifier 10.1.0.9;\n}\n";

    fn dhcpcd(options: &[u8]) -> Vec<u8> {
        [&[2; BOOTP_BYTES][..], &BOOTP_COOKIE, options].concat()
    }

    #[track_caller]
    fn check(kind: Kind, file: &[u8], expected: &str) {
        let found: Vec<_> = kind.parse(file).iter().map(ToString::to_string).collect();
        assert_eq!(found.join(" "), expected);
    }

    #[test]
    fn each_client_names_its_server_in_its_own_way() {
        check(Kind::Keys, NETWORKD.as_bytes(), "10.0.2.2");
        check(Kind::Blocks, DHCLIENT.as_bytes(), "10.2.0.1 10.1.0.9");
        check(Kind::Message, &dhcpcd(&[53, 1, 5, 0, 54, 4, 10, 3, 0, 1, 255]), "10.3.0.1");
    }

    #[test]
    fn what_names_no_server_opens_nothing() {
        check(Kind::Keys, b"SERVER_ADDRESS=\nSERVER_ADDRESS=a.b\nX_SERVER_ADDRESS=10.0.0.1", "");
        check(Kind::Keys, b"SERVER_ADDRESS=255.255.255.255\nSERVER_ADDRESS=0.0.0.0", "");
        check(Kind::Keys, b"SERVER_ADDRESS=127.0.0.1\nSERVER_ADDRESS=224.0.0.1", "");
        check(Kind::Blocks, b"option dhcp-server-identifier 10.1.0.1;", "");
        check(Kind::Blocks, b"lease {\n option dhcp-server-identifier 10.1.0.1", "");
        check(Kind::Message, &dhcpcd(&[255, 54, 4, 10, 3, 0, 1]), "");
        check(Kind::Message, &dhcpcd(&[54, 200, 10, 3, 0, 1]), "");
        check(Kind::Message, &dhcpcd(&[54, 3, 10, 3, 0]), "");
        check(Kind::Message, &dhcpcd(&[54]), "");
        check(Kind::Message, b"short", "");
    }

    #[test]
    fn the_places_of_the_usual_clients_are_read_and_only_plain_files_of_a_lease_s_size() {
        let root = tempfile::tempdir().unwrap();
        let write = |path: &str, bytes: &[u8]| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, bytes).unwrap();
        };
        write("run/systemd/netif/leases/2", NETWORKD.as_bytes());
        write("var/lib/dhcp/dhclient.eth0.leases", DHCLIENT.as_bytes());
        write("var/lib/dhcpcd/eth2.lease", &dhcpcd(&[54, 4, 10, 3, 0, 1, 255]));
        write("var/lib/NetworkManager/internal-x-eth3.lease", b"SERVER_ADDRESS=10.4.0.1\n");
        write("var/lib/NetworkManager/secret", b"SERVER_ADDRESS=10.5.0.1\n");
        let huge = vec![b'\n'; usize::try_from(FILE_BYTES_MAX).unwrap() + 1];
        write("run/systemd/netif/leases/3", &[&huge[..], b"SERVER_ADDRESS=10.6.0.1\n"].concat());
        write("elsewhere", b"SERVER_ADDRESS=10.7.0.1\n");
        let link = root.path().join("run/systemd/netif/leases/4");
        std::os::unix::fs::symlink(root.path().join("elsewhere"), link).unwrap();
        let found: Vec<_> = servers_below(root.path()).iter().map(ToString::to_string).collect();
        assert_eq!(found.join(" "), "10.0.2.2 10.4.0.1 10.2.0.1 10.1.0.9 10.3.0.1");
    }

    proptest! {
        #[test]
        fn whatever_is_in_a_lease_few_servers_come_out_and_nothing_breaks(
            bytes in proptest::collection::vec(any::<u8>(), 0..600),
            options in proptest::collection::vec(any::<u8>(), 0..300),
            text in "(lease \\{\n|interface \"e[0-9]\";\n|option dhcp-server-identifier [0-9.]{7,12};\n|\\}\n|SERVER_ADDRESS=[0-9.]{0,12}\n){0,60}",
        ) {
            for kind in [Kind::Keys, Kind::Blocks, Kind::Message] {
                for file in [bytes.as_slice(), text.as_bytes(), &dhcpcd(&options)] {
                    let found = kind.parse(file);
                    prop_assert!(found.len() <= SERVERS_MAX && found.iter().all(is_a_server));
                }
            }
        }
    }
}
