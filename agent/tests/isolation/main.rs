//! Isolation and blocks against a real kernel, in network namespaces made for each test. Needs
//! root; without it every test is skipped by name.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "every line of this program is a test; clippy knows only #[test]"
)]

mod blocked;
mod closed;
mod devices;
mod holders;
mod lab;
mod life;
mod named;
mod platform;
mod sessions;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Completion, Trial};

use lab::Lab;

type Test = (&'static str, fn(&Lab), Needs);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Root,
    /// The program `nft`, to play the administrator.
    Nft,
}

fn main() -> ExitCode {
    if let Some(end) = holders::play() {
        return end;
    }
    let arguments = Arguments::from_args();
    let tests = sessions::TESTS.iter().chain(closed::TESTS).chain(life::TESTS);
    let tests = tests.chain(holders::TESTS).chain(devices::TESTS);
    let tests = tests.chain(blocked::TESTS).chain(named::TESTS);
    let trials = tests.map(|&(name, test, needs)| {
        Trial::ignorable_test(name, move || match lab::missing(needs) {
            Some(reason) => Ok(Completion::ignored_with(reason)),
            None => {
                test(&Lab::build());
                Ok(Completion::Completed)
            }
        })
    });
    libtest_mimic::run(&arguments, trials.collect()).exit_code()
}
