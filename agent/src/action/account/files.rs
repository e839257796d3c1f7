//! Changes `/etc/passwd` and `/etc/shadow` as the programs of shadow-utils do: under both of their
//! locks, by a new file beside the old one with the same owner, mode and attributes, synced and
//! renamed.
//!
//! Whoever edits without those locks (a text editor) is noticed by the file's identity and time up
//! to the moment of renaming; then nothing is changed.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, fchown};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::event::Timespec;
use rustix::fs::{FlockOperation, Mode, OFlags, XattrFlags};
use rustix::io::Errno;

/// As long as `lckpwdf` waits.
const LOCK_WITHIN: Duration = Duration::from_secs(15);
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// Some ten thousand accounts.
const FILE_BYTES_MAX: u64 = 8 << 20;
/// What a file's attributes may be in all: as much as the kernel gives out.
const ATTRIBUTE_BYTES_MAX: usize = 64 << 10;

/// A lock between processes does not keep our own threads from each other.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Why accounts were not changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum EditError {
    #[error("{} is held by another program for {} s", .0.display(), LOCK_WITHIN.as_secs())]
    Busy(PathBuf),
    #[error("{doing} {}: {cause}", path.display())]
    Io { doing: &'static str, path: PathBuf, cause: io::Error },
    #[error("{} is no regular file, or too long", .0.display())]
    Kind(PathBuf),
    #[error("somebody else changed {} at the same moment", .0.display())]
    Changed(PathBuf),
}

fn failed(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> EditError {
    move |cause| EditError::Io { doing, path: path.to_owned(), cause }
}

/// The files of accounts below a root, locked against everybody else.
pub(super) struct Locked<'a> {
    etc: PathBuf,
    now: fn() -> Duration,
    _process: MutexGuard<'a, ()>,
    _machine: File,
}

impl Locked<'_> {
    /// Waits for the lock; blocks.
    pub(super) fn take(root: &Path, now: fn() -> Duration) -> Result<Self, EditError> {
        let process = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let etc = root.join("etc");
        let path = etc.join(".pwd.lock");
        let mut options = OpenOptions::new();
        let options = options.write(true).create(true).truncate(false).mode(0o600);
        let machine = options
            .custom_flags(OFlags::NOFOLLOW.bits().cast_signed())
            .open(&path)
            .map_err(failed("opening", &path))?;
        within(now, &path, || {
            match rustix::fs::fcntl_lock(&machine, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => Ok(true),
                Err(Errno::AGAIN | Errno::ACCESS | Errno::INTR) => Ok(false),
                Err(error) => Err(failed("locking", &path)(error.into())),
            }
        })?;
        Ok(Self { etc, now, _process: process, _machine: machine })
    }

    /// Changes a file; `edit` answers none where nothing is to be changed.
    pub(super) fn edit(
        &self,
        name: &str,
        edit: impl FnOnce(&[u8]) -> Option<Vec<u8>>,
    ) -> Result<(), EditError> {
        let path = self.etc.join(name);
        let _lock = LockFile::take(&self.etc, name, self.now)?;
        let (text, before) = read(&path)?;
        let Some(changed) = edit(&text).filter(|changed| *changed != text) else { return Ok(()) };
        let new = self.etc.join(format!("{name}+"));
        let written = write(&path, &new, &before, &changed).and_then(|()| {
            // Up to here nothing has happened to the file itself.
            let (_, now) = read(&path)?;
            if !is_same(&before, &now) {
                return Err(EditError::Changed(path.clone()));
            }
            std::fs::rename(&new, &path).map_err(failed("renaming to", &path))
        });
        if written.is_err() {
            std::fs::remove_file(&new).ok();
        }
        written?;
        let synced = File::open(&self.etc).and_then(|etc| etc.sync_all());
        synced.map_err(failed("syncing", &self.etc))
    }
}

