//! The web console in a real browser, over the real collector and real agents: signing in, finding,
//! following, acting, asking, proving, a hostile endpoint, a hostile console, and those who cannot see.
//!
//! Needs root for the lab, node with the console's packages, and a chromium; skips by name without.
//! `cargo shots` makes pictures of every page instead.

mod fleet;

use std::process::ExitCode;
use std::sync::{Mutex, OnceLock, PoisonError};

use anyhow::Result;
use cordon_packaging::lab::unavailable;
use cordon_tests::console;
use fleet::Scene;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

/// What is shown, and the file that shows it; in this order, for the first signs in.
const TESTS: [(&str, &str); 8] = [
    ("an invited person signs in with a password and a code, then a passkey", "sign-in"),
    ("endpoints, timelines, commands and processes are found and followed live", "pages"),
    ("an endpoint that is markup and scripts through and through runs nothing", "hostile"),
    ("no page has a serious fault for those who cannot see, dark or light", "access"),
    (
        "passkeys at the signing page isolate, release, kill and sign for two, until proved",
        "acting",
    ),
    ("a page that shows one command and asks for another is shown for what it is", "deceit"),
    ("live endpoints answer a query under their own signatures", "query"),
    ("evidence is exported and verified, and refused once a byte of it is changed", "evidence"),
];

/// Of every page; made only when asked for, by `cargo shots`: nobody looks at them in a test.
const SHOTS: &str = "pictures";

static SCENE: OnceLock<Mutex<Option<Scene>>> = OnceLock::new();

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    let trial = |&(name, file): &(&'static str, &'static str)| {
        Trial::ignorable_test(name, move || unless(|| run(&[file])))
    };
    let mut trials: Vec<Trial> = TESTS.iter().map(trial).collect();
    if arguments.ignored {
        let shots = || unless(|| run(&["sign-in", "shots", "acting-shots"]));
        trials.push(Trial::ignorable_test(SHOTS, shots).with_ignored_flag(true));
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Nothing that was made outlives this, and statics are never dropped.
    if let Some(scene) = SCENE.get() {
        drop(scene.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
    conclusion.exit_code()
}

fn unless(body: impl FnOnce() -> Result<()>) -> Result<Completion, Failed> {
    if let Some(reason) = missing() {
        return Ok(Completion::ignored_with(reason));
    }
    body().map(|()| Completion::Completed).map_err(|error| format!("{error:#}").into())
}

/// Why the console cannot be looked at here.
fn missing() -> Option<String> {
    unavailable().or_else(|| console::missing(&["cordon", "cordon-agent", "cordon-collector"]))
}

/// Runs files of the console's browser tests over one fleet that all of them share.
fn run(files: &[&str]) -> Result<()> {
    let scene = SCENE.get_or_init(Mutex::default);
    let mut scene = scene.lock().unwrap_or_else(PoisonError::into_inner);
    let scene = match &mut *scene {
        Some(scene) => scene,
        none => none.insert(Scene::make()?),
    };
    for file in files {
        console::run(file, scene.told()?)?;
    }
    Ok(())
}
