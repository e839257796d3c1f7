//! Follows log files: every line appended is read once, over rotations and over restarts.
//!
//! A file is known by device, inode and a hash of its first bytes, never by its name. Reading runs
//! on a thread of its own in short slices; it hands over whole samples, each with the place behind
//! its last line. The one thing that is lost is what no reader could see: see `watch`.
//! Name logs, not their rotated copies: a copy that a pattern matches too is recognised by its
//! name and its beginning, and only by those.

mod account;
mod beside;
mod file;
mod find;
mod fingerprint;
mod finish;
mod gather;
mod join;
mod judge;
mod limit;
mod lines;
mod mark;
mod past;
pub(super) mod pattern;
mod place;
mod reading;
mod run;
mod settings;
mod source;
#[cfg(test)]
mod tests;
mod treat;
mod wake;
mod watch;

use std::sync::Arc;

use cordon_proto::event::SensorState;
use tokio::sync::mpsc;

use super::{Checkpoint, Outlet, Sample, Stopping};
use crate::clock::Stamp;
use crate::platform::linux::directories::Latch;

pub use settings::{FileSettings, LogSettings};

/// The sensor's name in health.
pub const NAME: &str = "logs";

/// Samples on their way from the reading thread.
const UNDER_WAY_MAX: usize = 2;

/// What the reading thread says.
enum Said {
    Sample(Sample),
    Condition(SensorState, Option<String>),
}

/// Runs until the agent stops. `restored` are the checkpoints kept last, of this sensor or all.
pub async fn run(
    settings: LogSettings,
    clock: fn() -> Stamp,
    outlet: Outlet,
    restored: Vec<Checkpoint>,
) -> Result<(), Stopping> {
    if !settings.enabled {
        return outlet.condition(SensorState::Off, None, None).await;
    }
    let (say, mut said) = mpsc::channel(UNDER_WAY_MAX);
    let latch = match Latch::new() {
        Ok(latch) => CloseOnDrop(Arc::new(latch)),
        Err(error) => {
            let reason = format!("making what ends the reading: {error}");
            return outlet.condition(SensorState::Blind, Some(reason), None).await;
        }
    };
    let ends = Arc::clone(&latch.0);
    let reader = std::thread::Builder::new().name("cordon-logs".to_owned());
    let reader = reader.spawn(move || reading::read(&settings, clock, restored, &ends, &say));
    let reader = match reader {
        Ok(reader) => reader,
        Err(error) => {
            let reason = format!("starting a thread to read with: {error}");
            return outlet.condition(SensorState::Blind, Some(reason), None).await;
        }
    };
    while let Some(said) = said.recv().await {
        match said {
            Said::Sample(sample) => outlet.sample(sample).await?,
            Said::Condition(state, reason) => outlet.condition(state, reason, None).await?,
        }
    }
    match reader.join() {
        Ok(stopping) => stopping,
        // The run loop restarts a sensor that failed; this one failed on another thread.
        Err(failure) => std::panic::resume_unwind(failure),
    }
}

/// Ends the reading thread when the sensor is dropped, however that comes.
struct CloseOnDrop(Arc<Latch>);

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        self.0.close();
    }
}
