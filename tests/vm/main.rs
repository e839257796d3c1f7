//! What only a kernel of its own can show, in a machine of qemu: devices that come and go, disks
//! that tell their health, disks that fail, storage that is blocked, a boot, a whole system that an
//! operator acts on, and other kernels.
//!
//! Skips by name where qemu or a kernel for guests is not here; `cargo verify` gets them, and so
//! does this program with `CORDON_VM_FETCH=1`. In the machine this same program is the first
//! process and runs the agent's sensors.

mod disks;
mod endpoint;
mod guest;
mod held;
mod kernels;
mod noise;
mod operator;
mod reboot;
mod storage;

use std::process::ExitCode;

use anyhow::Result;
use cordon_packaging::lab::unavailable;
use cordon_packaging::programs;
use cordon_packaging::vm::depot::Depot;
use cordon_packaging::vm::release::{BOOKWORM, Release, TRIXIE};
use cordon_packaging::vm::system::{Image, PLAIN};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// What a test needs beside qemu and a kernel.
#[derive(Clone, Copy)]
enum Body {
    Kernel(fn(&Depot) -> Result<()>),
    /// The kernel of this release.
    Release(Release, fn(&Depot) -> Result<()>),
    /// A whole system on a disk, and a fleet around it.
    System(fn(&Depot, &Image) -> Result<()>),
}

const TESTS: [(&str, Body); 6] = [
    (
        "processes, connections and files are told whole on Linux 6.1",
        Body::Release(BOOKWORM, kernels::life),
    ),
    (
        "processes, connections and files are told whole on Linux 6.12",
        Body::Release(TRIXIE, kernels::life),
    ),
    (
        "disks fail, warn, are plugged in and pulled out, and all of it is told",
        Body::Kernel(disks::life),
    ),
    ("no packet escapes between lost power and the agent's start", Body::System(reboot::sealed)),
    (
        "removable storage is blocked, whoever loads its drivers, and allowed again",
        Body::Kernel(storage::life),
    ),
    (
        "services, an account and sticks on a real system, over lost power too",
        Body::System(operator::acts),
    ),
];

fn main() -> ExitCode {
    if std::process::id() == 1 {
        return guest::run();
    }
    let name = std::env::args().next().unwrap_or_default();
    if name.ends_with("/modprobe") {
        return guest::modprobe();
    }
    if name == kernels::STORM {
        return kernels::storm();
    }
    let mut arguments = Arguments::from_args();
    // Each machine takes a core and half a gigabyte.
    arguments.test_threads = Some(1);
    let trials = TESTS.map(|(name, body)| Trial::ignorable_test(name, move || unless(body)));
    libtest_mimic::run(&arguments, trials.into()).exit_code()
}

fn unless(body: Body) -> Result<Completion, Failed> {
    if std::env::var_os("CORDON_VM_FETCH").is_some() {
        Depot::fetch().map_err(|error| format!("{error:#}"))?;
    }
    let depot = match Depot::find() {
        Ok(depot) => depot,
        Err(reason) => return Ok(Completion::ignored_with(reason)),
    };
    let done = match body {
        Body::Kernel(body) => body(&depot),
        Body::Release(release, body) => {
            if std::env::var_os("CORDON_VM_FETCH").is_some() {
                release.fetch(&depot).map_err(|error| format!("{error:#}"))?;
            }
            match release.find(&depot) {
                Ok(depot) => body(&depot),
                Err(reason) => return Ok(Completion::ignored_with(reason)),
            }
        }
        Body::System(body) => {
            if let Some(reason) = unavailable() {
                return Ok(Completion::ignored_with(reason));
            }
            for program in ["cordon", "cordon-agent", "cordon-collector"] {
                if let Err(reason) = programs::find(program) {
                    return Ok(Completion::ignored_with(reason.to_string()));
                }
            }
            if std::env::var_os("CORDON_VM_FETCH").is_some() {
                PLAIN.fetch(&depot).map_err(|error| format!("{error:#}"))?;
            }
            match PLAIN.find() {
                Ok(image) => body(&depot, &image),
                Err(reason) => return Ok(Completion::ignored_with(reason)),
            }
        }
    };
    done.map(|()| Completion::Completed).map_err(|error| format!("{error:#}").into())
}