fn is_same(before: &Metadata, now: &Metadata) -> bool {
    let of = |file: &Metadata| {
        (file.ino(), file.size(), file.mtime(), file.mtime_nsec(), file.ctime(), file.ctime_nsec())
    };
    of(before) == of(now)
}

/// A file of accounts as it is.
pub(super) fn text(root: &Path, name: &str) -> Result<Vec<u8>, EditError> {
    Ok(read(&root.join("etc").join(name))?.0)
}

fn read(path: &Path) -> Result<(Vec<u8>, Metadata), EditError> {
    let reading = failed("reading", path);
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let file = OpenOptions::new().read(true).custom_flags(flags).open(path).map_err(&reading)?;
    let metadata = file.metadata().map_err(&reading)?;
    if !metadata.is_file() || metadata.size() > FILE_BYTES_MAX {
        return Err(EditError::Kind(path.to_owned()));
    }
    let mut text = Vec::new();
    file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(&reading)?;
    Ok((text, metadata))
}

fn write(old: &Path, new: &Path, like: &Metadata, text: &[u8]) -> Result<(), EditError> {
    let writing = failed("writing", new);
    match std::fs::remove_file(new) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(writing(error)),
        Ok(()) | Err(_) => {}
    }
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(new).map_err(&writing)?;
    let made = (|| {
        file.write_all(text)?;
        fchown(&file, Some(like.uid()), Some(like.gid()))?;
        copy_attributes(&File::open(old)?, &file)?;
        // Last: a change of owner takes bits away, and a list of access rights changes the mode.
        rustix::fs::fchmod(&file, Mode::from_raw_mode(like.mode() & 0o7777))?;
        file.sync_all()
    })();
    made.map_err(writing)
}

/// Labels of SELinux, lists of access rights, and what else a file system keeps beside a file.
fn copy_attributes(from: &File, to: &File) -> io::Result<()> {
    let mut names = vec![0; ATTRIBUTE_BYTES_MAX];
    let length = match rustix::fs::flistxattr(from, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    names.truncate(length);
    let mut value = vec![0; ATTRIBUTE_BYTES_MAX];
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let length = rustix::fs::fgetxattr(from, name, &mut value[..])?;
        let value = value.get(..length).unwrap_or_default();
        rustix::fs::fsetxattr(to, name, value, XattrFlags::empty())?;
    }
    Ok(())
}

/// The lock of shadow-utils on one file: a name beside it, whose content is who holds it.
struct LockFile(PathBuf);

impl LockFile {
    fn take(etc: &Path, name: &str, now: fn() -> Duration) -> Result<Self, EditError> {
        let lock = etc.join(format!("{name}.lock"));
        let pid = std::process::id();
        let own = etc.join(format!("{name}.{pid}"));
        let writing = failed("writing", &own);
        std::fs::remove_file(&own).ok();
        let mut options = OpenOptions::new();
        let file = options.write(true).create_new(true).mode(0o600).open(&own);
        // With the NUL, as they write it.
        let written = file.and_then(|mut file| file.write_all(format!("{pid}\0").as_bytes()));
        let taken = written.map_err(writing).and_then(|()| {
            within(now, &lock, || match std::fs::hard_link(&own, &lock) {
                Ok(()) => Ok(true),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {
                    if is_left_behind(&lock) {
                        std::fs::remove_file(&lock).ok();
                    }
                    Ok(false)
                }
                Err(error) => Err(failed("making", &lock)(error)),
            })
        });
        std::fs::remove_file(&own).ok();
        taken.map(|()| Self(lock))
    }
}

impl Drop for LockFile {
    fn drop(&mut self) {
        // What is left behind is found so by whoever comes next: its holder is gone.
        std::fs::remove_file(&self.0).ok();
    }
}

/// Whether whoever made the lock lives no more.
fn is_left_behind(lock: &Path) -> bool {
    let Ok(holder) = std::fs::read(lock) else { return false };
    let holder = holder.split(|byte| *byte == 0).next().unwrap_or_default();
    let pid = crate::inventory::number::<u32>(holder);
    // Our own is one that another thread cannot hold: it is from before a restart.
    pid.is_some_and(|pid| {
        pid == std::process::id() || !Path::new("/proc").join(pid.to_string()).exists()
    })
}

