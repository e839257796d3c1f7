//! What is not taken, and what happens when a file is exchanged, written to or comes again.

use std::cell::Cell;
use std::os::unix::fs::symlink;

use cordon_agent::action::deed::{Deed, Hand, NotDone, Seen, Tools};
use cordon_agent::action::quarantine::{Stage, Taking};
use cordon_proto::command::Action;
use cordon_proto::id::Hash;
use rustix::fs::FileType;
use rustix::mount::{MountFlags, mount, mount_bind, mount_remount};

use crate::platform::{self, Snapshot};
use crate::scene::{FileSystem, Scene, names_in, quarantine, refused, whole};

pub(crate) fn of_what_is_no_file() {
    let scene = Scene::new(FileSystem::Ext4);
    let no = |name: &str, reason: &str| {
        refused(scene.prepare(&quarantine(&scene.path(name), None)), reason);
    };
    std::fs::create_dir(scene.path("dir")).unwrap();
    no("dir", "is a directory");
    platform::make_special(&scene.path("pipe"), FileType::Fifo);
    no("pipe", "is a pipe");
    platform::make_special(&scene.path("device"), FileType::CharacterDevice);
    no("device", "is a character device");
    platform::make_special(&scene.path("socket"), FileType::Socket);
    no("socket", "is a socket");
    std::fs::write(scene.path("file"), "x").unwrap();
    symlink(scene.path("tmp"), scene.path("way")).unwrap();
    std::fs::write(scene.path("tmp/file"), "x").unwrap();
    no("way/file", &format!("it leads to {}", scene.path("tmp").display()));
    mount_bind(scene.path("tmp/file"), scene.path("file")).unwrap();
    no("file", "is mounted there");
    let missing = scene.prepare(&quarantine(&scene.path("missing"), None));
    assert!(matches!(missing, Err(NotDone::Failed(_))), "{missing:?}");
    let kernels = quarantine(std::path::Path::new("/proc/version"), None);
    refused(scene.prepare(&kernels), "made up by the kernel");
    platform::set_closed(&scene.path("tmp"), true, false);
    no("tmp/file", "in a directory that is marked immutable");
    platform::set_closed(&scene.path("tmp"), false, false);
    mount_remount(&scene.files, MountFlags::RDONLY, c"").unwrap();
    no("tmp/file", "is read-only");
}

pub(crate) fn of_what_is_protected() {
    let scene = Scene::new(FileSystem::Memory);
    for path in ["/etc/passwd", "/etc/shadow", "/etc/pam.d/login", "/usr/bin/dpkg", "/usr/bin/bash"]
    {
        let path = std::path::Path::new(path);
        if path.exists() {
            refused(scene.prepare(&quarantine(path, None)), "is protected");
        }
    }
    // The vault and its key are made with the first file that is looked at.
    std::fs::write(scene.path("harmless"), "").unwrap();
    scene.prepare(&quarantine(&scene.path("harmless"), None)).unwrap();
    let vault = scene.state.join("vault");
    refused(scene.prepare(&quarantine(&vault.join("key"), None)), "the agent's own");
    std::fs::create_dir(scene.path("vault")).unwrap();
    mount_bind(&vault, scene.path("vault")).unwrap();
    refused(scene.prepare(&quarantine(&scene.path("vault/key"), None)), "the agent's own");
}

pub(crate) fn in_a_lab() {
    let scene = Scene::new(FileSystem::Memory);
    let hand = Hand::new(Tools::new(scene.hand.tools.dir.clone(), true));
    std::fs::write(scene.path("there"), "x").unwrap();
    let action = quarantine(&scene.path("there"), None);
    refused(hand.deed(&action).unwrap().prepare(), "not the lab's");
    let own = scene.state.parent().unwrap().join("there");
    std::fs::write(&own, "x").unwrap();
    hand.deed(&quarantine(&own, None)).unwrap().prepare().unwrap();
}

