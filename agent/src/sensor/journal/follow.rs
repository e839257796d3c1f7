//! Makes samples of entries: knows where reading stands, what is missing before an entry, and what
//! is beyond a unit's limit. Pure.

use std::time::Duration;

use cordon_proto::Text;
use cordon_proto::event::log::{Journal, LogSource};
use cordon_proto::event::{Body, Class, ClassCount, GapReason, LogLine, Observation, Severity};

use super::limit::Limit;
use super::place::{Between, Cursor, Place, between, is_before};
use super::reader::{Entry, Field};
use crate::clock::Stamp;
use crate::sensor::parse::{Assumed, head, interpret};
use crate::sensor::{Loss, SAMPLE_EVENTS_MAX, Sample};

/// The lines of one sample; an entry may add a line of the longest.
const SAMPLE_BYTES: usize = 128 << 10;

/// How long entries are gathered after the first.
pub(super) const GATHER_NS: u64 = 50_000_000;

/// What the first entry is compared with.
#[derive(Clone, Debug, Eq, PartialEq)]
enum Awaits {
    /// The entry that was read last: anything else means that it is gone.
    Place,
    /// The last entry that was there before this moment, which only says where the end is.
    End { now_ns: u64 },
    /// Nothing: it is an entry like any other.
    Nothing,
}

/// Where reading stands, and the sample under way.
#[derive(Debug)]
pub(super) struct Follow {
    cursor: Option<String>,
    awaits: Awaits,
    limit: Limit,
    sample: Sample,
    /// Whether the place has changed since the last sample.
    has_moved: bool,
    bytes: usize,
    began_ns: Option<u64>,
    /// Whether lines of the kernel are left to the sensor of its log.
    leaves_kernel: bool,
}

/// From where journalctl is to read.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(super) enum From {
    /// From this entry on, itself included.
    Cursor(String),
    /// From the last entry on.
    Last,
    /// From the first on.
    First,
}

impl Follow {
    pub(super) fn new(restored: Option<Place>, lines_max: u64) -> Self {
        let Place { cursor, held } = restored.unwrap_or_default();
        Self {
            cursor: (!cursor.is_empty()).then_some(cursor),
            awaits: Awaits::Nothing,
            limit: Limit::new(lines_max, held),
            sample: Sample::default(),
            has_moved: false,
            bytes: 0,
            began_ns: None,
            leaves_kernel: false,
        }
    }

    /// Leaves the kernel's lines out, or takes them.
    pub(super) fn leaving_kernel(self, leaves_kernel: bool) -> Self {
        Self { leaves_kernel, ..self }
    }

    /// journalctl is started, perhaps again; answers from where.
    pub(super) fn start(&mut self, from_start: bool, now: Stamp) -> From {
        let (from, awaits) = match &self.cursor {
            Some(cursor) => (From::Cursor(cursor.clone()), Awaits::Place),
            None if from_start => (From::First, Awaits::Nothing),
            None => (From::Last, Awaits::End { now_ns: now.time_ns }),
        };
        self.awaits = awaits;
        from
    }

    /// journalctl could not go to the place: it is given up.
    pub(super) fn give_up_place(&mut self, why: &str, now: Stamp) {
        let Some(cursor) = self.cursor.take() else { return };
        let from_ns = Cursor::read(&cursor).map_or(now.time_ns, |cursor| cursor.time_ns());
        self.lose(
            0,
            from_ns,
            now.time_ns,
            format!("the journal's last place cannot be found: {why}"),
        );
        self.begin(now);
    }

    /// Lines that journalctl wrote and that are no entries.
    pub(super) fn unreadable(&mut self, count: u64, now: Stamp) {
        if count > 0 {
            let detail = "journalctl wrote what is no entry".to_owned();
            self.lose(count, now.time_ns, now.time_ns, detail);
            self.begin(now);
        }
    }

    /// Takes the next entry.
    pub(super) fn entry(&mut self, entry: &Entry, now: Stamp) {
        let Some(cursor) = entry.text(Field::Cursor).filter(|text| Cursor::read(text).is_some())
        else {
            return self.unreadable(1, now);
        };
        self.begin(now);
        self.has_moved = true;
        let time_ns = entry.number::<u64>(Field::Realtime).map(|us| us.saturating_mul(1000));
        match std::mem::replace(&mut self.awaits, Awaits::Nothing) {
            Awaits::Place => {
                if self.is_at(cursor) {
                    self.cursor = Some(cursor.to_owned());
                    return;
                }
                self.place_is_gone(cursor, now);
            }
            Awaits::End { now_ns } if time_ns.is_some_and(|time_ns| time_ns < now_ns) => {
                self.cursor = Some(cursor.to_owned());
                return;
            }
            Awaits::End { .. } | Awaits::Nothing => self.check_next(cursor, now),
        }
        self.cursor = Some(cursor.to_owned());
        if self.leaves_kernel && is_of_kernel(entry) {
            return;
        }
        let unit = entry.get(Field::Unit).or(entry.get(Field::Identifier)).unwrap_or_default();
        if self.limit.takes(&Text::from(unit), now.boot_ns, now.time_ns) {
            self.line(entry, cursor, time_ns, now);
        }
    }

