//! Real files, and rounds of reading called by hand.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{PermissionsExt, symlink};

use cordon_proto::event::Body;
use cordon_proto::limits::LOG_LINE_BYTES_MAX;

use crate::clock::Stamp;
use crate::sensor::log::LogSettings;
use crate::sensor::log::wake::Woken;
use crate::sensor::log::watch::{DRAIN_NS, Round, Watch};
use crate::sensor::{Checkpoint, SAMPLE_EVENTS_MAX, Sample, Stopping};

/// A directory, a reader of its logs, and what has been kept of what it said.
struct Scene {
    directory: tempfile::TempDir,
    settings: LogSettings,
    watch: Watch,
    kept: BTreeMap<String, Vec<u8>>,
    lines: Vec<String>,
    losses: Vec<String>,
    now_ns: u64,
}

impl Scene {
    fn new(pattern: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(pattern).to_str().unwrap().to_owned();
        let settings = LogSettings { paths: vec![path], ..LogSettings::default() };
        let watch = Watch::new(&settings, Vec::new());
        let (kept, lines, losses) = (BTreeMap::new(), Vec::new(), Vec::new());
        Self { directory, settings, watch, kept, lines, losses, now_ns: 1 }
    }

    fn keep(&mut self, sample: Sample) {
        assert!(sample.observations.len() <= SAMPLE_EVENTS_MAX);
        for observation in sample.observations {
            let Body::Log(line) = observation.body else { panic!("no line") };
            self.lines.push(line.line.to_lossy().into_owned());
        }
        self.losses.extend(sample.losses.into_iter().filter_map(|loss| loss.detail));
        for Checkpoint { key, value } in sample.checkpoints {
            match value {
                Some(value) => self.kept.insert(key, value),
                None => self.kept.remove(&key),
            };
        }
    }

    fn now(&self) -> Stamp {
        Stamp { time_ns: 0, boot_ns: self.now_ns }
    }

    fn look(&mut self) {
        let now = self.now();
        let mut samples = Vec::new();
        let woken = Woken { everything: true, ..Woken::default() };
        let mut keep = |sample| {
            samples.push(sample);
            Ok(())
        };
        while self.watch.round(&woken, now, &mut keep).unwrap() == Round::Unfinished {}
        samples.into_iter().for_each(|sample| self.keep(sample));
    }

    /// Looks, but ends before anything that was read is kept.
    fn crash(&mut self) {
        let woken = Woken { everything: true, ..Woken::default() };
        let end = self.watch.round(&woken, self.now(), &mut |_lost| Err(Stopping));
        assert_eq!(end, Err(Stopping), "there was nothing to hand over");
        self.restart();
    }

    fn restart(&mut self) {
        let kept = self.kept.clone().into_iter();
        let kept = kept.map(|(key, value)| Checkpoint { key, value: Some(value) });
        self.watch = Watch::new(&self.settings, kept.collect());
    }

    fn act(&mut self, line: &str) {
        let path = |name: &str| self.directory.path().join(name);
        let append = |name: &str| OpenOptions::new().append(true).create(true).open(path(name));
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["write", name, text] => {
                append(name).unwrap().write_all(text.replace('|', "\n").as_bytes()).unwrap();
            }
            ["rename", from, to] => fs::rename(path(from), path(to)).unwrap(),
            ["copy", from, to] => drop(fs::copy(path(from), path(to)).unwrap()),
            ["empty", name] => fs::write(path(name), "").unwrap(),
            ["remove", name] => fs::remove_file(path(name)).unwrap(),
            ["look"] => self.look(),
            ["wait", secs] => {
                self.now_ns += secs.parse::<u64>().unwrap() * 1_000_000_000;
                self.look();
            }
            ["restart"] => self.restart(),
            ["crash"] => self.crash(),
            _ => panic!("{line}"),
        }
    }
}

/// Carries out a timeline (`|` is the end of a line) and compares the lines read, and how many
/// losses were told.
#[track_caller]
fn check_losing(pattern: &str, timeline: &str, expected: &str, losses: usize) -> Scene {
    let mut scene = Scene::new(pattern);
    for line in timeline.split([';', '\n']).map(str::trim).filter(|line| !line.is_empty()) {
        scene.act(line);
    }
    assert_eq!(scene.lines.join(" "), expected, "{:?}", scene.losses);
    assert_eq!(scene.losses.len(), losses, "{:?}", scene.losses);
    scene
}

#[track_caller]
fn check(timeline: &str, expected: &str) -> Scene {
    check_losing("app.log", timeline, expected, 0)
}

