//! What is never taken, because the machine would not start, or nobody could log in or reach it
//! afterwards.
//!
//! A file is known by what it is (device and inode) and not by its path, so that a bind mount or
//! another name is no way round. Kernel modules, sshd and what administrators put under /etc are
//! not on the list: they are where intruders settle.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::action::deed::Tools;
use crate::platform::linux::place::{self, Inode, Place};

/// How far a rule goes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Reach {
    /// This file, and every link on the way to it.
    This,
    /// What is directly in this directory.
    In,
    /// Everything below this directory.
    Below,
}

const TOGETHER: &str = "it leads to what holds the system together";
const STARTS: &str = "the machine does not start without it";
const RUNS: &str = "no program runs without it";
const LOGS_IN: &str = "nobody can log in without it";
const REPAIRS: &str = "the system cannot be repaired without it";
const OURS: &str = "it is the agent's own";

/// The list. Where a path is not there, its rule says nothing.
const RULES: &[(Reach, &str, &str)] = &[
    (Reach::This, "/bin", TOGETHER),
    (Reach::This, "/sbin", TOGETHER),
    (Reach::This, "/lib", TOGETHER),
    (Reach::This, "/lib32", TOGETHER),
    (Reach::This, "/lib64", TOGETHER),
    (Reach::This, "/libx32", TOGETHER),
    (Reach::This, "/etc", TOGETHER),
    (Reach::This, "/usr", TOGETHER),
    (Reach::This, "/var", TOGETHER),
    (Reach::This, "/home", TOGETHER),
    (Reach::This, "/root", TOGETHER),
    (Reach::This, "/vmlinuz", STARTS),
    (Reach::This, "/initrd.img", STARTS),
    (Reach::Below, "/boot", STARTS),
    (Reach::Below, "/efi", STARTS),
    (Reach::This, "/sbin/init", STARTS),
    (Reach::This, "/init", STARTS),
    (Reach::In, "/usr/lib/systemd", STARTS),
    (Reach::In, "/lib/systemd", STARTS),
    (Reach::This, "/etc/fstab", STARTS),
    (Reach::This, "/etc/crypttab", STARTS),
    (Reach::This, "/usr/bin/mount", STARTS),
    (Reach::This, "/usr/bin/busybox", RUNS),
    (Reach::This, "/bin/busybox", RUNS),
    (Reach::This, "/bin/sh", RUNS),
    (Reach::This, "/bin/bash", RUNS),
    (Reach::This, "/usr/bin/sh", RUNS),
    (Reach::This, "/usr/bin/bash", RUNS),
    (Reach::This, "/usr/bin/dash", RUNS),
    (Reach::This, "/etc/ld.so.cache", RUNS),
    (Reach::This, "/etc/ld.so.conf", RUNS),
    (Reach::This, "/etc/passwd", LOGS_IN),
    (Reach::This, "/etc/shadow", LOGS_IN),
    (Reach::This, "/etc/group", LOGS_IN),
    (Reach::This, "/etc/gshadow", LOGS_IN),
    (Reach::This, "/etc/nsswitch.conf", LOGS_IN),
    (Reach::This, "/etc/login.defs", LOGS_IN),
    (Reach::This, "/etc/pam.conf", LOGS_IN),
    (Reach::This, "/etc/sudoers", LOGS_IN),
    (Reach::Below, "/etc/pam.d", LOGS_IN),
    (Reach::Below, "/etc/security", LOGS_IN),
    (Reach::This, "/usr/bin/login", LOGS_IN),
    (Reach::This, "/bin/login", LOGS_IN),
    (Reach::This, "/usr/bin/su", LOGS_IN),
    (Reach::This, "/usr/bin/sudo", LOGS_IN),
    (Reach::This, "/sbin/agetty", LOGS_IN),
    (Reach::This, "/usr/bin/dpkg", REPAIRS),
    (Reach::This, "/usr/bin/apt-get", REPAIRS),
    (Reach::This, "/usr/bin/rpm", REPAIRS),
    (Reach::This, "/usr/bin/dnf", REPAIRS),
    (Reach::This, "/usr/bin/zypper", REPAIRS),
    (Reach::This, "/usr/bin/pacman", REPAIRS),
    (Reach::This, "/sbin/apk", REPAIRS),
    (Reach::In, "/var/lib/dpkg", REPAIRS),
    (Reach::In, "/var/lib/rpm", REPAIRS),
    (Reach::In, "/usr/lib/sysimage/rpm", REPAIRS),
    (Reach::Below, "/etc/cordon", OURS),
    (Reach::Below, "/run/cordon-agent", OURS),
    (Reach::This, "/usr/bin/cordon-agent", OURS),
    (Reach::This, "/usr/bin/cordon-supervisor", OURS),
    (Reach::This, "/proc/self/exe", OURS),
];

