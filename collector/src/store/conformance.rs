//! What every engine of the log must do: one suite, run against each.

use std::sync::Arc;

use cordon_proto::codec;
use cordon_proto::event::gap::SealedRange;
use cordon_proto::event::process::{Exec, ProcessEvent, Tier};
use cordon_proto::event::{Body, Class, Event, Gap, GapReason, Lane, Severity};
use cordon_proto::id::{ClientId, EndpointId, Hash};
use cordon_proto::message::LanePosition;
use cordon_proto::sign::SigningKey;
use cordon_proto::sign::batch::{self, Batch, Opened};
use cordon_proto::sign::chain;

use super::{
    Classes, Expected, Incoming, Log, LogError, Outcome, Place, Position, Scan, StoredBatch,
};
use crate::bus::{Heard, Listener};

/// An engine that is open and running, and a listener on its bus.
pub(super) struct Running {
    pub(super) log: Arc<dyn Log>,
    pub(super) listener: Listener,
}

/// Runs every check, each on an empty log of its own.
pub(super) async fn log(open: impl Fn() -> Running) {
    appends_only_where_the_lane_stands(&open()).await;
    tells_the_same_from_a_conflict(&open()).await;
    keeps_jumps_until_they_are_passed(&open()).await;
    finds_by_client_class_and_time(&open()).await;
    finds_the_batch_of_an_event(&open()).await;
    publishes_in_the_order_of_places(open()).await;
}

/// One lane of one endpoint, sealing batch after batch.
pub(super) struct Chain {
    key: SigningKey,
    pub(super) seed: u8,
    client: ClientId,
    pub(super) place: batch::Place,
    pub(super) stands: Option<LanePosition>,
    time_ns: u64,
}

impl Chain {
    pub(super) fn new(seed: u8, client: &str, lane: Lane) -> Self {
        let key = SigningKey::from_seed(&[seed; 32]).unwrap();
        let endpoint = EndpointId(key.id().0);
        let place = batch::Place {
            endpoint,
            lane,
            epoch: 1,
            first: 1,
            previous: Hash::default(),
            cause: None,
        };
        Self { key, seed, client: client.parse().unwrap(), place, stands: None, time_ns: 1000 }
    }

    pub(super) fn endpoint(&self) -> EndpointId {
        self.place.endpoint
    }

    /// The next batch; the chain moves on.
    pub(super) fn next(&mut self, bodies: &[Body]) -> Incoming {
        let incoming = self.peek(bodies);
        let header = &incoming.opened.header;
        self.place.first = header.last() + 1;
        self.place.previous = incoming.opened.hash;
        self.stands = Some(chain::position(header, incoming.opened.hash));
        self.time_ns += 1000;
        incoming
    }

    /// The next batch; the chain stays.
    pub(super) fn peek(&self, bodies: &[Body]) -> Incoming {
        let event = |(seq, body): (u64, &Body)| {
            let severity = Severity::Informational;
            let time_ns = self.time_ns + (seq - self.place.first);
            codec::encode(&Event { seq, time_ns, boot_ns: 0, severity, body: body.clone() })
        };
        let events: Vec<Vec<u8>> = (self.place.first..).zip(bodies).map(event).collect();
        let (batch, _) = batch::seal(self.place, &events, self.time_ns, &self.key).unwrap();
        self.incoming(batch)
    }

    fn incoming(&self, batch: Batch) -> Incoming {
        let opened: Opened = batch::open(&batch, &self.key.verifying()).unwrap();
        Incoming {
            client: self.client.clone(),
            host_name: "web-01".into(),
            received_ns: self.time_ns + 5,
            clock_offset_ns: -7,
            batch,
            opened,
            expected: Expected::After(self.stands),
        }
    }

    fn at(&self, seq: u64) -> Place<'_> {
        let batch::Place { endpoint, lane, epoch, .. } = self.place;
        Place { client: &self.client, endpoint, lane, epoch, seq }
    }
}

pub(super) fn exec(pid: u32) -> Body {
    Body::Process(ProcessEvent::Exec(Exec {
        tier: Tier::Bpf,
        pid,
        start_boot_ns: None,
        parent_pid: None,
        uid: None,
        euid: None,
        cgroup_id: None,
        image: None,
        image_resolved: None,
        args: None,
        args_bytes: None,
        redacted: None,
    }))
}

fn gap(sealed: SealedRange) -> Body {
    let (reason, sealed) = (GapReason::SpoolFull, Some(sealed));
    Body::Gap(Gap { reason, counts: vec![], from_ns: 0, to_ns: 0, sealed, detail: None })
}

