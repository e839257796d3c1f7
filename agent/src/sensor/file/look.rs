//! Looks at one file: what kind it is, whose, and what is in it.
//!
//! A file is opened without following a link, without waiting, and without touching its access
//! time. What is longer than the limit is told without its hash.

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;

use cordon_proto::event::file::{FileKind, FileState};
use cordon_proto::id::Hash;
use ring::digest;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};

use super::baseline::Kept;
use super::content::SAMPLE_BYTES;

/// One read while hashing.
const READ_BYTES: usize = 64 << 10;

/// Capabilities of a file take 24 bytes.
const CAPABILITIES_BYTES_MAX: usize = 256;

/// What can be told without reading; none if nothing is there.
pub(super) fn facts(path: &[u8]) -> Option<Kept> {
    let stat = rustix::fs::statat(CWD, OsStr::from_bytes(path), AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(kept(&stat))
}

/// The same with hashes of content and capabilities.
pub(super) fn whole(path: &[u8], hash_bytes_max: u64) -> Option<Kept> {
    let mut kept = facts(path)?;
    kept.state.sha256 = match kept.state.kind {
        FileKind::Regular if kept.state.bytes <= hash_bytes_max => {
            content_hash(path, hash_bytes_max).ok()
        }
        FileKind::Link => {
            let target = rustix::fs::readlinkat(CWD, OsStr::from_bytes(path), Vec::new()).ok();
            target.map(|target| Hash::of(target.as_bytes()))
        }
        FileKind::Regular | FileKind::Directory | FileKind::Other => None,
    };
    kept.state.capabilities = capabilities(path);
    Some(kept)
}

/// The beginning of a file; empty where there is none to be had.
pub(super) fn sample(path: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; SAMPLE_BYTES];
    let read = open(path).and_then(|file| {
        let is_file = FileType::from_raw_mode(rustix::fs::fstat(&file)?.st_mode).is_file();
        if is_file { Ok(rustix::io::read(&file, bytes.as_mut_slice())?) } else { Ok(0) }
    });
    bytes.truncate(read.unwrap_or(0));
    bytes
}

fn kept(stat: &Stat) -> Kept {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => FileKind::Regular,
        FileType::Directory => FileKind::Directory,
        FileType::Symlink => FileKind::Link,
        FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => FileKind::Other,
    };
    let is_directory = kind == FileKind::Directory;
    let nanos = |secs: i64, nanos: u64| {
        u64::try_from(secs).unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(nanos)
    };
    // A directory's own length and time change with every name in it, which is told by itself.
    let own = |value: u64| if is_directory { 0 } else { value };
    let state = FileState {
        kind,
        bytes: own(u64::try_from(stat.st_size).unwrap_or(0)),
        mode: stat.st_mode & 0o7777,
        uid: stat.st_uid,
        gid: stat.st_gid,
        modified_ns: own(nanos(stat.st_mtime, stat.st_mtime_nsec)),
        sha256: None,
        capabilities: None,
    };
    let changed_ns = own(nanos(stat.st_ctime, stat.st_ctime_nsec));
    Kept { state, inode: stat.st_ino, changed_ns }
}

fn content_hash(path: &[u8], bytes_max: u64) -> io::Result<Hash> {
    let file = open(path)?;
    let mut context = digest::Context::new(&digest::SHA256);
    let mut buffer = vec![0; READ_BYTES];
    let mut bytes = 0_u64;
    loop {
        let read = rustix::io::read(&file, buffer.as_mut_slice())?;
        if read == 0 {
            break;
        }
        bytes = bytes.saturating_add(u64::try_from(read).unwrap_or(u64::MAX));
        if bytes > bytes_max {
            return Err(io::Error::from(io::ErrorKind::FileTooLarge));
        }
        context.update(&buffer[..read]);
    }
    let hash = <[u8; 32]>::try_from(context.finish().as_ref()).map_err(io::Error::other)?;
    Ok(Hash(hash))
}

fn open(path: &[u8]) -> io::Result<std::os::fd::OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let path = OsStr::from_bytes(path);
    let quiet = rustix::fs::openat(CWD, path, flags | OFlags::NOATIME, Mode::empty());
    // Only the owner and root may leave the access time alone.
    Ok(quiet.or_else(|_refused| rustix::fs::openat(CWD, path, flags, Mode::empty()))?)
}

fn capabilities(path: &[u8]) -> Option<Hash> {
    let mut value = [0; CAPABILITIES_BYTES_MAX];
    let path = OsStr::from_bytes(path);
    let read = rustix::fs::lgetxattr(path, "security.capability", value.as_mut_slice()).ok()?;
    value.get(..read).map(Hash::of)
}

/// Gives a file capabilities; for trying them out.
#[cfg(test)]
fn give_capabilities(path: &[u8], value: &[u8]) -> io::Result<()> {
    let path = OsStr::from_bytes(path);
    let flags = rustix::fs::XattrFlags::empty();
    Ok(rustix::fs::setxattr(path, "security.capability", value, flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_with_its_content_its_owner_and_its_mode() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a");
        std::fs::write(&path, b"content").unwrap();
        let path = path.as_os_str().as_bytes();
        let kept = whole(path, 100).unwrap();
        assert_eq!(kept.state.sha256, Some(Hash::of(b"content")));
        assert_eq!((kept.state.kind, kept.state.bytes), (FileKind::Regular, 7));
        assert_eq!(whole(path, 3).unwrap().state.sha256, None, "it is too long");
        assert_eq!(sample(path), b"content");
        assert_eq!(facts(b"/none/there"), None);
        assert_eq!(sample(folder.path().as_os_str().as_bytes()), b"");
    }

    #[test]
    fn a_link_is_told_by_where_it_leads_and_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("link");
        std::os::unix::fs::symlink("/etc/passwd", &path).unwrap();
        let path = path.as_os_str().as_bytes();
        let kept = whole(path, 100).unwrap();
        assert_eq!(kept.state.kind, FileKind::Link);
        assert_eq!(kept.state.sha256, Some(Hash::of(b"/etc/passwd")));
        assert_eq!(sample(path), b"");
    }

    #[test]
    fn capabilities_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("program");
        std::fs::write(&path, b"x").unwrap();
        let path = path.as_os_str().as_bytes();
        assert_eq!(whole(path, 100).unwrap().state.capabilities, None);
        // cap_net_raw, effective; only root may give it.
        let value: Vec<u8> =
            [0x0200_0001_u32, 0x2000, 0, 0, 0].iter().flat_map(|n| n.to_le_bytes()).collect();
        if give_capabilities(path, &value).is_ok() {
            assert_eq!(whole(path, 100).unwrap().state.capabilities, Some(Hash::of(&value)));
        }
    }
}
