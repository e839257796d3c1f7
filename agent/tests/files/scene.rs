//! A file system of its own in a mount namespace of its own, and a sensor that watches it.

use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cordon_agent::clock::{self, Stamp};
use cordon_agent::sensor::file::{self, FileSettings};
use cordon_agent::sensor::{Checkpoint, Condition, Loss, Outlet, Report};
use cordon_proto::event::{Body, FileEvent, Finding, Severity};
use rustix::mount::MountFlags;
use tokio::runtime::Runtime;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longer than any test needs; what takes so long is not coming.
const PATIENCE: Duration = Duration::from_secs(60);

/// Held, it stops the sensor where it next asks for the time.
static GATE: Mutex<()> = Mutex::new(());

pub(crate) fn hold() -> MutexGuard<'static, ()> {
    GATE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn gated() -> Stamp {
    drop(hold());
    clock::stamp()
}

/// What the sensor has said, and what it keeps.
pub(crate) struct Scene {
    folder: tempfile::TempDir,
    pub(crate) settings: FileSettings,
    pub(crate) condition: Option<Condition>,
    pub(crate) proved: bool,
    pub(crate) events: Vec<(Severity, FileEvent)>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) losses: Vec<Loss>,
    pub(crate) kept: Vec<Checkpoint>,
    runtime: Runtime,
    said: Option<mpsc::Receiver<(&'static str, Report)>>,
    sensor: Option<tokio::task::JoinHandle<()>>,
    local: tokio::task::LocalSet,
}

impl Scene {
    /// A memory file system with `etc` (watched), `home` (metered) and `other`.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let top = folder.path();
        rustix::mount::mount("memory", top, "tmpfs", MountFlags::empty(), c"size=128m").unwrap();
        for name in ["etc", "home", "other"] {
            std::fs::create_dir(top.join(name)).unwrap();
        }
        let path = |name: &str| top.join(name).to_str().unwrap().to_owned();
        let settings = FileSettings {
            watch: vec![path("etc")],
            mass_change: vec![path("home")],
            ..FileSettings::default()
        };
        Self {
            settings,
            condition: None,
            proved: false,
            events: Vec::new(),
            findings: Vec::new(),
            losses: Vec::new(),
            kept: Vec::new(),
            runtime: tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap(),
            said: None,
            sensor: None,
            local: tokio::task::LocalSet::new(),
            folder,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).to_str().unwrap().to_owned()
    }

    /// Starts the sensor with what it kept, and waits until it knows all files.
    pub(crate) fn start(&mut self) {
        let (reports, said) = mpsc::channel(64);
        let outlet = Outlet::new(file::NAME, reports);
        let (settings, kept) = (self.settings.clone(), self.kept.clone());
        let run = file::run(settings, gated, outlet, kept);
        self.sensor = Some(self.local.spawn_local(async move { run.await.unwrap_or(()) }));
        self.said = Some(said);
        self.condition = None;
        let is_first = self.kept.is_empty();
        let knows = |kept: &[Checkpoint]| kept.iter().any(|one| one.key.starts_with("file/entry/"));
        self.until(|scene| {
            scene.condition.is_some() && scene.proved && (!is_first || knows(&scene.kept))
        });
    }

    pub(crate) fn stop(&mut self) {
        self.said = None;
        let sensor = self.sensor.take().unwrap();
        sensor.abort();
        let ended = async { timeout(PATIENCE, sensor).await };
        drop(self.local.block_on(&self.runtime, ended).unwrap());
    }

    /// Listens until it holds.
    #[track_caller]
    pub(crate) fn until(&mut self, holds: impl Fn(&Self) -> bool) {
        while !holds(self) {
            let said = self.said.as_mut().unwrap();
            let next = async { timeout(PATIENCE, said.recv()).await };
            let next = self.local.block_on(&self.runtime, next);
            let Ok(Some((_sensor, report))) = next else {
                panic!("{:?} {:?} {:?}", self.condition, self.events, self.findings)
            };
            self.take(report);
        }
    }

    /// Listens until a change of the file is told, and answers the last.
    #[track_caller]
    pub(crate) fn event(&mut self, name: &str) -> (Severity, FileEvent) {
        let path = self.text(name);
        let of_file = |(_, event): &&(Severity, FileEvent)| event.path.as_str() == Some(&path);
        self.until(|scene| scene.events.iter().any(|event| of_file(&event)));
        let at = self.events.iter().position(|event| of_file(&event)).unwrap();
        self.events.remove(at)
    }

    fn take(&mut self, report: Report) {
        let sample = match report {
            Report::Condition(condition) => {
                self.condition = Some(condition);
                return;
            }
            Report::Proved => {
                self.proved = true;
                return;
            }
            Report::Sample(sample) => sample,
        };
        for observation in sample.observations {
            match observation.body {
                Body::File(event) => self.events.push((observation.severity, *event)),
                Body::Finding(finding) => self.findings.push(*finding),
                other => panic!("{other:?}"),
            }
        }
        self.losses.extend(sample.losses);
        for checkpoint in sample.checkpoints {
            self.kept.retain(|kept| kept.key != checkpoint.key);
            if checkpoint.value.is_some() {
                self.kept.push(checkpoint);
            }
        }
    }
}
