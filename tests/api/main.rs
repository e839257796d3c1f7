//! The API tried by its own document: schemathesis makes requests, good and bad, from what the document
//! says, against a collector with real rows; no answer may be a failure or one that is not described.
//!
//! Skips by name where schemathesis is not; `cargo verify` fetches it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test says what went wrong so")]

use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_packaging::clock::wait_until;
use cordon_packaging::fleet::{CLIENT, Fleet, Plan};
use cordon_packaging::{programs, schemathesis};
use libtest_mimic::{Arguments, Completion, Failed, Trial};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_secs(60);

/// Examples of each route and phase: enough for every kind of wrong, in a few minutes.
const EXAMPLES: &str = "25";

/// What must hold of every answer.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
                      response_headers_conformance,response_schema_conformance,unsupported_method";

/// Feeds that do not end, and what would end the session that everything is asked with.
const LEFT_OUT: &str = "(/events/live|/rows|/sign-in|/sessions)$";

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let name = "no request makes the API fail or answer what its document does not describe";
    let trial = Trial::ignorable_test(name, || match ready() {
        Err(reason) => Ok(Completion::ignored_with(reason)),
        Ok(program) => match try_api(&program) {
            Ok(()) => Ok(Completion::Completed),
            Err(error) => Err(Failed::from(format!("{error:#}"))),
        },
    });
    libtest_mimic::run(&arguments, vec![trial]).exit_code()
}

fn ready() -> Result<std::path::PathBuf, String> {
    for program in ["cordon", "cordon-collector", "cordon-agent"] {
        programs::find(program).map_err(|error| error.to_string())?;
    }
    schemathesis::find()
}

fn try_api(program: &std::path::Path) -> Result<()> {
    let fleet = filled()?;
    let endpoint = of_list(&fleet, &["endpoint", "list", "--json"], "id")?;
    let command = of_list(&fleet, &["command", "list", "--json"], "id")?;
    let session = std::fs::read_to_string(fleet.operator().join("sessions/ann.json"))?;
    let session: Value = serde_json::from_str(&session)?;
    let token = session["token"].as_str().context("the session has no token")?;
    let folder = fleet.folder();
    let config = folder.join("schemathesis.toml");
    std::fs::write(&config, settings(&endpoint, &command))?;
    let document = fleet.cordon(&["collector", "openapi"])?;
    std::fs::write(folder.join("openapi.json"), document)?;
    let output = Command::new(program)
        .current_dir(folder)
        .args(["--config-file".as_ref(), config.as_os_str()])
        .args(["run", "openapi.json", "--tls-verify", "false", "--no-color"])
        .args(["--url", &fleet.people_url(), "--header", &format!("Authorization: Bearer {token}")])
        .args(["--checks", CHECKS, "--exclude-path-regex", LEFT_OUT, "--max-examples", EXAMPLES])
        .args(["--phases", "examples,coverage,fuzzing", "--request-timeout", "30", "--seed", "1"])
        .args(["--workers", "1", "--continue-on-failure", "--warnings", "off"])
        .args(["--suppress-health-check", "all"])
        .output()
        .context("running schemathesis")?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "schemathesis found something:\n{said}{errors}");
    ensure!(said.contains("Tested:"), "schemathesis tested nothing:\n{said}{errors}");
    // Not as somebody: this address has made up tokens, and must wait.
    fleet.cordon(&["collector", "openapi"]).context("afterwards the collector is gone")?;
    Ok(())
}

/// A collector with an endpoint that tells, a site, a token, a policy and a command.
fn filled() -> Result<Fleet> {
    let mut fleet = Fleet::make(Plan { on_loopback: true, ..Plan::default() })?;
    fleet.enrol("web-01")?;
    std::fs::write(fleet.logs("web-01").join("a.log"), "a line\nanother line\n")?;
    let listed = || -> Result<Option<String>> {
        let listed = fleet.cordon(&["endpoint", "list", "--json"])?;
        let one: Value = serde_json::from_str(listed.lines().next().unwrap_or("{}"))?;
        let told = one["state"] == "online" && one["nonce"].is_object();
        Ok(told.then(|| one["host_name"].as_str().unwrap_or_default().to_owned()))
    };
    let told = wait_until(PATIENCE, listed)?;
    let name = told.context("the endpoint did not come online")?;
    for arguments in [
        &["site", "create", "hq", "--title", "Head office"][..],
        &["endpoint", "set", &name, "--site", "hq", "--label", "web"],
        &["isolate", &name, "--reason", "tried by the API's document", "--dry-run"],
    ] {
        fleet.cordon(arguments)?;
    }
    let policy = fleet.folder().join("policy.toml");
    std::fs::write(&policy, format!("client = \"{CLIENT}\"\nversion = 1\n"))?;
    let policy = policy.display().to_string();
    // It waits for a second person, and is a command with everything all the same.
    fleet.cordon(&["policy", "set", &policy, &name, "--reason", "tried"]).ok();
    Ok(fleet)
}

fn of_list(fleet: &Fleet, arguments: &[&str], field: &str) -> Result<String> {
    let listed = fleet.cordon(arguments)?;
    let first = listed.lines().next().context("the list is empty")?;
    let first: Value = serde_json::from_str(first)?;
    first[field].as_str().map(str::to_owned).with_context(|| format!("no {field} in {first}"))
}

/// Paths name things that are there; what is asked beside, and bodies, are made up.
fn settings(endpoint: &str, command: &str) -> String {
    let mut text = format!("[parameters]\n\"path.client\" = \"{CLIENT}\"\n");
    text.push_str("\"path.version\" = \"1\"\n\"path.site\" = \"hq\"\n");
    for (paths, name, value) in [
        ("^/api/v1/endpoints/", "id", endpoint),
        ("^/api/v1/commands/", "id", command),
        ("^/api/v1/collections/", "command", command),
        ("^/api/v1/collections/", "endpoint", endpoint),
    ] {
        text.push_str(&format!(
            "\n[[operations]]\ninclude-path-regex = \"{paths}\"\nparameters = {{ \"path.{name}\" = \"{value}\" }}\n"
        ));
    }
    text
}
