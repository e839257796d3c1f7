//! The spool on a file system that really is full: a small tmpfs in a mount namespace of the
//! test's own. Needs root; skipped by name without.

#![allow(clippy::unwrap_used, reason = "a test ends where something unexpected happens")]

use std::collections::BTreeMap;
use std::ffi::CStr;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use cordon_agent::clock::{self, Stamp};
use cordon_agent::sensor::Sample;
use cordon_agent::spool::{Identity, Spool, SpoolLimits, Taken};
use cordon_proto::event::gap::SealedRange;
use cordon_proto::event::{Body, Class, Lane, LogLine, Observation, Severity, Started};
use cordon_proto::id::{EndpointId, Hash};
use cordon_proto::message::LanePosition;
use cordon_proto::session::Cursor;
use cordon_proto::sign::chain::{self, Verdict};
use cordon_proto::sign::{SigningKey, batch};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use rustix::mount::{MountFlags, mount};

#[path = "support/platform.rs"]
mod platform;

use platform::leave_mount_namespace;

/// Its name, the size of its disk, and what happens there.
type Case = (&'static str, &'static CStr, fn(&Path));

/// A disk with room for a reserve, and one without.
const SMALL: &CStr = c"size=16m";
const TINY: &CStr = c"size=6m";

const CASES: [Case; 4] = [
    ("a_spool_larger_than_its_disk_drops_its_oldest_telemetry", SMALL, larger_than_its_disk),
    ("a_disk_filled_by_others_loses_nothing_untold_and_recovers", SMALL, filled_by_others),
    ("a_spool_opens_on_a_full_disk_and_the_collector_can_empty_it", SMALL, opens_when_full),
    ("a_spool_on_a_disk_without_room_for_a_reserve_goes_on", TINY, without_reserve),
];

fn main() -> std::process::ExitCode {
    let root = rustix::process::geteuid().is_root();
    let trial = |(name, size, case): Case| {
        Trial::ignorable_test(name, move || match root {
            true => on_a_disk(size, case).map(|()| Completion::Completed),
            false => Ok(Completion::ignored_with("needs root")),
        })
    };
    libtest_mimic::run(&Arguments::from_args(), CASES.map(trial).into()).exit_code()
}

/// Runs a case on a thread that sees a small tmpfs where everybody else sees an empty folder.
fn on_a_disk(size: &'static CStr, case: fn(&Path)) -> Result<(), Failed> {
    let folder = tempfile::tempdir()?;
    let disk = folder.path().to_path_buf();
    let run = std::thread::spawn(move || {
        leave_mount_namespace().unwrap();
        mount("cordon-test", &disk, "tmpfs", MountFlags::empty(), size).unwrap();
        case(&disk);
    });
    run.join().map_err(|panic| match panic.downcast::<String>() {
        Ok(sentence) => Failed::from(*sentence),
        Err(_other) => Failed::from("the case panicked"),
    })
}

fn larger_than_its_disk(disk: &Path) {
    let mut spool = open(disk);
    let mut bench = Bench::default();
    for _ in 0..5000 {
        assert_eq!(bench.append(&mut spool, 5000), Taken::Stored);
    }
    assert!(!disk.join("spool.reserve").exists(), "the disk never was full");
    bench.collect(&mut spool);
    bench.settle();
    let missing = bench.told;
    assert!(missing > 2000 && bench.lines.contains_key(&5000), "{missing} missing");
}

fn filled_by_others(disk: &Path) {
    let mut spool = open(disk);
    let mut bench = Bench::default();
    for _ in 0..50 {
        assert_eq!(bench.append(&mut spool, 2000), Taken::Stored);
    }
    let hog = fill(disk);
    for _ in 0..1000 {
        bench.append(&mut spool, 2000);
        // What the spool gives up is taken by the others at once.
        fill(disk);
    }
    fs::remove_file(hog).unwrap();
    assert_eq!(spool.retry(clock::stamp()), Taken::Stored);
    assert_eq!(bench.append(&mut spool, 2000), Taken::Stored);
    bench.collect(&mut spool);
    bench.settle();
    assert!(bench.told > 0, "there always was room");
}

fn opens_when_full(disk: &Path) {
    let mut bench = Bench::default();
    let mut spool = open(disk);
    for _ in 0..1000 {
        assert_eq!(bench.append(&mut spool, 5000), Taken::Stored);
    }
    fill(disk);
    drop(spool);
    fill(disk);
    let mut spool = open(disk);
    bench.collect(&mut spool);
    for lane in Lane::ALL {
        spool.forget(lane, bench.cursor(lane)).unwrap();
    }
    assert_eq!(spool.depths()[1].events, 0);
    assert_eq!(bench.append(&mut spool, 5000), Taken::Stored);
    bench.collect(&mut spool);
    bench.settle();
}

