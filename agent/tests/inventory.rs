//! The inventory sensor on real files, with a real spool: what it tells of an edit, and that it
//! tells nothing twice. The files are those of a made-up machine; one test looks at this one.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by panicking")]

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cordon_agent::clock::{self, Clock};
use cordon_agent::sensor::inventory::{self, InventorySettings, Means};
use cordon_agent::sensor::{Outlet, Report};
use cordon_agent::spool::keeper::{self, SpoolHandle};
use cordon_agent::spool::{Identity, Spool, SpoolLimits};
use cordon_proto::event::inventory::rebuilt::{Progress, Rebuilt};
use cordon_proto::event::inventory::{Doing, Inventory, Subject};
use cordon_proto::event::{Body, Observation, Severity};
use cordon_proto::id::EndpointId;
use cordon_proto::sign::SigningKey;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// Longer than any test needs; what takes so long is not coming.
const PATIENCE: Duration = Duration::from_secs(60);

/// A collector as far as inventories go, and the spool before it.
struct Scene {
    spool: SpoolHandle,
    /// What was told of each inventory.
    rebuilt: BTreeMap<Subject, Rebuilt>,
    /// Every event in words.
    told: Vec<String>,
    /// The gravest.
    severity: Severity,
}

impl Scene {
    fn new(folder: &Path) -> Self {
        let key = SigningKey::from_seed(&[9; 32]).unwrap();
        let identity = Identity { endpoint: EndpointId::of(&key.verifying().0), key };
        let limits = SpoolLimits::of(64 << 20);
        let path = folder.join("spool.db");
        let spool = Spool::open(&path, identity, limits, "boot", clock::stamp()).unwrap();
        let (spool, ..) = keeper::start(spool, Clock::start()).unwrap();
        let rebuilt = Subject::ALL.map(|subject| (subject, Rebuilt::new(subject))).into();
        Self { spool, rebuilt, told: Vec::new(), severity: Severity::Informational }
    }

    /// Runs the sensor on a machine's files until what it told is enough.
    async fn watch(&mut self, root: &Path, enough: impl Fn(&Self) -> bool) {
        let (reports, mut said) = mpsc::channel(64);
        let outlet = Outlet::new(inventory::NAME, reports);
        let spool = self.spool.clone();
        // Nobody changes it: its other end is gone.
        let redactor = watch::channel(Arc::default()).1;
        let means = Means { root: root.to_owned(), spread: Duration::ZERO, spool, redactor };
        let sensor = inventory::run(InventorySettings::default(), means, clock::stamp, outlet);
        let listen = async {
            while !enough(self) {
                if let Report::Sample(sample) = said.recv().await.unwrap().1 {
                    sample.observations.iter().for_each(|seen| self.note(seen));
                    self.spool.keep(sample).await.unwrap();
                }
            }
        };
        let listened = tokio::select! {
            end = sensor => panic!("the sensor ended: {end:?}"),
            listened = timeout(PATIENCE, listen) => listened,
        };
        assert!(listened.is_ok(), "{:?}", self.told);
    }

    fn note(&mut self, seen: &Observation) {
        let Body::Inventory(event) = &seen.body else { panic!("another class") };
        let rebuilt = self.rebuilt.get_mut(&event.subject).unwrap();
        let progress = rebuilt.apply(event).unwrap();
        let is_last = event.part + 1 == event.parts;
        assert_eq!(progress, if is_last { Progress::Whole } else { Progress::Partial });
        self.severity = self.severity.max(seen.severity);
        self.told.push(show(event));
    }

    fn version(&self, subject: Subject) -> u64 {
        self.rebuilt[&subject].version()
    }

    fn has_all(&self) -> bool {
        Subject::ALL.iter().all(|subject| self.version(*subject) > 0)
    }
}

fn show(event: &Inventory) -> String {
    let name = event.subject.name();
    if event.is_base {
        return format!("{name} base of {}", event.items);
    }
    let changes = event.changes.iter().map(|change| {
        let sign = match change.doing() {
            Doing::Added => '+',
            Doing::Removed => '-',
            Doing::Changed => '~',
        };
        format!("{sign}{}", change.key.to_lossy())
    });
    format!("{name} {}", changes.collect::<Vec<_>>().join(" "))
}

/// Replaces a file as programs that edit accounts do.
fn replace(root: &Path, name: &str, content: &str) {
    let path = root.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let new = path.with_extension("new");
    std::fs::write(&new, content).unwrap();
    std::fs::rename(new, path).unwrap();
}

