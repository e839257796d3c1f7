//! What the browser looks at: an endpoint that is isolated, one whose agent was stopped, and one that
//! means harm in everything it says.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use cordon_packaging::clock::wait_until;
use cordon_packaging::fleet::{Fleet, OPERATORS, Plan, free_port};
use cordon_packaging::programs;
use cordon_packaging::shots;
use cordon_tests::console::invite;

const PATIENCE: Duration = Duration::from_secs(60);

/// The endpoint of the stage that means harm, and what it calls itself.
const HOSTILE: &str = "desk-07";
const HOSTILE_NAME: &str = "<img src=x onerror=window.hacked=3><b>desk";

/// Lines that it writes: markup, an escape sequence of terminals, text that runs backwards.
const HOSTILE_LINES: &str = "<script>window.hacked=1</script>\n\
    <svg onload=window.hacked=4>\u{1b}[2J hacked\n\
    \u{202e}dekcah javascript:window.hacked=5 hacked\n";

/// A file that is made and changed where the agent watches.
const HOSTILE_FILE: &str = "<img src=x onerror=window.hacked=7>\u{202e}gpj.sh";

/// An argument of a program that is started.
const HOSTILE_ARGUMENT: &str = "\"><img src=x onerror=window.hacked=2>";

#[derive(Debug)]
pub(crate) struct Scene {
    fleet: Fleet,
    /// One a person, in the order of [`OPERATORS`].
    invitations: Vec<String>,
    /// Where the signing page is served, by the tests themselves.
    signer_port: u16,
}

impl Scene {
    pub(crate) fn make() -> Result<Self> {
        let host_names = BTreeMap::from([(HOSTILE.to_owned(), HOSTILE_NAME.to_owned())]);
        let mut fleet = Fleet::make(Plan { host_names, ..Plan::default() })?;
        for name in ["web-01", "db-01", HOSTILE] {
            fleet.enrol(name)?;
            fleet.wait_for_state(name, "online", PATIENCE)?;
        }
        watch_files(&mut fleet)?;
        let web = fleet.endpoint_json("web-01")?;
        let web = web["id"].as_str().context("an endpoint has an id")?.to_owned();
        let reason = "Beaconing to an address that was seen in two other incidents";
        fleet.cordon(&["isolate", &web, "--reason", reason, "--yes", "--wait"])?;
        fleet.stop_agent("db-01")?;
        harm(&fleet)?;
        let invitations =
            OPERATORS.iter().map(|name| invite(&fleet, name)).collect::<Result<_>>()?;
        Ok(Self { fleet, invitations, signer_port: free_port()? })
    }

    /// What the tests are told of it.
    pub(crate) fn told(&self) -> Result<Vec<(&'static str, String)>> {
        let into =
            std::env::var_os(shots::INTO_VARIABLE).map_or_else(shots::usual_folder, PathBuf::from);
        let log = self.fleet.logs("web-01").join("app.log");
        let [first, second] = self.invitations.as_slice() else { bail!("not two people") };
        let group = self.fleet.agent_cgroup("web-01").context("no control groups of version 2")?;
        Ok(vec![
            ("CORDON_URL", self.fleet.people_url()),
            ("CORDON_FOLDER", self.fleet.folder().display().to_string()),
            ("CORDON_INVITATION", first.clone()),
            ("CORDON_INVITATION_OF_SECOND", second.clone()),
            ("CORDON_SIGNER_PORT", self.signer_port.to_string()),
            ("CORDON_PROGRAM", programs::find("cordon")?.display().to_string()),
            ("CORDON_CONFIG_DIR", self.fleet.operator().display().to_string()),
            ("CORDON_CGROUP", group.path().display().to_string()),
            ("CORDON_HOSTILE", HOSTILE_NAME.to_owned()),
            ("CORDON_LOG_FILE", log.display().to_string()),
            (shots::INTO_VARIABLE, into.display().to_string()),
        ])
    }
}

/// Where the hostile endpoint's agent looks for files.
fn files(fleet: &Fleet) -> PathBuf {
    fleet.folder().join(HOSTILE).join("files")
}

fn watch_files(fleet: &mut Fleet) -> Result<()> {
    let watched = files(fleet);
    fs::create_dir_all(&watched)?;
    fleet.configure(HOSTILE, &format!("[sensors.files]\nwatch = [{watched:?}]"))?;
    fleet.stop_agent(HOSTILE)?;
    fleet.start_agent(HOSTILE)?;
    fleet.wait_for_state(HOSTILE, "online", PATIENCE).map(drop)
}

/// Lets the hostile endpoint say all of it, and waits until it was heard.
fn harm(fleet: &Fleet) -> Result<()> {
    let log = fleet.logs(HOSTILE).join("<img src=x onerror=window.hacked=6>.log");
    let mut log = fs::File::create(&log).context("making a log with a hostile name")?;
    fs::write(fleet.logs("web-01").join("app.log"), "the application began\n")?;
    let status = Command::new("sh").args(["-c", "sleep 1; exit 3", HOSTILE_ARGUMENT]).status()?;
    ensure!(status.code() == Some(3), "the program with a hostile argument ended otherwise");
    let file = files(fleet).join(HOSTILE_FILE);
    let mut heard = |class: &str, text: &str| {
        // What was in a log before it was noticed may be passed over, as may a file be.
        log.write_all(HOSTILE_LINES.as_bytes())?;
        let mut file = fs::File::options().create(true).append(true).open(&file)?;
        file.write_all(HOSTILE_LINES.as_bytes())?;
        let events = fleet.cordon_json(&["events", "--class", class, "--text", text]);
        Ok::<_, anyhow::Error>(events?.into_iter().next().map(drop))
    };
    let texts =
        [("log", "window.hacked=1"), ("process", "window.hacked=2"), ("file", "window.hacked=7")];
    for (class, text) in texts {
        let found = wait_until(PATIENCE, || heard(class, text))?;
        found.with_context(|| format!("no {class} event has {text}"))?;
    }
    Ok(())
}