fn without_reserve(disk: &Path) {
    let mut spool = open(disk);
    assert!(!disk.join("spool.reserve").exists(), "there was room for a reserve");
    let mut bench = Bench::default();
    for _ in 0..3000 {
        assert_eq!(bench.append(&mut spool, 5000), Taken::Stored);
    }
    bench.collect(&mut spool);
    for lane in Lane::ALL {
        spool.forget(lane, bench.cursor(lane)).unwrap();
    }
    assert_eq!(bench.append(&mut spool, 5000), Taken::Stored);
    bench.collect(&mut spool);
    bench.settle();
    assert!(bench.told > 0, "the disk never was full");
}

/// Takes all the room there is; answers the file that holds it.
fn fill(disk: &Path) -> PathBuf {
    let path = disk.join("hog");
    let mut hog = File::options().create(true).append(true).open(&path).unwrap();
    for block in [65_536, 4096, 1] {
        while hog.write_all(&vec![1; block]).is_ok() {}
    }
    path
}

fn open(disk: &Path) -> Spool {
    let key = key();
    let identity = Identity { endpoint: EndpointId::of(&key.verifying().0), key };
    let limits = SpoolLimits::of(64 << 20);
    Spool::open(&disk.join("spool.db"), identity, limits, "boot", clock::stamp()).unwrap()
}

fn key() -> SigningKey {
    SigningKey::from_seed(&[9; 32]).unwrap()
}

/// Hands lines over with a control event now and then, and judges what comes back.
#[derive(Default)]
struct Bench {
    appended: u64,
    started: u64,
    positions: BTreeMap<Lane, LanePosition>,
    ranges: Vec<SealedRange>,
    lines: BTreeMap<u64, u32>,
    starts: BTreeMap<u64, u32>,
    told: u64,
}

impl Bench {
    fn append(&mut self, spool: &mut Spool, bytes: usize) -> Taken {
        let now = clock::stamp();
        self.appended += 1;
        let mut observations = vec![line(self.appended, bytes, now)];
        if self.appended.is_multiple_of(50) {
            self.started += 1;
            observations.push(started(self.started, now));
        }
        spool.append([Sample { observations, ..Sample::default() }], now)
    }

    fn cursor(&self, lane: Lane) -> Cursor {
        let at = self.positions.get(&lane);
        at.map(|at| Cursor { epoch: at.epoch, last: at.last }).unwrap_or_default()
    }

    fn collect(&mut self, spool: &mut Spool) {
        for lane in Lane::ALL {
            loop {
                let batches = spool.sealed_after(lane, self.cursor(lane), 16, 1 << 20).unwrap();
                if batches.is_empty() {
                    break;
                }
                for sealed in batches {
                    let opened = batch::open(&sealed.batch, &key().verifying()).unwrap();
                    let position = self.positions.get(&lane);
                    let verdict = chain::judge(position, &opened.header, &self.ranges);
                    let taken = [Verdict::Next, Verdict::NextAfterGap, Verdict::NewEpoch];
                    assert!(taken.contains(&verdict), "{verdict:?}");
                    self.positions.insert(lane, chain::position(&opened.header, opened.hash));
                    opened.events.iter().for_each(|event| self.note(event));
                }
            }
        }
    }

    fn note(&mut self, event: &[u8]) {
        let body = batch::read_event(event).unwrap().body;
        if let Body::Log(line) = &body {
            *self.lines.entry(line.offset).or_default() += 1;
        } else if let Body::Lifecycle(started) = &body {
            *self.starts.entry(started.boot_count).or_default() += 1;
        } else if let Body::Gap(gap) = body {
            self.ranges.extend(gap.sealed);
            let logs = gap.counts.iter().filter(|count| count.class == Class::Log);
            self.told += logs.map(|count| count.count).sum::<u64>();
        }
    }

    /// Everything arrived once or was told of, and no control event is missing.
    fn settle(&self) {
        assert!(self.lines.values().chain(self.starts.values()).all(|times| *times == 1));
        let arrived = u64::try_from(self.lines.len()).unwrap();
        assert_eq!(arrived + self.told, self.appended);
        assert_eq!(u64::try_from(self.starts.len()).unwrap(), self.started);
    }
}

/// A line of what does not compress, named by its offset.
fn line(id: u64, bytes: usize, now: Stamp) -> Observation {
    let mut noise = Vec::new();
    let mut seed = Hash::of(&id.to_be_bytes());
    while noise.len() < bytes {
        noise.extend_from_slice(&seed.0);
        seed = Hash::of(&seed.0);
    }
    let line = LogLine {
        path: b"/var/log/a".as_slice().into(),
        device: 1,
        inode: 1,
        offset: id,
        line: noise.into(),
        line_bytes: None,
        ..LogLine::default()
    };
    observation(Body::Log(line), now)
}

fn started(id: u64, now: Stamp) -> Observation {
    let body = Started {
        agent_version: "0".to_owned(),
        boot_id: "boot".to_owned(),
        boot_count: id,
        unclean: false,
    };
    observation(Body::Lifecycle(body), now)
}

fn observation(body: Body, now: Stamp) -> Observation {
    let Stamp { time_ns, boot_ns } = now;
    Observation { time_ns, boot_ns, severity: Severity::Informational, body }
}
