//! Every combination of what a file can carry: put back bit for bit, or refused with a reason.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use cordon_agent::action::deed::Seen;

use crate::platform::{self, Snapshot};
use crate::scene::{FileSystem, Scene, names_in, quarantine, refused, whole};

/// How many ways there are for each: content, use, owner, mode, times, attributes, ACL,
/// capabilities, hard links, flags.
const FILE_WAYS: [usize; 10] = [2, 3, 2, 2, 2, 2, 2, 2, 3, 3];

/// Of a symbolic link: owner, times, attributes, hard links.
const LINK_WAYS: [usize; 4] = [2, 2, 2, 3];

const ELSEWHERE: usize = 2;

/// What a combination came to.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
enum Outcome {
    Restored,
    Refused,
    /// There is no such file on this file system, or at all.
    Impossible,
}

/// Takes and puts back all that can be made on a file system.
pub(crate) fn all(file_system: FileSystem) {
    let scene = Scene::new(file_system);
    let mut counts = BTreeMap::<(&str, Outcome), usize>::new();
    for ways in combinations(&FILE_WAYS).into_iter().filter(|ways| is_tried(file_system, ways)) {
        *counts.entry(("files", file(&scene, &ways))).or_default() += 1;
    }
    for ways in combinations(&LINK_WAYS) {
        *counts.entry(("links", link(&scene, &ways))).or_default() += 1;
    }
    crate::say(&format!("{file_system:?}: {counts:?}"));
    let of = |outcome| counts.get(&("files", outcome)).copied().unwrap_or(0);
    let (restored, refused) = (of(Outcome::Restored), of(Outcome::Refused));
    assert!(restored > 100 && restored == 2 * refused, "{counts:?}");
    // What is in memory has flags and all attributes since Linux 6.6 only.
    let whole = of(Outcome::Impossible) == 0 && restored > 700;
    assert!(whole || file_system == FileSystem::Memory, "{counts:?}");
}

/// Who uses a file depends neither on where it is nor on each of its attributes: in use, it is tried
/// with all of them and with none, on one file system.
fn is_tried(file_system: FileSystem, ways: &[usize]) -> bool {
    let (used, carried) = (ways[1], &ways[2..8]);
    let alike = carried.iter().all(|way| *way == carried[0]);
    used == 0 || (file_system == FileSystem::Ext4 && alike)
}

/// Every choice of one way each.
fn combinations(ways: &[usize]) -> Vec<Vec<usize>> {
    ways.iter().fold(vec![Vec::new()], |all, count| {
        let extended = |one: &Vec<usize>| {
            let one = one.clone();
            (0..*count).map(move |way| [one.as_slice(), &[way]].concat())
        };
        all.iter().flat_map(extended).collect()
    })
}

fn file(scene: &Scene, ways: &[usize]) -> Outcome {
    let [content, used, owner, mode, times, xattr, acl, capability, links, flags] =
        ways.try_into().unwrap();
    let path = scene.path("there");
    let in_use = make(&path, content, used);
    std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
    own(&path, owner);
    let set = |name: &str, value: &[u8]| platform::set_xattr(&path, name, value);
    let mut possible = true;
    if xattr == 1 {
        possible &= set("user.origin", &[7; 1000]) && set("trusted.mark", b"t");
    }
    if acl == 1 {
        possible &= set("system.posix_acl_access", &ACL);
    }
    let mode = [0o6751, 0][mode];
    std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
    if capability == 1 {
        possible &= set("security.capability", &CAP_NET_RAW);
    }
    platform::set_times(&path, [1_111_111_111, -1000][times], 123_456_789);
    let others = link_more(scene, &path, links);
    if flags > 0 {
        possible &= platform::set_closed(&path, flags == 1, flags == 2);
    }
    let outcome =
        if possible { there_and_back(scene, &path, links, &in_use) } else { Outcome::Impossible };
    if path.exists() {
        platform::set_closed(&path, false, false);
    }
    drop(in_use);
    for gone in others.iter().chain([&path]) {
        std::fs::remove_file(gone).unwrap();
    }
    outcome
}

