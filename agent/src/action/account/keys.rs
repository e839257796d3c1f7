//! Sets aside the files whose keys let an account log in over SSH, and puts them back: each is
//! renamed within its own directory, so that owner, mode and attributes stay.
//!
//! The directories are the account's own, so whoever is locked may have made links of them. A
//! directory reached by a link is used only if it belongs to the account; a file that other accounts
//! share is left. `AuthorizedKeysCommand` is not seen; an expired account is refused after it.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cordon_proto::Text;
use minicbor::{Decode, Encode};
use rustix::fs::{AtFlags, Mode, OFlags, RenameFlags, ResolveFlags};
use rustix::io::Errno;

use crate::inventory::ssh_keys;
use crate::inventory::tree::Tree;
use crate::inventory::users::{Home, homes};

/// What is put behind the name of a file that is set aside.
const ASIDE: &str = ".cordon-locked";
/// Files set aside with the same name.
const ASIDE_MAX: usize = 16;
/// What lets hosts and not keys in, beside what sshd's settings name.
const BY_HOST: [&str; 2] = [".shosts", ".rhosts"];

/// A file that was there before, and the name that it gets.
#[derive(Clone, Debug, Eq, PartialEq, Encode, Decode)]
pub(super) struct KeyFile {
    #[n(0)]
    path: Text,
    #[n(1)]
    aside: Text,
}

/// The places where an account's keys stand.
pub(super) struct Places<'a> {
    root: &'a Path,
    home: Home,
    paths: Vec<PathBuf>,
    /// Of these, others read the same file.
    shared: Vec<PathBuf>,
}

impl<'a> Places<'a> {
    pub(super) fn of(root: &'a Path, home: Home) -> Self {
        let tree = Tree::new(root);
        let patterns = ssh_keys::key_files(&tree);
        let mut paths: Vec<PathBuf> =
            patterns.iter().map(|pattern| ssh_keys::expand(pattern, &home)).collect();
        paths.extend(ssh_keys::DEFAULT_FILES.map(|name| home.path.join(OsStr::from_bytes(name))));
        paths.extend(BY_HOST.map(|name| home.path.join(name)));
        paths.sort();
        paths.dedup();
        let others = homes(&tree).into_iter().filter(|other| other.owner != home.owner);
        let of_others: Vec<PathBuf> = others
            .flat_map(|other| {
                let read = patterns.iter().map(move |pattern| ssh_keys::expand(pattern, &other));
                read.collect::<Vec<_>>()
            })
            .collect();
        // Root's home may be another's, too.
        let is_shared = |path: &PathBuf| of_others.contains(path);
        let shared = paths.iter().filter(|path| is_shared(path)).cloned().collect();
        Self { root, home, paths, shared }
    }

    /// The files that there are, with the names that they will get.
    pub(super) fn present(&self) -> Vec<KeyFile> {
        let movable = self.paths.iter().filter(|path| !self.shared.contains(path));
        let there = movable.filter(|path| self.is_present(path));
        let file = |path: &PathBuf| {
            let directory = self.open(path).ok()??;
            let aside = free_name(&directory, name(path))?;
            let aside = path.with_file_name(aside);
            let text = |path: &Path| Text::from(path.as_os_str().as_bytes());
            Some(KeyFile { path: text(path), aside: text(&aside) })
        };
        there.filter_map(file).collect()
    }

    /// Sets aside what is there: under the names recorded, and what is new since then under others.
    pub(super) fn set_aside(&self, recorded: &[KeyFile]) -> Vec<String> {
        let mut missing: Vec<String> = self.told_shared();
        for path in self.paths.iter().filter(|path| !self.shared.contains(path)) {
            let is_this = |file: &&KeyFile| file.path.as_bytes() == path.as_os_str().as_bytes();
            let aside = recorded.iter().find(is_this).map(|file| file.aside.as_bytes());
            let aside = aside.map(|aside| name(Path::new(OsStr::from_bytes(aside))).to_owned());
            if let Err(why) = self.move_aside(path, aside.as_deref()) {
                missing.push(format!("keys in {} still count: {why}", path.display()));
            }
        }
        missing
    }

    /// Where keys still count that could be set aside.
    pub(super) fn still_there(&self) -> Vec<PathBuf> {
        let movable = self.paths.iter().filter(|path| !self.shared.contains(path));
        let there = movable.filter(|path| self.is_present(path));
        there.cloned().collect()
    }

