//! Puts lines and places together into samples, so that each sample is whole: the place of a file
//! always stands behind the last of its lines in the same sample.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use cordon_proto::Text;
use cordon_proto::event::login::FileOrigin;
use cordon_proto::event::{Class, ClassCount, GapReason};

use crate::clock::Stamp;
use crate::sensor::parse::Assumed;
use crate::sensor::{Checkpoint, Loss, SAMPLE_EVENTS_MAX, Sample, Stopping};

use super::file::Followed;
use super::finish::{Finish, OBSERVATIONS_MAX};
use super::lines::Line;

/// The lines of one sample, but for what one block may still add: as much again. What lines tell is
/// as many events again at most.
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

    pub(super) fn time_ns(&self) -> u64 {
        self.now.time_ns
    }

    /// How many lines still fit; hands over first what leaves no room.
    pub(super) fn make_room(&mut self) -> Result<usize, Stopping> {
        let Sample { observations, checkpoints, losses, .. } = &self.sample;
        let used = observations.len().max(checkpoints.len()).max(losses.len());
        if used + OBSERVATIONS_MAX > SAMPLE_EVENTS_MAX || self.bytes >= SAMPLE_BYTES {
            self.hand_over()?;
        }
        Ok((SAMPLE_EVENTS_MAX - self.sample.observations.len()) / OBSERVATIONS_MAX)
    }

    /// Adds lines of a file.
    pub(super) fn lines(&mut self, file: &Followed, lines: &[Line<'_>]) {
        self.bytes += lines.iter().map(|line| line.bytes.len()).sum::<usize>();
        let origin = FileOrigin {
            path: Text::shared(file.path.as_os_str().as_bytes()),
            device: file.id.device,
            inode: file.id.inode,
            offset: 0,
        };
        let finish = Finish {
            origin,
            encoding: file.mark.encoding(),
            assumed: Assumed::at(self.now.time_ns),
            now: self.now,
            observations: &mut self.sample.observations,
        };
        finish.lines(lines);
    }

    /// Notes a place, instead of what was noted under its key before.
    pub(super) fn place(&mut self, checkpoint: Checkpoint) {
        let places = &mut self.sample.checkpoints;
        places.retain(|other| other.key != checkpoint.key);
        places.push(checkpoint);
    }

    /// Tells that lines went before they were read; how many, nobody knows.
    pub(super) fn loss(&mut self, detail: String) {
        self.tell(GapReason::SourceGone, 0, detail);
    }

    /// Tells what nobody can see when a log is copied and emptied.
    pub(super) fn emptied_after_copy(&mut self, log: &Path) {
        self.loss(format!(
            "{} was emptied after it was copied; what was written in between, if anything, is gone",
            log.display()
        ));
    }

    /// Tells that so many lines of a file were over its limit.
    pub(super) fn limited(&mut self, file: &Followed, lines: u64) {
        let detail = format!("{} said more than its limit allows", file.path.display());
        let mut told = self.sample.losses.iter_mut();
        let told = told.find(|loss| loss.detail.as_ref() == Some(&detail));
        match told.and_then(|loss| loss.counts.first_mut()) {
            Some(count) => count.count = count.count.saturating_add(lines),
            None => self.tell(GapReason::RateLimit, lines, detail),
        }
    }

    fn tell(&mut self, reason: GapReason, count: u64, detail: String) {
        let counts = vec![ClassCount { class: Class::Log, count }];
        let (from_ns, to_ns) = (self.now.time_ns, self.now.time_ns);
        self.sample.losses.push(Loss { reason, counts, from_ns, to_ns, detail: Some(detail) });
    }

    pub(super) fn hand_over(&mut self) -> Result<(), Stopping> {
        self.bytes = 0;
        let sample = std::mem::take(&mut self.sample);
        if sample.is_empty() { Ok(()) } else { (self.give)(sample) }
    }
}
