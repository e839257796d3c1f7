//! Which mounts hold programs that the kernel is to ask about.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::inventory::mounts;

/// Nothing is started from these.
const PSEUDO: [&str; 20] = [
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "proc",
    "pstore",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sysfs",
    "tracefs",
];

/// Their servers may be gone, and who waits for one would have everybody wait.
const DISTANT: [&str; 10] =
    ["9p", "afs", "ceph", "cifs", "glusterfs", "lustre", "nfs", "nfs4", "smb3", "virtiofs"];

/// Places to be asked about, and those that are left out though programs may be there.
#[derive(Debug, Default, Eq, PartialEq)]
pub(super) struct Places {
    pub(super) watched: Vec<PathBuf>,
    pub(super) unwatched: Vec<String>,
}

/// Reads a table of mounts.
pub(super) fn of(table: &[u8]) -> Places {
    let mut places = Places::default();
    for mount in mounts::parse(table) {
        let kind = mount.fs_type.to_lossy();
        let path = Path::new(std::ffi::OsStr::from_bytes(mount.path.as_bytes()));
        if PSEUDO.contains(&kind.as_ref()) || places.watched.iter().any(|known| known == path) {
            continue;
        }
        // fuse, fuse.sshfs, fuseblk: a program answers for them.
        if DISTANT.contains(&kind.as_ref()) || kind.starts_with("fuse") {
            places.unwatched.push(format!("{} ({kind})", path.display()));
        } else {
            places.watched.push(path.to_owned());
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_far_away_or_answered_for_by_a_program_is_told_and_left_out() {
        let table = b"/dev/vda / ext4 rw 0 0\nproc /proc proc rw 0 0\n\
                      host:/x /mnt/x nfs4 rw 0 0\nme@host: /home/me/y fuse.sshfs rw 0 0\n\
                      tmpfs /tmp tmpfs rw 0 0\ntmpfs /tmp tmpfs rw 0 0\n";
        let places = of(table);
        assert_eq!(places.watched, [Path::new("/"), Path::new("/tmp")]);
        assert_eq!(places.unwatched, ["/mnt/x (nfs4)", "/home/me/y (fuse.sshfs)"]);
    }
}
