//! The whole sensor with its thread and its watches, under a writer that does not wait for it.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use cordon_proto::event::Body;
use tokio::sync::mpsc;

use crate::clock::stamp;
use crate::sensor::log::{self, LogSettings};
use crate::sensor::{Checkpoint, Outlet, Report, Sample};

const GENERATIONS: usize = 12;
const LINES_PER_GENERATION: usize = 400;

/// What the spool would keep.
#[derive(Default)]
struct Kept {
    checkpoints: BTreeMap<String, Vec<u8>>,
    seen: BTreeMap<usize, usize>,
    losses: usize,
}

impl Kept {
    fn keep(&mut self, sample: Sample) {
        for body in sample.observations.into_iter().map(|seen| seen.body) {
            for body in body.apart().unwrap_or_else(|| vec![body]) {
                let Body::Log(line) = body else { panic!("no line") };
                let number = line.line.to_lossy().split(' ').next().unwrap().parse().unwrap();
                *self.seen.entry(number).or_default() += 1;
            }
        }
        for Checkpoint { key, value } in sample.checkpoints {
            match value {
                Some(value) => self.checkpoints.insert(key, value),
                None => self.checkpoints.remove(&key),
            };
        }
        self.losses += sample.losses.len();
    }

    /// Runs the sensor until `enough` samples were kept or `until` holds; then kills it. What it
    /// said and nobody kept by then is lost with it.
    async fn run(&mut self, path: &Path, samples_max: usize, until: impl Fn(&Self) -> bool) {
        let (reports, mut said) = mpsc::channel(4);
        let settings = LogSettings {
            paths: vec![path.to_str().unwrap().to_owned()],
            ..LogSettings::default()
        };
        let restored = self.checkpoints.clone().into_iter();
        let restored = restored.map(|(key, value)| Checkpoint { key, value: Some(value) });
        let outlet = Outlet::new(log::NAME, reports);
        let sensor = log::run(settings, stamp, outlet, restored.collect());
        let keep = async {
            let mut samples = 0;
            while samples < samples_max && !until(self) {
                let (_sensor, report) = said.recv().await.unwrap();
                if let Report::Sample(sample) = report {
                    self.keep(sample);
                    samples += 1;
                }
            }
        };
        tokio::select! {
            end = sensor => panic!("the sensor ended: {end:?}"),
            () = keep => {}
        }
    }
}

/// How a generation ends.
#[derive(Clone, Copy)]
enum Rotation {
    Rename,
    Copy,
}

/// Writes numbered lines, rotating after each generation; `pause` keeps the pace. The kernel's
/// time of birth moves in steps of some milliseconds, so no generation is shorter than that.
fn write(path: &Path, rotation: Rotation, pause: &Receiver<()>) {
    let open = || OpenOptions::new().append(true).create(true).open(path).unwrap();
    let old = |generation: usize| PathBuf::from(format!("{}.{generation}", path.display()));
    let mut file: File = open();
    for number in 0..GENERATIONS * LINES_PER_GENERATION {
        writeln!(file, "{number} of a writer that does not wait").unwrap();
        if number % 4 == 0 {
            assert_eq!(
                pause.recv_timeout(Duration::from_millis(1)),
                Err(RecvTimeoutError::Timeout)
            );
        }
        if number % LINES_PER_GENERATION == LINES_PER_GENERATION - 1 {
            let old = old(number / LINES_PER_GENERATION);
            match rotation {
                Rotation::Rename => {
                    fs::rename(path, old).unwrap();
                    file = open();
                }
                Rotation::Copy => {
                    fs::copy(path, old).unwrap();
                    file.set_len(0).unwrap();
                }
            }
        }
    }
}

/// Every line exactly once, with the sensor killed after every few samples. That something may
/// have been written while a copy was made is told, though this writer waits.
#[track_caller]
fn check(rotation: Rotation, samples_of_each_life: &[usize]) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.log");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut kept = Kept::default();
    // The first life notes that the path is watched, so that all that comes is new.
    runtime.block_on(kept.run(&path, 1, |_kept| false));
    let (_never_spoken, pause): (SyncSender<()>, _) = sync_channel(1);
    let writer_path = path.clone();
    let writer = std::thread::spawn(move || write(&writer_path, rotation, &pause));
    let all = GENERATIONS * LINES_PER_GENERATION;
    let is_all = |kept: &Kept| kept.seen.len() == all;
    runtime.block_on(async {
        for samples in samples_of_each_life {
            kept.run(&path, *samples, is_all).await;
            assert!(
                !is_all(&kept),
                "the writer was done before the sensor was killed often enough"
            );
        }
        let rest = kept.run(&path, usize::MAX, is_all);
        let rest = tokio::time::timeout(Duration::from_secs(30), rest).await;
        assert!(rest.is_ok(), "lines are missing");
    });
    writer.join().unwrap();
    let doubled: Vec<_> = kept.seen.iter().filter(|(_, times)| **times > 1).collect();
    assert!(doubled.is_empty(), "{doubled:?}");
    assert_eq!(kept.seen.len(), all);
    match rotation {
        Rotation::Rename => assert_eq!(kept.losses, 0),
        Rotation::Copy => assert!(kept.losses > 0),
    }
}

#[test]
fn no_line_is_lost_or_doubled_under_renaming() {
    check(Rotation::Rename, &[]);
}

#[test]
fn no_line_is_lost_or_doubled_under_copying_and_emptying() {
    check(Rotation::Copy, &[]);
}

#[test]
fn no_line_is_lost_or_doubled_when_the_sensor_is_killed_under_renaming() {
    check(Rotation::Rename, &[3, 1, 4, 2, 5, 1, 1, 6, 2]);
}

#[test]
fn no_line_is_lost_or_doubled_when_the_sensor_is_killed_under_copying_and_emptying() {
    check(Rotation::Copy, &[2, 5, 1, 4, 3, 1, 6, 2, 3]);
}
