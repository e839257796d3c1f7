//! Where samples wait for the spool's thread: bounded, in order, and quiet: only who must wakes it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cordon_proto::event::{Lane, Observation};
use tokio::sync::Semaphore;

use crate::sensor::Sample;

/// Samples that may wait; whoever finds no room waits.
const SAMPLES_MAX: usize = 64;

/// Events that are stored without waiting for more: what fills a batch.
const EVENTS_MAX: usize = 512;

#[derive(Debug, Default)]
struct Waiting {
    samples: Vec<Sample>,
    events: usize,
    /// There is something of the control lane.
    urgent: bool,
}

impl Waiting {
    fn is_due(&self) -> bool {
        self.urgent || self.events >= EVENTS_MAX
    }
}

#[derive(Debug)]
struct Shared {
    waiting: Mutex<Waiting>,
    room: Semaphore,
}

/// The end where samples are put in.
#[derive(Clone, Debug)]
pub(super) struct Inbox {
    shared: Arc<Shared>,
}

/// The end where they are taken out.
#[derive(Debug)]
pub(super) struct Taking {
    shared: Arc<Shared>,
}

impl Inbox {
    pub(super) fn new() -> (Taking, Self) {
        let room = Semaphore::new(SAMPLES_MAX);
        let shared = Arc::new(Shared { waiting: Mutex::default(), room });
        (Taking { shared: Arc::clone(&shared) }, Self { shared })
    }

    /// Puts a sample in once there is room; answers whether the thread must be woken, none if it
    /// takes nothing any more.
    pub(super) async fn put(&self, sample: Sample) -> Option<bool> {
        let room = self.shared.room.acquire().await.ok()?;
        room.forget();
        Some(self.shared.put(sample))
    }

    /// Puts a sample in if there is room, and gives it back otherwise.
    pub(super) fn try_put(&self, sample: Sample) -> Result<bool, Box<Sample>> {
        let Ok(room) = self.shared.room.try_acquire() else { return Err(Box::new(sample)) };
        room.forget();
        Ok(self.shared.put(sample))
    }
}

impl Taking {
    /// Whether what waits is to be stored at once; none if nothing waits.
    pub(super) fn is_due(&self) -> Option<bool> {
        let waiting = self.shared.lock();
        (!waiting.samples.is_empty()).then(|| waiting.is_due())
    }

    /// Everything that waits, in order.
    pub(super) fn take(&self) -> Vec<Sample> {
        let Waiting { samples, .. } = std::mem::take(&mut *self.shared.lock());
        self.shared.room.add_permits(samples.len());
        samples
    }

    /// Lets nothing more in.
    pub(super) fn close(&self) {
        self.shared.room.close();
    }
}

impl Shared {
    fn put(&self, sample: Sample) -> bool {
        let control = |seen: &Observation| seen.body.class().lane() == Lane::Control;
        // A loss becomes a gap, which is of the control lane, too.
        let urgent = !sample.losses.is_empty() || sample.observations.iter().any(control);
        let mut waiting = self.lock();
        let (first, was_due) = (waiting.samples.is_empty(), waiting.is_due());
        waiting.events = waiting.events.saturating_add(sample.observations.len());
        waiting.urgent |= urgent;
        waiting.samples.push(sample);
        first || (waiting.is_due() && !was_due)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use cordon_proto::event::{Body, LogLine, Notice, Severity};

    use super::*;

    fn log(count: usize) -> Sample {
        let line = LogLine {
            path: "/l".into(),
            device: 1,
            inode: 1,
            offset: 0,
            line: "x".into(),
            line_bytes: None,
            ..LogLine::default()
        };
        sample(Body::Log(line), count)
    }

    fn sample(body: Body, count: usize) -> Sample {
        let severity = Severity::Low;
        let observation = Observation { time_ns: 1, boot_ns: 1, severity, body };
        Sample { observations: vec![observation; count], ..Sample::default() }
    }

    #[test]
    fn the_first_wakes_and_whoever_makes_it_due_and_nobody_else() {
        let (taking, inbox) = Inbox::new();
        let wakes = [1, 1, 509, 1, 1].map(|count| inbox.try_put(log(count)).unwrap());
        assert_eq!(wakes, [true, false, false, true, false]);
        assert_eq!(taking.is_due(), Some(true));
        assert_eq!(taking.take().len(), 5);
        assert_eq!(taking.is_due(), None);
        assert!(inbox.try_put(log(1)).unwrap());
        assert!(inbox.try_put(sample(Body::Notice(Notice::Sleeping), 1)).unwrap(), "control");
    }

    #[test]
    fn who_finds_no_room_has_it_back_and_taking_makes_room() {
        let (taking, inbox) = Inbox::new();
        let taken = (0..100).filter(|_| inbox.try_put(log(1)).is_ok()).count();
        assert_eq!(taken, SAMPLES_MAX);
        taking.take();
        assert!(inbox.try_put(log(1)).is_ok());
        taking.close();
        assert!(inbox.try_put(log(1)).is_err(), "it takes nothing any more");
    }
}
