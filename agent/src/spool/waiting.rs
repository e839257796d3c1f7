//! What has been handed to the spool and is not on disk yet: normally for an instant, and as long
//! as it takes while the disk is full.
//!
//! Pure. While nothing can be stored, telemetry is counted instead of kept, and its checkpoints
//! are held back with the count: whichever way it ends, an event is either told of in the gap that
//! moves the checkpoint too, or read again. Control events are kept, up to a limit.

use std::collections::{BTreeMap, VecDeque};

use cordon_proto::event::{Body, Class, ClassCount, Gap, GapReason, Lane, Observation, Severity};

use super::lane::{Entries, Entry, Holding, Unsealed};
use crate::clock::Stamp;
use crate::sensor::{Loss, Sample};

/// Control events that are kept while the disk is full: some thousands.
const CONTROL_BYTES_MAX: usize = 1 << 20;

#[derive(Clone, Debug, Default)]
pub(super) struct Waiting {
    pub(super) telemetry: Entries,
    pub(super) control: VecDeque<Entry>,
    pub(super) checkpoints: BTreeMap<String, Option<Vec<u8>>>,
    shed: BTreeMap<GapReason, Shed>,
}

/// Events that were dropped before they had numbers.
#[derive(Clone, Debug, Default)]
struct Shed {
    holding: Holding,
    detail: Option<&'static str>,
    /// On the boot-time clock: when the gap may be written.
    due_ns: u64,
}

/// How long events that are shed to keep room are added up before a gap tells of them: a gap each
/// time would take the room that shedding saves.
const ADD_UP_NS: u64 = 3600 * 1_000_000_000;

impl Waiting {
    /// Whether there is nothing to be stored now.
    pub(super) fn is_empty(&self, now: Stamp) -> bool {
        self.telemetry.is_empty() && self.checkpoints.is_empty() && !self.is_urgent(now)
    }

    /// What is left once everything due is stored.
    pub(super) fn after_storing(mut self, now: Stamp) -> Self {
        self.shed.retain(|_reason, shed| shed.due_ns > now.boot_ns);
        Self { telemetry: self.telemetry.emptied(), shed: self.shed, ..Self::default() }
    }

    /// Makes every gap due.
    pub(super) fn release(&mut self) {
        self.shed.values_mut().for_each(|shed| shed.due_ns = 0);
    }

    /// Takes a sample in; its losses become gaps.
    pub(super) fn take(&mut self, sample: Sample, now: Stamp) {
        let Sample { observations, checkpoints, losses, .. } = sample;
        for observation in observations {
            self.observe(&observation);
        }
        for loss in losses {
            let Loss { reason, counts, from_ns, to_ns, detail } = loss;
            self.gap(Gap { reason, counts, from_ns, to_ns, sealed: None, detail }, now);
        }
        for checkpoint in checkpoints {
            self.checkpoints.insert(checkpoint.key, checkpoint.value);
        }
    }

    fn observe(&mut self, observation: &Observation) {
        let class = observation.body.class();
        let fits = match class.lane() {
            Lane::Telemetry => self.telemetry.push(observation),
            Lane::Control => {
                let entry = Entry::new(observation);
                let fits = entry.is_some();
                self.control.extend(entry);
                fits
            }
        };
        if !fits {
            let shed = self.shed.entry(GapReason::RateLimit).or_default();
            let (count, time_ns) = (observation.body.count(), observation.time_ns);
            shed.holding.add(class, count, time_ns, time_ns);
            shed.detail = Some("longer than one event may be");
        }
    }

    /// Adds a gap to the control lane.
    pub(super) fn gap(&mut self, gap: Gap, now: Stamp) {
        self.control.extend(gap_entry(gap, now));
    }

    /// Whether something in here must be on disk before anything goes on.
    pub(super) fn is_urgent(&self, now: Stamp) -> bool {
        !self.control.is_empty() || self.shed.values().any(|shed| shed.due_ns <= now.boot_ns)
    }

    /// What goes into the control lane: what waits for it, and the gaps of what was shed.
    pub(super) fn control_entries(&self, now: Stamp) -> Vec<Entry> {
        let due = self.shed.iter().filter(|(_, shed)| shed.due_ns <= now.boot_ns);
        let gaps = due.filter_map(|(reason, shed)| {
            let Shed { holding, detail, .. } = shed.clone();
            let Holding { counts, from_ns, to_ns } = holding;
            let detail = detail.map(str::to_owned);
            let gap = Gap { reason: *reason, counts, from_ns, to_ns, sealed: None, detail };
            gap_entry(gap, now)
        });
        self.control.iter().cloned().chain(gaps).collect()
    }

