//! Reads the kernel's log: each line once, over restarts of the agent, and the errors of disks and
//! file systems in it.
//!
//! The log is the machine's: namespaces and containers have none of their own. It is a ring in
//! memory; what was written over before it was read is a gap with its exact number. Lines from
//! before the agent was ever started are not told. The journal carries the same lines; its sensor
//! leaves them to this one where this one is on.

mod faults;
mod follow;
mod meaning;
mod place;
pub mod record;

use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use cordon_proto::event::SensorState;
use rustix::fs::{Mode, OFlags, SeekFrom};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use tokio::io::unix::AsyncFd;

use self::follow::Follow;
use self::place::Place;
use self::record::Record;
use super::{Checkpoint, Outlet, Stopping};
use crate::clock::{self, Stamp};
use crate::platform::linux::wait;

/// The sensor's name in health.
pub const NAME: &str = "kernel";

/// The log is looked at so often though nothing was heard, to show that it is.
const LOOK_PERIOD: Duration = Duration::from_secs(60);

/// The kernel writes no longer records.
const RECORD_BYTES_MAX: usize = 8192;

/// What the sensor does.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct KernelSettings {
    /// Whether the kernel's log is read at all.
    pub enabled: bool,
    /// Lines told each second at most; a burst may have five hundred more.
    pub lines_per_sec: u32,
}

impl Default for KernelSettings {
    fn default() -> Self {
        Self { enabled: true, lines_per_sec: 100 }
    }
}

/// Runs until the agent stops. `restored` are the checkpoints kept last, of this sensor or all.
pub async fn run(
    settings: KernelSettings,
    clock: fn() -> Stamp,
    outlet: Outlet,
    restored: Vec<Checkpoint>,
) -> Result<(), Stopping> {
    if !settings.enabled {
        return outlet.condition(SensorState::Off, None, None).await;
    }
    let blind = |doing: &str, error: io::Error| Some(format!("{doing} {}: {error}", follow::PATH));
    let mut sensor = match Sensor::open(settings, clock, &restored) {
        Ok(sensor) => sensor,
        Err(error) => {
            return outlet.condition(SensorState::Blind, blind("opening", error), None).await;
        }
    };
    outlet.condition(SensorState::Running, None, None).await?;
    loop {
        let at_end = match sensor.read() {
            Ok(at_end) => at_end,
            Err(error) => {
                return outlet.condition(SensorState::Blind, blind("reading", error), None).await;
            }
        };
        sensor.follow.handle_timeout((sensor.clock)());
        if let Some(sample) = sensor.follow.take_sample() {
            outlet.sample(sample).await?;
        }
        if sensor.is_look_due() {
            outlet.proved().await?;
        }
        if at_end && let Err(error) = sensor.wait().await {
            return outlet.condition(SensorState::Blind, blind("waiting for", error), None).await;
        }
    }
}

struct Sensor {
    clock: fn() -> Stamp,
    log: AsyncFd<OwnedFd>,
    follow: Follow,
    /// Until the end was reached for the first time.
    is_behind: bool,
    look_due: Duration,
}

impl Sensor {
    fn open(
        settings: KernelSettings,
        clock: fn() -> Stamp,
        restored: &[Checkpoint],
    ) -> io::Result<Self> {
        let kept = restored.iter().find(|checkpoint| checkpoint.key == place::KEY);
        let kept = kept.and_then(|checkpoint| checkpoint.value.as_deref());
        let place = Place::restore(clock::boot_id()?, kept);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let log = rustix::fs::open(follow::PATH, flags, Mode::empty())?;
        if !place.looks_back() {
            rustix::fs::seek(&log, SeekFrom::End(0))?;
        }
        let now = Duration::from_nanos(clock().boot_ns);
        let follow = Follow::new(place, u64::from(settings.lines_per_sec), now);
        Ok(Self { clock, log: wait::readable(log)?, follow, is_behind: true, look_due: now })
    }

    /// Waits until there is something to read, or it is time to look.
    async fn wait(&mut self) -> io::Result<()> {
        let now = Duration::from_nanos((self.clock)().boot_ns);
        let due = self.follow.poll_timeout().map_or(self.look_due, |due| due.min(self.look_due));
        let mut ready = tokio::select! {
            ready = self.log.readable() => ready?,
            () = tokio::time::sleep(due.saturating_sub(now)) => return Ok(()),
        };
        // Reading to the end follows; what comes meanwhile wakes again.
        ready.clear_ready();
        Ok(())
    }

    /// Reads all there is, up to a sample's fill; answers whether it came to the end.
    fn read(&mut self) -> io::Result<bool> {
        let mut bytes = [0; RECORD_BYTES_MAX];
        while !self.follow.is_full() {
            match rustix::io::read(self.log.get_ref(), &mut bytes) {
                Ok(count) => {
                    let record = bytes.get(..count).and_then(Record::parse);
                    // A record that makes no sense is missing in the numbers of those behind it.
                    if let Some(record) = record {
                        self.follow.handle_record(record, self.is_behind, (self.clock)());
                    }
                }
                // The numbers of the records that follow say how many were written over.
                Err(Errno::PIPE | Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) => {
                    self.is_behind = false;
                    return Ok(true);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(false)
    }

    /// Whether it is time to say that the log was looked at.
    fn is_look_due(&mut self) -> bool {
        let now = Duration::from_nanos((self.clock)().boot_ns);
        let is_due = now >= self.look_due;
        if is_due {
            self.look_due = now.saturating_add(LOOK_PERIOD);
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::clock::stamp;
    use crate::sensor::Report;

    #[test]
    fn settings_have_defaults_and_refuse_what_they_do_not_know() {
        let settings: KernelSettings = toml::from_str("lines_per_sec = 5").unwrap();
        assert_eq!(settings, KernelSettings { lines_per_sec: 5, ..KernelSettings::default() });
        assert!(toml::from_str::<KernelSettings>("lines = 5").is_err());
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_sensor_that_is_switched_off_says_so() {
        let (reports, mut said) = mpsc::channel(1);
        let settings = KernelSettings { enabled: false, ..KernelSettings::default() };
        run(settings, stamp, Outlet::new(NAME, reports), Vec::new()).await.unwrap();
        let (_sensor, report) = said.recv().await.unwrap();
        assert!(matches!(report, Report::Condition(said) if said.state == SensorState::Off));
    }
}