pub(super) async fn append(log: &dyn Log, incoming: Incoming) -> Result<Outcome, LogError> {
    log.append(incoming).await.await.unwrap()
}

#[track_caller]
fn durable(outcome: Result<Outcome, LogError>) -> Position {
    let outcome = outcome.unwrap();
    let Outcome::Durable(position) = outcome else { panic!("{outcome:?}") };
    position
}

async fn appends_only_where_the_lane_stands(running: &Running) {
    let log = &*running.log;
    let mut lane = Chain::new(1, "acme", Lane::Telemetry);
    let first = lane.next(&[exec(1), exec(2)]);
    let (second, third) = (lane.next(&[exec(3)]), lane.next(&[exec(4)]));
    assert_eq!(append(log, second.clone()).await.unwrap(), Outcome::Moved, "nothing is stored yet");
    assert_eq!(log.end().unwrap(), Position(0));
    assert_eq!(durable(append(log, first.clone()).await), Position(1));
    assert_eq!(append(log, third.clone()).await.unwrap(), Outcome::Moved, "the second is missing");
    assert_eq!(durable(append(log, second.clone()).await), Position(2));
    assert_eq!(durable(append(log, third.clone()).await), Position(3));
    let heads = log.heads(lane.endpoint()).unwrap();
    assert_eq!(heads.len(), 1);
    assert_eq!(Some(heads[0].position), lane.stands);
    assert_eq!(heads[0].header, third.batch.header);
    let stored = log.read_after(Position(1), 10).unwrap();
    assert_eq!(positions(&stored), [2, 3]);
    assert_eq!(stored[0].batch, second.batch, "stored as received");
    assert_eq!((stored[0].received_ns, stored[0].clock_offset_ns), (second.received_ns, -7));
    assert_eq!((&*stored[0].host_name, stored[0].client.as_str()), ("web-01", "acme"));
    // A new epoch begins a chain of its own, behind which the old one never grows.
    let old = lane.peek(&[exec(5)]);
    lane.place.epoch = 2;
    lane.place.first = 1;
    lane.place.previous = Hash::default();
    assert_eq!(durable(append(log, lane.next(&[exec(5)])).await), Position(4));
    assert_eq!(append(log, old).await.unwrap(), Outcome::Moved);
    // Lanes stand apart.
    let mut control = Chain::new(1, "acme", Lane::Control);
    assert_eq!(durable(append(log, control.next(&[exec(9)])).await), Position(5));
    assert_eq!(log.heads(lane.endpoint()).unwrap().len(), 2);
}

async fn tells_the_same_from_a_conflict(running: &Running) {
    let log = &*running.log;
    let mut lane = Chain::new(1, "acme", Lane::Telemetry);
    let other = lane.peek(&[exec(77), exec(78)]);
    let first = lane.next(&[exec(1), exec(2)]);
    durable(append(log, first.clone()).await);
    assert_eq!(append(log, first.clone()).await.unwrap(), Outcome::Same);
    let again = Incoming { expected: Expected::Stored, ..first };
    assert_eq!(append(log, again).await.unwrap(), Outcome::Same);
    for expected in [Expected::Stored, Expected::After(None)] {
        let other = Incoming { expected, ..other.clone() };
        assert_eq!(append(log, other).await.unwrap(), Outcome::Conflict);
    }
    let evidence = log.evidence(&lane.client, lane.endpoint(), 10).unwrap();
    assert_eq!(evidence.len(), 1, "kept once");
    assert_eq!(evidence[0].batch, other.batch);
    assert_eq!(log.evidence(&"other".parse().unwrap(), lane.endpoint(), 10).unwrap(), []);
    assert_eq!(log.end().unwrap(), Position(1));
    // Numbers that a gap gave up, and that come after all: nobody can say any more what they were.
    let mut late = lane.peek(&[exec(3)]);
    late.expected = Expected::Stored;
    assert_eq!(append(log, late).await.unwrap(), Outcome::Conflict);
}

async fn keeps_jumps_until_they_are_passed(running: &Running) {
    let log = &*running.log;
    let mut lane = Chain::new(1, "acme", Lane::Telemetry);
    let mut control = Chain::new(1, "acme", Lane::Control);
    durable(append(log, lane.next(&[exec(1)])).await);
    let before = lane.stands;
    let dropped = lane.next(&[exec(2), exec(3)]);
    let (first, last, head) = (2, 3, dropped.opened.hash);
    let range = SealedRange { lane: Lane::Telemetry, epoch: 1, first, last, head };
    durable(append(log, control.next(&[gap(range)])).await);
    assert_eq!(log.gaps(lane.endpoint()).unwrap(), [range]);
    assert_eq!(log.gaps(EndpointId::of(b"other")).unwrap(), []);
    let mut after = lane.next(&[exec(4)]);
    after.expected = Expected::After(before);
    durable(append(log, after).await);
    assert_eq!(log.gaps(lane.endpoint()).unwrap(), [], "the lane has passed it");
}

