//! The last thing that is done to a line before it leaves the sensor: what it says is read out of it.

use cordon_proto::event::{Body, LogLine, Observation, Severity};

use crate::clock::Stamp;
use crate::sensor::parse::{Assumed, head, interpret_below};

/// What one line may become at most, itself and what it tells; the room of a sample is reckoned
/// with it.
pub(super) const OBSERVATIONS_MAX: usize = 2;

/// Takes a finished line and adds what is to be told of it: everything that reads lines or takes
/// something out of them has its place here.
pub(super) fn finish(
    mut line: LogLine,
    assumed: &Assumed,
    now: Stamp,
    observations: &mut Vec<Observation>,
) {
    let Stamp { time_ns, boot_ns } = now;
    let head = head(line.line.as_bytes(), assumed);
    let typed = head.as_ref().and_then(|head| interpret_below(&line, head));
    line.parsed = head.map(|head| head.to_parsed());
    let told = (Severity::Informational, Body::Log(line));
    let both = std::iter::once(told).chain(typed);
    observations.extend(both.map(|(severity, body)| Observation {
        time_ns,
        boot_ns,
        severity,
        body,
    }));
}
