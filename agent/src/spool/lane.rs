//! One lane: gives events their numbers and seals them into batches.
//!
//! Pure: what is sealed is handed back; the state counts only once the caller has it on disk.

use cordon_proto::event::{Class, ClassCount, Lane, Observation};
use cordon_proto::id::{EndpointId, Hash};
use cordon_proto::limits;
use cordon_proto::message::LanePosition;
use cordon_proto::session::SealedBatch;
use cordon_proto::sign::SigningKey;
use cordon_proto::sign::batch::{self, BatchError, EpochCause, Place, Sealer};

/// Who signs.
#[derive(Debug)]
pub struct Identity {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Its signing key.
    pub key: SigningKey,
}

/// Events of one batch: half of what the wire allows; more saves nothing, and a batch is what is
/// sent, dropped and stored as a whole.
const BATCH_EVENTS_MAX: usize = limits::BATCH_EVENTS_MAX / 2;

/// Events' bytes of one batch: leaves room for longer numbers when a batch is sealed again.
const BATCH_BYTES_MAX: usize = limits::BATCH_BYTES_MAX - (16 << 10);

/// One event: leaves room for its number.
const EVENT_BYTES_MAX: usize = limits::EVENT_BYTES_MAX - 16;

/// What a batch takes in the database beside its header and events.
const ROW_BYTES: u64 = 128;

/// An event that has no number yet, encoded with the number 0.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct Entry {
    pub(super) class: Class,
    /// How many facts it tells.
    pub(super) count: u64,
    pub(super) time_ns: u64,
    pub(super) bytes: Vec<u8>,
}

impl Entry {
    /// Encodes an observation; none if it is longer than the wire allows.
    pub(super) fn new(observation: &Observation) -> Option<Self> {
        let mut bytes = Vec::new();
        observation.append_to(&mut bytes);
        let (class, count) = (observation.body.class(), observation.body.count());
        let time_ns = observation.time_ns;
        (bytes.len() <= EVENT_BYTES_MAX).then_some(Self { class, count, time_ns, bytes })
    }

    pub(super) fn unsealed(&self) -> Unsealed<'_> {
        let Self { class, count, time_ns, bytes } = self;
        Unsealed { class: *class, count: *count, time_ns: *time_ns, bytes }
    }
}

/// The same, wherever its bytes are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsealed<'a> {
    pub(super) class: Class,
    pub(super) count: u64,
    pub(super) time_ns: u64,
    pub(super) bytes: &'a [u8],
}

/// Many of them, one behind the other: what comes by the thousand is not worth a piece of the heap
/// each.
#[derive(Clone, Debug, Default)]
pub(super) struct Entries {
    bytes: Vec<u8>,
    /// Of each its class, how many facts it tells, its time and where it ends.
    ends: Vec<(Class, u64, u64, usize)>,
}

/// Room for fewer bytes is soon made again.
const ENTRIES_BYTES_KEPT: usize = 32 << 10;

impl Entries {
    /// Encodes an observation; false if it is longer than the wire allows.
    #[must_use]
    pub(super) fn push(&mut self, observation: &Observation) -> bool {
        let start = self.bytes.len();
        observation.append_to(&mut self.bytes);
        let fits = self.bytes.len() - start <= EVENT_BYTES_MAX;
        if fits {
            let (class, count) = (observation.body.class(), observation.body.count());
            self.ends.push((class, count, observation.time_ns, self.bytes.len()));
        } else {
            self.bytes.truncate(start);
        }
        fits
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Unsealed<'_>> {
        let starts = std::iter::once(0).chain(self.ends.iter().map(|(.., end)| *end));
        starts.zip(&self.ends).map(|(start, (class, count, time_ns, end))| {
            let bytes = self.bytes.get(start..*end).unwrap_or_default();
            Unsealed { class: *class, count: *count, time_ns: *time_ns, bytes }
        })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The same with nothing in it; room is kept where there was much.
    pub(super) fn emptied(mut self) -> Self {
        if self.bytes.len() < ENTRIES_BYTES_KEPT {
            return Self::default();
        }
        self.bytes.clear();
        self.ends.clear();
        self
    }
}

/// What a batch holds, for the gap that it becomes if it must be dropped.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(super) struct Holding {
    pub(super) counts: Vec<ClassCount>,
    pub(super) from_ns: u64,
    pub(super) to_ns: u64,
}

impl Holding {
    pub(super) fn add(&mut self, class: Class, count: u64, from_ns: u64, to_ns: u64) {
        let first = self.counts.is_empty();
        self.from_ns = if first { from_ns } else { self.from_ns.min(from_ns) };
        self.to_ns = self.to_ns.max(to_ns);
        match self.counts.iter_mut().find(|known| known.class == class) {
            // A count of 0 means that nobody knows: it stays unknown.
            Some(known) if known.count == 0 || count == 0 => known.count = 0,
            Some(known) => known.count = known.count.saturating_add(count),
            None => self.counts.push(ClassCount { class, count }),
        }
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for count in &other.counts {
            self.add(count.class, count.count, other.from_ns, other.to_ns);
        }
    }
}