fn positions(found: &[StoredBatch]) -> Vec<u64> {
    found.iter().map(|batch| batch.position.0).collect()
}

async fn finds_by_client_class_and_time(running: &Running) {
    let log = &*running.log;
    let mut one = Chain::new(1, "acme", Lane::Telemetry);
    let mut control = Chain::new(1, "acme", Lane::Control);
    let mut two = Chain::new(2, "acme", Lane::Telemetry);
    let mut foreign = Chain::new(3, "other", Lane::Telemetry);
    let head = Hash::default();
    let range = SealedRange { lane: Lane::Telemetry, epoch: 1, first: 50, last: 60, head };
    durable(append(log, one.next(&[exec(1), exec(2)])).await); // 1: at 1000
    durable(append(log, two.next(&[exec(1)])).await); // 2: at 1000
    durable(append(log, foreign.next(&[exec(1)])).await); // 3
    durable(append(log, one.next(&[exec(3)])).await); // 4: at 2000
    durable(append(log, control.next(&[gap(range)])).await); // 5: at 1000
    durable(append(log, one.next(&[exec(4)])).await); // 6: at 3000
    let all = Scan::of("acme".parse().unwrap());
    let find = |scan: &Scan, count_max| positions(&log.scan(scan, count_max).unwrap());
    assert_eq!(find(&all, 10), [1, 2, 4, 5, 6]);
    assert_eq!(find(&all, 2), [1, 2]);
    assert_eq!(find(&Scan { newest_first: true, ..all.clone() }, 2), [6, 5]);
    assert_eq!(find(&Scan::of("nobody".parse().unwrap()), 9), [0; 0]);
    let of_one = Scan { endpoint: Some(one.endpoint()), ..all.clone() };
    assert_eq!(find(&of_one, 10), [1, 4, 5, 6]);
    assert_eq!(
        find(&Scan { before: Some(Position(6)), after: Position(1), ..of_one.clone() }, 9),
        [4, 5]
    );
    let classes = Classes::default().with(Class::Gap);
    assert_eq!(find(&Scan { classes, ..all.clone() }, 10), [5]);
    let times = Scan { since_ns: Some(1001), until_ns: Some(2000), ..all.clone() };
    assert_eq!(find(&times, 10), [1, 4]);
    let foreign_endpoint = Scan { endpoint: Some(foreign.endpoint()), ..all };
    assert_eq!(find(&foreign_endpoint, 10), [0; 0], "another client's endpoint");
}

async fn finds_the_batch_of_an_event(running: &Running) {
    let log = &*running.log;
    let mut lane = Chain::new(1, "acme", Lane::Telemetry);
    for pids in [&[1, 2, 3][..], &[4, 5], &[6]] {
        let bodies: Vec<_> = pids.iter().map(|pid| exec(*pid)).collect();
        durable(append(log, lane.next(&bodies)).await);
    }
    for (seq, position) in [(1, 1), (3, 1), (4, 2), (5, 2), (6, 3)] {
        let found = log.batch_holding(lane.at(seq)).unwrap().unwrap();
        assert_eq!(found.position, Position(position), "event {seq}");
    }
    for seq in [0, 7, u64::MAX] {
        assert_eq!(log.batch_holding(lane.at(seq)).unwrap(), None, "event {seq}");
    }
    let other = "other".parse().unwrap();
    let foreign = Place { client: &other, ..lane.at(1) };
    assert_eq!(log.batch_holding(foreign).unwrap(), None);
    assert_eq!(positions(&log.read_chain(lane.at(4), 10).unwrap()), [2, 3]);
    assert_eq!(positions(&log.read_chain(lane.at(1), 2).unwrap()), [1, 2]);
}

async fn publishes_in_the_order_of_places(mut running: Running) {
    let mut lanes: Vec<_> = (1..=8).map(|seed| Chain::new(seed, "acme", Lane::Telemetry)).collect();
    let mut answers = Vec::new();
    for round in 0..4 {
        for lane in &mut lanes {
            let queued = running.log.append(lane.next(&[exec(round)])).await;
            answers.push(queued);
        }
    }
    for answer in answers {
        durable(answer.await.unwrap());
    }
    for position in 1..=32 {
        let heard = running.listener.next().await;
        let Some(Heard::Arrival(arrival)) = heard else { panic!("{heard:?}") };
        assert_eq!(arrival.position, Position(position));
        assert_eq!(arrival.read_events().count(), 1);
    }
}
