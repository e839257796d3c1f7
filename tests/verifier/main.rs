//! The second verifier, in another language: it must call good what Cordon calls good, and refuse
//! what is changed. Skips by name where `python3` or `zstd` is missing.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what went wrong so")]

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output};

use cordon_packaging::run_command::find_program;
use libtest_mimic::{Arguments, Completion, Failed, Trial};

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let missing = ["python3", "zstd"].into_iter().find(|name| find_program(name).is_none());
    let trial = |name: &str, test: fn() -> Result<(), Failed>| {
        Trial::ignorable_test(name, move || match missing {
            Some(program) => Ok(Completion::ignored_with(format!("{program} is missing"))),
            None => test().map(|()| Completion::Completed),
        })
    };
    let trials = vec![
        trial("the golden bundle holds for the second verifier", golden),
        trial("of changed bundles both verifiers say the same", changed),
    ];
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn here() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn golden_path() -> PathBuf {
    here().join("../proto/samples/bundle.cbor")
}

fn verify(bundle: &Path) -> Output {
    let script = here().join("verifier/verify.py");
    Command::new("python3").arg(script).arg(bundle).output().expect("python3 was found")
}

fn golden() -> Result<(), Failed> {
    let output = verify(&golden_path());
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() && said.contains("telemetry: 3 events") {
        return Ok(());
    }
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    Err(format!("{said}{errors}").into())
}

/// Every 40th byte: each costs a start of the interpreter. Some bytes are not proved (names, the
/// time the bundle was made), so that what counts is that both say the same.
fn changed() -> Result<(), Failed> {
    let bytes = std::fs::read(golden_path())?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("changed.cbor");
    let mut refused = 0;
    for at in (0..bytes.len()).step_by(40) {
        let mut changed = bytes.clone();
        changed[at] ^= 0x10;
        std::fs::write(&path, &changed)?;
        let holds = verify(&path).status.success();
        if holds != cordon_says_so(&changed) {
            return Err(format!("byte {at} changed: the second verifier says {holds}").into());
        }
        refused += usize::from(!holds);
    }
    if refused < 10 { Err(format!("only {refused} changes were refused").into()) } else { Ok(()) }
}

fn cordon_says_so(bundle: &[u8]) -> bool {
    cordon_proto::evidence::verify(bundle, None).is_ok_and(|report| report.holds())
}