/// A sealed batch on its way to the disk.
#[derive(Clone, Debug)]
pub(super) struct Sealed {
    pub(super) epoch: u32,
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) hash: Hash,
    pub(super) header: Vec<u8>,
    pub(super) events: Vec<u8>,
    pub(super) holding: Holding,
}

impl Sealed {
    /// The same as it goes over the wire.
    pub(super) fn into_batch(self) -> SealedBatch {
        let Self { epoch, first, last, header, events, .. } = self;
        SealedBatch { epoch, first, last, batch: batch::Batch { header, events } }
    }

    /// What it counts for against the spool's limit.
    pub(super) fn bytes(&self) -> u64 {
        size(&self.header) + size(&self.events) + ROW_BYTES
    }
}

fn size(bytes: &[u8]) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}

/// Where a lane stands, and what waits in it.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) struct LaneState {
    pub(super) lane: Lane,
    pub(super) epoch: u32,
    pub(super) next_seq: u64,
    pub(super) head: Hash,
    /// Why the epoch began, until its first batch has said so.
    pub(super) cause: Option<EpochCause>,
    /// Events sealed and not yet forgotten.
    pub(super) events: u64,
    /// What they take.
    pub(super) bytes: u64,
}

impl LaneState {
    /// A lane with nothing in it.
    pub(super) fn new(lane: Lane, epoch: u32, cause: EpochCause) -> Self {
        let head = Hash::default();
        Self { lane, epoch, next_seq: 1, head, cause: Some(cause), events: 0, bytes: 0 }
    }

    /// Begins an epoch; what waits stays and is counted on.
    pub(super) fn begin(&mut self, epoch: u32, cause: EpochCause) {
        let (events, bytes) = (self.events, self.bytes);
        *self = Self { events, bytes, ..Self::new(self.lane, epoch, cause) };
    }

    pub(super) fn position(&self) -> LanePosition {
        let last = self.next_seq.saturating_sub(1);
        LanePosition { lane: self.lane, epoch: self.epoch, last, head: self.head }
    }

    /// How many events and bytes fewer it holds than it did before.
    pub(super) fn less_than(&self, before: &Self) -> (u64, u64) {
        (before.events.saturating_sub(self.events), before.bytes.saturating_sub(self.bytes))
    }

    /// Whether the disk has to be told of what changed; what waits it counts by itself.
    pub(super) fn differs_on_disk(&self, before: &Self) -> bool {
        let kept = |state: &Self| (state.epoch, state.next_seq, state.head, state.cause);
        kept(self) != kept(before)
    }

    /// Takes note that a batch is gone.
    pub(super) fn gone(&mut self, events: u64, bytes: u64) {
        self.events = self.events.saturating_sub(events);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Numbers events and seals them into as many batches as it takes.
    pub(super) fn seal<'a>(
        &mut self,
        entries: impl Iterator<Item = Unsealed<'a>>,
        time_ns: u64,
        identity: &Identity,
        sealer: &mut Sealer,
    ) -> Result<Vec<Sealed>, BatchError> {
        let mut sealed = Vec::new();
        let mut entries = entries.peekable();
        while entries.peek().is_some() {
            let (mut holding, mut count, mut bytes) = (Holding::default(), 0, 0);
            let batch = std::iter::from_fn(|| {
                let entry = entries.next_if(|entry| {
                    let fits = bytes + entry.bytes.len() <= BATCH_BYTES_MAX;
                    count == 0 || (count < BATCH_EVENTS_MAX && fits)
                })?;
                (count, bytes) = (count + 1, bytes + entry.bytes.len());
                holding.add(entry.class, entry.count, entry.time_ns, entry.time_ns);
                Some(entry.bytes)
            });
            let count = self.number(batch, sealer)?;
            sealed.push(self.close(count, holding, time_ns, identity, sealer)?);
        }
        Ok(sealed)
    }

    /// Seals the events of one batch under this lane's next numbers.
    pub(super) fn seal_run<'a>(
        &mut self,
        events: impl Iterator<Item = &'a [u8]>,
        holding: Holding,
        time_ns: u64,
        identity: &Identity,
        sealer: &mut Sealer,
    ) -> Result<Sealed, BatchError> {
        let count = self.number(events, sealer)?;
        self.close(count, holding, time_ns, identity, sealer)
    }

    /// Hands events to the sealer, each under its number; answers how many.
    fn number<'a>(
        &self,
        events: impl Iterator<Item = &'a [u8]>,
        sealer: &mut Sealer,
    ) -> Result<u64, BatchError> {
        let mut next = self.next_seq;
        for event in events {
            if let Err(error) = sealer.add_numbered(event, next) {
                sealer.clear();
                return Err(error);
            }
            next = next.saturating_add(1);
        }
        Ok(next.saturating_sub(self.next_seq))
    }

    /// Seals the events that the sealer has been handed.
    fn close(
        &mut self,
        count: u64,
        holding: Holding,
        time_ns: u64,
        identity: &Identity,
        sealer: &mut Sealer,
    ) -> Result<Sealed, BatchError> {
        let first = self.next_seq;
        let place = Place {
            endpoint: identity.endpoint,
            lane: self.lane,
            epoch: self.epoch,
            first,
            previous: self.head,
            cause: self.cause,
        };
        let (batch, hash) = sealer.seal(place, time_ns, &identity.key)?;
        let last = first.saturating_add(count).saturating_sub(1);
        let batch::Batch { header, events } = batch;
        let sealed = Sealed { epoch: self.epoch, first, last, hash, header, events, holding };
        self.next_seq = last.saturating_add(1);
        self.head = hash;
        self.cause = None;
        self.events = self.events.saturating_add(count);
        self.bytes = self.bytes.saturating_add(sealed.bytes());
        Ok(sealed)
    }
}

