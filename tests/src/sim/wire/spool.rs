//! The model of an agent's spool: what it has sealed, what of that a power failure would take.

use std::collections::{BTreeMap, BTreeSet};

use cordon_proto::codec;
use cordon_proto::event::gap::SealedRange;
use cordon_proto::event::{Body, Gap, GapReason, Lane, LogLine, Observation, Severity};
use cordon_proto::id::{EndpointId, Hash};
use cordon_proto::message::LanePosition;
use cordon_proto::session::{Cursor, SealedBatch};
use cordon_proto::sign::SigningKey;
use cordon_proto::sign::batch::{self, EpochCause, Place};

#[derive(Clone)]
struct LaneModel {
    epoch: u32,
    next: u64,
    head: Hash,
    cause: Option<EpochCause>,
    sealed: Vec<SealedBatch>,
}

impl LaneModel {
    fn new() -> Self {
        let cause = Some(EpochCause::Enrolled);
        Self { epoch: 1, next: 1, head: Hash::default(), cause, sealed: vec![] }
    }
}

pub(super) struct Spool {
    key: SigningKey,
    endpoint: EndpointId,
    lanes: BTreeMap<Lane, LaneModel>,
    /// The telemetry lane as it was synced last.
    synced: LaneModel,
    /// Every event ever made, by its number.
    pub(super) made: BTreeSet<u64>,
    /// Events that were dropped or lost on purpose.
    pub(super) dropped: BTreeSet<u64>,
    pub(super) ranges: Vec<SealedRange>,
}

impl Spool {
    pub(super) fn new(key: SigningKey) -> Self {
        let endpoint = EndpointId(key.id().0);
        let lanes = Lane::ALL.into_iter().map(|lane| (lane, LaneModel::new())).collect();
        Self {
            key,
            endpoint,
            lanes,
            synced: LaneModel::new(),
            made: BTreeSet::new(),
            dropped: BTreeSet::new(),
            ranges: vec![],
        }
    }

    /// Makes events and seals them as one batch.
    pub(super) fn make(&mut self, lane: Lane, count: usize) {
        let bodies = (0..count).map(|_| {
            let id = self.made.len() as u64 + 1;
            self.made.insert(id);
            line(id)
        });
        let bodies: Vec<Body> = bodies.collect();
        self.seal(lane, bodies);
    }

    fn seal(&mut self, lane: Lane, bodies: Vec<Body>) {
        let model = self.lanes.get_mut(&lane).unwrap();
        let mut seq = model.next;
        let events = bodies.into_iter().map(|body| {
            let seen = Observation { time_ns: 0, boot_ns: 0, severity: Severity::Low, body };
            let event = codec::encode(&seen.at(seq));
            seq += 1;
            event
        });
        let events: Vec<_> = events.collect();
        let place = Place {
            endpoint: self.endpoint,
            lane,
            epoch: model.epoch,
            first: model.next,
            previous: model.head,
            cause: model.cause.take(),
        };
        let (batch, head) = batch::seal(place, &events, 0, &self.key).unwrap();
        let (epoch, first, last) = (model.epoch, model.next, seq - 1);
        model.sealed.push(SealedBatch { epoch, first, last, batch });
        model.next = seq;
        model.head = head;
    }

    pub(super) fn positions(&self) -> Vec<LanePosition> {
        let position = |(lane, model): (&Lane, &LaneModel)| LanePosition {
            lane: *lane,
            epoch: model.epoch,
            last: model.next - 1,
            head: model.head,
        };
        self.lanes.iter().map(position).collect()
    }

    pub(super) fn after(&self, lane: Lane, after: Cursor, batches_max: usize) -> Vec<SealedBatch> {
        let after = |sealed: &&SealedBatch| place(sealed) > after;
        self.lanes[&lane].sealed.iter().filter(after).take(batches_max).cloned().collect()
    }

    pub(super) fn forget(&mut self, lane: Lane, upto: Cursor) {
        self.lanes.get_mut(&lane).unwrap().sealed.retain(|sealed| place(sealed) > upto);
        self.synced.sealed.retain(|sealed| lane != Lane::Telemetry || place(sealed) > upto);
    }

