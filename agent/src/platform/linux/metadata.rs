//! What a file carries beside its content: owner, mode, times, extended attributes (among them ACLs
//! and capabilities) and inode flags. Read, given to another file, and compared.
//!
//! When a file was made and when it last changed (btime, ctime) cannot be given by anybody; project
//! ids and generation numbers are not kept.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;

use cordon_proto::Text;
use minicbor::{Decode, Encode};
use rustix::fs::{AtFlags, Gid, IFlags, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;

use super::place::{Kind, Moment, Node};

/// All attributes of a file together; the kernel itself takes 64 KiB in each.
const XATTRS_BYTES_MAX: usize = 1 << 20;

/// The kernel lists no more names than this.
const NAMES_BYTES_MAX: usize = 64 << 10;

/// What can be given at all: the kernel's `FS_FL_USER_MODIFIABLE`, whether data is journalled
/// (ext4), and whether it is copied on write (btrfs).
const FLAGS_GIVABLE: u32 = 0x0003_80ff | 0x4000 | 0x0080_0000;

/// Flags that close a file to every change.
const CLOSING: IFlags = IFlags::IMMUTABLE.union(IFlags::APPEND);

/// What a file carries.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub struct Metadata {
    /// Permissions, with setuid, setgid and sticky.
    #[n(0)]
    pub mode: u32,
    /// The owner.
    #[n(1)]
    pub uid: u32,
    /// The group.
    #[n(2)]
    pub gid: u32,
    /// When it was last read.
    #[n(3)]
    pub accessed: Moment,
    /// When its content last changed.
    #[n(4)]
    pub modified: Moment,
    /// Extended attributes, by name.
    #[n(5)]
    pub xattrs: Vec<Xattr>,
    /// Inode flags; none where the file system has none.
    #[n(6)]
    pub flags: Option<u32>,
}

/// An extended attribute.
#[derive(Clone, Debug, Eq, PartialEq, Ord, PartialOrd, Encode, Decode)]
pub struct Xattr {
    /// Its name, with the name space: `user.origin`.
    #[n(0)]
    pub name: Text,
    /// Its value.
    #[cbor(n(1), with = "minicbor::bytes")]
    pub value: Vec<u8>,
}

impl Metadata {
    /// Reads what a held file carries; `file` is the same one, open, where it is a regular one.
    pub fn read(node: &Node, file: Option<&File>) -> io::Result<Self> {
        let facts = node.facts()?;
        Ok(Self {
            // A link's mode means nothing and cannot be given.
            mode: if facts.kind == Kind::Link { 0 } else { facts.mode },
            uid: facts.uid,
            gid: facts.gid,
            accessed: facts.accessed,
            modified: facts.modified,
            xattrs: xattrs(node)?,
            flags: file.map(flags).transpose()?.flatten(),
        })
    }

    /// Gives it to another file, all but the flags that would close it; what could not be given,
    /// and why.
    pub fn give(&self, node: &Node, file: Option<&File>) -> Vec<String> {
        let mut failed = Vec::new();
        let mut tell = |what: &str, given: Result<(), Errno>| {
            if let Err(error) = given {
                failed.push(format!("{what}: {}", io::Error::from(error)));
            }
        };
        if let (Some(file), Some(flags)) = (file, self.flags) {
            tell("flags", give_flags(file, IFlags::from_bits_retain(flags) - CLOSING));
        }
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        let owned = rustix::fs::chownat(node.fd(), "", Some(uid), Some(gid), AtFlags::EMPTY_PATH);
        tell("owner", owned);
        // A change of owner takes capabilities away, so that they come after it.
        for Xattr { name, value } in &self.xattrs {
            let given = rustix::fs::setxattr(
                node.path(),
                OsStr::from_bytes(name.as_bytes()),
                value,
                XattrFlags::empty(),
            );
            tell(&name.to_lossy(), given);
        }
        if let Some(file) = file {
            tell("mode", rustix::fs::fchmod(file, Mode::from_raw_mode(self.mode)));
        }
        tell("times", self.give_times(node));
        failed
    }

    fn give_times(&self, node: &Node) -> Result<(), Errno> {
        let time = |at: Moment| Timespec { tv_sec: at.secs, tv_nsec: i64::from(at.nanos) };
        let (last_access, last_modification) = (time(self.accessed), time(self.modified));
        let times = Timestamps { last_access, last_modification };
        rustix::fs::utimensat(node.fd(), "", &times, AtFlags::EMPTY_PATH)
    }

