//! What can go wrong in the lab.

use std::io;

use crate::process::ProcessError;

#[derive(Debug, thiserror::Error)]
pub enum LabError {
    #[error("the lab cannot be made here: {reason}")]
    Unavailable { reason: String },
    #[error("{name:?} is no name for a part of the lab: letters, digits and hyphens only")]
    Name { name: String },
    #[error("{address:?} is no address for the lab: {reason}")]
    Address { address: String, reason: String },
    #[error("{what} is the initial network namespace, which the lab never touches")]
    Initial { what: String },
    #[error("{doing}: {cause}")]
    Io { doing: String, cause: io::Error },
    #[error("running `{command}` in {namespace}: {complaint}")]
    Command { command: String, namespace: String, complaint: String },
    #[error("in {namespace}: {cause}")]
    Process { namespace: String, cause: ProcessError },
}

/// `.map_err(doing(|| …))`: an input/output error with what was being done.
pub(super) fn doing<E: Into<io::Error>>(
    what: impl FnOnce() -> String,
) -> impl FnOnce(E) -> LabError {
    move |cause| LabError::Io { doing: what(), cause: cause.into() }
}
