//! What is made of the kernel's records: lines with their limit, faults of disks, and gaps.
//!
//! Pure: records and the time come in, samples go out.

use std::time::Duration;

use cordon_proto::Text;
use cordon_proto::event::disk::DiskEvent;
use cordon_proto::event::{Body, Class, ClassCount, GapReason, LogLine, Observation, Severity};

use super::faults::Faults;
use super::meaning::{fault, line_severity};
use super::place::Place;
use super::record::Record;
use crate::clock::Stamp;
use crate::sensor::{Checkpoint, Loss, SAMPLE_EVENTS_MAX, Sample};

/// The path that the lines' events name.
pub(super) const PATH: &str = "/dev/kmsg";

/// The kernel itself; other numbers are programs that write to its log.
const KERNEL: u32 = 0;

/// Lines that may come at once, however few come each second.
const BURST: u64 = 500;

/// How often lines over the limit are told of, at most.
const COUNTED_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Follow {
    place: Place,
    lines_per_sec: u64,
    /// Lines that may still come now, in thousandths.
    room_milli: u64,
    filled_at: Duration,
    faults: Faults,
    sample: Sample,
    over: Option<Over>,
    is_moved: bool,
}

/// Lines over the limit that were not told of yet.
struct Over {
    count: u64,
    from_ns: u64,
    from: Duration,
}

impl Follow {
    pub(super) fn new(place: Place, lines_per_sec: u64, now: Duration) -> Self {
        Self {
            place,
            lines_per_sec,
            room_milli: BURST * 1000,
            filled_at: now,
            faults: Faults::default(),
            sample: Sample::default(),
            over: None,
            is_moved: false,
        }
    }

    /// Takes a record. `is_old` says that it was written before the sensor looked: then the
    /// kernel's own stamp is its time.
    pub(super) fn handle_record(&mut self, record: Record, is_old: bool, stamp: Stamp) {
        let Some(missed) = self.place.step(record.sequence) else { return };
        self.is_moved = true;
        if missed > 0 {
            let detail = "the kernel wrote over lines that were not read yet";
            self.lose(GapReason::KernelRing, missed, (stamp.time_ns, stamp.time_ns), detail);
        }
        let Record { level, facility, sequence, age_us, text } = record;
        let stamp = if is_old { old(stamp, age_us) } else { stamp };
        let now = Duration::from_nanos(stamp.boot_ns);
        let line = Text::from(text);
        let words = line.to_lossy();
        if facility == KERNEL
            && let Some(fault) = fault(&words)
        {
            let told = self.faults.note(fault, &line, now);
            self.tell_faults(told, stamp);
        }
        if !self.take_room(now) {
            let from_ns = stamp.time_ns;
            let over = self.over.get_or_insert(Over { count: 0, from_ns, from: now });
            over.count = over.count.saturating_add(1);
            return;
        }
        let severity = match facility {
            KERNEL => line_severity(level, &words),
            _ => Severity::Informational,
        };
        let body =
            Body::Log(LogLine { path: PATH.into(), offset: sequence, line, ..LogLine::default() });
        let Stamp { time_ns, boot_ns } = stamp;
        self.sample.observations.push(Observation { time_ns, boot_ns, severity, body });
    }

    /// Tells what was added up for long enough.
    pub(super) fn handle_timeout(&mut self, stamp: Stamp) {
        let now = Duration::from_nanos(stamp.boot_ns);
        let told = self.faults.handle_timeout(now);
        self.tell_faults(told, stamp);
        if self.over.as_ref().is_some_and(|over| now >= over.from.saturating_add(COUNTED_EVERY))
            && let Some(Over { count, from_ns, .. }) = self.over.take()
        {
            let detail = "the kernel wrote more lines than the settings allow";
            self.lose(GapReason::RateLimit, count, (from_ns, stamp.time_ns), detail);
        }
    }

    /// When [`Self::handle_timeout`] must be called next.
    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        let over = self.over.as_ref().map(|over| over.from.saturating_add(COUNTED_EVERY));
        self.faults.poll_timeout().into_iter().chain(over).min()
    }

    /// Whether a sample is as full as it may be.
    pub(super) fn is_full(&self) -> bool {
        // Room for the faults that one record may push out.
        self.sample.observations.len() + 1 >= SAMPLE_EVENTS_MAX
    }

    /// What is to be handed over, with the place behind it.
    pub(super) fn take_sample(&mut self) -> Option<Sample> {
        if !std::mem::take(&mut self.is_moved)
            && self.sample.observations.is_empty()
            && self.sample.losses.is_empty()
        {
            return None;
        }
        let mut sample = std::mem::take(&mut self.sample);
        sample.checkpoints.push(self.checkpoint());
        Some(sample)
    }

    fn checkpoint(&self) -> Checkpoint {
        self.place.checkpoint()
    }

    fn tell_faults(&mut self, told: impl IntoIterator<Item = super::faults::Told>, stamp: Stamp) {
        let Stamp { time_ns, boot_ns } = stamp;
        for (severity, error) in told {
            let body = Body::Disk(DiskEvent::IoError(error));
            self.sample.observations.push(Observation { time_ns, boot_ns, severity, body });
        }
    }

    fn lose(&mut self, reason: GapReason, count: u64, (from_ns, to_ns): (u64, u64), detail: &str) {
        let counts = vec![ClassCount { class: Class::Log, count }];
        let detail = Some(detail.to_owned());
        self.sample.losses.push(Loss { reason, counts, from_ns, to_ns, detail });
    }

    /// Whether there is room for one more line; room grows with the time.
    fn take_room(&mut self, now: Duration) -> bool {
        let grown = now.saturating_sub(self.filled_at).as_millis();
        let grown = u64::try_from(grown).unwrap_or(u64::MAX).saturating_mul(self.lines_per_sec);
        self.filled_at = self.filled_at.max(now);
        self.room_milli = self.room_milli.saturating_add(grown).min(BURST * 1000);
        match self.room_milli.checked_sub(1000) {
            Some(left) => {
                self.room_milli = left;
                true
            }
            None => false,
        }
    }
}

/// When a record was written, by the kernel's stamp, never later than now.
fn old(now: Stamp, age_us: u64) -> Stamp {
    let boot_ns = age_us.saturating_mul(1000).min(now.boot_ns);
    Stamp { time_ns: now.time_ns.saturating_sub(now.boot_ns - boot_ns), boot_ns }
}

#[cfg(test)]
mod tests;