fn link(scene: &Scene, ways: &[usize]) -> Outcome {
    let [owner, times, xattr, links] = ways.try_into().unwrap();
    let path = scene.path("there");
    symlink("/etc/passwd", &path).unwrap();
    own(&path, owner);
    let possible = xattr == 0 || platform::set_xattr(&path, "trusted.mark", b"t");
    platform::set_times(&path, [1_111_111_111, -1000][times], 123_456_789);
    let others = link_more(scene, &path, links);
    let outcome = there_and_back(scene, &path, links, &Use::None);
    for gone in others.iter().chain([&path]) {
        std::fs::remove_file(gone).unwrap();
    }
    if possible { outcome } else { Outcome::Impossible }
}

fn there_and_back(scene: &Scene, path: &Path, links: usize, in_use: &Use) -> Outcome {
    let runs = matches!(in_use, Use::Runs(_));
    // The kernel goes on reading a program that runs, and moves its access time.
    let seen = || if runs { Snapshot::of(path).without_access_time() } else { Snapshot::of(path) };
    let (action, was) = (quarantine(path, None), seen());
    if links == ELSEWHERE {
        refused(scene.prepare(&action), "only 1 of them");
        assert_eq!(seen(), was);
        return Outcome::Refused;
    }
    let before = scene.prepare(&action).unwrap();
    let taken = whole(scene.apply(&action, &before));
    assert_eq!(names_in(&scene.files), ["lost+found", "tmp"], "{was:?}");
    in_use.is_told(&taken);
    assert!(matches!(scene.look(&action, &before), Seen::Holds(_)));
    whole(scene.undo(&action, &before));
    assert_eq!(seen(), was);
    assert_eq!(scene.vault(), [""; 0]);
    Outcome::Restored
}

/// Who uses the file while it is taken.
enum Use {
    None,
    Runs(Child),
    Writes { _file: File },
}

impl Use {
    #[track_caller]
    fn is_told(&self, done: &cordon_agent::action::deed::Done) {
        let told = |what: &str, pid: u32| {
            let pid = format!("pid {pid};");
            done.probes.iter().any(|probe| probe.what.contains(what) && probe.seen.contains(&pid))
        };
        match self {
            Self::None => assert_eq!(done.probes.len(), 2, "{done:?}"),
            Self::Runs(child) => assert!(told("run it", child.id()), "{done:?}"),
            Self::Writes { .. } => assert!(told("writing", std::process::id()), "{done:?}"),
        }
    }
}

impl Drop for Use {
    fn drop(&mut self) {
        if let Self::Runs(child) = self {
            child.kill().and_then(|()| child.wait()).unwrap();
        }
    }
}

/// Makes a file of dense or sparse content, in use or not.
fn make(path: &Path, content: usize, used: usize) -> Use {
    let runs = used == 1;
    let program = std::fs::read("/bin/sleep").unwrap();
    let file = OpenOptions::new().write(true).create_new(true).open(path).unwrap();
    file.write_all_at(if runs { &program } else { b"#!/bin/false\n" }, 0).unwrap();
    if content == 1 {
        file.write_all_at(&[5; 70_000], 1 << 20).unwrap();
        file.set_len(3 << 20).unwrap();
    }
    file.sync_all().unwrap();
    match used {
        0 => Use::None,
        1 => {
            drop(file);
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).unwrap();
            let child = Command::new(path).arg("1000").stdin(Stdio::null()).spawn().unwrap();
            Use::Runs(child)
        }
        _ => Use::Writes { _file: file },
    }
}

fn own(path: &Path, way: usize) {
    let (user, group) = [(0, 0), (1234, 5678)][way];
    std::os::unix::fs::lchown(path, Some(user), Some(group)).unwrap();
}

fn link_more(scene: &Scene, path: &Path, way: usize) -> Vec<std::path::PathBuf> {
    let others = match way {
        0 => Vec::new(),
        1 => vec![scene.path("as well")],
        _ => vec![scene.path("tmp/elsewhere")],
    };
    for other in &others {
        std::fs::hard_link(path, other).unwrap();
    }
    others
}

/// Version 2: owner rw, user 1234 r, group r, mask rw, others nothing.
const ACL: [u8; 44] = [
    2, 0, 0, 0, //
    1, 0, 6, 0, 255, 255, 255, 255, //
    2, 0, 4, 0, 210, 4, 0, 0, //
    4, 0, 4, 0, 255, 255, 255, 255, //
    16, 0, 6, 0, 255, 255, 255, 255, //
    32, 0, 0, 0, 255, 255, 255, 255,
];

/// Version 2: `cap_net_raw`, permitted and effective.
const CAP_NET_RAW: [u8; 20] = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
