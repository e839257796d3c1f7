//! Network namespaces, wires and control groups for the demo and for tests that need root.
//!
//! Nothing of it touches the initial namespace: every command runs on a thread that has entered a
//! namespace made here and has checked that it did. All is removed on drop and on signals; what
//! SIGKILL left behind is removed by the next lab.

mod cgroup;
mod error;
mod launch;
mod namespace;
mod stale;
mod wire;

use std::sync::atomic::{AtomicU32, Ordering};

pub use cgroup::Cgroup;
pub use error::LabError;
pub use launch::Launch;
pub use namespace::Namespace;
pub use wire::{Address, End, Switch};

use crate::need::is_root;
use crate::run_command::find_program;

/// What the names of everything a lab makes begin with; then comes the process that made it.
const PREFIX: &str = "cordon-";

static LABS: AtomicU32 = AtomicU32::new(0);

/// Makes namespaces with names of their own: `cordon-PROCESS-LAB-NAME`.
///
/// What it makes belongs to the handles it gives out, not to the lab itself.
#[derive(Debug)]
pub struct Lab {
    prefix: String,
}

/// Why a lab cannot be made here, as the reason of a skipped test; `None` if it can.
pub fn unavailable() -> Option<String> {
    if !is_root() {
        return Some("network namespaces need root".into());
    }
    if find_program("ip").is_none() {
        return Some("the program ip is not here (package iproute2)".into());
    }
    None
}

impl Lab {
    /// A new, empty lab; removes what labs of dead processes left behind.
    pub fn new() -> Result<Self, LabError> {
        if let Some(reason) = unavailable() {
            return Err(LabError::Unavailable { reason });
        }
        stale::sweep();
        let lab = LABS.fetch_add(1, Ordering::Relaxed);
        Ok(Self { prefix: format!("{PREFIX}{}-{lab}", std::process::id()) })
    }

    /// A namespace with nothing in it but its loopback, which is up.
    pub fn namespace(&self, name: &str) -> Result<Namespace, LabError> {
        Namespace::make(&self.full_name(name)?)
    }

    /// A namespace that joins machines as a switch does; see [`Switch::plug`].
    pub fn switch(&self, name: &str) -> Result<Switch, LabError> {
        Switch::make(self.namespace(name)?)
    }

    /// Joins two namespaces of this lab by a wire.
    pub fn join(&self, left: &End<'_>, right: &End<'_>) -> Result<(), LabError> {
        wire::join(left, right)
    }

    /// A control group of the second version, not the root, for programs that attach filters to
    /// it; `None` where this machine has not mounted that version.
    pub fn cgroup(&self, name: &str) -> Result<Option<Cgroup>, LabError> {
        Cgroup::make(&self.full_name(name)?)
    }

    fn full_name(&self, name: &str) -> Result<String, LabError> {
        let plain = |letter: char| letter.is_ascii_alphanumeric() || letter == '-';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(LabError::Name { name: name.to_owned() });
        }
        Ok(format!("{}-{name}", self.prefix))
    }
}
