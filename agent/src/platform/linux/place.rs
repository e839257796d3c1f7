//! A directory reached without following a link, and what is done to the names in it by handle, so
//! that nothing can be exchanged between looking and doing.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use minicbor::{Decode, Encode};
use rustix::fs::{
    AtFlags, CWD, Dir, FileType, Mode, OFlags, RenameFlags, ResolveFlags, StatVfs,
    StatVfsMountFlags, Statx, StatxAttributes, StatxFlags, StatxTimestamp,
};
use rustix::io::Errno;

/// A file, whatever it is called.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Hash, Encode, Decode)]
pub struct Inode {
    /// The device, as the kernel numbers it: major and minor.
    #[n(0)]
    pub device: u64,
    /// Its number there.
    #[n(1)]
    pub number: u64,
}

/// A moment as file systems keep it.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Ord, PartialOrd, Encode, Decode)]
pub struct Moment {
    /// Seconds since 1970, before it where negative.
    #[n(0)]
    pub secs: i64,
    /// And nanoseconds.
    #[n(1)]
    pub nanos: u32,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Kind {
    /// A regular file.
    File,
    /// A symbolic link.
    Link,
    /// Anything else, in words.
    Other(&'static str),
}

/// What the kernel knows of a file without its content.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Facts {
    /// Which it is.
    pub inode: Inode,
    /// What it is.
    pub kind: Kind,
    /// Its permissions, with setuid, setgid and sticky.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// How many names it has.
    pub links: u32,
    /// Its length.
    pub bytes: u64,
    /// How much of the disk it takes.
    pub bytes_on_disk: u64,
    /// When it was last read.
    pub accessed: Moment,
    /// When its content last changed.
    pub modified: Moment,
    /// When anything about it last changed.
    pub changed: Moment,
    /// When it was made, where the file system says so: numbers are given again.
    pub born: Option<Moment>,
    /// Whether something is mounted on it.
    pub is_mount: bool,
    /// Whether it is sealed by fs-verity.
    pub is_verity: bool,
}

/// An open directory.
#[derive(Debug)]
pub struct Place(OwnedFd);

/// A file that is held, whatever becomes of its names. It cannot be read or written through this.
#[derive(Debug)]
pub struct Node(OwnedFd);

impl Place {
    /// Opens a directory by its absolute path; a symbolic link anywhere in it is an error (`ELOOP`).
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let no_links = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        Ok(Self(rustix::fs::openat2(CWD, path, flags, Mode::empty(), no_links)?))
    }

    /// Which directory it is.
    pub fn facts(&self) -> io::Result<Facts> {
        facts(self.0.as_fd())
    }

    /// Holds what a name stands for, a link itself; none where there is nothing.
    pub fn hold(&self, name: &[u8]) -> io::Result<Option<Node>> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match rustix::fs::openat(&self.0, OsStr::from_bytes(name), flags, Mode::empty()) {
            Ok(node) => Ok(Some(Node(node))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The directory above; the uppermost is above itself.
    pub fn above(&self) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        Ok(Self(rustix::fs::openat(&self.0, "..", flags, Mode::empty())?))
    }

    /// The names of a file in this directory, of `names_max` looked at.
    pub fn names_of(&self, number: u64, names_max: usize) -> io::Result<Vec<Vec<u8>>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.0)?.take(names_max) {
            let entry = entry?;
            if entry.ino() == number {
                names.push(entry.file_name().to_bytes().to_vec());
            }
        }
        Ok(names)
    }

    /// Gives a file another name here; a file that has it already is not replaced.
    pub fn rename(&self, from: &[u8], to: &[u8]) -> io::Result<()> {
        let (from, to) = (OsStr::from_bytes(from), OsStr::from_bytes(to));
        Ok(rustix::fs::renameat_with(&self.0, from, &self.0, to, RenameFlags::NOREPLACE)?)
    }

    /// Gives a held file one more name here; a file that has it already is not replaced. Needs
    /// `CAP_DAC_READ_SEARCH`.
    pub fn link(&self, node: &Node, name: &[u8]) -> io::Result<()> {
        let name = OsStr::from_bytes(name);
        Ok(rustix::fs::linkat(&node.0, "", &self.0, name, AtFlags::EMPTY_PATH)?)
    }

    /// Takes a name away.
    pub fn unlink(&self, name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::unlinkat(&self.0, OsStr::from_bytes(name), AtFlags::empty())?)
    }

    /// Makes a file that only its owner may open, to be written and read.
    pub fn make_file(&self, name: &[u8]) -> io::Result<File> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let flags = flags | OFlags::NOFOLLOW | OFlags::NOATIME;
        let mode = Mode::RUSR | Mode::WUSR;
        Ok(rustix::fs::openat(&self.0, OsStr::from_bytes(name), flags, mode)?.into())
    }

    /// Makes a symbolic link.
    pub fn make_link(&self, name: &[u8], target: &[u8]) -> io::Result<()> {
        let (target, name) = (OsStr::from_bytes(target), OsStr::from_bytes(name));
        Ok(rustix::fs::symlinkat(target, &self.0, name)?)
    }

    /// Writes the names to the disk.
    pub fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.0)?)
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }

    /// Bytes that are free on its file system.
    pub fn bytes_free(&self) -> io::Result<u64> {
        Ok(free(rustix::fs::fstatvfs(&self.0)?))
    }

    /// Whether nothing can be written on its file system.
    pub fn is_read_only(&self) -> io::Result<bool> {
        Ok(rustix::fs::fstatvfs(&self.0)?.f_flag.contains(StatVfsMountFlags::RDONLY))
    }

    /// Whether its file system is made up by the kernel, with nothing stored.
    pub fn is_of_kernel(&self) -> io::Result<bool> {
        let kind = rustix::fs::fstatfs(&self.0)?.f_type;
        Ok(u32::try_from(kind).is_ok_and(|kind| OF_KERNEL.contains(&kind)))
    }
}

