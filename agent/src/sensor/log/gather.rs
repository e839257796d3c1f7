//! Puts lines and places together into samples, so that each sample is whole: the place of a file
//! always stands behind the last of its lines in the same sample.

use std::os::unix::ffi::OsStrExt;

use cordon_proto::Text;
use cordon_proto::event::{Body, Class, ClassCount, GapReason, LogLine, Observation, Severity};

use crate::clock::Stamp;
use crate::sensor::{Checkpoint, Loss, SAMPLE_EVENTS_MAX, Sample, Stopping};

use super::file::Followed;
use super::lines::Line;

/// The lines of one sample, but for what one read may still add: half as much.
const SAMPLE_BYTES: usize = 128 << 10;

/// Where samples go.
pub(super) type Give<'a> = &'a mut dyn FnMut(Sample) -> Result<(), Stopping>;

/// The sample under way.
pub(super) struct Gathered<'a> {
    give: Give<'a>,
    now: Stamp,
    sample: Sample,
    bytes: usize,
}

impl<'a> Gathered<'a> {
    pub(super) fn new(give: Give<'a>, now: Stamp) -> Self {
        Self { give, now, sample: Sample::default(), bytes: 0 }
    }

    pub(super) fn boot_ns(&self) -> u64 {
        self.now.boot_ns
    }

    /// How many lines still fit; hands over first what leaves no room.
    pub(super) fn make_room(&mut self) -> Result<usize, Stopping> {
        let Sample { observations, checkpoints, losses } = &self.sample;
        let used = observations.len().max(checkpoints.len()).max(losses.len());
        if used >= SAMPLE_EVENTS_MAX || self.bytes >= SAMPLE_BYTES {
            self.hand_over()?;
        }
        Ok(SAMPLE_EVENTS_MAX - self.sample.observations.len())
    }

    /// Adds lines of a file.
    pub(super) fn lines(&mut self, file: &Followed, lines: impl IntoIterator<Item = Line>) {
        let Stamp { time_ns, boot_ns } = self.now;
        for Line { offset, bytes, full_bytes } in lines {
            self.bytes += bytes.len();
            let body = Body::Log(LogLine {
                path: file.path.as_os_str().as_bytes().into(),
                device: file.id.device,
                inode: file.id.inode,
                offset,
                line: Text::from(bytes),
                line_bytes: full_bytes,
                ..LogLine::default()
            });
            let severity = Severity::Informational;
            self.sample.observations.push(Observation { time_ns, boot_ns, severity, body });
        }
    }

    /// Notes a place, instead of what was noted under its key before.
    pub(super) fn place(&mut self, checkpoint: Checkpoint) {
        let places = &mut self.sample.checkpoints;
        places.retain(|other| other.key != checkpoint.key);
        places.push(checkpoint);
    }

    /// Tells that lines went before they were read; how many, nobody knows.
    pub(super) fn loss(&mut self, detail: String) {
        let counts = vec![ClassCount { class: Class::Log, count: 0 }];
        let (from_ns, to_ns) = (self.now.time_ns, self.now.time_ns);
        let reason = GapReason::SourceGone;
        self.sample.losses.push(Loss { reason, counts, from_ns, to_ns, detail: Some(detail) });
    }

    pub(super) fn hand_over(&mut self) -> Result<(), Stopping> {
        self.bytes = 0;
        let sample = std::mem::take(&mut self.sample);
        let Sample { observations, checkpoints, losses } = &sample;
        let is_empty = observations.is_empty() && checkpoints.is_empty() && losses.is_empty();
        if is_empty { Ok(()) } else { (self.give)(sample) }
    }
}
