//! Settings that cannot be: the sentence that a person sees for each, with the line it is about.
//!
//! An agent without a file runs on the defaults, which belong to the machine itself: not tried here.

use std::fs;
use std::net::TcpListener;

use anyhow::Result;
use cordon_packaging::fleet::Fleet;

use crate::scene::{WEB, failed_with, fleet};

pub(crate) fn settings() -> Result<()> {
    let fleet = fleet()?;
    agent(&fleet, "an unknown key", "lab = true\nspol = 1\n", "line 2: unknown field `spol`")?;
    agent(&fleet, "a wrong type", "lab = 1\n", "line 1: invalid type: integer `1`")?;
    agent(&fleet, "no TOML", "lab = true\nlab true\n", "line 2:")?;
    let state = fleet.folder().join("nobody/state");
    fs::create_dir(fleet.folder().join("nobody"))?;
    let settings = format!("lab = true\nstate_dir = {state:?}\n");
    agent(&fleet, "not enrolled", &settings, "this endpoint is not enrolled")?;

    let missing = fleet.folder().join("missing.toml").display().to_string();
    collector(&fleet, "no file", &missing, "cannot read the settings in")?;
    let state = fleet.folder().join("other-collector");
    let head = format!("state_dir = {state:?}\n");
    let write = |text: &str| {
        let path = fleet.folder().join("other.toml");
        fs::write(&path, format!("{head}{text}"))?;
        anyhow::Ok(path.display().to_string())
    };
    let unknown = write("agent = 7443\n")?;
    collector(&fleet, "an unknown key", &unknown, "line 2")?;
    let taken = TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?;
    let doors = format!("agents = \"127.0.0.1:0\"\npeople = \"{address}\"\n");
    let in_use = write(&doors)?;
    let sentence = format!("port {} for people is in use by another program", address.port());
    collector(&fleet, "a port in use", &in_use, &sentence)?;
    let not_set_up = write("agents = \"127.0.0.1:0\"\npeople = \"127.0.0.1:0\"\n")?;
    collector(&fleet, "not set up", &not_set_up, "is not set up yet; run `cordon-collector init`")
}

fn agent(fleet: &Fleet, what: &str, settings: &str, sentence: &str) -> Result<()> {
    let path = fleet.folder().join("bad-agent.toml");
    fs::write(&path, settings)?;
    let arguments = ["run".as_ref(), "--config".as_ref(), path.as_os_str()];
    failed_with(what, &fleet.run_agent(WEB, &arguments)?, sentence)
}

fn collector(fleet: &Fleet, what: &str, config: &str, sentence: &str) -> Result<()> {
    let mut command = fleet.command("cordon-collector")?;
    failed_with(what, &command.args(["serve", "--config", config]).output()?, sentence)
}
