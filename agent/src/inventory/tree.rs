//! Reads files below a root, each with a limit, and notes what could not be read.
//!
//! What users own may be anything: a pipe that never ends, a device, a link to what only root may
//! read. So only regular files are read, without waiting, and links do not lead out of the root.

use std::cell::RefCell;
use std::ffi::OsString;
use std::fs::{File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cordon_proto::Text;
use ring::digest::{Context, SHA256};
use rustix::fs::{Mode, OFlags, ResolveFlags};

use cordon_proto::id::Hash;

use super::{CollectError, Found};

/// A file that is read into memory; lists of packages are read as they come instead.
pub const FILE_BYTES_MAX: u64 = 1 << 20;

/// A file that is hashed: more is no profile or unit.
const HASHED_BYTES_MAX: u64 = 16 << 20;

/// Names of one directory.
const NAMES_MAX: usize = 8192;

/// Problems that are told.
const PROBLEMS_MAX: usize = 16;

/// The files of a machine.
pub struct Tree<'a> {
    root: &'a Path,
    problems: RefCell<Vec<String>>,
}

impl<'a> Tree<'a> {
    /// Those below this root.
    #[must_use]
    pub fn new(root: &'a Path) -> Self {
        Self { root, problems: RefCell::default() }
    }

    /// Whether this is the machine itself, so that its programs and its kernel may be asked.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        self.root == Path::new("/")
    }

    /// Rows, with what could not be read.
    pub fn found<T>(self, rows: Vec<T>) -> Found<T> {
        Found { rows, problems: self.problems.into_inner() }
    }

    /// Notes what could not be looked at.
    pub fn problem(&self, problem: String) {
        let mut problems = self.problems.borrow_mut();
        if problems.len() < PROBLEMS_MAX {
            problems.push(problem);
        }
    }

    /// Opens a regular file to be read; none if it is not there, or noted.
    pub fn open(&self, path: impl AsRef<Path>) -> Option<File> {
        let path = path.as_ref();
        self.noted(path, self.try_open(path))
    }

    /// A whole file; none if it is not there, or noted. What is beyond the limit is noted too.
    pub fn read(&self, path: impl AsRef<Path>) -> Option<Vec<u8>> {
        let path = path.as_ref();
        let mut text = Vec::new();
        let read = self.open(path)?.take(FILE_BYTES_MAX + 1).read_to_end(&mut text);
        let count = self.noted(path, read)?;
        if u64::try_from(count).is_ok_and(|count| count > FILE_BYTES_MAX) {
            self.problem(format!("{} is longer than {FILE_BYTES_MAX} bytes", path.display()));
            text.truncate(usize::try_from(FILE_BYTES_MAX).unwrap_or(usize::MAX));
        }
        Some(text)
    }

    /// A file without which there is no inventory.
    pub fn need(&self, path: impl AsRef<Path>) -> Result<Vec<u8>, CollectError> {
        let path = path.as_ref();
        let error = |source| CollectError::Read { path: path.to_owned(), source };
        let mut text = Vec::new();
        let file = self.try_open(path).map_err(error)?;
        file.take(FILE_BYTES_MAX).read_to_end(&mut text).map_err(error)?;
        Ok(text)
    }

    /// The first line of a small file, as the kernel writes them.
    pub fn line(&self, path: impl AsRef<Path>) -> Option<Text> {
        let text = self.read(path)?;
        let line = text.split(|byte| *byte == b'\n').next().unwrap_or_default().trim_ascii();
        (!line.is_empty()).then(|| Text::from(line))
    }

    /// The names in a directory, sorted; none if it is not there.
    pub fn names(&self, directory: impl AsRef<Path>) -> Vec<OsString> {
        let directory = directory.as_ref();
        let Some(entries) = self.noted(directory, std::fs::read_dir(self.below(directory))) else {
            return Vec::new();
        };
        let names = entries.filter_map(Result::ok).map(|entry| entry.file_name());
        let mut names: Vec<OsString> = names.take(NAMES_MAX + 1).collect();
        if names.len() > NAMES_MAX {
            let path = directory.display();
            self.problem(format!("{path} has more than {NAMES_MAX} names"));
            names.truncate(NAMES_MAX);
        }
        names.sort();
        names
    }

    /// Files of a directory as paths, sorted; without those that editors and packagers leave.
    pub fn files(&self, directory: impl AsRef<Path>) -> Vec<PathBuf> {
        let directory = directory.as_ref();
        let is_left = |name: &OsString| {
            let name = name.as_bytes();
            let ends: [&[u8]; 6] =
                [b"~", b".dpkg-old", b".dpkg-dist", b".rpmnew", b".rpmsave", b".swp"];
            name.starts_with(b".") || ends.iter().any(|end| name.ends_with(end))
        };
        let names = self.names(directory).into_iter().filter(|name| !is_left(name));
        names.map(|name| directory.join(name)).collect()
    }

    /// Where a link leads; none if it is no link.
    pub fn link(&self, path: impl AsRef<Path>) -> Option<PathBuf> {
        std::fs::read_link(self.below(path.as_ref())).ok()
    }

    /// What is known of a file, not following a link.
    pub fn metadata(&self, path: impl AsRef<Path>) -> Option<Metadata> {
        std::fs::symlink_metadata(self.below(path.as_ref())).ok()
    }

    /// SHA-256 of a file; none if it cannot be read whole.
    pub fn hash(&self, path: impl AsRef<Path>) -> Option<Hash> {
        let path = path.as_ref();
        let mut file = self.open(path)?;
        let mut hasher = Context::new(&SHA256);
        let mut buffer = [0; 8 << 10];
        let mut total: u64 = 0;
        loop {
            let count = self.noted(path, file.read(&mut buffer))?;
            total = total.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
            match buffer.get(..count) {
                Some([]) | None => break,
                Some(_) if total > HASHED_BYTES_MAX => return None,
                Some(bytes) => hasher.update(bytes),
            }
        }
        let mut hash = Hash::default();
        hash.0.copy_from_slice(hasher.finish().as_ref());
        Some(hash)
    }

    /// The path as it is from outside.
    #[must_use]
    pub fn below(&self, path: &Path) -> PathBuf {
        self.root.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn try_open(&self, path: &Path) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
        let file = if self.is_machine() {
            File::from(rustix::fs::open(path, flags, Mode::empty())?)
        } else {
            let root = File::open(self.root)?;
            let inside = ResolveFlags::IN_ROOT;
            File::from(rustix::fs::openat2(root, path, flags, Mode::empty(), inside)?)
        };
        if file.metadata()?.is_file() {
            return Ok(file);
        }
        Err(io::Error::new(ErrorKind::NotFound, "it is no regular file"))
    }

    /// What is not there is nothing; what is there and cannot be read is a problem.
    fn noted<T>(&self, path: &Path, result: io::Result<T>) -> Option<T> {
        let is_absent = |error: &io::Error| {
            matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
                || error.raw_os_error() == Some(NO_SUCH_DEVICE)
        };
        match result {
            Ok(value) => Some(value),
            Err(error) if is_absent(&error) => None,
            Err(error) => {
                self.problem(format!("{}: {error}", path.display()));
                None
            }
        }
    }
}