    /// Puts back what was recorded, where nothing new stands.
    pub(super) fn put_back(&self, recorded: &[KeyFile]) -> Vec<String> {
        let mut missing = Vec::new();
        for KeyFile { path, aside } in recorded {
            let path = Path::new(OsStr::from_bytes(path.as_bytes()));
            let aside = Path::new(OsStr::from_bytes(aside.as_bytes()));
            let back = self.open(path).and_then(|directory| {
                let directory = directory.ok_or("its directory is gone")?;
                match rename(&directory, name(aside), name(path)) {
                    Err(Errno::EXIST) => Err("other keys stand there now".to_owned()),
                    // As it is after an undoing that was interrupted.
                    Err(Errno::NOENT) if is_there(&directory, name(path)) => Ok(()),
                    outcome => outcome.map_err(|error| error.to_string()),
                }
            });
            if let Err(why) = back {
                let (path, aside) = (path.display(), aside.display());
                missing.push(format!("{path} is not back from {aside}: {why}"));
            }
        }
        missing
    }

    fn told_shared(&self) -> Vec<String> {
        let tree = Tree::new(self.root);
        let there = self.shared.iter().filter(|path| tree.metadata(path).is_some());
        let told = |path: &PathBuf| {
            format!("keys in {} are other accounts' too and stay there", path.display())
        };
        there.map(told).collect()
    }

    fn move_aside(&self, path: &Path, aside: Option<&OsStr>) -> Result<(), String> {
        let Some(directory) = self.open(path)? else { return Ok(()) };
        let name = name(path);
        if !is_there(&directory, name) {
            return Ok(());
        }
        let recorded = aside.map(|aside| rename(&directory, name, aside));
        match recorded {
            Some(Ok(())) => return Ok(()),
            None | Some(Err(Errno::EXIST)) => {}
            Some(Err(error)) => return Err(error.to_string()),
        }
        let aside = free_name(&directory, name).ok_or("too many were set aside before")?;
        rename(&directory, name, &aside).map_err(|error| error.to_string())
    }

    /// The directory of a file, if it is one that may be changed for this account; none if there is
    /// no such directory, so that there are no keys either.
    fn open(&self, path: &Path) -> Result<Option<File>, String> {
        let parent = path.parent().ok_or("it has no directory")?;
        let inside = parent.strip_prefix("/").map_err(|error| error.to_string())?;
        let inside = if inside.as_os_str().is_empty() { Path::new(".") } else { inside };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = File::open(self.root).map_err(|error| error.to_string())?;
        let open = |resolve: ResolveFlags| match rustix::fs::openat2(
            &root,
            inside,
            flags,
            Mode::empty(),
            resolve,
        ) {
            Ok(directory) => Ok(Some(File::from(directory))),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(error.to_string()),
        };
        // What an administrator's settings name elsewhere is as sshd finds it.
        if !path.starts_with(&self.home.path) {
            return open(ResolveFlags::IN_ROOT);
        }
        if let Ok(directory) = open(ResolveFlags::IN_ROOT | ResolveFlags::NO_SYMLINKS) {
            return Ok(directory);
        }
        let Some(directory) = open(ResolveFlags::IN_ROOT)? else { return Ok(None) };
        let stat = rustix::fs::fstat(&directory).map_err(|error| error.to_string())?;
        if stat.st_uid == self.home.uid || !is_there(&directory, name(path)) {
            return Ok(Some(directory));
        }
        Err("it is reached by a link into a directory that is not the account's".to_owned())
    }

    fn is_present(&self, path: &Path) -> bool {
        let opened = self.open(path);
        opened.is_ok_and(|found| found.is_some_and(|directory| is_there(&directory, name(path))))
    }
}

fn name(path: &Path) -> &OsStr {
    path.file_name().unwrap_or_default()
}

fn is_there(directory: &File, name: &OsStr) -> bool {
    rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).is_ok()
}

fn free_name(directory: &File, name: &OsStr) -> Option<PathBuf> {
    let candidate = |number: usize| {
        let number = if number == 0 { String::new() } else { format!("-{number}") };
        PathBuf::from(OsStr::from_bytes(
            &[name.as_bytes(), ASIDE.as_bytes(), number.as_bytes()].concat(),
        ))
    };
    (0..ASIDE_MAX).map(candidate).find(|path| !is_there(directory, path.as_os_str()))
}

