//! The web console in a real browser over thousands of endpoints at two clients: they are walked,
//! filtered, chosen and changed, and nothing of one client is ever seen at the other.
//!
//! The endpoints stand in the collector's state and have no agents, so that neither root nor a lab is
//! needed; node with the console's packages and a chromium are, and without them it skips by name.

use std::process::ExitCode;

use cordon_tests::console;
use cordon_tests::crowd::Scene;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// How many endpoints the first client has, and the other.
const COUNTS: [u32; 2] = [3000, 400];

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let name = "thousands are walked, chosen and changed, and two clients never mix";
    libtest_mimic::run(&arguments, vec![Trial::ignorable_test(name, many)]).exit_code()
}

fn many() -> Result<Completion, Failed> {
    if let Some(reason) = console::missing(&["cordon", "cordon-collector"]) {
        return Ok(Completion::ignored_with(reason));
    }
    let shown = Scene::make(COUNTS).and_then(|scene| console::run("crowd", scene.told()));
    shown.map(|()| Completion::Completed).map_err(|error| format!("{error:#}").into())
}
