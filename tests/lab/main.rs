//! The containment lab: everything that could pass an isolation is tried before, during and after
//! it, and only what the design keeps may get through.
//!
//! The real agent, collector and `cordon`, in network namespaces, with a router, a container behind
//! the endpoint, a peer and an attacker; real servers of names and addresses, a real DHCP client,
//! nmap beside plain sockets. Needs root; without it, or them, every test skips by name.

mod address;
mod attempt;
mod contained;
mod dhcp;
mod frame;
mod ground;
mod listeners;
mod nmap;
mod place;
mod platform;
mod session;
mod table;
mod trial;
mod witness;

use std::process::ExitCode;

use anyhow::Result;
use cordon_packaging::{lab::unavailable, need, peers, programs};
use libtest_mimic::{Arguments, Completion, Failed, Trial};

type Body = fn() -> Result<()>;

const TESTS: &[(&str, Body)] = &[
    ("an isolated endpoint keeps what it must, and nothing else passes", contained::owned),
    ("the same where any root process may edit the rules", contained::plain),
];

/// Pure, so they need nothing.
const READERS: &[(&str, Body)] = &[
    ("what an isolated endpoint may send is told from the rest", frame::allowed_kinds),
    ("what nmap reached is read from what it wrote", nmap::reads_states),
];

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    // One fleet at a time, as everywhere.
    arguments.test_threads = Some(1);
    let whole = TESTS.iter().map(|&(name, body)| Trial::ignorable_test(name, move || unless(body)));
    let readers = READERS.iter().map(|&(name, body)| {
        Trial::test(name, move || body().map_err(|error| format!("{error:#}").into()))
    });
    libtest_mimic::run(&arguments, whole.chain(readers).collect()).exit_code()
}

fn unless(body: Body) -> Result<Completion, Failed> {
    if let Some(reason) = unavailable() {
        return Ok(Completion::ignored_with(reason));
    }
    for program in ["cordon", "cordon-agent", "cordon-collector"] {
        if let Err(reason) = programs::find(program) {
            return Ok(Completion::ignored_with(reason.to_string()));
        }
    }
    for need in need::FOR_PROBING {
        if let Err(reason) = peers::find(need.program) {
            return Ok(Completion::ignored_with(reason));
        }
    }
    body().map(|()| Completion::Completed).map_err(|error| format!("{error:#}").into())
}
