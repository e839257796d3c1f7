//! A file system to take files from, another for the agent's state, and the deed between.

use std::path::{Path, PathBuf};
use std::process::Command;

use cordon_agent::action::deed::{Done, Hand, NotDone, Seen, Tools};
use cordon_agent::identity::StateDir;
use cordon_proto::command::{Action, Quarantine};
use cordon_proto::id::Hash;
use rustix::mount::{MountFlags, UnmountFlags};

/// Over this all file systems of a test are mounted, in its mount namespace only.
const TOP: &str = "/mnt";

/// As little as xfs takes, a hole at first.
const IMAGE_BYTES: u64 = 320 << 20;

/// Both file systems, seen in this mount namespace only; they end with it, and nothing is removed.
pub(crate) struct Scene {
    pub(crate) files: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) hand: Hand,
}

/// What files are taken from.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum FileSystem {
    Ext4,
    Xfs,
    Btrfs,
    Memory,
}

impl FileSystem {
    /// What this machine lacks to make one.
    pub(crate) fn missing(self) -> Option<String> {
        let (name, (program, _)) = (self.name(), self.maker());
        let known = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
        if !known.lines().any(|line| line.ends_with(&format!("\t{name}"))) {
            return Some(format!("needs a kernel that knows {name}"));
        }
        if self != Self::Memory && !Path::new("/dev/loop-control").exists() {
            return Some("needs loop devices".to_owned());
        }
        let found = Command::new(program).arg("-V").output();
        found.err().map(|error| format!("needs {program}: {error}"))
    }

    fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
            Self::Memory => "tmpfs",
        }
    }

    /// What makes one, and how it is told to do so quietly.
    fn maker(self) -> (&'static str, &'static [&'static str]) {
        match self {
            // Smaller blocks have no room for the attributes that are tried.
            Self::Ext4 => ("mkfs.ext4", &["-q", "-b", "4096"]),
            Self::Xfs => ("mkfs.xfs", &["-q"]),
            Self::Btrfs => ("mkfs.btrfs", &["-q"]),
            Self::Memory => ("true", &[]),
        }
    }
}

impl Scene {
    pub(crate) fn new(file_system: FileSystem) -> Self {
        assert!(crate::own_mounts::are_entered(), "the machine must be out of reach");
        let flags = MountFlags::empty();
        rustix::mount::mount("memory", TOP, "tmpfs", flags, c"size=600m").unwrap();
        let memory = PathBuf::from(TOP);
        let files = memory.join("files");
        std::fs::create_dir(&files).unwrap();
        match file_system {
            FileSystem::Memory => {
                rustix::mount::mount("files", &files, "tmpfs", flags, c"size=200m").unwrap();
            }
            FileSystem::Ext4 | FileSystem::Xfs | FileSystem::Btrfs => {
                let image = memory.join("image");
                std::fs::File::create(&image).unwrap().set_len(IMAGE_BYTES).unwrap();
                let (program, quietly) = file_system.maker();
                run(Command::new(program).args(quietly).arg(&image));
                run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&files));
            }
        }
        std::fs::create_dir(files.join("tmp")).unwrap();
        std::fs::create_dir_all(files.join("lost+found")).unwrap();
        let state = memory.join("own/state");
        let dir = StateDir::open(&state).unwrap();
        let hand = Hand::new(Tools::new(dir, false));
        Self { files, state, hand }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.files.join(name)
    }

    /// What the vault holds beside its key.
    pub(crate) fn vault(&self) -> Vec<String> {
        names_in(&self.state.join("vault")).into_iter().filter(|name| name != "key").collect()
    }

    pub(crate) fn prepare(&self, action: &Action) -> Result<Vec<u8>, NotDone> {
        self.hand.deed(action).unwrap().prepare()
    }

    pub(crate) fn apply(&self, action: &Action, before: &[u8]) -> Result<Done, NotDone> {
        self.hand.deed(action).unwrap().apply(before)
    }

    pub(crate) fn look(&self, action: &Action, before: &[u8]) -> Seen {
        self.hand.deed(action).unwrap().look(before)
    }

    pub(crate) fn undo(&self, action: &Action, before: &[u8]) -> Result<Done, NotDone> {
        self.hand.deed(action).unwrap().undo(before)
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // With all that is mounted below it.
        let gone = rustix::mount::unmount(TOP, UnmountFlags::DETACH);
        gone.unwrap_or_else(|error| crate::say(&format!("{TOP} stays mounted: {error}")));
    }
}

pub(crate) fn run(command: &mut Command) {
    let output = command.output().unwrap();
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

pub(crate) fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(crate) fn quarantine(path: &Path, sha256: Option<Hash>) -> Action {
    Action::Quarantine(Quarantine { path: path.to_str().unwrap().into(), sha256 })
}

/// Everything was done, and everything that was looked at was as it must be.
#[track_caller]
pub(crate) fn whole(done: Result<Done, NotDone>) -> Done {
    let done = done.unwrap();
    assert!(done.missing.is_empty() && !done.probes.is_empty(), "{done:?}");
    assert!(done.probes.iter().all(|probe| probe.passed), "{done:?}");
    done
}

/// It was refused, for this reason.
#[track_caller]
pub(crate) fn refused<T: std::fmt::Debug>(outcome: Result<T, NotDone>, reason: &str) {
    match outcome {
        Err(NotDone::Refused(why)) if why.contains(reason) => {}
        other => panic!("not refused for '{reason}': {other:?}"),
    }
}