    /// Counts the telemetry instead of keeping it.
    pub(super) fn shed_telemetry(&mut self, reason: GapReason) {
        for entry in std::mem::take(&mut self.telemetry).iter() {
            self.count(reason, entry);
        }
    }

    /// Counts control events instead of storing them, to keep room in the spool: health, or all but
    /// gaps. Their gap is written once an hour.
    pub(super) fn shed_control(&mut self, only_health: bool, now: Stamp) {
        let goes = |entry: &Entry| match entry.class {
            Class::Health => true,
            Class::Gap => false,
            Class::Process
            | Class::Log
            | Class::Disk
            | Class::Receipt
            | Class::Lifecycle
            | Class::Network
            | Class::Dns
            | Class::File
            | Class::Authentication
            | Class::Account
            | Class::Inventory
            | Class::Device
            | Class::Finding => !only_health,
        };
        let all = std::mem::take(&mut self.control).into_iter();
        let (gone, kept): (VecDeque<_>, VecDeque<_>) = all.partition(goes);
        self.control = kept;
        for entry in gone {
            let known = self.shed.contains_key(&GapReason::SpoolFull);
            self.count(GapReason::SpoolFull, entry.unsealed());
            if let (false, Some(shed)) = (known, self.shed.get_mut(&GapReason::SpoolFull)) {
                shed.due_ns = now.boot_ns.saturating_add(ADD_UP_NS);
            }
        }
    }

    /// Keeps the control lane within its limit: health goes first (the next says the same and
    /// more), then the oldest of the rest.
    pub(super) fn bound_control(&mut self, reason: GapReason) {
        let mut over = self.control_bytes().saturating_sub(CONTROL_BYTES_MAX);
        for only_health in [true, false] {
            let mut at = 0;
            while over > 0 && at < self.control.len() {
                if only_health && self.control.get(at).is_some_and(|e| e.class != Class::Health) {
                    at += 1;
                    continue;
                }
                let Some(entry) = self.control.remove(at) else { break };
                over = over.saturating_sub(entry.bytes.len());
                self.count(reason, entry.unsealed());
            }
        }
    }

    pub(super) fn telemetry_bytes(&self) -> u64 {
        u64::try_from(self.telemetry.bytes()).unwrap_or(u64::MAX)
    }

    fn control_bytes(&self) -> usize {
        self.control.iter().map(|entry| entry.bytes.len()).sum()
    }

    fn count(&mut self, reason: GapReason, entry: Unsealed<'_>) {
        let shed = self.shed.entry(reason).or_default();
        shed.holding.add(entry.class, entry.count, entry.time_ns, entry.time_ns);
    }
}

/// A gap as an event of the control lane.
pub(super) fn gap_entry(gap: Gap, now: Stamp) -> Option<Entry> {
    let Stamp { time_ns, boot_ns } = now;
    let body = Body::Gap(gap);
    Entry::new(&Observation { time_ns, boot_ns, severity: Severity::Low, body })
}

/// Counts that say: some of these may be missing, and nobody can say how many.
pub(super) fn unknown_counts(classes: &[Class]) -> Vec<ClassCount> {
    classes.iter().map(|class| ClassCount { class: *class, count: 0 }).collect()
}

#[cfg(test)]
mod tests {
    use cordon_proto::event::{Event, LogLine, Started};
    use cordon_proto::{codec, limits};

    use super::*;
    use crate::sensor::Checkpoint;

    const NOW: Stamp = Stamp { time_ns: 50, boot_ns: 5 };

    fn log(time_ns: u64, bytes: usize) -> Observation {
        let line = LogLine {
            path: "/l".into(),
            device: 1,
            inode: 1,
            offset: 0,
            line: "x".repeat(bytes).as_str().into(),
            line_bytes: None,
            ..LogLine::default()
        };
        Observation { time_ns, boot_ns: 0, severity: Severity::Low, body: Body::Log(line) }
    }

    fn started(bytes: usize) -> Observation {
        let started = Started {
            agent_version: "x".repeat(bytes),
            boot_id: String::new(),
            boot_count: 1,
            unclean: false,
        };
        let body = Body::Lifecycle(started);
        Observation { time_ns: 1, boot_ns: 0, severity: Severity::Low, body }
    }