/// Never over something that is there.
fn rename(directory: &File, from: impl AsRef<Path>, to: impl AsRef<Path>) -> Result<(), Errno> {
    let (from, to) = (from.as_ref(), to.as_ref());
    match rustix::fs::renameat_with(directory, from, directory, to, RenameFlags::NOREPLACE) {
        // File systems that do not know it.
        Err(Errno::INVAL) if is_there(directory, to.as_os_str()) => Err(Errno::EXIST),
        Err(Errno::INVAL) => rustix::fs::renameat(directory, from, directory, to),
        outcome => outcome,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::testing;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\neve:x:1000:1000::/home/eve:/bin/sh\n";

    fn home(root: &Path) -> Home {
        let path = root.join("home/eve");
        std::fs::create_dir_all(&path).unwrap();
        let uid = std::os::unix::fs::MetadataExt::uid(&std::fs::metadata(path).unwrap());
        Home { owner: "eve".into(), uid, path: "/home/eve".into() }
    }

    fn read(root: &Path, path: &str) -> Option<String> {
        std::fs::read_to_string(root.join(path)).ok()
    }

    #[test]
    fn keys_are_set_aside_and_put_back() {
        let root = testing::tree(&[
            ("etc/passwd", PASSWD),
            ("etc/ssh/sshd_config", "AuthorizedKeysFile .ssh/authorized_keys /etc/keys/%u\n"),
            ("home/eve/.ssh/authorized_keys", "k1"),
            ("home/eve/.ssh/authorized_keys2", "k2"),
            ("etc/keys/eve", "k3"),
            ("etc/keys/root", "k4"),
        ]);
        let root = root.path();
        let places = Places::of(root, home(root));
        let recorded = places.present();
        assert_eq!(recorded.len(), 3);
        for _again in 0..2 {
            assert!(places.set_aside(&recorded).is_empty());
            assert!(places.still_there().is_empty());
        }
        assert_eq!(read(root, "etc/keys/eve.cordon-locked").unwrap(), "k3");
        assert_eq!(read(root, "etc/keys/root").unwrap(), "k4");
        for _again in 0..2 {
            assert!(places.put_back(&recorded).is_empty());
            assert_eq!(read(root, "home/eve/.ssh/authorized_keys").unwrap(), "k1");
        }
        assert_eq!(places.present(), recorded);
    }

    #[test]
    fn keys_that_came_meanwhile_are_set_aside_too_and_do_not_come_back() {
        let root =
            testing::tree(&[("etc/passwd", PASSWD), ("home/eve/.ssh/authorized_keys", "old")]);
        let root = root.path();
        let places = Places::of(root, home(root));
        let recorded = places.present();
        places.set_aside(&recorded);
        std::fs::write(root.join("home/eve/.ssh/authorized_keys"), "new").unwrap();
        assert_eq!(places.still_there(), [Path::new("/home/eve/.ssh/authorized_keys")]);
        assert!(places.set_aside(&recorded).is_empty());
        assert_eq!(read(root, "home/eve/.ssh/authorized_keys.cordon-locked-1").unwrap(), "new");
        assert!(places.put_back(&recorded).is_empty());
        assert_eq!(read(root, "home/eve/.ssh/authorized_keys").unwrap(), "old");
    }

    #[test]
    fn what_stands_there_when_they_come_back_is_not_overwritten() {
        let root =
            testing::tree(&[("etc/passwd", PASSWD), ("home/eve/.ssh/authorized_keys", "old")]);
        let root = root.path();
        let places = Places::of(root, home(root));
        let recorded = places.present();
        places.set_aside(&recorded);
        std::fs::write(root.join("home/eve/.ssh/authorized_keys"), "new").unwrap();
        let missing = places.put_back(&recorded);
        assert!(missing[0].contains("other keys stand there now"), "{missing:?}");
        assert_eq!(read(root, "home/eve/.ssh/authorized_keys").unwrap(), "new");
        assert_eq!(read(root, "home/eve/.ssh/authorized_keys.cordon-locked").unwrap(), "old");
    }

    #[test]
    fn a_link_does_not_lead_to_the_keys_of_others() {
        let root = testing::tree(&[
            ("etc/passwd", PASSWD),
            ("root/.ssh/authorized_keys", "root's"),
            ("home/eve/.ssh", ">/root/.ssh"),
        ]);
        let root = root.path();
        // The files are the test's; the account is somebody else.
        let home = Home { uid: home(root).uid + 1, ..home(root) };
        let places = Places::of(root, home);
        assert!(places.present().is_empty());
        let missing = places.set_aside(&[]);
        assert!(missing.iter().all(|why| why.contains("reached by a link")), "{missing:?}");
        assert_eq!(missing.len(), 1);
        assert_eq!(read(root, "root/.ssh/authorized_keys").unwrap(), "root's");
    }

    #[test]
    fn a_file_of_all_accounts_is_left_and_told() {
        let root = testing::tree(&[
            ("etc/passwd", PASSWD),
            ("etc/ssh/sshd_config", "AuthorizedKeysFile /etc/keys/all\n"),
            ("etc/keys/all", "k"),
        ]);
        let places = Places::of(root.path(), home(root.path()));
        assert!(places.present().is_empty());
        assert!(places.set_aside(&[])[0].contains("other accounts' too"));
        assert_eq!(read(root.path(), "etc/keys/all").unwrap(), "k");
    }
}