/// Both lanes.
#[derive(Clone, Debug)]
pub(super) struct Lanes {
    pub(super) control: LaneState,
    pub(super) telemetry: LaneState,
}

impl Lanes {
    pub(super) fn get(&self, lane: Lane) -> &LaneState {
        match lane {
            Lane::Control => &self.control,
            Lane::Telemetry => &self.telemetry,
        }
    }

    pub(super) fn get_mut(&mut self, lane: Lane) -> &mut LaneState {
        match lane {
            Lane::Control => &mut self.control,
            Lane::Telemetry => &mut self.telemetry,
        }
    }
}

#[cfg(test)]
mod tests {
    use cordon_proto::event::{Body, LogLine, Severity};

    use super::*;

    fn observation(line: &str) -> Observation {
        let line = LogLine {
            path: "/var/log/syslog".into(),
            device: 1,
            inode: 2,
            offset: 3,
            line: line.into(),
            line_bytes: None,
            ..LogLine::default()
        };
        let severity = Severity::Informational;
        Observation { time_ns: 7, boot_ns: 8, severity, body: Body::Log(line) }
    }

    fn identity() -> Identity {
        let key = SigningKey::from_seed(&[3; 32]).unwrap();
        Identity { endpoint: EndpointId::of(&key.verifying().0), key }
    }

    #[track_caller]
    fn check_runs(lines: &[(usize, usize)], runs: &[(u64, u64)]) {
        let mut entries = Entries::default();
        for line in lines.iter().flat_map(|(count, bytes)| vec!["x".repeat(*bytes); *count]) {
            assert!(entries.push(&observation(&line)));
        }
        let mut lane = LaneState::new(Lane::Telemetry, 1, EpochCause::Enrolled);
        let identity = identity();
        let mut sealer = Sealer::default();
        let sealed = lane.seal(entries.iter(), 0, &identity, &mut sealer).unwrap();
        let found: Vec<_> = sealed.iter().map(|batch| (batch.first, batch.last)).collect();
        assert_eq!(found, runs);
        for batch in sealed {
            let batch = batch::Batch { header: batch.header, events: batch.events };
            batch::open(&batch, &identity.key.verifying()).unwrap();
        }
    }

    #[test]
    fn batches_end_at_their_count_or_their_size() {
        check_runs(&[(1, 10)], &[(1, 1)]);
        check_runs(&[(512, 10)], &[(1, 512)]);
        check_runs(&[(1030, 10)], &[(1, 512), (513, 1024), (1025, 1030)]);
        check_runs(&[(20, 64 << 10)], &[(1, 15), (16, 20)]);
    }

    #[test]
    fn an_event_longer_than_the_wire_allows_has_no_entry() {
        let (long, mut entries) = ("x".repeat(limits::EVENT_BYTES_MAX), Entries::default());
        assert!(Entry::new(&observation(&long)).is_none());
        assert!(entries.push(&observation("a")));
        assert!(!entries.push(&observation(&long)));
        assert!(entries.push(&observation("b")));
        let found: Vec<_> = entries.iter().map(|entry| entry.bytes.to_vec()).collect();
        assert_eq!(found, ["a", "b"].map(|line| Entry::new(&observation(line)).unwrap().bytes));
    }

    #[test]
    fn only_the_first_batch_of_an_epoch_says_why_it_began() {
        let mut lane = LaneState::new(Lane::Telemetry, 1, EpochCause::Enrolled);
        let entry = Entry::new(&observation("a")).unwrap();
        let mut causes = Vec::new();
        for _ in 0..2 {
            let (entries, mut sealer) = ([entry.unsealed()].into_iter(), Sealer::default());
            let sealed = lane.seal(entries, 0, &identity(), &mut sealer).unwrap().remove(0);
            let batch = batch::Batch { header: sealed.header, events: sealed.events };
            causes.push(batch::open(&batch, &identity().key.verifying()).unwrap().header.cause);
        }
        assert_eq!(causes, [Some(EpochCause::Enrolled), None]);
    }
}