    /// Whether reading has come to the journal's last entry, or beyond.
    pub(super) fn is_at_end(&self, last: Option<&str>) -> bool {
        match (last, &self.cursor) {
            (None, None) => true,
            (Some(last), Some(own)) => !is_before(own, last),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }

    fn is_at(&self, cursor: &str) -> bool {
        self.cursor.as_ref().is_some_and(|kept| between(kept, cursor) == Between::Same)
    }

    /// Where the entry read last has been vacuumed, journalctl goes to the next that is left.
    fn place_is_gone(&mut self, cursor: &str, now: Stamp) {
        let Some(kept) = self.cursor.clone() else { return };
        let count = match between(&kept, cursor) {
            Between::Missing(count) => count,
            Between::Same | Between::Nothing => 0,
        };
        let time_ns = |text: &str| Cursor::read(text).map_or(now.time_ns, |at| at.time_ns());
        let (from_ns, to_ns) = (time_ns(&kept), time_ns(cursor));
        let detail = "the journal no longer holds the entry that was read last".to_owned();
        self.lose(count, from_ns.min(to_ns), to_ns, detail);
    }

    /// A jump of the numbers means that the journal was vacuumed, or damaged, under the reader.
    fn check_next(&mut self, cursor: &str, now: Stamp) {
        let Some(kept) = &self.cursor else { return };
        if let Between::Missing(count) = between(kept, cursor) {
            let from_ns = Cursor::read(kept).map_or(now.time_ns, |at| at.time_ns());
            let to_ns = Cursor::read(cursor).map_or(now.time_ns, |at| at.time_ns());
            let detail = "entries are missing in the journal by their numbers".to_owned();
            self.lose(count, from_ns.min(to_ns), to_ns, detail);
        }
    }

    fn lose(&mut self, count: u64, from_ns: u64, to_ns: u64, detail: String) {
        let counts = vec![ClassCount { class: Class::Log, count }];
        let (reason, detail) = (GapReason::SourceGone, Some(detail));
        self.sample.losses.push(Loss { reason, counts, from_ns, to_ns, detail });
    }

    fn line(&mut self, entry: &Entry, cursor: &str, time_ns: Option<u64>, now: Stamp) {
        let text = |field| entry.get(field).map(Text::from);
        let journal = Journal {
            cursor: cursor.to_owned(),
            unit: text(Field::Unit),
            identifier: text(Field::Identifier),
            pid: entry.number(Field::Pid).or_else(|| entry.number(Field::SyslogPid)),
            uid: entry.number(Field::Uid),
            priority: entry.number(Field::Priority).filter(|priority| *priority <= 7),
            boot_id: entry.text(Field::Boot).map(str::to_owned),
            comm: text(Field::Comm),
            time_ns,
        };
        let message = &entry.values[Field::Message as usize];
        let is_json = message.bytes.first() == Some(&b'{');
        let parsed = if is_json { head(&message.bytes, &Assumed::default()) } else { None };
        let line = LogLine {
            line: message.bytes.as_slice().into(),
            line_bytes: (message.length > message.bytes.len() as u64).then_some(message.length),
            source: Some(LogSource::Journal(Box::new(journal))),
            parsed: parsed.map(|head| head.to_parsed()),
            ..LogLine::default()
        };
        self.bytes += line.line.len();
        let typed = interpret(&line);
        self.observe(Severity::Informational, Body::Log(line), now);
        if let Some((severity, body)) = typed {
            self.observe(severity, body, now);
        }
    }

    fn observe(&mut self, severity: Severity, body: Body, now: Stamp) {
        let Stamp { time_ns, boot_ns } = now;
        self.sample.observations.push(Observation { time_ns, boot_ns, severity, body });
    }

    fn begin(&mut self, now: Stamp) {
        self.began_ns.get_or_insert(now.boot_ns);
    }

    /// Whether the sample under way should go before another entry comes.
    pub(super) fn is_full(&self) -> bool {
        self.sample.observations.len() + 2 > SAMPLE_EVENTS_MAX
            || self.sample.losses.len() >= SAMPLE_EVENTS_MAX
            || self.bytes >= SAMPLE_BYTES
    }

    /// When a sample is due; boot-time clock.
    pub(super) fn due_ns(&self) -> Option<u64> {
        let gathered = self.began_ns.map(|at| at.saturating_add(GATHER_NS));
        gathered.into_iter().chain(self.limit.due_ns()).min()
    }

    /// The sample under way, with the place behind its last entry.
    pub(super) fn take(&mut self, now: Stamp) -> Option<Sample> {
        let mut sample = std::mem::take(&mut self.sample);
        let gathered_ns = self.began_ns.map_or(0, |began_ns| now.boot_ns.saturating_sub(began_ns));
        sample.gathered = Duration::from_nanos(gathered_ns);
        let told = self.limit.tell(now.boot_ns);
        self.has_moved |= !told.is_empty();
        sample.losses.extend(told);
        (self.bytes, self.began_ns) = (0, None);
        if std::mem::take(&mut self.has_moved)
            && let Some(cursor) = self.cursor.clone()
        {
            let held = self.limit.held().to_vec();
            sample.checkpoints.push(Place { cursor, held }.checkpoint());
        }
        (!sample.is_empty()).then_some(sample)
    }
}

/// Whether the kernel itself wrote it: no process did, and journald says so. What calls itself so
/// has a process.
fn is_of_kernel(entry: &Entry) -> bool {
    entry.text(Field::Identifier) == Some("kernel")
        && entry.get(Field::Pid).is_none()
        && entry.get(Field::Uid).is_none()
}

#[cfg(test)]
mod tests;