    /// Closes a file to changes, if it was.
    pub fn close(&self, file: &File) -> io::Result<()> {
        match self.flags.map(IFlags::from_bits_retain) {
            Some(flags) if flags.intersects(CLOSING) => Ok(give_flags(file, flags)?),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether it is closed to changes.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.flags.is_some_and(|flags| IFlags::from_bits_retain(flags).intersects(CLOSING))
    }

    /// In what two files differ, in words.
    #[must_use]
    pub fn differences(&self, found: &Self) -> Vec<String> {
        let mut differ = Vec::new();
        let mut compare = |what: &str, wanted: String, found: String| {
            if wanted != found {
                differ.push(format!("{what} is {found}, it was {wanted}"));
            }
        };
        compare(
            "owner",
            format!("{}:{}", self.uid, self.gid),
            format!("{}:{}", found.uid, found.gid),
        );
        compare("mode", format!("{:04o}", self.mode), format!("{:04o}", found.mode));
        compare("access time", shown(self.accessed), shown(found.accessed));
        compare("modification time", shown(self.modified), shown(found.modified));
        let givable = |flags: Option<u32>| format!("{:#x}", flags.unwrap_or(0) & FLAGS_GIVABLE);
        compare("flags", givable(self.flags), givable(found.flags));
        let without = |all: &[Xattr], others: &[Xattr]| {
            let only = all.iter().filter(|xattr| !others.contains(xattr));
            only.map(|xattr| xattr.name.to_lossy().into_owned()).collect::<Vec<_>>()
        };
        let lost = without(&self.xattrs, &found.xattrs);
        differ.extend(lost.iter().map(|name| format!("attribute {name} is not as it was")));
        let new = without(&found.xattrs, &self.xattrs);
        let new = new.iter().filter(|name| !lost.contains(name));
        differ.extend(new.map(|name| format!("attribute {name} was not there")));
        differ
    }
}

fn shown(at: Moment) -> String {
    format!("{}.{:09}", at.secs, at.nanos)
}

/// Opens a file that is closed to changes; answers whether it was.
pub fn unclose(file: &File) -> io::Result<bool> {
    let Some(flags) = flags(file)?.map(IFlags::from_bits_retain) else { return Ok(false) };
    if !flags.intersects(CLOSING) {
        return Ok(false);
    }
    give_flags(file, flags - CLOSING)?;
    Ok(true)
}

/// Whether nothing can be taken out of a directory, or out of what is in it.
pub fn is_closed(directory: &super::place::Place) -> io::Result<bool> {
    match rustix::fs::ioctl_getflags(directory.fd()) {
        Ok(flags) => Ok(flags.intersects(CLOSING)),
        Err(_has_none) => Ok(false),
    }
}

fn flags(file: &File) -> io::Result<Option<u32>> {
    match rustix::fs::ioctl_getflags(file) {
        Ok(flags) => Ok(Some(flags.bits())),
        Err(Errno::NOTTY | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn give_flags(file: &File, wanted: IFlags) -> Result<(), Errno> {
    let now = rustix::fs::ioctl_getflags(file)?;
    let givable = IFlags::from_bits_retain(FLAGS_GIVABLE);
    let next = (now - givable) | (wanted & givable);
    if next == now { Ok(()) } else { rustix::fs::ioctl_setflags(file, next) }
}

fn xattrs(node: &Node) -> io::Result<Vec<Xattr>> {
    let mut names = vec![0; NAMES_BYTES_MAX];
    let bytes = match rustix::fs::listxattr(node.path(), names.as_mut_slice()) {
        Ok(bytes) => bytes,
        Err(Errno::OPNOTSUPP) => return Ok(Vec::new()),
        Err(error) => return Err(error.into()),
    };
    names.truncate(bytes);
    let mut xattrs = Vec::new();
    let mut left = XATTRS_BYTES_MAX;
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let name_os = OsStr::from_bytes(name);
        let length = rustix::fs::getxattr_query(node.path(), name_os)?;
        left = left.checked_sub(length.saturating_add(name.len())).ok_or_else(too_much)?;
        let mut value = vec![0; length];
        let read = rustix::fs::getxattr(node.path(), name_os, value.as_mut_slice())?;
        value.truncate(read);
        xattrs.push(Xattr { name: name.into(), value });
    }
    xattrs.sort();
    Ok(xattrs)
}

fn too_much() -> io::Error {
    io::Error::other(format!("its attributes take more than {} KiB", XATTRS_BYTES_MAX >> 10))
}
