//! The last thing that is done to a line before it leaves the sensor.

use cordon_proto::event::{Body, LogLine, Observation, Severity};

use crate::clock::Stamp;

/// What one line may become at most; the room of a sample is reckoned with it.
pub(super) const OBSERVATIONS_MAX: usize = 1;

/// Takes a finished line and adds what is to be told of it: everything that reads lines or takes
/// something out of them has its place here.
pub(super) fn finish(line: LogLine, now: Stamp, observations: &mut Vec<Observation>) {
    let Stamp { time_ns, boot_ns } = now;
    let severity = Severity::Informational;
    observations.push(Observation { time_ns, boot_ns, severity, body: Body::Log(line) });
}