    fn gaps(waiting: &Waiting) -> Vec<Gap> {
        let gap = |entry: &Entry| {
            let event: Event = codec::decode_strict(&entry.bytes).unwrap();
            let Body::Gap(gap) = event.body else { return None };
            Some(gap)
        };
        waiting.control_entries(NOW).iter().filter_map(gap).collect()
    }

    #[test]
    fn what_is_shed_is_counted_by_class_with_its_times_in_one_gap() {
        let mut waiting = Waiting::default();
        for time_ns in [30, 10, 20] {
            let observations = vec![log(time_ns, 1)];
            let checkpoints = vec![Checkpoint { key: "a".into(), value: Some(vec![1]) }];
            waiting.take(Sample { observations, checkpoints, ..Sample::default() }, NOW);
            waiting.shed_telemetry(GapReason::DiskFull);
        }
        let gaps = gaps(&waiting);
        assert_eq!(gaps.len(), 1);
        assert_eq!(gaps[0].counts, [ClassCount { class: Class::Log, count: 3 }]);
        assert_eq!((gaps[0].from_ns, gaps[0].to_ns), (10, 30));
        assert_eq!(gaps[0].reason, GapReason::DiskFull);
        assert_eq!(waiting.checkpoints.len(), 1, "held back with the count");
    }

    #[test]
    fn an_event_too_long_for_the_wire_is_told_of() {
        let mut waiting = Waiting::default();
        let observations = vec![log(9, limits::EVENT_BYTES_MAX), log(9, 10)];
        waiting.take(Sample { observations, ..Sample::default() }, NOW);
        assert_eq!(waiting.telemetry.iter().count(), 1);
        assert_eq!(gaps(&waiting)[0].counts, [ClassCount { class: Class::Log, count: 1 }]);
    }

    #[test]
    fn control_events_shed_for_room_are_told_of_once_an_hour() {
        let mut waiting = Waiting::default();
        let hour = |hours: u64| Stamp { time_ns: 1, boot_ns: hours * ADD_UP_NS };
        for _ in 0..3 {
            let sample = Sample { observations: vec![started(1)], ..Sample::default() };
            waiting.take(sample, hour(0));
            waiting.shed_control(false, hour(0));
            waiting = waiting.after_storing(hour(0));
            assert!(waiting.is_empty(hour(0)));
        }
        assert!(waiting.is_urgent(hour(1)));
        let entries = waiting.control_entries(hour(1));
        assert_eq!(entries.len(), 1);
        let told = codec::decode_strict::<Event>(&entries[0].bytes).unwrap().body;
        let Body::Gap(gap) = told else { panic!("not a gap") };
        assert_eq!(gap.counts, [ClassCount { class: Class::Lifecycle, count: 3 }]);
        assert!(waiting.after_storing(hour(1)).is_empty(hour(9)));
    }

    #[test]
    fn health_goes_before_everything_else_in_the_control_lane_and_gaps_stay() {
        let mut waiting = Waiting::default();
        waiting.take(Sample { observations: vec![started(1)], ..Sample::default() }, NOW);
        waiting.shed_control(true, NOW);
        assert_eq!(waiting.control.len(), 1, "it is not health");
        let gap = Gap {
            reason: GapReason::KernelRing,
            counts: vec![],
            from_ns: 0,
            to_ns: 0,
            sealed: None,
            detail: None,
        };
        waiting.gap(gap, NOW);
        waiting.shed_control(false, NOW);
        assert_eq!(waiting.control.len(), 1, "the gap");
    }

    #[test]
    fn control_events_are_kept_up_to_their_limit_and_then_counted() {
        let mut waiting = Waiting::default();
        for _ in 0..20 {
            let observations = vec![started(90 << 10)];
            waiting.take(Sample { observations, ..Sample::default() }, NOW);
            waiting.bound_control(GapReason::DiskFull);
            assert!(waiting.control_bytes() <= CONTROL_BYTES_MAX);
        }
        let kept = u64::try_from(waiting.control.len()).unwrap();
        assert_eq!(kept, 11);
        let counted = gaps(&waiting)[0].counts.clone();
        assert_eq!(counted, [ClassCount { class: Class::Lifecycle, count: 20 - kept }]);
    }
}
