//! What an isolation would cut, foretold from what the endpoint told and then seen to come true; and
//! a machine that others live by, which one person alone does not isolate.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream, UdpSocket};

use anyhow::{Context, Result, ensure};
use cordon_packaging::fleet::Fleet;
use serde_json::Value;

use crate::scene::{DB, WEB, await_some, cordon, fleet_with, join, listen, ruleset, traffic};

/// Exit codes of `cordon`: see `cordon exit-codes`.
const NOT_AUTHORISED: Option<i32> = Some(10);

/// The port that [`listen`] waits on.
const TRAFFIC_PORT: u16 = 9000;

pub(crate) fn shown() -> Result<()> {
    // A role counts at once: an hour is too long for a test.
    let mut fleet = fleet_with("carrier_settled_secs = 0\n")?;
    join(&mut fleet, WEB)?;
    join(&mut fleet, DB)?;
    let _waiting = [listen(&fleet, WEB)?, listen(&fleet, DB)?];
    let name_server = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 53));
    let _name_server = fleet.namespace(WEB)?.run(move || UdpSocket::bind(name_server))??;
    let db: IpAddr = fleet.endpoint(DB)?.machine.v4.parse()?;
    let to = SocketAddr::new(db, TRAFFIC_PORT);
    let _standing = fleet.namespace(WEB)?.run(move || TcpStream::connect(to))??;

    let before = ruleset(fleet.namespace(WEB)?)?;
    let preview = await_some("the preview shows the connection and the name server", || {
        let preview = preview(&fleet)?;
        let found = flow(&preview, db).is_some() && preview["needs_second"].is_string();
        Ok(found.then_some(preview))
    })?;
    let flow = flow(&preview, db).context("no connection")?;
    ensure!(flow["fate"] == "cut" && flow["direction"] == "outbound", "{flow}");
    ensure!(flow["open"].as_u64() >= Some(1), "it stands, and is not called open: {flow}");
    let listeners = preview["listeners"].as_array().into_iter().flatten();
    let port = listeners.into_iter().find(|one| one["port"] == TRAFFIC_PORT);
    ensure!(port.is_some_and(|port| port["fate"] == "cut"), "{preview}");
    let role = &preview["roles"][0];
    ensure!(role["role"] == "dns_server" && role["settled"] == true, "{preview}");
    ensure!(ruleset(fleet.namespace(WEB)?)? == before, "a dry run changed the firewall");
    let (code, said) = cordon(&fleet, &["isolate", WEB, "--reason", "e2e", "--dry-run"])?;
    ensure!(code == Some(0) && said.contains("a second person's signature"), "{code:?} {said}");

    held_for_a_second_person(&fleet, &before)?;
    ensure!(traffic(&fleet, WEB, DB)? == [false; 4], "what was to be cut passes");
    fleet.cordon(&["release", WEB, "--reason", "e2e", "--wait"])?;
    ensure!(traffic(&fleet, WEB, DB)? == [true; 4], "let back, and nothing passes");
    Ok(())
}

/// What `cordon isolate --dry-run` shows.
fn preview(fleet: &Fleet) -> Result<Value> {
    let asked = ["isolate", WEB, "--reason", "e2e", "--dry-run"];
    let shown = fleet.cordon_json(&asked)?;
    let preview = shown.into_iter().find_map(|one| one.get("preview").cloned());
    preview.context("a dry run shows no preview")
}

fn flow(preview: &Value, to: IpAddr) -> Option<&Value> {
    let flows = preview["flows"].as_array()?.iter();
    let to = to.to_string();
    flows.into_iter().find(|flow| flow["address"] == *to && flow["port"] == TRAFFIC_PORT)
}

fn held_for_a_second_person(fleet: &Fleet, before: &str) -> Result<()> {
    let mut command = fleet.command("cordon")?;
    let output = command.args(["isolate", WEB, "--reason", "e2e", "--json"]).output()?;
    ensure!(output.status.code() == NOT_AUTHORISED, "one alone: {output:?}");
    let told: Value = serde_json::from_slice(&output.stdout)?;
    let why = told["waits_for"].as_str().context("it does not say why")?;
    ensure!(why.contains("DNS server"), "{why}");
    let id = told["command"].as_str().context("no id was told")?;
    ensure!(ruleset(fleet.namespace(WEB)?)? == before, "one person alone changed the firewall");
    let second = ["--profile", "bob", "command", "approve", id, "--yes", "--wait"];
    let (code, said) = cordon(fleet, &second)?;
    ensure!(code == Some(0), "with the second signature: {code:?} {said}");
    Ok(())
}
