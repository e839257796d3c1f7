//! The spool against a collector that judges every batch, over crashes, lost power and full disks.

mod crash;
mod keeper;
mod loss;
mod model;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use cordon_proto::event::gap::SealedRange;
use cordon_proto::event::{Body, Class, Gap, Lane, LogLine, Observation, Severity, Started};
use cordon_proto::id::{EndpointId, Hash};
use cordon_proto::message::LanePosition;
use cordon_proto::session::{Cursor, SealedBatch};
use cordon_proto::sign::chain::{self, Verdict};
use cordon_proto::sign::{SigningKey, batch};

use super::{Identity, Spool, SpoolLimits, Taken};
use crate::clock::Stamp;
use crate::sensor::{Checkpoint, Sample};

fn identity() -> Identity {
    let key = SigningKey::from_seed(&[5; 32]).unwrap();
    Identity { endpoint: EndpointId::of(&key.verifying().0), key }
}

fn at(secs: u64) -> Stamp {
    Stamp { time_ns: (1_000_000 + secs) * 1_000_000_000, boot_ns: secs * 1_000_000_000 }
}

/// A folder with a spool in it.
struct Bench {
    folder: tempfile::TempDir,
    limits: SpoolLimits,
}

impl Bench {
    fn new() -> Self {
        Self::with(SpoolLimits::of(64 << 20))
    }

    fn with(limits: SpoolLimits) -> Self {
        Self { folder: tempfile::tempdir().unwrap(), limits }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("spool.db")
    }

    fn open(&self, boot: &str, secs: u64) -> Spool {
        open(&self.path(), self.limits, boot, secs)
    }
}

fn open(path: &Path, limits: SpoolLimits, boot: &str, secs: u64) -> Spool {
    Spool::open(path, identity(), limits, boot, at(secs)).unwrap()
}

/// A log line whose offset is its name, filled with what does not compress.
fn line(id: u64, bytes: usize) -> Observation {
    let mut noise = Vec::new();
    let mut seed = Hash::of(&id.to_be_bytes());
    while noise.len() < bytes {
        noise.extend_from_slice(&seed.0);
        seed = Hash::of(&seed.0);
    }
    noise.truncate(bytes);
    let line = LogLine {
        path: b"/var/log/a".as_slice().into(),
        device: 1,
        inode: 1,
        offset: id,
        line: noise.into(),
        line_bytes: None,
        ..LogLine::default()
    };
    let time_ns = at(id).time_ns;
    Observation { time_ns, boot_ns: 1, severity: Severity::Informational, body: Body::Log(line) }
}

/// A control event whose boot count is its name.
fn started(id: u64) -> Observation {
    let body = Body::Lifecycle(Started {
        agent_version: "0".to_owned(),
        boot_id: "boot".to_owned(),
        boot_count: id,
        unclean: false,
    });
    Observation { time_ns: at(id).time_ns, boot_ns: 1, severity: Severity::Low, body }
}

fn sample(observations: Vec<Observation>) -> Sample {
    Sample { observations, ..Sample::default() }
}

fn mark(key: &str, id: u64) -> Checkpoint {
    Checkpoint { key: key.to_owned(), value: Some(id.to_be_bytes().to_vec()) }
}

#[track_caller]
fn stored(taken: Taken) {
    assert_eq!(taken, Taken::Stored);
}

/// Stores what it is sent, as the real one must: nothing that does not continue the chain.
#[derive(Default)]
struct Collector {
    positions: BTreeMap<Lane, LanePosition>,
    hashes: BTreeMap<(Lane, Cursor), Hash>,
    ranges: Vec<SealedRange>,
    lines: Vec<u64>,
    starts: Vec<u64>,
    gaps: Vec<Gap>,
}

impl Collector {
    fn cursor(&self, lane: Lane) -> Cursor {
        let at = self.positions.get(&lane);
        at.map(|at| Cursor { epoch: at.epoch, last: at.last }).unwrap_or_default()
    }

    #[track_caller]
    fn take(&mut self, sealed: &SealedBatch) {
        let opened = batch::open(&sealed.batch, &identity().key.verifying()).unwrap();
        let header = &opened.header;
        let lane = header.lane;
        assert_eq!(
            (header.epoch, header.first, header.last()),
            (sealed.epoch, sealed.first, sealed.last)
        );
        let position = self.positions.get(&lane);
        match chain::judge(position, header, &self.ranges) {
            Verdict::Next | Verdict::NextAfterGap | Verdict::NewEpoch => {}
            Verdict::Stored => {
                let known = self.hashes.get(&(lane, Cursor::after(header)));
                assert_eq!(known, Some(&opened.hash), "other content under the same numbers");
                return;
            }
            Verdict::Broken(why) => panic!("{lane:?} {header:?} after {position:?}: {why}"),
        }
        self.positions.insert(lane, chain::position(header, opened.hash));
        self.hashes.insert((lane, Cursor::after(header)), opened.hash);
        for event in &opened.events {
            let event = batch::read_event(event).unwrap();
            assert_eq!(event.body.class().lane(), lane);
            if let Body::Log(line) = &event.body {
                self.lines.push(line.offset);
            } else if let Body::Lifecycle(started) = &event.body {
                self.starts.push(started.boot_count);
            } else if let Body::Gap(gap) = event.body {
                self.ranges.extend(gap.sealed);
                self.gaps.push(gap);
            }
        }
    }

    /// Takes batches of a lane from where it stands; answers whether there were any.
    #[track_caller]
    fn fetch(&mut self, spool: &mut Spool, lane: Lane, batches_max: usize) -> bool {
        let after = self.cursor(lane);
        let batches = spool.sealed_after(lane, after, batches_max, 1 << 20).unwrap();
        batches.iter().for_each(|sealed| self.take(sealed));
        !batches.is_empty()
    }

    /// Takes everything, the control lane first.
    #[track_caller]
    fn drain(&mut self, spool: &mut Spool) {
        for lane in Lane::ALL {
            while self.fetch(spool, lane, 3) {}
        }
    }

    /// How many events of a class gaps say are missing.
    fn told(&self, class: Class) -> u64 {
        let counts = self.gaps.iter().flat_map(|gap| &gap.counts);
        counts.filter(|count| count.class == class).map(|count| count.count).sum()
    }
}

#[track_caller]
fn once_each(found: &[u64], expected: impl Iterator<Item = u64>) {
    let mut found = found.to_vec();
    found.sort_unstable();
    assert_eq!(found, expected.collect::<Vec<_>>());
}