#[test]
fn what_is_there_at_the_very_first_start_is_passed_over_and_what_comes_is_read() {
    check(
        "write app.log old|; look; write app.log a|b|; look; look; write app.log c|; look",
        "a b c",
    );
    check("look; write app.log a|; look", "a");
}

#[test]
fn the_first_line_read_is_a_whole_one() {
    check("write app.log old|beg; look; write app.log un|; look", "begun");
}

#[test]
fn all_is_read_from_the_start_where_that_is_set() {
    let mut scene = Scene::new("app.log");
    scene.settings.from_start = true;
    scene.restart();
    scene.act("write app.log a|b|");
    scene.act("look");
    assert_eq!(scene.lines, ["a", "b"]);
}

#[test]
fn a_line_waits_for_its_end_and_comes_without_it_once_the_file_has_gone() {
    check("look; write app.log a|b; look; wait 100; write app.log c|; look", "a bc");
    check("look; write app.log a|b; look; rename app.log x; look; wait 9", "a");
    check("look; write app.log a|b; look; rename app.log x; look; wait 9; wait 1", "a b");
    check("look; write app.log a|b; look; remove app.log; look; wait 10", "a b");
}

#[test]
fn a_renamed_file_is_read_on_while_its_writer_still_has_it() {
    check(
        "look; write app.log a|; look; rename app.log app.log.1; write app.log c|; look
         write app.log.1 b|; wait 5; write app.log d|; wait 5; write app.log.1 e|; wait 5",
        "a c b d e",
    );
}

#[test]
fn a_renamed_file_that_was_quiet_is_let_go_and_forgotten() {
    let scene = check(
        "look; write app.log a|; look; rename app.log app.log.1; look; wait 10
         write app.log.1 late|; wait 10",
        "a",
    );
    assert!(scene.kept.keys().all(|key| key.starts_with("log/path/")), "{:?}", scene.kept);
    assert_eq!(scene.watch.files.len(), 0);
}

#[test]
fn generations_that_came_and_went_between_two_looks_are_read() {
    check(
        "look; write app.log a|; look; write app.log b|; rename app.log app.log.1
         write app.log c|; rename app.log.1 app.log.2; rename app.log app.log.1
         write app.log d|; look; wait 10; wait 10",
        "a b d c",
    );
}

#[test]
fn a_file_emptied_after_it_was_copied_is_read_on_from_the_copy() {
    check(
        "look; write app.log a|; look; write app.log b|; copy app.log app.log.1; empty app.log
         write app.log c|; look; wait 10; wait 10",
        "a b c",
    );
}

#[test]
fn a_file_emptied_and_grown_past_the_place_is_read_from_its_beginning() {
    check(
        "look; write app.log one|two|; look; empty app.log; write app.log three|four|five|; look",
        "one two three four five",
    );
}

#[test]
fn the_line_under_way_is_told_when_a_file_is_emptied() {
    check("look; write app.log a|b; look; empty app.log; write app.log c|; look", "a b c");
    check(
        "look; write app.log a|b; look; write app.log b|; copy app.log app.log.1; empty app.log
         write app.log c|; look; look",
        "a bb c",
    );
}

#[test]
fn a_file_deleted_and_made_again_is_read_to_its_end_and_from_its_beginning() {
    check(
        "look; write app.log a|; look; write app.log b|; remove app.log; write app.log c|; look",
        "a b c",
    );
}

#[test]
fn reading_resumes_where_it_stood() {
    check(
        "look; write app.log a|b; look; restart; look; write app.log c|d|; restart; look",
        "a bc d",
    );
}

#[test]
fn what_was_read_and_not_kept_is_read_again() {
    check("look; write app.log a|; look; write app.log b|; crash; look; look", "a b");
    check(
        "look; write app.log a|; look; write app.log b|; rename app.log app.log.1
         write app.log c|; crash; crash; look",
        "a b c",
    );
    check(
        "look; write app.log a|; look; write app.log b|; copy app.log app.log.1; empty app.log
         write app.log c|; crash; look; look",
        "a b c",
    );
}

#[test]
fn rotations_while_nobody_looked_are_made_up_for() {
    check(
        "look; write app.log a|; look; write app.log b|; restart; rename app.log app.log.1
         write app.log c|; rename app.log.1 app.log.2; rename app.log app.log.1; write app.log d|
         look; restart; wait 20; wait 20; restart; look",
        "a b c d",
    );
    check(
        "look; write app.log a|; look; write app.log b|; restart; copy app.log app.log.1
         empty app.log; write app.log c|; copy app.log app.log.0; empty app.log; write app.log d|
         look; restart; wait 20; restart; look",
        "a b c d",
    );
}

