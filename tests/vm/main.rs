//! What only a kernel of its own can show, in a machine of qemu: devices that come and go, disks
//! that tell their health, disks that fail, storage that is blocked.
//!
//! Skips by name where qemu or a kernel for guests is not here; `cargo verify` gets them, and so
//! does this program with `CORDON_VM_FETCH=1`. In the machine this same program is the first
//! process and runs the agent's sensors.

mod disks;
mod guest;
mod storage;

use std::process::ExitCode;

use anyhow::Result;
use cordon_packaging::vm::depot::Depot;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

type Body = fn(&Depot) -> Result<()>;

const TESTS: [(&str, Body); 2] = [
    ("disks fail, warn, are plugged in and pulled out, and all of it is told", disks::life),
    ("removable storage is blocked, whoever loads its drivers, and allowed again", storage::life),
];

fn main() -> ExitCode {
    if std::process::id() == 1 {
        return guest::run();
    }
    if std::env::args().next().is_some_and(|name| name.ends_with("/modprobe")) {
        return guest::modprobe();
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
    body(&depot).map(|()| Completion::Completed).map_err(|error| format!("{error:#}").into())
}