/// Where libraries are.
const LIBRARY_DIRS: [&str; 10] = [
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/lib/x86_64-linux-gnu",
    "/lib/aarch64-linux-gnu",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/usr/local/lib",
    "/lib32",
];

/// The loaders, and libraries that every program, or every login, needs.
const LIBRARIES: [&str; 16] = [
    "ld-linux-x86-64.so.2",
    "ld-linux-aarch64.so.1",
    "ld-linux.so.2",
    "ld-musl-x86_64.so.1",
    "ld-musl-aarch64.so.1",
    "libc.musl-x86_64.so.1",
    "libc.so.6",
    "libm.so.6",
    "libpthread.so.0",
    "libdl.so.2",
    "libselinux.so.1",
    "libcrypt.so.1",
    "libpam.so.0",
    "libpam_misc.so.0",
    "libaudit.so.1",
    "libcap-ng.so.0",
];

/// Directories below a protected one that are known; a deeper tree is protected as far as that.
const DIRECTORIES_MAX: usize = 2048;

/// Links followed on the way to a file, as many as the kernel follows.
const HOPS_MAX: usize = 40;

/// Why a file in this directory must not be taken; none where it may.
pub(super) fn why(tools: &Tools, place: &Place, file: Inode) -> Option<String> {
    let Ok(parent) = place.facts().map(|facts| facts.inode) else {
        return Some("its directory cannot be looked at".to_owned());
    };
    let Ok(above) = directories_above(place) else {
        return Some("the directories above it cannot be looked at".to_owned());
    };
    let below = |directory: &Path| {
        let inside = directories_below(directory);
        above.iter().any(|one| inside.contains(one))
    };
    let rule = RULES.iter().find(|(reach, path, _)| match reach {
        Reach::This => way_to(Path::new(path)).contains(&file),
        Reach::In => place::facts_at(Path::new(path)).is_some_and(|dir| dir.inode == parent),
        Reach::Below => below(Path::new(path)),
    });
    if let Some((_, path, why)) = rule {
        return Some(format!("{why} ({path})"));
    }
    if below(&tools.dir.path("")) {
        return Some(format!("{OURS} (its state)"));
    }
    if let Some(path) = libraries().find(|path| way_to(path).contains(&file)) {
        return Some(format!("{RUNS} ({})", path.display()));
    }
    if pam_modules().any(|dir| place::facts_at(&dir).is_some_and(|dir| dir.inode == parent)) {
        return Some(format!("{LOGS_IN} (a module of PAM)"));
    }
    let passwd = std::fs::read("/etc/passwd").unwrap_or_default();
    if let Some(shell) = shells(&passwd).into_iter().find(|shell| way_to(shell).contains(&file)) {
        return Some(format!("{LOGS_IN} ({}, root's shell)", shell.display()));
    }
    mapped(file)
}

/// A file that the first process, or the agent, has in memory.
fn mapped(file: Inode) -> Option<String> {
    let has = |process: &str| {
        let maps = std::fs::read_to_string(format!("{process}/maps")).unwrap_or_default();
        let paths: BTreeSet<_> =
            maps.lines().filter_map(|line| line.find('/').and_then(|at| line.get(at..))).collect();
        paths.iter().any(|path| {
            let seen = place::facts_at(Path::new(&format!("{process}/root{path}")));
            seen.is_some_and(|seen| seen.inode == file)
        })
    };
    if has("/proc/1") {
        return Some(format!("{STARTS} (the first process runs from it)"));
    }
    has("/proc/self").then(|| format!("{OURS} (it runs from it)"))
}

/// Every file and link on the way that a path leads.
fn way_to(path: &Path) -> BTreeSet<Inode> {
    let mut way: BTreeSet<_> = place::facts_at(path).map(|facts| facts.inode).into_iter().collect();
    let mut path = path.to_owned();
    for _ in 0..HOPS_MAX {
        let Some(link) = place::facts_of_link(&path) else { break };
        way.insert(link.inode);
        let Ok(target) = std::fs::read_link(&path) else { break };
        // An absolute target takes the place of all before it.
        path = path.parent().unwrap_or(Path::new("/")).join(target);
    }
    way
}

fn libraries() -> impl Iterator<Item = PathBuf> {
    let name = |dir: &'static str| LIBRARIES.iter().map(move |name| Path::new(dir).join(name));
    LIBRARY_DIRS.into_iter().flat_map(name)
}

