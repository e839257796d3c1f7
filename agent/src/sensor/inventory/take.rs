//! Takes one inventory: collects it, compares it with what was kept, and hands over what differs.
//!
//! Runs on a thread of its own, because reading files may take for ever.

use std::path::Path;

use cordon_proto::event::inventory::Subject;
use cordon_proto::event::{Body, Observation};

use super::compare::{Part, Parts, Version, Whole};
use super::kept::{Head, Kept};
use crate::clock::Stamp;
use crate::inventory::{self, CollectError, Found};
use crate::redact::Redactor;
use crate::sensor::{Sample, Stopping};

/// How long differences are sent before the whole is sent again: a collector that has lost one
/// has the whole again within this, and what old events are deleted does not matter to it.
const BASE_EVERY_NS: u64 = 24 * 3600 * 1_000_000_000;

/// Why an inventory was not taken.
#[derive(Debug, thiserror::Error)]
pub(super) enum TakeError {
    #[error(transparent)]
    Collect(#[from] CollectError),
    #[error("keeping it: {0}")]
    Keep(#[from] std::io::Error),
    #[error(transparent)]
    Stopping(#[from] Stopping),
}

/// What came of it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Taken {
    /// The version that stands now.
    pub(super) version: u64,
    /// What could not be looked at.
    pub(super) problems: Vec<String>,
}

/// Takes an inventory of what is below `root`; every sample but the last could be lost without
/// harm, and the last keeps what was told.
pub(super) fn take(
    subject: Subject,
    root: &Path,
    redactor: &Redactor,
    kept: Vec<(String, Vec<u8>)>,
    now: Stamp,
    mut give: impl FnMut(Sample) -> Result<(), Stopping>,
) -> Result<Taken, TakeError> {
    let kept = Kept::read(subject, kept);
    let Found { rows, mut problems } = inventory::collect(subject, root, redactor)?;
    let mut whole = Whole::of(rows);
    let before = kept.whole();
    if let Some(before) = before.as_ref().filter(|_before| !problems.is_empty()) {
        whole.keep_missing(before);
    }
    if whole.left_out > 0 {
        problems.push(format!("{} items are too many and left out", whole.left_out));
    }
    let head = kept.head.clone();
    let number = head.as_ref().map_or(0, |head| head.version);
    let base_ns = head.as_ref().map_or(0, |head| head.base_ns);
    // A clock that was set back makes the whole due too: better too often than never.
    let is_old = now.time_ns.checked_sub(base_ns).is_none_or(|age| age >= BASE_EVERY_NS);
    let is_base = before.is_none() || is_old;
    if !is_base && before.as_ref() == Some(&whole) {
        return Ok(Taken { version: number, problems });
    }
    let number = number.saturating_add(1);
    let hash = whole.hash();
    let version = Version { subject, number, is_base, hash };
    let mut parts = Parts::of(version, before.as_ref(), &whole).peekable();
    while let Some(part) = parts.next() {
        let mut sample = Sample { observations: vec![observe(part, now)], ..Sample::default() };
        if parts.peek().is_none() {
            let base_ns = if is_base { now.time_ns } else { base_ns };
            let left_out = whole.left_out;
            let head = Head { version: number, hash, left_out, base_ns, pieces: 0 };
            sample.checkpoints = kept.replace(subject, head, &whole)?;
        }
        give(sample)?;
    }
    Ok(Taken { version: number, problems })
}

fn observe(part: Part, now: Stamp) -> Observation {
    let Stamp { time_ns, boot_ns } = now;
    let Part { severity, event } = part;
    Observation { time_ns, boot_ns, severity, body: Body::Inventory(event) }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use cordon_proto::codec::encode;
    use cordon_proto::event::Inventory;
    use cordon_proto::event::inventory::rebuilt::{Progress, Rebuilt};
    use cordon_proto::policy::Redactions;

    use super::*;

    /// A machine's files, and what the spool and a collector have of its users.
    struct Scene {
        root: tempfile::TempDir,
        kept: BTreeMap<String, Vec<u8>>,
        rebuilt: Rebuilt,
        redactor: Redactor,
        /// The last that was told, as it goes to the spool.
        told: String,
    }

    impl Scene {
        fn new() -> Self {
            let root = tempfile::tempdir().unwrap();
            std::fs::create_dir(root.path().join("etc")).unwrap();
            let (kept, rebuilt) = (BTreeMap::new(), Rebuilt::new(Subject::Users));
            Self { root, kept, rebuilt, redactor: Redactor::default(), told: String::new() }
        }

        fn write(&self, names: &str) {
            let line = |name: &str| format!("{name}:x:7:7::/h:/s\n");
            let text: String = names.split_whitespace().map(line).collect();
            std::fs::write(self.root.path().join("etc/passwd"), text).unwrap();
        }

        /// Takes the inventory; answers what was told, in words.
        fn take(&mut self, hours: u64) -> String {
            let now = Stamp { time_ns: (1 + hours) * 3600 * 1_000_000_000, boot_ns: 0 };
            let mut told = Vec::new();
            let kept = self.kept.clone().into_iter().collect();
            let mut samples = Vec::new();
            let give = |sample| {
                samples.push(sample);
                Ok(())
            };
            take(Subject::Users, self.root.path(), &self.redactor, kept, now, give).unwrap();
            for mut sample in samples {
                // As the loop does with whatever a sensor hands over.
                self.redactor.sample(&mut sample);
                for observation in sample.observations {
                    let Body::Inventory(event) = observation.body else { panic!("another class") };
                    assert_eq!(self.rebuilt.apply(&event), Ok(Progress::Whole));
                    self.told = String::from_utf8_lossy(&encode(&event)).into_owned();
                    told.push(show(&event));
                }
                for checkpoint in sample.checkpoints {
                    match checkpoint.value {
                        Some(value) => self.kept.insert(checkpoint.key, value),
                        None => self.kept.remove(&checkpoint.key),
                    };
                }
            }
            told.join("; ")
        }
    }

    fn show(event: &Inventory) -> String {
        let changes = event.changes.iter().map(|change| {
            let sign = if change.after.is_some() { '+' } else { '-' };
            format!(" {sign}{}", change.key.to_lossy())
        });
        let base = if event.is_base { "base " } else { "" };
        format!("{base}{}:{}", event.version, changes.collect::<String>())
    }

    #[test]
    fn everything_is_told_once_and_then_what_differs_also_over_a_restart() {
        let mut scene = Scene::new();
        scene.write("ann bob");
        assert_eq!(scene.take(0), "base 1: +ann +bob");
        assert_eq!(scene.take(1), "");
        scene.write("ann eve");
        assert_eq!(scene.take(2), "2: -bob +eve");
        assert_eq!(scene.take(3), "");
    }

    #[test]
    fn after_a_day_everything_is_told_again() {
        let mut scene = Scene::new();
        scene.write("ann");
        scene.take(0);
        assert_eq!(scene.take(23), "");
        assert_eq!(scene.take(24), "base 2: +ann");
        assert_eq!(scene.take(25), "");
    }

    #[test]
    fn a_memory_that_was_lost_or_damaged_means_everything_again() {
        let mut scene = Scene::new();
        scene.write("ann");
        scene.take(0);
        scene.kept.insert("inventory/users/00000".to_owned(), vec![1]);
        assert_eq!(scene.take(1), "base 2: +ann");
        scene.kept.clear();
        assert_eq!(scene.take(2), "base 1: +ann");
    }

    #[test]
    fn what_cannot_be_collected_changes_nothing() {
        let mut scene = Scene::new();
        scene.write("ann");
        scene.take(0);
        std::fs::remove_file(scene.root.path().join("etc/passwd")).unwrap();
        let kept = scene.kept.clone().into_iter().collect();
        let (root, redactor) = (scene.root.path(), &scene.redactor);
        let taken =
            take(Subject::Users, root, redactor, kept, Stamp::default(), |_| panic!("told"));
        assert!(taken.is_err());
        scene.write("ann eve");
        assert_eq!(scene.take(1), "2: +eve");
    }

    #[test]
    fn secrets_are_out_of_what_is_told_and_kept_and_the_whole_has_its_hash() {
        let mut scene = Scene::new();
        // A policy that lets it be: what was told then stands in the difference to what is now.
        let off = vec!["secret-assignment".to_owned()];
        let lax = Redactions { off, ..Redactions::default() };
        scene.redactor = Redactor::new(Some(&lax)).unwrap();
        let passwd = "ann:x:7:7:token=hunter2:/h:/s\n";
        std::fs::write(scene.root.path().join("etc/passwd"), passwd).unwrap();
        assert_eq!(scene.take(0), "base 1: +ann");
        assert!(scene.told.contains("token=hunter2"));
        scene.redactor = Redactor::default();
        assert_eq!(scene.take(1), "2: +ann");
        assert!(scene.told.contains("token=[redacted]") && !scene.told.contains("hunter2"));
        assert_eq!(scene.take(2), "", "it is the same again");
        assert_eq!(scene.take(26), "base 3: +ann");
        assert!(!scene.told.contains("hunter2"));
    }
}