pub(crate) fn of_another_content() {
    let scene = Scene::new(FileSystem::Memory);
    let path = scene.path("there");
    std::fs::write(&path, "harmless").unwrap();
    let was = Snapshot::of(&path);
    let action = quarantine(&path, Some(Hash::of(b"evil")));
    let before = scene.prepare(&action).unwrap();
    refused(scene.apply(&action, &before), &Hash::of(b"harmless").to_string());
    assert_eq!((Snapshot::of(&path), scene.vault()), (was, Vec::new()));
    let action = quarantine(&path, Some(Hash::of(b"harmless")));
    whole(scene.apply(&action, &before));
}

/// At every moment of being taken it is exchanged for another: the other stays.
pub(crate) fn exchanged() {
    let scene = Scene::new(FileSystem::Ext4);
    let path = scene.path("there");
    for at in [Stage::CopyBegun, Stage::CopyFinished, Stage::CopyKept, Stage::Opened] {
        std::fs::write(&path, "evil").unwrap();
        platform::set_closed(&path, at == Stage::Opened, false);
        std::fs::write(scene.path("other"), "harmless").unwrap();
        let (action, met) = (quarantine(&path, None), Cell::new(false));
        let exchange = |stage: Stage| {
            if stage == at && !met.replace(true) {
                platform::set_closed(&path, false, false);
                std::fs::rename(scene.path("other"), &path).unwrap();
            }
        };
        let Action::Quarantine(asked) = &action else { unreachable!() };
        let taking = Taking::told(&scene.hand.tools, asked, &exchange);
        let before = taking.prepare().unwrap();
        let outcome = taking.apply(&before);
        assert!(met.get(), "{at:?} was not met");
        assert!(matches!(outcome, Err(NotDone::Failed(_))), "{at:?}: {outcome:?}");
        assert_eq!(std::fs::read(&path).unwrap(), b"harmless", "{at:?}");
        assert_eq!(names_in(&scene.files), ["lost+found", "there", "tmp"]);
        assert_eq!(scene.vault(), [""; 0]);
    }
}

/// What is written while it is copied is in the copy, or it is not taken.
pub(crate) fn written_to() {
    let scene = Scene::new(FileSystem::Ext4);
    let path = scene.path("there");
    for (times, taken) in [(1, true), (100, false)] {
        std::fs::write(&path, "one").unwrap();
        let (action, met) = (quarantine(&path, None), Cell::new(0));
        let write = |stage: Stage| {
            if stage == Stage::CopyFinished && met.get() < times {
                met.set(met.get() + 1);
                std::fs::write(&path, format!("version {}", met.get())).unwrap();
            }
        };
        let Action::Quarantine(asked) = &action else { unreachable!() };
        let taking = Taking::told(&scene.hand.tools, asked, &write);
        let before = taking.prepare().unwrap();
        let outcome = taking.apply(&before);
        assert_eq!(outcome.is_ok(), taken, "{outcome:?}");
        if taken {
            whole(taking.undo(&before));
        }
        assert_eq!(std::fs::read_to_string(&path).unwrap(), format!("version {}", met.get()));
        assert_eq!((scene.vault(), path.exists()), (Vec::new(), true));
    }
}

/// The same content again is taken again; another is told and left; neither is overwritten.
pub(crate) fn comes_again() {
    let scene = Scene::new(FileSystem::Ext4);
    let path = scene.path("there");
    std::fs::write(&path, "evil").unwrap();
    let was = Snapshot::of(&path);
    let action = quarantine(&path, None);
    let before = scene.prepare(&action).unwrap();
    whole(scene.apply(&action, &before));
    std::fs::write(&path, "evil").unwrap();
    assert!(matches!(scene.look(&action, &before), Seen::Drifted(why) if why.contains("again")));
    whole(scene.apply(&action, &before));
    assert!(!path.exists());
    std::fs::write(&path, "good").unwrap();
    let Seen::Holds(probes) = scene.look(&action, &before) else { panic!("it does not hold") };
    let told = Hash::of(b"good").to_string();
    assert!(probes.iter().any(|probe| !probe.passed && probe.seen.contains(&told)), "{probes:?}");
    scene.apply(&action, &before).unwrap();
    let undone = scene.undo(&action, &before);
    assert!(matches!(&undone, Err(NotDone::Failed(why)) if why.contains("something is at")));
    assert_eq!(std::fs::read(&path).unwrap(), b"good");
    std::fs::remove_file(&path).unwrap();
    whole(scene.undo(&action, &before));
    assert_eq!(Snapshot::of(&path), was);
}