fn pam_modules() -> impl Iterator<Item = PathBuf> {
    LIBRARY_DIRS.into_iter().map(|dir| Path::new(dir).join("security"))
}

/// The shells of all who are root.
fn shells(passwd: &[u8]) -> BTreeSet<PathBuf> {
    let shell = |line: &str| {
        let mut fields = line.split(':');
        let (uid, shell) = (fields.nth(2)?, fields.nth(3)?);
        (uid == "0" && shell.starts_with('/')).then(|| PathBuf::from(shell))
    };
    String::from_utf8_lossy(passwd).lines().filter_map(shell).collect()
}

/// A directory and all above it.
fn directories_above(place: &Place) -> std::io::Result<Vec<Inode>> {
    let mut above = vec![place.facts()?.inode];
    let mut at = place.above()?;
    loop {
        let inode = at.facts()?.inode;
        if above.last() == Some(&inode) || above.len() > DIRECTORIES_MAX {
            return Ok(above);
        }
        above.push(inode);
        at = at.above()?;
    }
}

/// A directory and all below it: mounted elsewhere, only that part stands above a file.
fn directories_below(top: &Path) -> BTreeSet<Inode> {
    let mut found = BTreeSet::new();
    let mut waiting = vec![top.to_owned()];
    while let Some(dir) = waiting.pop() {
        let Some(facts) = place::facts_at(&dir) else { continue };
        if found.len() >= DIRECTORIES_MAX || !found.insert(facts.inode) {
            continue;
        }
        let inner = std::fs::read_dir(&dir).into_iter().flatten().flatten();
        let inner = inner.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
        waiting.extend(inner.map(|entry| entry.path()));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::StateDir;

    /// Why what is at a path must not be taken.
    fn judged(path: &Path) -> Option<String> {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temp.path().join("state")).unwrap();
        let tools = Tools::new(dir, false);
        let real = std::fs::canonicalize(path.parent().unwrap()).unwrap();
        let file = place::facts_of_link(path).unwrap().inode;
        why(&tools, &Place::open(&real).unwrap(), file)
    }

    #[track_caller]
    fn check(path: &str, expected: &str) {
        let Ok(real) = std::fs::canonicalize(path) else { return };
        for path in [Path::new(path), &real] {
            let found = judged(path);
            assert!(
                found.as_ref().is_some_and(|why| why.contains(expected)),
                "{path:?}: {found:?}"
            );
        }
    }

    #[test]
    fn what_the_machine_needs_is_protected_under_every_name() {
        check("/bin/sh", "no program runs");
        check("/etc/passwd", "nobody can log in");
        check("/etc/shadow", "nobody can log in");
        check("/lib64/ld-linux-x86-64.so.2", "without it");
        check("/lib/x86_64-linux-gnu/libc.so.6", "without it");
        check("/sbin/init", "does not start");
        check("/usr/bin/dpkg", "repaired");
        check("/proc/self/exe", "the agent's own");
    }

    #[test]
    fn the_links_that_hold_the_root_together_are_protected() {
        for link in ["/bin", "/sbin", "/lib", "/lib64"].map(Path::new) {
            if link.is_symlink() {
                assert!(judged(link).unwrap().contains("together"), "{}", link.display());
            }
        }
    }

    #[test]
    fn the_agents_own_state_is_protected_and_its_neighbour_is_not() {
        let temp = tempfile::tempdir().unwrap();
        let dir = StateDir::open(temp.path().join("state")).unwrap();
        let inner = dir.inner("vault").unwrap();
        inner.write("key", b"secret").unwrap();
        let tools = Tools::new(dir, false);
        let vault = Place::open(&temp.path().join("state/vault")).unwrap();
        let key = place::facts_at(&inner.path("key")).unwrap().inode;
        assert!(why(&tools, &vault, key).unwrap().contains("its state"));
        let beside = temp.path().join("beside");
        std::fs::write(&beside, "x").unwrap();
        let file = place::facts_at(&beside).unwrap().inode;
        assert_eq!(why(&tools, &Place::open(temp.path()).unwrap(), file), None);
    }

    #[test]
    fn the_shells_of_root_are_read_from_the_accounts() {
        let passwd =
            b"root:x:0:0:root:/root:/bin/zsh\ntoor:x:0:0::/:/bin/ksh\nu:x:1:1::/:/bin/fish\nbad\n";
        let found: Vec<_> = shells(passwd).into_iter().collect();
        assert_eq!(found, [Path::new("/bin/ksh"), Path::new("/bin/zsh")]);
    }
}
