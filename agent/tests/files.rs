//! What the files sensor sees on this kernel, on a memory file system in a private mount namespace
//! made for each test. Needs root; without it every test is skipped by name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    reason = "every line of this program is a test; clippy knows only #[test]"
)]

#[path = "files/actor.rs"]
mod actor;
#[path = "support/platform.rs"]
mod platform;
#[path = "files/scene.rs"]
mod scene;

use std::io::Write;
use std::process::{Command, ExitCode};
use std::time::Duration;

use cordon_proto::event::file::{FileActivity, FileMeans};
use cordon_proto::event::{Class, GapReason, SensorState, Severity};
use cordon_proto::id::Hash;
use libtest_mimic::{Arguments, Completion, Trial};

use actor::{Actor, act_if_asked};
use scene::{Scene, hold};

const TESTS: [(&str, fn()); 9] = [
    ("every_activity_is_told_with_its_process_and_both_hashes", activities_are_told),
    ("what_changed_while_the_agent_was_stopped_is_found", offline_is_found),
    ("a_full_queue_is_a_gap_and_everything_is_compared", overflow_is_told),
    ("without_fanotify_changes_are_told_without_a_process", inotify_tells),
    ("ransomware_is_told_of_by_the_twelfth_file", ransomware_is_told),
    ("ransomware_is_told_of_without_fanotify_too", ransomware_without_fanotify),
    ("unpacking_a_tree_twice_is_no_finding", unpacking_is_silent),
    ("whoever_touches_a_canary_is_told_of_at_once", canary_is_told),
    ("ten_thousand_files_cost_little", many_files_cost_little),
];

