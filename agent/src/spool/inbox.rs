//! Where samples wait for the spool's thread: bounded, in order, and quiet: only who must wakes it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use cordon_proto::event::{Body, Lane, Observation};
use tokio::sync::Semaphore;

use crate::sensor::Sample;

/// Events that may wait, four batches; whoever finds no room waits. A sample without events takes
/// the room of one, a run of lines that of its bytes.
const ROOM_EVENTS: u32 = 2048;

/// What one sample takes of the room at most, so that none is too big for it.
const SAMPLE_ROOM_MAX: u32 = 512;

/// Events that are stored without waiting for more: what fills a batch.
const EVENTS_MAX: u32 = 512;

/// So many bytes of a run of lines take the room of an event: half a batch's bytes are a batch.
const RUN_BYTES_OF_EVENT: usize = 1 << 10;

#[derive(Debug, Default)]
struct Waiting {
    samples: Vec<Sample>,
    events: u32,
    /// What they take of the room.
    room: u32,
    /// There is something of the control lane.
    urgent: bool,
    /// For how long one of the sensors had gathered.
    gathered: Duration,
}

/// When what waits is to be stored.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Waits {
    /// At once.
    No,
    /// With what comes soon; some of it has waited for so long already.
    Gathered(Duration),
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
        let room = Semaphore::new(ROOM_EVENTS as usize);
        let shared = Arc::new(Shared { waiting: Mutex::default(), room });
        (Taking { shared: Arc::clone(&shared) }, Self { shared })
    }

    /// Puts a sample in once there is room; answers whether the thread must be woken, none if it
    /// takes nothing any more.
    pub(super) async fn put(&self, sample: Sample) -> Option<bool> {
        let events = events_of(&sample);
        self.shared.room.acquire_many(room_of(events)).await.ok()?.forget();
        Some(self.shared.put(sample, events))
    }

    /// Puts a sample in if there is room, and gives it back otherwise.
    pub(super) fn try_put(&self, sample: Sample) -> Result<bool, Box<Sample>> {
        let events = events_of(&sample);
        let Ok(room) = self.shared.room.try_acquire_many(room_of(events)) else {
            return Err(Box::new(sample));
        };
        room.forget();
        Ok(self.shared.put(sample, events))
    }
}

impl Taking {
    /// Whether what was put in can wait; none if there is nothing.
    pub(super) fn waits(&self) -> Option<Waits> {
        let waiting = self.shared.lock();
        let waits = if waiting.is_due() { Waits::No } else { Waits::Gathered(waiting.gathered) };
        (!waiting.samples.is_empty()).then_some(waits)
    }

    /// Everything that waits, in order.
    pub(super) fn take(&self) -> Vec<Sample> {
        let Waiting { samples, room, .. } = std::mem::take(&mut *self.shared.lock());
        self.shared.room.add_permits(room as usize);
        samples
    }

    /// Lets nothing more in.
    pub(super) fn close(&self) {
        self.shared.room.close();
    }
}

fn room_of(events: u32) -> u32 {
    events.clamp(1, SAMPLE_ROOM_MAX)
}

fn events_of(sample: &Sample) -> u32 {
    let events = |seen: &Observation| {
        let Body::Log(line) = &seen.body else { return 1 };
        if line.run.is_some() { 1 + line.line.len() / RUN_BYTES_OF_EVENT } else { 1 }
    };
    let events: usize = sample.observations.iter().map(events).sum();
    u32::try_from(events).unwrap_or(u32::MAX)
}

impl Shared {
    fn put(&self, sample: Sample, events: u32) -> bool {
        let control = |seen: &Observation| seen.body.class().lane() == Lane::Control;
        // A loss becomes a gap, which is of the control lane, too.
        let urgent = !sample.losses.is_empty() || sample.observations.iter().any(control);
        let mut waiting = self.lock();
        let (first, was_due) = (waiting.samples.is_empty(), waiting.is_due());
        waiting.events = waiting.events.saturating_add(events);
        waiting.room = waiting.room.saturating_add(room_of(events));
        waiting.urgent |= urgent;
        waiting.gathered = waiting.gathered.max(sample.gathered);
        waiting.samples.push(sample);
        first || (waiting.is_due() && !was_due)
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use cordon_proto::event::{LogLine, Notice, Severity};

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
        assert_eq!(taking.waits(), Some(Waits::No));
        assert_eq!(taking.take().len(), 5);
        assert_eq!(taking.waits(), None);
        assert!(inbox.try_put(log(1)).unwrap());
        assert!(inbox.try_put(sample(Body::Notice(Notice::Sleeping), 1)).unwrap(), "control");
    }

    #[test]
    fn lines_that_travel_together_take_the_room_of_their_bytes() {
        let (taking, inbox) = Inbox::new();
        let run = |bytes: usize| {
            let mut sample = log(1);
            let Body::Log(line) = &mut sample.observations[0].body else { unreachable!("a line") };
            line.line = "x".repeat(bytes).into();
            (line.lines, line.run) = (Some(9), Some(Default::default()));
            sample
        };
        assert!(inbox.try_put(run(500 << 10)).unwrap());
        assert_eq!(taking.waits(), Some(Waits::Gathered(Duration::ZERO)));
        assert!(inbox.try_put(run(11 << 10)).unwrap(), "a batch is full");
        let taken = (0..100).filter(|_| inbox.try_put(run(16 << 10)).is_ok()).count();
        assert_eq!(taken, 90);
    }

    #[test]
    fn who_finds_no_room_has_it_back_and_taking_makes_room() {
        let (taking, inbox) = Inbox::new();
        let taken = (0..100).filter(|_| inbox.try_put(log(500)).is_ok()).count();
        assert_eq!(taken, 4);
        assert_eq!(taking.take().len(), 4);
        assert!(inbox.try_put(log(9000)).is_ok(), "none is too big");
        taking.take();
        assert!(inbox.try_put(log(1)).is_ok());
        taking.close();
        assert!(inbox.try_put(log(1)).is_err(), "it takes nothing any more");
    }
}