/// Tries until it succeeds.
fn within(
    now: fn() -> Duration,
    lock: &Path,
    mut attempt: impl FnMut() -> Result<bool, EditError>,
) -> Result<(), EditError> {
    let deadline = now().saturating_add(LOCK_WITHIN);
    while !attempt()? {
        if now() >= deadline {
            return Err(EditError::Busy(lock.to_owned()));
        }
        let wait = Timespec::try_from(LOOK_EVERY).unwrap_or_default();
        rustix::event::poll(&mut [], Some(&wait)).ok();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn now() -> Duration {
        Duration::from_nanos(crate::clock::boot_ns())
    }

    fn root() -> tempfile::TempDir {
        crate::inventory::testing::tree(&[("etc/shadow", "a:1:\nb:2:\n")])
    }

    fn names(root: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(root.join("etc")).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_change_keeps_mode_and_attributes_and_leaves_nothing_behind() {
        let root = root();
        let path = root.path().join("etc/shadow");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let mark = rustix::fs::setxattr(&path, "user.mark", b"kept", XattrFlags::empty());
        let locked = Locked::take(root.path(), now).unwrap();
        locked.edit("shadow", |text| Some([text, b"c:3:\n"].concat())).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"a:1:\nb:2:\nc:3:\n");
        assert_eq!(std::fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        if mark.is_ok() {
            let mut value = [0; 8];
            let length = rustix::fs::getxattr(&path, "user.mark", &mut value[..]).unwrap();
            assert_eq!(&value[..length], b"kept");
        }
        assert_eq!(names(root.path()), [".pwd.lock", "shadow"]);
    }

    #[test]
    fn nothing_is_written_where_nothing_changes() {
        let root = root();
        let path = root.path().join("etc/shadow");
        let before = std::fs::metadata(&path).unwrap();
        let locked = Locked::take(root.path(), now).unwrap();
        locked.edit("shadow", |_text| None).unwrap();
        locked.edit("shadow", |text| Some(text.to_vec())).unwrap();
        assert!(is_same(&before, &std::fs::metadata(&path).unwrap()));
    }

    #[test]
    fn a_lock_of_one_who_is_gone_is_taken_and_one_of_a_living_is_not() {
        let root = root();
        let lock = root.path().join("etc/shadow.lock");
        // No process has this number.
        std::fs::write(&lock, "4194305\0").unwrap();
        assert!(is_left_behind(&lock));
        let locked = Locked::take(root.path(), now).unwrap();
        locked.edit("shadow", |_text| Some(b"x".to_vec())).unwrap();
        std::fs::write(&lock, "1\0").unwrap();
        assert!(!is_left_behind(&lock));
        std::fs::write(&lock, "").unwrap();
        assert!(!is_left_behind(&lock));
    }

    #[test]
    fn one_who_edits_without_a_lock_is_not_overwritten() {
        let root = root();
        let path = root.path().join("etc/shadow");
        let locked = Locked::take(root.path(), now).unwrap();
        let outcome = locked.edit("shadow", |_text| {
            std::fs::write(&path, "an editor's").unwrap();
            Some(b"ours".to_vec())
        });
        assert!(matches!(outcome, Err(EditError::Changed(_))));
        assert_eq!(std::fs::read(&path).unwrap(), b"an editor's");
        assert_eq!(names(root.path()), [".pwd.lock", "shadow"]);
    }

    #[test]
    fn a_link_is_not_followed() {
        let root =
            crate::inventory::testing::tree(&[("real", "a:1:\n"), ("etc/shadow", ">../real")]);
        let locked = Locked::take(root.path(), now).unwrap();
        assert!(locked.edit("shadow", |_text| Some(b"x".to_vec())).is_err());
        assert_eq!(std::fs::read(root.path().join("real")).unwrap(), b"a:1:\n");
    }
}