fn main() -> ExitCode {
    if let Some(code) = act_if_asked() {
        return code;
    }
    let mut arguments = Arguments::from_args();
    // One test holds the clock that all of them ask.
    arguments.test_threads = Some(1);
    let trials = TESTS.map(|(name, test)| {
        Trial::ignorable_test(name, move || {
            if !rustix::process::geteuid().is_root() {
                return Ok(Completion::ignored_with("needs root"));
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

fn activities_are_told() {
    let mut scene = Scene::new();
    std::fs::write(scene.path("etc/old"), "one").unwrap();
    // The list may name a link.
    std::os::unix::fs::symlink(scene.path("etc"), scene.path("link")).unwrap();
    scene.settings.watch = vec![scene.text("link")];
    scene.start();
    assert_eq!(scene.condition.as_ref().unwrap().state, SensorState::Running);
    let mut actor = Actor::start();
    let (old, new, moved) = (scene.text("etc/old"), scene.text("etc/new"), scene.text("etc/moved"));

    actor.does(&["write", &old, "two"]);
    let (severity, event) = scene.event("etc/old");
    assert_eq!((event.means, event.activity), (FileMeans::Fanotify, FileActivity::Modified));
    assert_eq!(severity, Severity::Low);
    let hash = |state: Option<cordon_proto::event::file::FileState>| state.unwrap().sha256;
    assert_eq!(hash(event.before), Some(Hash::of(b"one")));
    assert_eq!(hash(event.after), Some(Hash::of(b"two")));
    let who = event.actor.unwrap();
    assert_eq!((who.pid, who.parent_pid), (actor.pid(), Some(std::process::id())));
    assert_eq!(who.uid, Some(0));
    assert!(who.start_boot_ns.is_some() && who.name.is_some());
    let program = std::env::current_exe().unwrap();
    assert_eq!(who.image.unwrap().as_str(), program.to_str());

    actor.does(&["write", &new, "three"]);
    let (_, event) = scene.event("etc/new");
    assert_eq!((event.activity, event.before.is_none()), (FileActivity::Created, true));

    actor.does(&["chmod", &new, "4755"]);
    let (severity, event) = scene.event("etc/new");
    assert_eq!((event.activity, severity), (FileActivity::AttributesChanged, Severity::High));
    assert_eq!(event.after.unwrap().mode, 0o4755);

    actor.does(&["rename", &new, &moved]);
    let (_, event) = scene.event("etc/moved");
    assert_eq!(event.activity, FileActivity::Renamed);
    assert_eq!(event.path_before.unwrap().as_str(), Some(&*new));
    assert_eq!(hash(event.before), Some(Hash::of(b"three")));

    actor.does(&["remove", &moved]);
    let (_, event) = scene.event("etc/moved");
    assert_eq!((event.activity, event.after.is_none()), (FileActivity::Deleted, true));
    assert_eq!(event.actor.unwrap().pid, actor.pid());
    assert!(scene.events.is_empty() && scene.losses.is_empty() && scene.findings.is_empty());
    scene.stop();
}

fn offline_is_found() {
    let mut scene = Scene::new();
    for name in ["changed", "gone", "same"] {
        std::fs::write(scene.path("etc").join(name), "one").unwrap();
    }
    scene.start();
    scene.stop();
    std::fs::write(scene.path("etc/changed"), "two").unwrap();
    std::fs::remove_file(scene.path("etc/gone")).unwrap();
    std::fs::write(scene.path("etc/new"), "new").unwrap();
    scene.start();
    for (name, activity) in [
        ("etc/changed", FileActivity::Modified),
        ("etc/gone", FileActivity::Deleted),
        ("etc/new", FileActivity::Created),
    ] {
        let (_, event) = scene.event(name);
        assert_eq!((event.means, event.activity), (FileMeans::Comparison, activity), "{name}");
        assert_eq!(event.actor, None);
    }
    assert!(scene.events.is_empty(), "{:?}", scene.events);
    scene.stop();
}

fn overflow_is_told() {
    let mut scene = Scene::new();
    std::fs::write(scene.path("etc/a"), "one").unwrap();
    scene.start();
    let mut actor = Actor::start();
    let held = hold();
    // More than the kernel keeps for a listener that does not listen.
    let limit = std::fs::read_to_string("/proc/sys/fs/fanotify/max_queued_events").unwrap();
    let limit: usize = limit.trim().parse().unwrap();
    let count = (limit + 2_000).to_string();
    actor.does(&["many", &scene.text("home"), &count]);
    actor.does(&["write", &scene.text("etc/a"), "two"]);
    drop(held);
    scene.until(|scene| !scene.losses.is_empty());
    let loss = &scene.losses[0];
    assert_eq!((loss.reason, loss.counts[0].class), (GapReason::KernelRing, Class::File));
    let (_, event) = scene.event("etc/a");
    assert_eq!((event.means, event.activity), (FileMeans::Comparison, FileActivity::Modified));
    scene.stop();
}

fn inotify_tells() {
    let mut scene = Scene::new();
    scene.settings.only_inotify = true;
    std::fs::create_dir(scene.path("etc/below")).unwrap();
    std::fs::write(scene.path("etc/below/a"), "one").unwrap();
    scene.start();
    let condition = scene.condition.clone().unwrap();
    assert_eq!(condition.state, SensorState::Degraded);
    assert!(condition.reason.unwrap().contains("which process"));
    let mut actor = Actor::start();
    let (a, b) = (scene.text("etc/below/a"), scene.text("etc/below/b"));
    actor.does(&["write", &a, "two"]);
    let (_, event) = scene.event("etc/below/a");
    assert_eq!((event.means, event.activity), (FileMeans::Inotify, FileActivity::Modified));
    assert_eq!(event.actor, None);
    actor.does(&["rename", &a, &b]);
    let (_, event) = scene.event("etc/below/b");
    assert_eq!(event.activity, FileActivity::Renamed);
    actor.does(&["remove", &b]);
    let (_, event) = scene.event("etc/below/b");
    assert_eq!(event.activity, FileActivity::Deleted);
    scene.stop();
}

const DOCUMENTS: usize = 200;

/// Documents that were there before the sensor.
fn documents(scene: &Scene) -> Vec<String> {
    let prose = "It was the best of times, it was the worst of times. ".repeat(100);
    let endings = ["txt", "csv", "docx", "pdf"];
    let path = |number: usize| scene.text(&format!("home/letter{number}.{}", endings[number % 4]));
    let paths: Vec<String> = (0..DOCUMENTS).map(path).collect();
    for path in &paths {
        std::fs::write(path, &prose).unwrap();
    }
    paths
}

/// Encrypts step by step, each step waited for, and answers after how many files it was told.
fn encrypted_until_told(scene: &mut Scene, actor: &mut Actor, step: usize) -> usize {
    let documents = documents(scene);
    scene.start();
    let mut encrypted = 0;
    for (round, files) in documents.chunks(step).enumerate() {
        files.iter().for_each(|file| actor.does(&["encrypt", file]));
        encrypted += files.len();
        let mark = format!("etc/mark{round}");
        actor.does(&["write", &scene.text(&mark), "x"]);
        scene.event(&mark);
        if !scene.findings.is_empty() {
            break;
        }
    }
    encrypted
}

fn ransomware_is_told() {
    let mut scene = Scene::new();
    let mut actor = Actor::start();
    let encrypted = encrypted_until_told(&mut scene, &mut actor, 4);
    say(&format!("told after {encrypted} of {DOCUMENTS} files"));
    assert_eq!(encrypted, 12);
    let finding = &scene.findings[0];
    assert_eq!(finding.rule, "files.mass_change");
    let who = finding.actor.as_ref().unwrap();
    assert_eq!(who.pid, actor.pid());
    assert!(who.start_boot_ns.is_some() && who.image.is_some());
    let files = finding.counts.iter().find(|count| count.name == "files").unwrap();
    assert_eq!(files.count, 12);
    // One that was looked at before it was renamed is told under the name it had then.
    let home = scene.text("home");
    assert!(finding.paths.iter().all(|path| path.as_str().unwrap().starts_with(&home)));
    assert!(finding.paths.iter().any(|path| path.as_str().unwrap().ends_with(".locked")));
    assert!(finding.detail.contains(".locked"), "{}", finding.detail);
    scene.stop();

    // At full speed: how many files it has come to by the time it is told.
    let mut scene = Scene::new();
    let documents = documents(&scene);
    scene.start();
    for file in &documents {
        actor.does(&["encrypt", file]);
    }
    scene.until(|scene| !scene.findings.is_empty());
    assert_eq!(scene.findings.len(), 1);
    assert_eq!(scene.findings[0].actor.as_ref().unwrap().pid, actor.pid());
    scene.stop();
}

fn ransomware_without_fanotify() {
    let mut scene = Scene::new();
    scene.settings.only_inotify = true;
    let mut actor = Actor::start();
    let encrypted = encrypted_until_told(&mut scene, &mut actor, 8);
    say(&format!("told after {encrypted} of {DOCUMENTS} files, without the process"));
    assert_eq!(encrypted, 24);
    assert_eq!(scene.findings[0].actor, None);
    scene.stop();
}

fn unpacking_is_silent() {
    let mut scene = Scene::new();
    let mut actor = Actor::start();
    actor.does(&["many", &scene.text("other/tree"), "3000"]);
    let archive = scene.text("other/tree.tar");
    let tar = |words: &[&str]| {
        assert!(Command::new("tar").args(words).status().unwrap().success(), "{words:?}");
    };
    tar(&["-cf", &archive, "-C", &scene.text("other"), "tree"]);
    scene.start();
    tar(&["-xf", &archive, "-C", &scene.text("home")]);
    tar(&["-xf", &archive, "-C", &scene.text("home")]);
    actor.does(&["write", &scene.text("etc/mark"), "x"]);
    scene.event("etc/mark");
    assert!(scene.findings.is_empty(), "{:?}", scene.findings);
    assert!(scene.losses.is_empty() || scene.losses[0].reason == GapReason::KernelRing);
    scene.stop();
}

fn canary_is_told() {
    let mut scene = Scene::new();
    let canary = scene.text("home/aaa.odt");
    scene.settings.canaries = vec![canary.clone()];
    scene.start();
    assert!(scene.path("home/aaa.odt").exists());
    assert!(scene.findings.is_empty());
    let mut actor = Actor::start();
    actor.does(&["write", &canary, "scrambled"]);
    scene.until(|scene| !scene.findings.is_empty());
    let finding = &scene.findings[0];
    assert_eq!(finding.rule, "files.canary");
    assert_eq!(finding.actor.as_ref().unwrap().pid, actor.pid());
    scene.stop();
}

fn many_files_cost_little() {
    const COUNT: &str = "10000";
    let mut scene = Scene::new();
    scene.start();
    let mut actor = Actor::start();
    for (name, folder) in [("metered", "home"), ("passed over", "other")] {
        let before = processor_time();
        actor.does(&["many", &scene.text(folder), COUNT]);
        let mark = format!("etc/{folder}");
        actor.does(&["write", &scene.text(&mark), "x"]);
        scene.event(&mark);
        let took = processor_time() - before;
        say(&format!(
            "{COUNT} files written, {name}: {:.4} s of processor time",
            took.as_secs_f64()
        ));
        assert!(scene.findings.is_empty());
    }
    scene.stop();
}

/// What the sensor's threads have used.
fn processor_time() -> Duration {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if ["cordon-files", "cordon-hash"].contains(&name.trim()) {
            let times = std::fs::read_to_string(task.path().join("schedstat")).unwrap();
            nanos += times.split(' ').next().unwrap().parse::<u64>().unwrap();
        }
    }
    Duration::from_nanos(nanos)
}

/// Figures go beside the tests' own lines.
fn say(figures: &str) {
    let line = format!("    {figures}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
}
