//! Lets programs not be started, by their content or their place (D3FEND D3-EDL).
//!
//! A process of the agent's own is asked by the kernel before anything starts. It answers yes when
//! it cannot know in time, and when it or the agent ends everything starts again; the ledger denies
//! anew when the agent is back. What runs already is left alone. A program that an interpreter only
//! reads is not asked about, nor is what is on file systems of the network or of FUSE.

mod canary;
mod frame;
mod judge;
mod places;
mod told;
mod warden;
pub mod worker;

use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cordon_proto::command::{Deny, Executable};
use cordon_proto::event::receipt::Probe;
use cordon_proto::id::Hash;

use super::deed::{Deed, Done, Hand, NotDone, Seen};
use super::hash;
use warden::Said;
pub use warden::{WORD, Warden};

/// Without these nothing starts at all, or the endpoint is lost.
const ESSENTIALS: [&str; 9] = [
    "/proc/self/exe",
    "/proc/1/exe",
    "/bin/true",
    "/lib64/ld-linux-x86-64.so.2",
    "/lib/ld-linux-aarch64.so.1",
    "/lib/ld-musl-x86_64.so.1",
    "/lib/ld-musl-aarch64.so.1",
    "/usr/lib/systemd/systemd",
    "/usr/lib/systemd/systemd-executor",
];

/// Denies one program.
#[derive(Debug)]
pub struct DenyDeed<'a> {
    hand: &'a Hand,
    deny: &'a Deny,
}

impl<'a> DenyDeed<'a> {
    /// The deed that an action asks for.
    #[must_use]
    pub fn new(hand: &'a Hand, deny: &'a Deny) -> Self {
        Self { hand, deny }
    }

    fn warden(&self) -> &Warden {
        &self.hand.tools.warden
    }

    /// Why it must not be denied, if so.
    fn protects(&self) -> Option<String> {
        let policy = self.hand.policy.as_ref().and_then(|policy| policy.protected.as_ref());
        let policy = policy.into_iter().flatten();
        let policy = policy.map(|path| path_of(path.as_bytes()).to_owned());
        let all = ESSENTIALS.iter().map(PathBuf::from).chain(policy);
        let is_it = |path: &PathBuf| match &self.deny.what {
            Executable::Path(denied) => {
                let denied = path_of(denied.as_bytes());
                denied == path || (file(path).is_some() && file(path) == file(denied))
            }
            Executable::Sha256(hash) => hash_of(path) == Some(*hash),
        };
        let path = all.into_iter().find(is_it)?;
        Some(format!("{} is protected: the endpoint, or its owner, needs it", path.display()))
    }

    fn probes(&self, said: &Said) -> Result<Vec<Probe>, String> {
        let mut probes = self.warden().canary().probes(&self.hand.tools.dir.path("."))?;
        let (watched, unwatched) = (said.watched, said.unwatched.join(", "));
        let unwatched = if unwatched.is_empty() { "none".to_owned() } else { unwatched };
        let seen = format!(
            "{watched} mounts; not on: {unwatched}; {} starts were let through undecided",
            said.let_through
        );
        let what = "the kernel asks before programs start".to_owned();
        probes.push(Probe { what, passed: watched > 0, seen });
        Ok(probes)
    }
}

impl Deed for DenyDeed<'_> {
    fn prepare(&self) -> Result<Vec<u8>, NotDone> {
        if self.hand.tools.lab && is_machines_mount_namespace() {
            let why = "this agent is only tried out, and is in the machine's own mount namespace";
            return Err(NotDone::Refused(why.to_owned()));
        }
        match self.protects() {
            Some(why) => Err(NotDone::Refused(why)),
            None => Ok(Vec::new()),
        }
    }

    fn apply(&self, _before: &[u8]) -> Result<Done, NotDone> {
        // After a restart nothing else has looked.
        self.prepare()?;
        let rule = &self.deny.what;
        let said = self.warden().deny(rule, self.hand.tools.lab).map_err(NotDone::Failed)?;
        match self.probes(&said) {
            Ok(probes) => Ok(Done { probes, ..Done::default() }),
            // It stands and cannot be tried: a receipt says that it is not proved.
            Err(why) => Ok(Done {
                done: vec!["the kernel asks before programs start".to_owned()],
                missing: vec![why],
                ..Done::default()
            }),
        }
    }

    fn look(&self, _before: &[u8]) -> Seen {
        let Some(said) = self.warden().denies(&self.deny.what) else {
            return Seen::Drifted("nobody is asked before programs start".to_owned());
        };
        match self.probes(&said) {
            Ok(probes) if probes.iter().all(|probe| probe.passed) => Seen::Holds(probes),
            Ok(probes) => {
                let failed = probes.into_iter().find(|probe| !probe.passed);
                Seen::Drifted(failed.map(|p| format!("{}: {}", p.what, p.seen)).unwrap_or_default())
            }
            Err(why) => Seen::CannotLook(why),
        }
    }

    fn undo(&self, _before: &[u8]) -> Result<Done, NotDone> {
        let rule = &self.deny.what;
        self.warden().allow(rule, self.hand.tools.lab).map_err(NotDone::Failed)?;
        let what = "the program is denied no more".to_owned();
        let passed = self.warden().denies(rule).is_none();
        let seen = "its rule is gone".to_owned();
        Ok(Done { probes: vec![Probe { what, passed, seen }], ..Done::default() })
    }
}

fn path_of(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}

fn file(path: &Path) -> Option<(u64, u64)> {
    let found = std::fs::metadata(path).ok()?;
    Some((found.dev(), found.ino()))
}

fn hash_of(path: &Path) -> Option<Hash> {
    std::fs::metadata(path).ok().filter(std::fs::Metadata::is_file)?;
    hash::sha256(File::open(path).ok()?).ok()
}

/// Process 1 lives in it, and so do the kernel's threads where process 1 does not let itself be
/// looked at. Where nobody can tell it is taken for it.
fn is_machines_mount_namespace() -> bool {
    let Ok(own) = std::fs::read_link("/proc/self/ns/mnt") else { return true };
    let first =
        ["/proc/1/ns/mnt", "/proc/2/ns/mnt"].iter().find_map(|p| std::fs::read_link(p).ok());
    first.is_none_or(|first| first == own)
}
