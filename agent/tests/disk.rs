//! What the disk sensor sees of real mounts on this kernel, in a private mount namespace made for
//! each test. Needs root; without it every test is skipped by name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "every line of this program is a test; clippy knows only #[test]"
)]

#[path = "support/platform.rs"]
mod platform;

use std::fs::OpenOptions;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use cordon_agent::clock;
use cordon_agent::sensor::disk::{self, DiskSettings};
use cordon_agent::sensor::{Condition, Outlet, Report};
use cordon_proto::event::disk::Mount;
use cordon_proto::event::{Body, DiskEvent, SensorState};
use libtest_mimic::{Arguments, Completion, Trial};
use rustix::mount::{MountFlags, UnmountFlags};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longer than any test needs; what takes so long is not coming.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a wake by the kernel takes at the very most.
const AT_ONCE: Duration = Duration::from_secs(2);

const HOUR_SECS: u64 = 3600;

const TESTS: [(&str, fn(), bool); 3] = [
    ("each_event_of_a_mounts_life_is_seen_once", each_event_is_seen_once, false),
    ("mounts_and_unmounts_wake_at_once", changes_wake, false),
    ("a_dead_file_system_is_told_and_holds_nothing_up", dead_is_told, true),
];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let trials = TESTS.map(|(name, test, needs_fuse)| {
        Trial::ignorable_test(name, move || {
            if !rustix::process::geteuid().is_root() {
                return Ok(Completion::ignored_with("needs root"));
            }
            if needs_fuse && !Path::new("/dev/fuse").exists() {
                return Ok(Completion::ignored_with("needs /dev/fuse"));
            }
            match std::thread::spawn(move || in_private_namespace(test)).join() {
                Ok(()) => Ok(Completion::Completed),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        })
    });
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

fn in_private_namespace(test: fn()) {
    platform::leave_mount_namespace().unwrap();
    test();
}

/// A sensor under way, and what it has said of the mounts below one directory.
struct Scene {
    directory: tempfile::TempDir,
    said: mpsc::Receiver<(&'static str, Report)>,
    events: Vec<String>,
    condition: Option<Condition>,
}

/// Runs a test beside a sensor that measures every `period_secs`.
fn beside_sensor<F: Future<Output = ()>>(period_secs: u64, test: impl FnOnce(Scene) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (reports, said) = mpsc::channel(64);
        let settings = DiskSettings { period_secs, ..DiskSettings::default() };
        let sensor = disk::run(settings, clock::stamp, Outlet::new(disk::NAME, reports));
        let directory = tempfile::tempdir().unwrap();
        let mut scene = Scene { directory, said, events: Vec::new(), condition: None };
        let test = async {
            scene.until(PATIENCE, |scene| scene.condition.is_some()).await;
            test(scene).await;
        };
        tokio::select! {
            end = sensor => panic!("the sensor ended: {end:?}"),
            () = test => {}
        }
    });
}

impl Scene {
    fn make_directory(&self, name: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::create_dir(&path).unwrap();
        path
    }

    fn mount_memory(&self, name: &str) -> PathBuf {
        let path = self.make_directory(name);
        rustix::mount::mount("memory", &path, "tmpfs", MountFlags::empty(), c"size=1m").unwrap();
        path
    }

    /// Listens until it holds.
    async fn until(&mut self, within: Duration, holds: impl Fn(&Self) -> bool) {
        let listen = async {
            while !holds(self) {
                match self.said.recv().await.unwrap().1 {
                    Report::Condition(condition) => self.condition = Some(condition),
                    Report::Proved => {}
                    Report::Sample(sample) => {
                        for observation in sample.observations {
                            let Body::Disk(event) = observation.body else { panic!("not a disk") };
                            let shown = show(&event, self.directory.path());
                            self.events.extend(shown);
                        }
                    }
                }
            }
        };
        let listened = timeout(within, listen).await;
        assert!(listened.is_ok(), "{:?}, {:?}", self.events, self.condition);
    }

    async fn event(&mut self, event: &str, within: Duration) {
        self.until(within, |scene| scene.events.iter().any(|seen| seen == event)).await;
    }
}