    pub(super) fn begin_epoch(
        &mut self,
        lane: Lane,
        above: u32,
        why: EpochCause,
        after: Option<Cursor>,
    ) {
        let model = self.lanes.get_mut(&lane).unwrap();
        let reseal = |sealed: &SealedBatch| after.is_some_and(|after| place(sealed) > after);
        let (again, keep) = model.sealed.drain(..).partition::<Vec<_>, _>(reseal);
        model.sealed = keep;
        model.epoch = model.epoch.max(above) + 1;
        model.next = 1;
        model.head = Hash::default();
        model.cause = Some(why);
        for sealed in again {
            let bodies = bodies(&sealed);
            self.seal(lane, bodies);
        }
        // A change of epoch is synced: its old numbers must never be given again.
        self.sync();
    }

    /// The spool is full: its oldest telemetry goes, and a signed gap says so.
    pub(super) fn overflow(&mut self, count: usize) {
        let model = self.lanes.get_mut(&Lane::Telemetry).unwrap();
        let epoch = match model.sealed.first() {
            Some(sealed) => sealed.epoch,
            None => return,
        };
        let of_epoch = model.sealed.iter().take_while(|sealed| sealed.epoch == epoch).count();
        let gone: Vec<_> = model.sealed.drain(..count.min(of_epoch)).collect();
        let (Some(first), Some(last)) = (gone.first(), gone.last()) else { return };
        let head = Hash::of(&last.batch.header);
        let lane = Lane::Telemetry;
        let range = SealedRange { lane, epoch, first: first.first, last: last.last, head };
        self.dropped.extend(gone.iter().flat_map(ids));
        self.ranges.push(range);
        let (from_ns, to_ns, counts, detail) = (0, 0, vec![], None);
        let reason = GapReason::SpoolFull;
        let gap = Gap { reason, counts, from_ns, to_ns, sealed: Some(range), detail };
        self.seal(Lane::Control, vec![Body::Gap(gap)]);
        self.sync();
    }

    pub(super) fn sync(&mut self) {
        self.synced = self.lanes[&Lane::Telemetry].clone();
    }

    /// Power is lost: telemetry falls back to the last sync, and begins a new epoch so that no
    /// number is given twice.
    pub(super) fn lose_power(&mut self) {
        let before: BTreeSet<u64> = self.telemetry_ids();
        let epoch = self.lanes[&Lane::Telemetry].epoch;
        self.lanes.insert(Lane::Telemetry, self.synced.clone());
        let after = self.telemetry_ids();
        self.dropped.extend(before.difference(&after));
        self.begin_epoch(Lane::Telemetry, epoch, EpochCause::SpoolLost, None);
    }

    fn telemetry_ids(&self) -> BTreeSet<u64> {
        self.lanes[&Lane::Telemetry].sealed.iter().flat_map(ids).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lanes.values().all(|lane| lane.sealed.is_empty())
    }
}

fn place(sealed: &SealedBatch) -> Cursor {
    Cursor { epoch: sealed.epoch, last: sealed.last }
}

fn line(id: u64) -> Body {
    Body::Log(LogLine {
        path: "/log".into(),
        device: 0,
        inode: 0,
        offset: id,
        line: "x".into(),
        line_bytes: None,
        ..LogLine::default()
    })
}

/// The number of an event made by [`Spool::make`].
pub(super) fn id_of(body: &Body) -> Option<u64> {
    if let Body::Log(line) = body { Some(line.offset) } else { None }
}

fn bodies(sealed: &SealedBatch) -> Vec<Body> {
    let count = u32::try_from(sealed.last - sealed.first + 1).unwrap();
    let events = batch::unpack(&sealed.batch.events, count).unwrap();
    events.iter().map(|bytes| batch::read_event(bytes).unwrap().body).collect()
}

fn ids(sealed: &SealedBatch) -> Vec<u64> {
    bodies(sealed).iter().filter_map(id_of).collect()
}