#[test]
fn a_file_that_appeared_while_nobody_looked_is_read_from_its_beginning() {
    check("look; restart; write app.log a|b|; look", "a b");
}

#[test]
fn a_path_newly_set_is_read_from_its_end() {
    let mut scene = check("look; write new.log old|", "");
    let path = scene.directory.path().join("new.log").to_str().unwrap().to_owned();
    scene.settings.paths.push(path);
    for line in ["restart", "look", "write new.log a|", "look"] {
        scene.act(line);
    }
    assert_eq!(scene.lines, ["a"]);
}

#[test]
fn what_is_really_gone_is_told() {
    check_losing(
        "app.log",
        "look; write app.log a|; look; restart; remove app.log; write app.log b|; look; restart; look",
        "a b",
        1,
    );
    check_losing(
        "app.log",
        "look; write app.log aaa|; look; restart; empty app.log; look",
        "aaa",
        1,
    );
}

#[test]
fn a_pattern_that_matches_rotated_files_too_reads_each_line_once() {
    let renamed = "look; write app.log a|; look; write app.log b|; rename app.log app.log.1
                   write app.log c|; look; wait 20; write app.log.1 d|; look; restart; look";
    check_losing("app.log*", renamed, "a b c d", 0);
    let copied = "look; write app.log a|; look; write app.log b|; copy app.log app.log.1; look
                  empty app.log; look; write app.log c|; wait 20; wait 20; restart; look";
    check_losing("app.log*", copied, "a b c", 0);
    check_losing("app.log*", "look; write app.log.1.gz zip|; look", "", 0);
}

#[test]
fn long_lines_are_cut_and_many_lines_come_in_samples() {
    let mut scene = Scene::new("app.log");
    scene.act("look");
    let long = "x".repeat(3 * LOG_LINE_BYTES_MAX);
    let many: String = (0..2000).map(|number| format!("{number}\n")).collect();
    fs::write(scene.directory.path().join("app.log"), format!("{long}\n{many}")).unwrap();
    scene.act("look");
    assert_eq!(scene.lines.len(), 2001);
    assert_eq!(scene.lines[0], "x".repeat(LOG_LINE_BYTES_MAX));
    assert!(scene.lines[1..].iter().enumerate().all(|(at, line)| *line == at.to_string()));
}

#[test]
fn a_symbolic_link_is_followed_over_the_rotation_of_what_it_points_to() {
    let mut scene = Scene::new("app.log");
    let elsewhere = scene.directory.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    symlink(elsewhere.join("app.log"), scene.directory.path().join("app.log")).unwrap();
    let timeline = "look; write elsewhere/app.log a|; look; write elsewhere/app.log b|
        restart; rename elsewhere/app.log elsewhere/app.log.1; write elsewhere/app.log c|; look";
    timeline.split([';', '\n']).for_each(|line| scene.act(line.trim()));
    assert_eq!(scene.lines, ["a", "b", "c"]);
    assert!(scene.losses.is_empty());
    let watched = scene.watch.directories.clone();
    assert!(watched.contains(&elsewhere.canonicalize().unwrap()), "{watched:?}");
}

#[test]
fn what_is_no_file_is_passed_over_and_what_is_not_there_is_said() {
    let mut scene = Scene::new("*");
    fs::create_dir(scene.directory.path().join("directory")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        scene.directory.path().join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR,
        0,
    )
    .unwrap();
    scene.act("look");
    let (_state, reason) = scene.watch.condition(None);
    assert_eq!(reason.as_deref(), Some("none of the files is there"));
    scene.act("write a.log a|");
    scene.act("look");
    assert_eq!(scene.watch.condition(None).1, None);
    assert_eq!(scene.lines, ["a"]);
}

#[test]
fn a_file_that_may_not_be_read_is_said() {
    let mut scene = Scene::new("app.log");
    scene.act("write app.log a|");
    let path = scene.directory.path().join("app.log");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    scene.act("look");
    // Root may read all the same.
    let reason = scene.watch.condition(None).1;
    assert!(fs::read(&path).is_ok() || reason.unwrap().contains("app.log"));
}

#[test]
fn a_round_is_due_when_a_rotated_file_may_be_let_go() {
    let scene = check("look; write app.log a|; look; rename app.log x; wait 3", "a");
    assert_eq!(scene.watch.due_ns(), scene.now_ns + DRAIN_NS);
}
