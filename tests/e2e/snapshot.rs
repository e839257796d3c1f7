//! What an action would destroy is taken first and arrives as a collection; where it cannot be
//! taken the action is done all the same, and its receipts say so.

use std::fs;
use std::net::{IpAddr, SocketAddr, TcpStream};

use anyhow::{Context, Result, ensure};
use cordon_packaging::fleet::Fleet;
use cordon_packaging::say;
use serde_json::Value;

use crate::scene::{DB, WEB, await_some, cordon, fleet_of_one, join, listen, ruleset, traffic};

const TRAFFIC_PORT: u16 = 9000;

/// What an isolation waits at most, and what the loop may take to go on after it.
const WAITED_US_MAX: u64 = 20_000 + 200_000;

pub(crate) fn taken() -> Result<()> {
    let mut fleet = fleet_of_one()?;
    join(&mut fleet, DB)?;
    let _waiting = [listen(&fleet, WEB)?, listen(&fleet, DB)?];
    let db: IpAddr = fleet.endpoint(DB)?.machine.v4.parse()?;
    let to = SocketAddr::new(db, TRAFFIC_PORT);
    let _standing = fleet.namespace(WEB)?.run(move || TcpStream::connect(to))??;

    fleet.cordon(&["isolate", WEB, "--reason", "e2e", "--wait"])?;
    let (id, receipt) = receipt(&fleet, "isolate")?;
    say::line(&format!("isolate: {receipt}"));
    ensure!(receipt["state"] == "whole", "{receipt}");
    ensure!(receipt["waited_us"].as_u64().is_some_and(|us| us < WAITED_US_MAX), "{receipt}");
    let items = fetched(&fleet, &id)?;
    for name in ["sockets-before", "processes", "sockets", "mounts", "neighbours"] {
        ensure!(bytes(&items, name) > Some(0), "nothing of {name}: {items}");
    }
    fleet.cordon(&["release", WEB, "--reason", "e2e", "--wait"])?;

    before_a_deed(&fleet, db)?;
    without_room(&fleet)
}

/// Any other action waits for all of it.
fn before_a_deed(fleet: &Fleet, db: IpAddr) -> Result<()> {
    let address = db.to_string();
    let block = ["block", WEB, "--address", &address, "--snapshot", "--reason", "e2e", "--wait"];
    fleet.cordon(&block)?;
    let (id, receipt) = receipt(fleet, "block")?;
    say::line(&format!("block: {receipt}"));
    ensure!(bytes(&fetched(fleet, &id)?, "processes") > Some(0), "no processes");
    ensure!(!traffic(fleet, WEB, DB)?[0], "what was blocked passes");
    fleet.cordon(&["unblock", &id, "--reason", "e2e", "--wait"])?;
    Ok(())
}

/// There is no place where a snapshot could be kept.
fn without_room(fleet: &Fleet) -> Result<()> {
    let state = fleet.folder().join(WEB);
    let folder = await_some("the agent has its folder", || Ok(find(&state, "collected")))?;
    fs::remove_dir_all(&folder)?;
    fs::write(&folder, "no folder")?;
    let before = ruleset(fleet.namespace(WEB)?)?;
    let (code, said) = cordon(fleet, &["isolate", WEB, "--reason", "failing", "--wait"])?;
    ensure!(code == Some(0), "{code:?} {said}");
    ensure!(ruleset(fleet.namespace(WEB)?)? != before, "the isolation was held up");
    let failed = await_some("the failure is told", || {
        let found = receipts(fleet)?.into_iter().find(|one| one["state"] == "failed");
        Ok(found)
    })?;
    say::line(&format!("without room: {failed}"));
    fleet.cordon(&["release", WEB, "--reason", "e2e", "--wait"])?;
    Ok(())
}

/// The receipts of snapshots.
fn receipts(fleet: &Fleet) -> Result<Vec<Value>> {
    let asked = ["events", "--class", "receipt", "--endpoint", WEB, "--since", "1d"];
    let events = fleet.cordon_json(&asked)?;
    let receipts = events.into_iter().map(|event| event["receipt"].clone());
    Ok(receipts.filter(|receipt| receipt["outcome"] == "snapshot").collect())
}

/// The snapshot's receipt under the command of an action, and the command.
fn receipt(fleet: &Fleet, action: &str) -> Result<(String, Value)> {
    await_some("a receipt tells of the snapshot", || {
        let found = receipts(fleet)?.into_iter().find(|receipt| receipt["action"] == action);
        let with_id = |receipt: Value| Some((receipt["command"].as_str()?.to_owned(), receipt));
        Ok(found.and_then(with_id))
    })
}

/// What the archive holds, once it is here; every content is verified on the way.
fn fetched(fleet: &Fleet, id: &str) -> Result<Value> {
    await_some("the snapshot has come", || {
        let listed = fleet.cordon_json(&["collection", "list"])?;
        let whole = listed.iter().any(|one| one["command"] == id && one["whole"] == true);
        Ok(whole.then_some(()))
    })?;
    let out = fleet.folder().join(format!("case-{id}"));
    let get = ["collection", "get", id, "--out", &out.to_string_lossy()];
    let got = fleet.cordon_json(&get)?;
    Ok(got.first().context("nothing was fetched")?["items"].clone())
}

fn bytes(items: &Value, path: &str) -> Option<u64> {
    items.as_array()?.iter().find(|item| item["path"] == path)?["bytes"].as_u64()
}

fn find(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    let entries = fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    for path in entries.filter(|path| path.is_dir()) {
        if path.file_name().is_some_and(|own| own == name) {
            return Some(path);
        }
        if let Some(found) = find(&path, name) {
            return Some(found);
        }
    }
    None
}
