//! Finds a control group by its number: the kernel's own way back from an id to a place in the
//! cgroup-v2 tree.
#![allow(unsafe_code, reason = "the kernel is called with a structure of its own layout")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

use rustix::fs::{CWD, Mode, OFlags};

/// Handles of kernfs, which cgroups live in, are the group's 64-bit number (Linux 5.5 and newer).
const KERNFS_HANDLE: libc::c_int = 0xfe;

/// Lines of the table of mounts that are looked through.
const TABLE_BYTES_MAX: u64 = 1 << 20;

/// A mounted cgroup-v2 tree.
#[derive(Debug)]
pub struct CgroupTree {
    root: OwnedFd,
    path: PathBuf,
}

impl CgroupTree {
    /// The first cgroup-v2 tree in the table of mounts, be it alone or beside version 1.
    pub fn open() -> io::Result<Self> {
        use io::Read;
        let mut table = String::new();
        File::open("/proc/thread-self/mounts")?.take(TABLE_BYTES_MAX).read_to_string(&mut table)?;
        let mut mounts = table.lines().map(|line| line.split(' '));
        let found = mounts.find_map(|mut fields| {
            let path = fields.nth(1)?;
            (fields.next()? == "cgroup2").then(|| PathBuf::from(path))
        });
        let path = found.ok_or_else(|| io::Error::other("no cgroup-v2 tree is mounted"))?;
        let access = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, &path, access, Mode::empty())?;
        Ok(Self { root, path })
    }

    /// Where the group stands below the root of the tree, as `/system.slice/ssh.service`. An error
    /// if it is gone or lies outside of what is mounted. Needs the right to open by handle.
    pub fn path(&self, id: u64) -> io::Result<Vec<u8>> {
        let mut handle = Handle { bytes: 8, kind: KERNFS_HANDLE, id: id.to_ne_bytes() };
        let handle: *mut Handle = &raw mut handle;
        // SAFETY: `Handle` is laid out as the kernel's `file_handle` with eight bytes behind it,
        // which is what `bytes` says; it is only read.
        let fd = unsafe {
            libc::open_by_handle_at(
                self.root.as_raw_fd(),
                handle.cast(),
                libc::O_PATH | libc::O_CLOEXEC,
            )
        };
        if fd < 0 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: the call answered with a new descriptor that nobody else owns.
        let group = unsafe { OwnedFd::from_raw_fd(fd) };
        let link = format!("/proc/self/fd/{}", group.as_raw_fd());
        let whole = rustix::fs::readlinkat(CWD, link, Vec::new())?.into_bytes();
        let root = self.path.as_os_str().as_encoded_bytes();
        let below =
            whole.strip_prefix(root).ok_or_else(|| io::Error::other("it lies elsewhere"))?;
        Ok(if below.is_empty() { b"/".to_vec() } else { below.to_vec() })
    }
}

#[repr(C)]
struct Handle {
    bytes: libc::c_uint,
    kind: libc::c_int,
    id: [u8; 8],
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn a_handle_lies_as_the_kernel_lays_it_out() {
        assert_eq!(size_of::<Handle>(), 16);
        assert_eq!(std::mem::offset_of!(Handle, id), 8);
    }

    #[test]
    fn the_root_is_found_by_its_number() {
        // Without a tree, or without the right to open by handle, there is nothing to look at.
        let Ok(tree) = CgroupTree::open() else { return };
        let id = std::fs::metadata(&tree.path).unwrap().ino();
        match tree.path(id) {
            Ok(path) => assert_eq!(path, b"/"),
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{error}"),
        }
    }
}