/// An event in words; none for mounts elsewhere.
fn show(event: &DiskEvent, below: &Path) -> Option<String> {
    let at = |mount: &Mount| {
        let path = PathBuf::from(mount.path.as_str()?);
        Some(path.strip_prefix(below).ok()?.to_str()?.to_owned())
    };
    match event {
        DiskEvent::Space(space) => {
            let crossed = space.threshold_percent.map(|percent| format!(" over {percent}"));
            let total = space.bytes_total;
            Some(format!("{} of {total}{}", at(&space.mount)?, crossed.unwrap_or_default()))
        }
        DiskEvent::Mounted(mount) => Some(format!("{} mounted", at(mount)?)),
        DiskEvent::Unmounted(mount) => Some(format!("{} unmounted", at(mount)?)),
        DiskEvent::AccessChanged(mount) => {
            let access = if mount.read_only { "read-only" } else { "writable" };
            Some(format!("{} {access}", at(mount)?))
        }
        DiskEvent::Unresponsive(mount) => Some(format!("{} dead", at(mount)?)),
        DiskEvent::Forecast(_)
        | DiskEvent::IoError(_)
        | DiskEvent::Load(_)
        | DiskEvent::Health(_) => None,
    }
}

fn each_event_is_seen_once() {
    beside_sensor(1, |mut scene| async move {
        let path = scene.mount_memory("a");
        scene.event("a of 1048576", PATIENCE).await;
        std::fs::write(path.join("file"), vec![1; 1_000_000]).unwrap();
        scene.event("a of 1048576 over 95", PATIENCE).await;
        let read_only = MountFlags::RDONLY;
        rustix::mount::mount_remount(&path, read_only, c"").unwrap();
        scene.event("a read-only", PATIENCE).await;
        rustix::mount::mount_remount(&path, MountFlags::empty(), c"").unwrap();
        scene.event("a writable", PATIENCE).await;
        std::fs::write(path.join("file"), "").unwrap();
        scene.event("a of 1048576 over 80", PATIENCE).await;
        rustix::mount::unmount(&path, UnmountFlags::empty()).unwrap();
        scene.event("a unmounted", PATIENCE).await;
        // What would be told twice would be told before this.
        scene.mount_memory("b");
        scene.event("b of 1048576", PATIENCE).await;
        let expected = [
            "a mounted",
            "a of 1048576",
            "a of 1048576 over 95",
            "a read-only",
            "a writable",
            "a of 1048576 over 80",
            "a unmounted",
            "b mounted",
            "b of 1048576",
        ];
        assert_eq!(scene.events, expected);
    });
}

fn changes_wake() {
    beside_sensor(HOUR_SECS, |mut scene| async move {
        let path = scene.mount_memory("a");
        scene.event("a mounted", AT_ONCE).await;
        rustix::mount::mount_remount(&path, MountFlags::RDONLY, c"").unwrap();
        scene.event("a read-only", AT_ONCE).await;
        rustix::mount::unmount(&path, UnmountFlags::empty()).unwrap();
        scene.event("a unmounted", AT_ONCE).await;
    });
}

/// A file system whose server never answers, as a network mount whose server is gone.
fn dead_is_told() {
    beside_sensor(1, |mut scene| async move {
        let server = OpenOptions::new().read(true).write(true).open("/dev/fuse").unwrap();
        let fd = server.as_raw_fd();
        let options = format!("fd={fd},rootmode=40000,user_id=0,group_id=0");
        let options = std::ffi::CString::new(options).unwrap();
        let path = scene.make_directory("dead");
        rustix::mount::mount("nobody", &path, "fuse", MountFlags::empty(), &*options).unwrap();
        scene.event("dead dead", PATIENCE).await;
        scene
            .until(PATIENCE, |scene| {
                let condition = scene.condition.as_ref().unwrap();
                let reason = condition.reason.as_deref().unwrap_or_default();
                condition.state == SensorState::Degraded && reason.ends_with("does not answer")
            })
            .await;
        // Others are measured all the while.
        let other = scene.mount_memory("other");
        scene.event("other of 1048576", AT_ONCE).await;
        std::fs::write(other.join("file"), vec![1; 1_000_000]).unwrap();
        scene.event("other of 1048576 over 95", PATIENCE).await;
        // With its server gone for good it answers that it is not connected.
        drop(server);
        scene
            .until(PATIENCE, |scene| {
                let reason = scene.condition.as_ref().unwrap().reason.as_deref();
                reason.is_some_and(|reason| !reason.ends_with("does not answer"))
            })
            .await;
        rustix::mount::unmount(&path, UnmountFlags::DETACH).unwrap();
        scene.event("dead unmounted", AT_ONCE).await;
        let dead = scene.events.iter().filter(|event| *event == "dead dead").count();
        assert_eq!(dead, 1);
    });
}
