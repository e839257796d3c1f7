//! A directory of real files, a reader of its logs, and rounds of reading called by hand.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::time::Duration;

use cordon_proto::event::{Body, GapReason, LogLine};
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::clock::Stamp;
use crate::sensor::log::LogSettings;
use crate::sensor::log::wake::Woken;
use crate::sensor::log::watch::{Round, Watch};
use crate::sensor::{Checkpoint, SAMPLE_EVENTS_MAX, Sample, Stopping};

/// A directory, a reader of its logs, and what has been kept of what it said.
pub(super) struct Scene {
    pub(super) directory: tempfile::TempDir,
    pub(super) settings: LogSettings,
    pub(super) watch: Watch,
    pub(super) kept: BTreeMap<String, Vec<u8>>,
    pub(super) lines: Vec<String>,
    /// The same in full.
    pub(super) events: Vec<LogLine>,
    pub(super) losses: Vec<String>,
    /// Lines that were over a limit.
    pub(super) over: u64,
    pub(super) now_ns: u64,
}

impl Scene {
    pub(super) fn new(pattern: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(pattern).to_str().unwrap().to_owned();
        let settings = LogSettings { paths: vec![path], ..LogSettings::default() };
        let watch = Watch::new(&settings, Vec::new());
        let (kept, lines, events, losses) = (BTreeMap::new(), Vec::new(), Vec::new(), Vec::new());
        Self { directory, settings, watch, kept, lines, events, losses, over: 0, now_ns: 1 }
    }

    fn keep(&mut self, sample: Sample) {
        assert!(sample.observations.len() <= SAMPLE_EVENTS_MAX);
        for body in sample.observations.into_iter().map(|seen| seen.body) {
            for body in body.apart().unwrap_or_else(|| vec![body]) {
                let Body::Log(line) = body else { panic!("no line") };
                assert_eq!(line.run, None, "it comes apart");
                self.lines.push(line.line.to_lossy().into_owned());
                self.events.push(line);
            }
        }
        for loss in sample.losses {
            if loss.reason == GapReason::RateLimit {
                self.over += loss.counts[0].count;
            } else {
                self.losses.extend(loss.detail);
            }
        }
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
        let woken = Woken::everything();
        let mut keep = |sample| {
            samples.push(sample);
            Ok(())
        };
        while self.watch.round(&woken, now, &mut keep).unwrap() == Round::Unfinished {}
        samples.into_iter().for_each(|sample| self.keep(sample));
    }

    /// Looks, but ends before anything that was read is kept.
    fn crash(&mut self) {
        let woken = Woken::everything();
        let end = self.watch.round(&woken, self.now(), &mut |_lost| Err(Stopping));
        assert_eq!(end, Err(Stopping), "there was nothing to hand over");
        self.restart();
    }

    /// The same, whether there was anything to hand over or not.
    fn stumble(&mut self) {
        let woken = Woken::everything();
        // Told by what is read after it.
        self.watch.round(&woken, self.now(), &mut |_lost| Err(Stopping)).ok();
        self.restart();
    }

    pub(super) fn restart(&mut self) {
        let kept = self.kept.clone().into_iter();
        let kept = kept.map(|(key, value)| Checkpoint { key, value: Some(value) });
        self.watch = Watch::new(&self.settings, kept.collect());
    }

    /// Carries out a timeline; what is between two `;` is one act.
    pub(super) fn play(&mut self, timeline: &str) {
        for line in timeline.split([';', '\n']).map(str::trim).filter(|line| !line.is_empty()) {
            self.act(line);
        }
    }

    pub(super) fn act(&mut self, line: &str) {
        let path = |name: &str| self.directory.path().join(name);
        let append = |name: &str| OpenOptions::new().append(true).create(true).open(path(name));
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["write", name, text] => {
                append(name).unwrap().write_all(text.replace('|', "\n").as_bytes()).unwrap();
            }
            ["rename", from, to] => fs::rename(path(from), path(to)).unwrap(),
            ["copy", from, to] => drop(fs::copy(path(from), path(to)).unwrap()),
            ["empty", name] => fs::write(path(name), "").unwrap(),
            ["gzip", name] => gzip(&path(name)),
            ["age", name, secs] => {
                let now = fs::metadata(self.directory.path()).unwrap().modified().unwrap();
                let time = now + Duration::from_secs(secs.parse().unwrap());
                fs::File::open(path(name)).unwrap().set_modified(time).unwrap();
            }
            ["link", to, name] => {
                let new = path("new-link");
                std::os::unix::fs::symlink(path(to), &new).unwrap();
                fs::rename(new, path(name)).unwrap();
            }
            ["remove", name] => fs::remove_file(path(name)).unwrap(),
            ["look"] => self.look(),
            ["wait", secs] => {
                self.now_ns += secs.parse::<u64>().unwrap() * 1_000_000_000;
                self.look();
            }
            ["wait-ms", millis] => {
                self.now_ns += millis.parse::<u64>().unwrap() * 1_000_000;
                self.look();
            }
            ["restart"] => self.restart(),
            ["crash"] => self.crash(),
            ["stumble"] => self.stumble(),
            _ => panic!("{line}"),
        }
    }
}

/// What gzip does: the time of the content is kept, the original goes.
fn gzip(path: &std::path::Path) {
    let packed = std::path::PathBuf::from(format!("{}.gz", path.display()));
    let mut encoder = GzEncoder::new(fs::File::create(&packed).unwrap(), Compression::fast());
    encoder.write_all(&fs::read(path).unwrap()).unwrap();
    let file = encoder.finish().unwrap();
    file.set_modified(path.metadata().unwrap().modified().unwrap()).unwrap();
    fs::remove_file(path).unwrap();
}

/// Carries out a timeline (`|` is the end of a line) and compares the lines read, and how many
/// losses were told.
#[track_caller]
pub(super) fn check_losing(pattern: &str, timeline: &str, expected: &str, losses: usize) -> Scene {
    let mut scene = Scene::new(pattern);
    scene.play(timeline);
    assert_eq!(scene.lines.join(" "), expected, "{:?}", scene.losses);
    assert_eq!(scene.losses.len(), losses, "{:?}", scene.losses);
    scene
}

#[track_caller]
pub(super) fn check(timeline: &str, expected: &str) -> Scene {
    check_losing("app.log", timeline, expected, 0)
}
