//! The sensors that read the kernel's own structures, on kernels older and newer than the one under
//! these tests: Debian 12's 6.1 and Debian 13's 6.12.

mod connections;
mod files;
mod guest;
mod processes;

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use cordon_packaging::say;
use cordon_packaging::vm::depot::Depot;
use cordon_packaging::vm::initramfs;
use cordon_packaging::vm::machine::{Machine, Plan};

pub(crate) use guest::{ARGUMENT, STORM, run, storm};

/// A line that begins so says what was seen; the last one is [`DONE`].
const SEEN: &str = "KERNELS ";
const DONE: &str = "KERNELS done";

/// What is run there by the hundreds.
const SHELL: &str = "/bin/dash";

/// Emulated on a busy machine: a boot, and some seconds for each thousand of processes.
const WITHIN: Duration = Duration::from_secs(300);

/// No modules: everything that is asked for here is built into Debian's kernels.
pub(crate) fn life(depot: &Depot) -> Result<()> {
    let folder = tempfile::tempdir().context("making a folder for the machine")?;
    let shell = Path::new(SHELL).to_owned();
    let mut machine = Machine::start(
        depot,
        &Plan {
            folder: folder.path().to_owned(),
            initramfs: initramfs::build(&std::env::current_exe()?, &[], &[shell])?,
            memory_mib: 768,
            kernel_arguments: ARGUMENT.to_owned(),
            hardware: Vec::new(),
            reboots: false,
        },
    )?;
    let version = depot.kernel_version();
    let mut seen = Vec::new();
    machine.hear("the end of what it looks at", WITHIN, |line| {
        let line = line.trim();
        if line.contains("the guest failed") {
            return Some(Err(anyhow::anyhow!("on {version}: {line}")));
        }
        if line == DONE {
            return Some(Ok(()));
        }
        seen.extend(line.strip_prefix(SEEN).map(str::to_owned));
        None
    })??;
    seen.iter().for_each(|line| say::line(&format!("{version}: {line}")));
    machine.power_off()
}