/// The magic numbers of proc, sysfs, cgroup, cgroup2, debugfs, tracefs, securityfs, bpf, selinuxfs,
/// devpts, mqueue, pstore, efivarfs, binfmt_misc, configfs.
const OF_KERNEL: [u32; 15] = [
    0x0000_9fa0,
    0x6265_6572,
    0x0027_e0eb,
    0x6367_7270,
    0x6462_6720,
    0x7472_6163,
    0x7363_6673,
    0xcafe_4a11,
    0xf97c_ff8c,
    0x0000_1cd1,
    0x1980_0202,
    0x6165_676c,
    0xde5e_81e4,
    0x4249_4e4d,
    0x6265_6570,
];

impl Node {
    /// Holds an open file.
    pub fn of(file: &File) -> io::Result<Self> {
        Ok(Self(file.try_clone()?.into()))
    }

    /// What is known of it.
    pub fn facts(&self) -> io::Result<Facts> {
        facts(self.0.as_fd())
    }

    /// Opens a regular file to be read, leaving its access time alone.
    pub fn open(&self) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let quiet = rustix::fs::openat(CWD, self.path(), flags | OFlags::NOATIME, Mode::empty());
        // Only the owner and root may leave the access time alone.
        let open =
            quiet.or_else(|_refused| rustix::fs::openat(CWD, self.path(), flags, Mode::empty()));
        Ok(open?.into())
    }

    /// Where a symbolic link leads.
    pub fn target(&self) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&self.0, "", Vec::new())?.into_bytes())
    }

    /// A path that leads to this file and no other for as long as it is held.
    pub(super) fn path(&self) -> String {
        format!("/proc/self/fd/{}", self.0.as_raw_fd())
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// What is known of what a path leads to, links followed; none where there is nothing.
#[must_use]
pub fn facts_at(path: &Path) -> Option<Facts> {
    statx(CWD, path.as_os_str(), AtFlags::empty()).ok()
}

/// The same of a link itself.
#[must_use]
pub fn facts_of_link(path: &Path) -> Option<Facts> {
    statx(CWD, path.as_os_str(), AtFlags::SYMLINK_NOFOLLOW).ok()
}

/// Bytes that are free on the file system that a path leads to.
pub fn bytes_free_at(path: &Path) -> io::Result<u64> {
    Ok(free(rustix::fs::statvfs(path)?))
}

fn free(space: StatVfs) -> u64 {
    space.f_bavail.saturating_mul(space.f_frsize)
}

/// What is known of an open file.
fn facts(fd: BorrowedFd<'_>) -> io::Result<Facts> {
    statx(fd, OsStr::new(""), AtFlags::EMPTY_PATH)
}

fn statx(fd: BorrowedFd<'_>, path: &OsStr, flags: AtFlags) -> io::Result<Facts> {
    let stat = rustix::fs::statx(fd, path, flags, StatxFlags::BASIC_STATS | StatxFlags::BTIME)?;
    Ok(understood(&stat))
}

fn understood(stat: &Statx) -> Facts {
    let kind = match FileType::from_raw_mode(u32::from(stat.stx_mode)) {
        FileType::RegularFile => Kind::File,
        FileType::Symlink => Kind::Link,
        FileType::Directory => Kind::Other("a directory"),
        FileType::Fifo => Kind::Other("a pipe"),
        FileType::Socket => Kind::Other("a socket"),
        FileType::CharacterDevice => Kind::Other("a character device"),
        FileType::BlockDevice => Kind::Other("a block device"),
        FileType::Unknown => Kind::Other("of unknown kind"),
    };
    let device = u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor);
    Facts {
        inode: Inode { device, number: stat.stx_ino },
        kind,
        mode: u32::from(stat.stx_mode) & 0o7777,
        uid: stat.stx_uid,
        gid: stat.stx_gid,
        links: stat.stx_nlink,
        bytes: stat.stx_size,
        bytes_on_disk: stat.stx_blocks.saturating_mul(512),
        accessed: moment(stat.stx_atime),
        modified: moment(stat.stx_mtime),
        changed: moment(stat.stx_ctime),
        born: StatxFlags::from_bits_retain(stat.stx_mask)
            .contains(StatxFlags::BTIME)
            .then(|| moment(stat.stx_btime)),
        is_mount: stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT),
        is_verity: stat.stx_attributes.contains(StatxAttributes::VERITY),
    }
}

fn moment(time: StatxTimestamp) -> Moment {
    Moment { secs: time.tv_sec, nanos: time.tv_nsec }
}