const PASSWD: &str = "root:x:0:0:root:/root:/bin/bash\nann:x:1000:1000::/home/ann:/bin/bash\n";

fn machine() -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let files = [
        ("etc/passwd", PASSWD),
        ("etc/shadow", "root:!:19000::::::\nann:$6$x:19000::::::\n"),
        ("etc/group", "root:x:0:\nsudo:x:27:ann\n"),
        ("etc/sudoers", "root ALL=(ALL:ALL) ALL\n"),
        ("etc/os-release", "ID=debian\n"),
        ("etc/cron.d/a", "@daily root true\n"),
        (
            "var/lib/dpkg/status",
            "Package: a\nStatus: install ok installed\nVersion: 1\nArchitecture: all\n",
        ),
        ("proc/thread-self/mounts", "/dev/sda1 / ext4 rw 0 0\n"),
    ];
    for (name, content) in files {
        replace(root.path(), name, content);
    }
    root
}

#[tokio::test(flavor = "current_thread")]
async fn an_edit_is_told_as_exactly_what_it_changed_and_a_restart_tells_nothing() {
    let (root, folder) = (machine(), tempfile::tempdir().unwrap());
    let root = root.path();
    let mut scene = Scene::new(folder.path());
    scene.watch(root, Scene::has_all).await;
    let mut bases = std::mem::take(&mut scene.told);
    bases.retain(|told| !told.starts_with("machine"));
    assert_eq!(
        bases,
        [
            "users base of 2",
            "groups base of 2",
            "ssh_keys base of 0",
            "sudoers base of 1",
            "autoruns base of 1",
            "packages base of 1",
            "services base of 0",
            "listeners base of 0",
            "mounts base of 1",
        ]
    );
    assert_eq!(scene.severity, Severity::Informational, "what was always there is no change");

    // The last inventory in order is changed while nobody looks: whatever else would be told by
    // the next run would be told before it.
    replace(root, "etc/os-release", "ID=debian\nVERSION_ID=13\n");
    scene.watch(root, |scene| scene.version(Subject::Machine) == 2).await;
    assert_eq!(std::mem::take(&mut scene.told), ["machine ~os"]);

    // As useradd does it, while the sensor looks.
    let edited = std::cell::Cell::new(false);
    scene
        .watch(root, |scene| {
            if !edited.replace(true) {
                let passwd = format!("{PASSWD}eve:x:0:0::/home/eve:/bin/sh\n");
                replace(root, "etc/passwd", &passwd);
                replace(root, "etc/group", "root:x:0:\nsudo:x:27:ann,eve\n");
                replace(root, "etc/sudoers.d/eve", "eve ALL=(ALL) NOPASSWD: ALL\n");
            }
            [Subject::Users, Subject::Groups, Subject::Sudoers]
                .iter()
                .all(|subject| scene.version(*subject) == 2)
        })
        .await;
    let rule = "sudoers +/etc/sudoers.d/eve: eve ALL=(ALL) NOPASSWD: ALL";
    assert_eq!(scene.told, ["users +eve", "groups ~sudo", rule]);
    assert_eq!(scene.severity, Severity::High);
    let eve = &scene.rebuilt[&Subject::Users].items()[&"eve".into()];
    assert!(eve.iter().any(|field| field.name == "uid" && field.value == "0".into()));
}

#[tokio::test(flavor = "current_thread")]
async fn a_change_under_watch_is_told_at_once() {
    let (root, folder) = (machine(), tempfile::tempdir().unwrap());
    let mut scene = Scene::new(folder.path());
    let edited = std::cell::Cell::new(false);
    let root = root.path();
    scene
        .watch(root, |scene| {
            // Only once everything was told: the next look of its own is an hour away.
            if scene.has_all() && !edited.replace(true) {
                replace(root, "etc/cron.d/b", "* * * * * root /bin/b --password hunter2\n");
            }
            scene.version(Subject::Autoruns) == 2
        })
        .await;
    let last = scene.told.last().unwrap();
    assert_eq!(last, "autoruns +cron /etc/cron.d/b * * * * * root /bin/b --password [redacted]");
    assert_eq!(scene.severity, Severity::Medium);
}

#[tokio::test(flavor = "current_thread")]
async fn this_machine_is_told_whole() {
    let folder = tempfile::tempdir().unwrap();
    let mut scene = Scene::new(folder.path());
    scene.watch(Path::new("/"), Scene::has_all).await;
    let count = |subject| scene.rebuilt[&subject].items().len();
    assert!(count(Subject::Users) > 0 && count(Subject::Mounts) > 0 && count(Subject::Machine) > 3);
}