/// What stands in the way of putting it back is said, and when it is gone it is put back.
pub(crate) fn put_back_later() {
    let scene = Scene::new(FileSystem::Ext4);
    let (dir, path) = (scene.path("dir"), scene.path("dir/there"));
    std::fs::create_dir(&dir).unwrap();
    std::fs::write(&path, vec![1; 100_000]).unwrap();
    let was = Snapshot::of(&path);
    let action = quarantine(&path, None);
    let before = scene.prepare(&action).unwrap();
    whole(scene.apply(&action, &before));
    std::fs::remove_dir(&dir).unwrap();
    assert!(matches!(scene.look(&action, &before), Seen::Holds(_)));
    let undone = scene.undo(&action, &before);
    assert!(matches!(&undone, Err(NotDone::Failed(why)) if why.contains("make it again")));
    std::fs::create_dir(&dir).unwrap();
    // A damaged copy is never put back.
    let copy = scene.state.join("vault").join(&scene.vault()[0]);
    let whole_copy = std::fs::read(&copy).unwrap();
    let mut damaged = whole_copy.clone();
    damaged[50_000] ^= 1;
    std::fs::write(&copy, damaged).unwrap();
    let undone = scene.undo(&action, &before);
    assert!(matches!(&undone, Err(NotDone::Failed(why)) if why.contains("damaged")), "{undone:?}");
    assert_eq!(names_in(&dir), [""; 0]);
    std::fs::write(&copy, whole_copy).unwrap();
    whole(scene.undo(&action, &before));
    assert_eq!(Snapshot::of(&path), was);
}

/// A file of 10 GiB that is nearly all hole costs neither the memory nor the disk of 10 GiB; one
/// that the vault has no room for is not begun.
pub(crate) fn of_great_length() {
    let scene = Scene::new(FileSystem::Ext4);
    let path = scene.path("there");
    let file = std::fs::File::create(&path).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, &[9; 1 << 20], 5 << 30).unwrap();
    file.set_len(10 << 30).unwrap();
    file.sync_all().unwrap();
    let was = Snapshot::of(&path);
    let action = quarantine(&path, None);
    // What the tests before this one took does not count.
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
    let memory_kib = peak_kib();
    let before = scene.prepare(&action).unwrap();
    whole(scene.apply(&action, &before));
    let copy = scene.state.join("vault").join(&scene.vault()[0]);
    assert!(std::fs::metadata(copy).unwrap().len() < 2 << 20);
    whole(scene.undo(&action, &before));
    let grown_kib = peak_kib() - memory_kib;
    crate::say(&format!("10 GiB there and back: the peak of memory grew by {grown_kib} KiB"));
    assert!(grown_kib < 4096, "{grown_kib} KiB");
    assert_eq!(Snapshot::of(&path), was);
    std::fs::remove_file(&path).unwrap();
    std::fs::create_dir(scene.path("narrow")).unwrap();
    let flags = MountFlags::empty();
    mount("narrow", scene.state.join("vault"), "tmpfs", flags, c"size=100m,mode=700").unwrap();
    std::fs::write(&path, "x").unwrap();
    let outcome = scene.prepare(&action);
    assert!(matches!(&outcome, Err(NotDone::Failed(why)) if why.contains("MiB free")));
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
