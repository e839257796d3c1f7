//! Finds the files that patterns name. No link is followed, on the way or at the end, and what is
//! no disk is left out.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Dir, FileType, Mode, OFlags, ResolveFlags, openat2, statat};

use super::glob::Glob;

/// Files of one archive.
pub const FILES_MAX: usize = 20_000;

/// Names that are looked at for one archive.
const NAMES_MAX: usize = 200_000;

/// What is made by the kernel as it is read: endless, or no evidence of anything.
const NOT_DISKS: [&str; 3] = ["/proc", "/sys", "/dev"];

/// What was found of patterns.
#[derive(Debug, Default)]
pub struct Walk {
    /// Regular files, each once, in order.
    pub files: BTreeSet<PathBuf>,
    /// What was named and is not brought away, and why.
    pub missing: Vec<(PathBuf, String)>,
    /// Whether a limit kept something out.
    pub cut: bool,
    names: usize,
    without: Option<PathBuf>,
}

impl Walk {
    /// A walk that leaves one folder out.
    #[must_use]
    pub fn without(folder: Option<PathBuf>) -> Self {
        Self { without: folder, ..Self::default() }
    }

    /// Adds what a pattern names.
    pub fn find(&mut self, glob: &Glob) {
        let mut path = PathBuf::from("/");
        path.extend(glob.fixed().iter().map(|part| OsStr::from_bytes(part)));
        if path.components().any(|part| part == std::path::Component::ParentDir) {
            return self.miss(path, "'..' is not followed");
        }
        if glob.is_fixed() {
            match kind(&path) {
                Ok(kind) => self.take(path, kind, true),
                Err(error) => self.miss(path, says(&error)),
            }
        } else {
            self.below(&path, glob);
        }
    }

    fn below(&mut self, folder: &Path, glob: &Glob) {
        let mut left = vec![folder.to_owned()];
        while let Some(folder) = left.pop() {
            if let Some(why) = self.is_left_out(&folder) {
                self.miss(folder, why);
                continue;
            }
            let entries =
                match open(&folder, OFlags::DIRECTORY).and_then(|opened| Ok(Dir::new(opened)?)) {
                    Ok(entries) => entries,
                    // What a pattern could have named and is not there is named by nothing.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                    Err(error) => {
                        self.miss(folder, says(&error));
                        continue;
                    }
                };
            for entry in entries {
                let entry = match entry {
                    Ok(entry) => entry,
                    Err(error) => {
                        self.miss(folder.clone(), error.to_string());
                        break;
                    }
                };
                let name = entry.file_name().to_bytes();
                if matches!(name, b"." | b"..") {
                    continue;
                }
                self.names += 1;
                if self.names > NAMES_MAX {
                    self.cut = true;
                    return self.miss(folder, format!("more than {NAMES_MAX} names"));
                }
                let path = folder.join(OsStr::from_bytes(name));
                let known = entry.file_type();
                let kind = if known == FileType::Unknown { kind(&path) } else { Ok(known) };
                let parts: Vec<&[u8]> = path.iter().skip(1).map(OsStr::as_bytes).collect();
                match kind {
                    Ok(FileType::Directory) if glob.leads_through(&parts) => left.push(path),
                    Ok(kind) if glob.names(&parts) => self.take(path, kind, false),
                    Ok(_) => {}
                    Err(error) => self.miss(path, says(&error)),
                }
            }
        }
    }

    /// `alone`: the pattern names nothing else, so that there is something to be said of it.
    fn take(&mut self, path: PathBuf, kind: FileType, alone: bool) {
        if let Some(why) = self.is_left_out(&path) {
            return self.miss(path, why);
        }
        match kind {
            FileType::RegularFile if self.files.len() < FILES_MAX => {
                self.files.insert(path);
            }
            FileType::RegularFile => {
                self.cut = true;
                self.miss(path, format!("more than {FILES_MAX} files"));
            }
            FileType::Symlink => self.miss(path, "a symbolic link, which is not followed"),
            FileType::Directory if !alone => {}
            FileType::Directory
            | FileType::Fifo
            | FileType::Socket
            | FileType::CharacterDevice
            | FileType::BlockDevice
            | FileType::Unknown => self.miss(path, "no regular file"),
        }
    }

    fn is_left_out(&self, path: &Path) -> Option<&'static str> {
        if NOT_DISKS.iter().any(|folder| path.starts_with(folder)) {
            return Some("made by the kernel as it is read");
        }
        let own = self.without.as_ref().is_some_and(|own| path.starts_with(own));
        own.then_some("the agent's own keys and spool do not leave the endpoint")
    }

    fn miss(&mut self, path: PathBuf, why: impl Into<String>) {
        if self.missing.len() < FILES_MAX {
            self.missing.push((path, why.into()));
        } else {
            self.cut = true;
        }
    }
}

/// Opens what stands at a path without following a link anywhere on it.
pub fn open(path: &Path, more: OFlags) -> io::Result<File> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY | more;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(File::from(openat2(CWD, path, flags, Mode::empty(), resolve)?))
}

fn kind(path: &Path) -> io::Result<FileType> {
    let found = statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW)?;
    Ok(FileType::from_raw_mode(found.st_mode))
}

/// An error in words of this trade.
pub fn says(error: &io::Error) -> String {
    if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) {
        return "a symbolic link stands on the way, which is not followed".to_owned();
    }
    error.to_string()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn find(walk: &mut Walk, root: &Path, pattern: &str) {
        let pattern = format!("{}/{pattern}", root.display());
        walk.find(&Glob::new(pattern.as_bytes()));
    }

    fn below(root: &Path, paths: impl Iterator<Item = PathBuf>) -> Vec<String> {
        let strip = |path: PathBuf| path.strip_prefix(root).unwrap().display().to_string();
        paths.map(strip).collect()
    }

    #[test]
    fn files_are_found_and_links_are_not_followed_but_told() {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().canonicalize().unwrap();
        std::fs::create_dir_all(root.join("log/deep")).unwrap();
        std::fs::create_dir_all(root.join("own")).unwrap();
        for file in ["log/a.log", "log/deep/b.log", "log/deep/c.txt", "own/key"] {
            std::fs::write(root.join(file), file).unwrap();
        }
        symlink("/etc/shadow", root.join("log/secret.log")).unwrap();
        symlink(root.join("log/deep"), root.join("way")).unwrap();

        let mut walk = Walk::without(Some(root.join("own")));
        find(&mut walk, &root, "log/**/*.log");
        find(&mut walk, &root, "log/deep/c.txt");
        find(&mut walk, &root, "log/a.log");
        find(&mut walk, &root, "own/*");
        find(&mut walk, &root, "own/key");
        find(&mut walk, &root, "way/*");
        find(&mut walk, &root, "none");
        walk.find(&Glob::new(b"/proc/version"));
        let found = below(&root, walk.files.iter().cloned());
        assert_eq!(found, ["log/a.log", "log/deep/b.log", "log/deep/c.txt"]);
        let said: Vec<_> = walk.missing.iter().map(|(_, why)| why.as_str()).collect();
        assert_eq!(
            said,
            [
                "a symbolic link, which is not followed",
                "the agent's own keys and spool do not leave the endpoint",
                "the agent's own keys and spool do not leave the endpoint",
                "a symbolic link stands on the way, which is not followed",
                "No such file or directory (os error 2)",
                "made by the kernel as it is read",
            ]
        );
        assert!(!walk.cut);
    }
}
