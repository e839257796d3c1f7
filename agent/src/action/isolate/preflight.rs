//! Whether an isolation would cut the agent off from its own collector or its own disk: looked
//! at before, because afterwards nobody could be told.
//!
//! Does not see network storage below a local file system (iSCSI).

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use thiserror::Error;

use super::record::Plan;
use crate::platform::linux::netlink::Netlink;
use crate::platform::linux::route::{self, Link, RouteError, Way};
use crate::platform::linux::xfrm;

/// More addresses than this are no collector's.
pub const COLLECTORS_MAX: usize = 32;
pub const EXEMPTIONS_MAX: usize = 256;

/// Devices whose packets leave inside other packets, which the wall would drop.
const TUNNELS: [&str; 14] = [
    "wireguard",
    "tun",
    "ipip",
    "sit",
    "gre",
    "gretap",
    "ip6gre",
    "ip6gretap",
    "ip6tnl",
    "vti",
    "vti6",
    "xfrm",
    "vxlan",
    "geneve",
];
const NETWORK_STORAGE: [&str; 10] = [
    "nfs",
    "nfs4",
    "cifs",
    "smb3",
    "ceph",
    "afs",
    "glusterfs",
    "fuse.glusterfs",
    "fuse.sshfs",
    "fuse.s3fs",
];

#[derive(Debug, Error)]
pub enum Preflight {
    #[error("no address of a collector is known")]
    NoCollector,
    #[error("{count} {what} are more than the {max} that the rules may hold")]
    TooMany { what: &'static str, count: usize, max: usize },
    #[error("no collector can be reached: {}", .reasons.join("; "))]
    NoWay { reasons: Vec<String> },
    #[error("{path} is on network storage ({kind}), which would be lost", path = .path.display())]
    Storage { path: PathBuf, kind: String },
    #[error("cannot read the mounts: {0}")]
    Mounts(std::io::Error),
}

/// Refuses a plan that would lose the collector or the agent's storage.
pub fn check(
    routes: &mut Netlink,
    links: &[Link],
    plan: &Plan,
    state_dir: &Path,
) -> Result<(), Preflight> {
    let counts = [
        ("collector addresses", plan.collectors.len(), COLLECTORS_MAX),
        ("exemptions", plan.exemptions.len(), EXEMPTIONS_MAX),
    ];
    for (what, count, max) in counts {
        if count > max {
            return Err(Preflight::TooMany { what, count, max });
        }
    }
    if plan.collectors.is_empty() {
        return Err(Preflight::NoCollector);
    }
    let mut reasons = Vec::new();
    let mut open = false;
    for collector in &plan.collectors {
        let way = route::way(routes, collector.ip().to_canonical(), plan.mark);
        match survives(*collector, way, links).and_then(|()| is_bare(*collector, plan.mark)) {
            Ok(()) => open = true,
            Err(reason) => reasons.push(reason),
        }
    }
    if !open {
        return Err(Preflight::NoWay { reasons });
    }
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").map_err(Preflight::Mounts)?;
    match [Path::new("/"), state_dir].into_iter().find_map(|path| lost_storage(&mounts, path)) {
        Some((path, kind)) => Err(Preflight::Storage { path, kind }),
        None => Ok(()),
    }
}

/// Does the way to a collector survive the wall?
fn survives(
    collector: SocketAddr,
    way: Result<Way, RouteError>,
    links: &[Link],
) -> Result<(), String> {
    let index = match way {
        Ok(Way::Here) => return Ok(()),
        Ok(Way::Out { link }) => link,
        Err(error) => return Err(error.to_string()),
    };
    let kind = links.iter().find(|link| link.index == index).and_then(|link| link.kind.as_deref());
    let tunnel = TUNNELS.iter().find(|tunnel| kind == Some(tunnel.as_bytes()));
    match tunnel {
        Some(tunnel) => Err(format!(
            "{collector} is reached through a tunnel ({tunnel}), whose outer packets would be dropped"
        )),
        None => Ok(()),
    }
}

/// Do packets to a collector leave as they are, and not inside IPsec?
fn is_bare(collector: SocketAddr, mark: u32) -> Result<(), String> {
    match xfrm::wraps(collector, mark) {
        Ok(false) => Ok(()),
        Ok(true) => Err(format!(
            "{collector} is reached through IPsec, whose outer packets would be dropped"
        )),
        Err(error) => Err(format!("whether {collector} is reached through IPsec: {error}")),
    }
}

/// The mount that holds `path`, if it is on the network.
fn lost_storage(mountinfo: &str, path: &Path) -> Option<(PathBuf, String)> {
    let mount = |line: &'_ str| -> Option<(PathBuf, String)> {
        let (before, after) = line.split_once(" - ")?;
        let point = before.split(' ').nth(4)?;
        Some((PathBuf::from(point), after.split(' ').next()?.to_owned()))
    };
    // The last of several mounts on one point is the one that is seen.
    let holding = mountinfo
        .lines()
        .filter_map(mount)
        .filter(|(point, _)| path.starts_with(point))
        .max_by_key(|(point, _)| point.components().count())?;
    NETWORK_STORAGE.contains(&holding.1.as_str()).then(|| (path.to_owned(), holding.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /var/lib rw,relatime - nfs4 nas:/export rw
31 30 0:41 / /var/lib/cordon-agent rw,relatime - ext4 /dev/vdb rw
32 22 0:42 / /srv rw - cifs //nas/share rw
";

    #[track_caller]
    fn check_storage(path: &str, lost: bool) {
        assert_eq!(lost_storage(MOUNTS, Path::new(path)).is_some(), lost, "{path}");
    }

    #[test]
    fn network_storage_counts_where_the_agent_writes_and_nowhere_else() {
        check_storage("/", false);
        check_storage("/var/lib/cordon-agent", false);
        check_storage("/var/lib/other", true);
        check_storage("/srv/state", true);
        check_storage("/srvs", false);
    }

    #[test]
    fn a_collector_behind_a_tunnel_would_be_lost() {
        let link = |index, kind: Option<&str>| Link {
            index,
            name: b"any".to_vec(),
            kind: kind.map(Into::into),
            loopback: false,
            ethernet: true,
            lower: None,
        };
        let links = [link(2, None), link(3, Some("wireguard")), link(4, Some("bridge"))];
        let collector = "192.0.2.7:7443".parse().unwrap();
        let through = |link| survives(collector, Ok(Way::Out { link }), &links);
        assert_eq!(through(2), Ok(()));
        assert_eq!(through(4), Ok(()));
        assert!(through(3).unwrap_err().contains("wireguard"));
    }
}