/// ENXIO: a socket was opened.
const NO_SUCH_DEVICE: i32 = 6;

#[cfg(test)]
mod tests {
    use super::super::testing;
    use super::*;

    #[test]
    fn links_do_not_lead_out_of_the_root() {
        let root = testing::tree(&[("etc/real", "inside"), ("etc/link", ">/etc/real")]);
        let tree = Tree::new(root.path());
        assert_eq!(tree.read("/etc/link").unwrap(), b"inside");
        assert_eq!(tree.link("/etc/link").unwrap(), Path::new("/etc/real"));
        assert_eq!(tree.hash("/etc/link"), Some(Hash::of(b"inside")));
    }

    #[test]
    fn pipes_and_directories_are_not_read_and_not_waited_for() {
        let root = testing::tree(&[("etc/dir/file", "")]);
        let pipe = root.path().join("etc/pipe");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        let tree = Tree::new(root.path());
        for path in ["/etc/pipe", "/etc/dir", "/etc/none", "/etc/dir/file/x"] {
            assert_eq!(tree.read(path), None, "{path}");
        }
        assert!(tree.found(vec![()]).problems.is_empty());
    }

    #[test]
    fn a_file_beyond_the_limit_is_cut_and_told() {
        let long = "x".repeat(usize::try_from(FILE_BYTES_MAX).unwrap() + 5);
        let root = testing::tree(&[("long", &long)]);
        let tree = Tree::new(root.path());
        assert_eq!(tree.read("/long").unwrap().len(), long.len() - 5);
        assert_eq!(tree.found(vec![()]).problems.len(), 1);
    }

    #[test]
    fn what_editors_and_packagers_leave_is_no_file_of_a_directory() {
        let root = testing::tree(&[("d/a", ""), ("d/a~", ""), ("d/.b", ""), ("d/c.dpkg-old", "")]);
        let tree = Tree::new(root.path());
        assert_eq!(tree.files("/d"), [Path::new("/d/a")]);
    }
}
