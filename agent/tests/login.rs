//! The login sensor on real files of a made-up machine: each login is told once, over rotations
//! and restarts.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says what went wrong by panicking")]

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cordon_agent::clock;
use cordon_agent::sensor::login::{self, LoginSettings};
use cordon_agent::sensor::{Checkpoint, Outlet, Report};
use cordon_proto::event::Body;
use cordon_proto::event::login::{AuthActivity, Authentication, Origin, Status};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Longer than any test needs; what takes so long is not coming.
const PATIENCE: Duration = Duration::from_secs(60);

struct Scene {
    root: tempfile::TempDir,
    kept: BTreeMap<String, Vec<u8>>,
    told: Vec<String>,
}

impl Scene {
    fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        for folder in ["etc", "var/log", "run/systemd/sessions"] {
            std::fs::create_dir_all(root.path().join(folder)).unwrap();
        }
        std::fs::write(root.path().join("etc/passwd"), "ann:x:1000:1000::/home/ann:/s\n").unwrap();
        for name in ["wtmp", "btmp"] {
            File::create(root.path().join("var/log").join(name)).unwrap();
        }
        Self { root, kept: BTreeMap::new(), told: Vec::new() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// Runs the sensor; does something once it looks; ends when so much more was told.
    async fn watch(&mut self, events: usize, act: impl FnOnce(&Path)) {
        let (reports, mut said) = mpsc::channel(64);
        let outlet = Outlet::new(login::NAME, reports);
        let kept = self.kept.clone().into_iter();
        let kept = kept.map(|(key, value)| Checkpoint { key, value: Some(value) }).collect();
        let (settings, root) = (LoginSettings::default(), self.root.path().to_owned());
        let sensor = login::run(settings, root, clock::stamp, outlet, kept);
        let enough = self.told.len() + events;
        let listen = async {
            let mut act = Some(act);
            while act.is_some() || self.told.len() < enough {
                match said.recv().await.unwrap().1 {
                    Report::Proved => {}
                    Report::Condition(_looks) => {
                        if let Some(act) = act.take() {
                            act(self.root.path());
                        }
                    }
                    Report::Sample(sample) => {
                        self.told.extend(sample.observations.iter().map(|seen| show(&seen.body)));
                        for Checkpoint { key, value } in sample.checkpoints {
                            self.kept.insert(key, value.unwrap());
                        }
                    }
                }
            }
        };
        let listened = tokio::select! {
            end = sensor => panic!("the sensor ended: {end:?}"),
            listened = timeout(PATIENCE, listen) => listened,
        };
        assert!(listened.is_ok(), "{:?}", self.told);
    }
}

fn show(body: &Body) -> String {
    let Body::Authentication(event) = body else { panic!("another class") };
    let Authentication { origin, activity, status, user, from, terminal, .. } = &**event;
    let Origin::Record(record) = origin else { panic!("no record") };
    let text = |text: &Option<cordon_proto::Text>| {
        text.as_ref().map_or("?".to_owned(), |text| text.to_lossy().into_owned())
    };
    let what = match (activity, status) {
        (AuthActivity::Logon, Status::Failure) => "failed".to_owned(),
        (AuthActivity::Logon, _) => "on".to_owned(),
        (AuthActivity::Logoff, _) => {
            format!("off after {}", record.lasted_secs.map_or("?".to_owned(), |s| s.to_string()))
        }
        (other, _) => format!("{other:?}"),
    };
    let uid = record.uid.map_or("?".to_owned(), |uid| uid.to_string());
    let source = format!("{:?}", record.source).to_lowercase();
    format!("{source}: {} ({uid}) {what} {} {}", text(user), text(terminal), text(from))
}

/// Appends a record as programs do that log somebody in: open, write, close.
fn append(root: &Path, name: &str, kind: i16, [line, user, host]: [&str; 3], secs: i32) {
    let mut record = [0; 384];
    let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &kind.to_le_bytes());
    put(8, line.as_bytes());
    put(44, user.as_bytes());
    put(76, host.as_bytes());
    put(340, &secs.to_le_bytes());
    let path = root.join("var/log").join(name);
    let mut file = File::options().create(true).append(true).open(path).unwrap();
    file.write_all(&record).unwrap();
}

const USER: i16 = 7;
const DEAD: i16 = 8;

#[tokio::test(flavor = "current_thread")]
async fn a_login_its_end_and_failures_are_told_once_over_rotation_and_restart() {
    let mut scene = Scene::new();
    append(scene.root.path(), "wtmp", USER, ["pts/9", "old", "far"], 50);
    scene
        .watch(2, |root| {
            append(root, "wtmp", USER, ["pts/0", "ann", "192.0.2.7"], 100);
            append(root, "btmp", 6, ["ssh:notty", "admin", "192.0.2.8"], 101);
        })
        .await;
    let mut told = std::mem::take(&mut scene.told);
    told.sort();
    let expected =
        ["btmp: admin (?) failed ssh:notty 192.0.2.8", "wtmp: ann (1000) on pts/0 192.0.2.7"];
    assert_eq!(told, expected);

    // While nobody looks: an end, a rotation, another end.
    append(scene.root.path(), "wtmp", DEAD, ["pts/0", "", ""], 160);
    std::fs::rename(scene.path("var/log/wtmp"), scene.path("var/log/wtmp.1")).unwrap();
    append(scene.root.path(), "wtmp", DEAD, ["pts/9", "", ""], 170);
    scene.watch(2, |_root| ()).await;
    let expected =
        ["wtmp: ann (1000) off after 60 pts/0 192.0.2.7", "wtmp: old (?) off after 120 pts/9 far"];
    assert_eq!(std::mem::take(&mut scene.told), expected);

    scene.watch(1, |root| append(root, "wtmp", USER, ["tty1", "ann", ""], 200)).await;
    assert_eq!(scene.told, ["wtmp: ann (1000) on tty1 ?"]);
}

#[tokio::test(flavor = "current_thread")]
async fn a_session_of_logind_is_told_when_it_begins_and_when_it_ends() {
    let mut scene = Scene::new();
    let session = "UID=1000\nUSER=ann\nSTATE=active\nCLASS=user\nTTY=pts/0\n\
                   REMOTE_HOST=192.0.2.7\nSERVICE=sshd\nREALTIME=1700000000000000\n";
    scene
        .watch(1, |root| {
            // As logind writes: beside it, then in its place.
            let (new, path) = (".#3x", "3");
            let folder = root.join("run/systemd/sessions");
            std::fs::write(folder.join(new), session).unwrap();
            std::fs::rename(folder.join(new), folder.join(path)).unwrap();
        })
        .await;
    assert_eq!(std::mem::take(&mut scene.told), ["logind: ann (1000) on pts/0 192.0.2.7"]);
    // A restart tells nothing; what ended meanwhile ended nobody knows when.
    std::fs::remove_file(scene.path("run/systemd/sessions/3")).unwrap();
    scene.watch(1, |_root| ()).await;
    assert_eq!(scene.told, ["logind: ann (1000) off after ? pts/0 192.0.2.7"]);
}
