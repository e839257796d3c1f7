//! A file into the vault and back: proved by receipts that `cordon` verifies, refused with a reason
//! where the machine needs it.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};

use anyhow::{Context, Result, ensure};
use cordon_proto::id::Hash;

use crate::scene::{PATIENCE, WEB, cordon, fleet_of_one};

const CONTENT: &[u8] = b"#!/bin/sh\nexec /bin/false\n";

pub(crate) fn there_and_back() -> Result<()> {
    let mut fleet = fleet_of_one()?;
    let directory = fleet.logs(WEB);
    let directory = directory.parent().context("the endpoint has no directory")?.canonicalize()?;
    let path = directory.join("dropper");
    fs::write(&path, CONTENT)?;
    chown(&path, Some(1234), Some(5678))?;
    fs::set_permissions(&path, PermissionsExt::from_mode(0o4751))?;
    let traits =
        |meta: fs::Metadata| (meta.mode(), meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec());
    let was = traits(fs::metadata(&path)?);
    let name = path.to_str().context("the path is not UTF-8")?;

    let (code, said) = cordon(
        &fleet,
        &[
            "quarantine",
            WEB,
            name,
            "--sha256",
            &Hash::of(b"another").to_string(),
            "--reason",
            "e2e",
            "--wait",
        ],
    )?;
    ensure!(code != Some(0) && said.contains("SHA-256"), "another content: {code:?} {said}");
    ensure!(traits(fs::metadata(&path)?) == was, "another content, and it was touched");

    let hash = Hash::of(CONTENT).to_string();
    fleet.cordon(&["quarantine", WEB, name, "--sha256", &hash, "--reason", "e2e", "--wait"])?;
    ensure!(!path.exists(), "proved, and it is still there");
    // What stands survives the agent.
    fleet.kill_agent(WEB)?;
    fleet.start_agent(WEB)?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    fleet.cordon(&["restore", WEB, name, "--reason", "e2e", "--wait"])?;
    ensure!(fs::read(&path)? == CONTENT, "put back, and it holds something else");
    ensure!(traits(fs::metadata(&path)?) == was, "put back, and it carries something else");
    let (code, said) = cordon(&fleet, &["restore", WEB, name, "--reason", "e2e"])?;
    ensure!(code != Some(0) && said.contains("nothing at"), "restored twice: {code:?} {said}");

    // An agent that is only tried out refuses the whole machine.
    let machines = tempfile::NamedTempFile::new()?;
    let outside = machines.path().to_str().context("the path is not UTF-8")?;
    let (code, said) = cordon(&fleet, &["quarantine", WEB, outside, "--reason", "e2e", "--wait"])?;
    ensure!(code != Some(0) && said.contains("not the lab's"), "outside: {code:?} {said}");
    ensure!(machines.path().exists(), "refused, and it is gone");
    let key = fleet.agent_state(WEB).canonicalize()?.join("vault/key");
    let key = key.to_str().context("the path is not UTF-8")?;
    let (code, said) = cordon(&fleet, &["quarantine", WEB, key, "--reason", "e2e", "--wait"])?;
    ensure!(code != Some(0) && said.contains("the agent's own"), "its key: {code:?} {said}");
    Ok(())
}
