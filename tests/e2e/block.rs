//! Blocks of many endpoints at once: two groups shut off from each other by one command, and the
//! ports that intruders move along shut for a client; both proved, both undone.

use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cordon_packaging::fleet::{CLIENT, Fleet};

use crate::scene::{DB, PATIENCE, WEB, await_some, fleet_of_one, join, listen, ruleset, traffic};

/// How long an attempt to connect that must fail is given.
const TRY_MAX: Duration = Duration::from_millis(700);

const SSH: u16 = 22;

pub(crate) fn segment() -> Result<()> {
    let mut fleet = fleet_of_one()?;
    join(&mut fleet, DB)?;
    let _listening = [listen(&fleet, WEB)?, listen(&fleet, DB)?];
    let before = rulesets(&fleet)?;
    ensure!(traffic(&fleet, WEB, DB)? == [true; 4], "traffic does not pass to begin with");
    let (web, db) = (member(&fleet, WEB)?, member(&fleet, DB)?);
    let reason = ["--reason", "e2e", "--lease", "1h", "--wait"];
    fleet.cordon(&[&["segment", "--between", &web, "--and", &db], &reason[..]].concat())?;
    ensure!(traffic(&fleet, WEB, DB)? == [false; 4], "something passes between the groups");
    // Each end holds by itself: what the one forgets the other still drops.
    for rules in rulesets(&fleet)? {
        ensure!(rules.contains("cordon-block"), "an endpoint does not enforce its side:\n{rules}");
    }
    let command = standing(&fleet, 2)?;
    fleet.kill_agent(WEB)?;
    ensure!(traffic(&fleet, WEB, DB)? == [false; 4], "the fence fell with its agent");
    fleet.start_agent(WEB)?;
    fleet.wait_for_state(WEB, "online", PATIENCE)?;
    fleet.cordon(&["unblock", &command, "--on", WEB, "--reason", "e2e", "--wait"])?;
    ensure!(traffic(&fleet, WEB, DB)? == [false; 4], "the other end does not hold its side");
    fleet.cordon(&["unblock", &command, "--on", DB, "--reason", "e2e", "--wait"])?;
    ensure!(traffic(&fleet, WEB, DB)? == [true; 4], "unblocked, and traffic does not pass");
    let after = rulesets(&fleet)?;
    ensure!(after == before, "before:\n{before:?}\nafter:\n{after:?}");
    Ok(())
}

pub(crate) fn lateral() -> Result<()> {
    let mut fleet = fleet_of_one()?;
    join(&mut fleet, DB)?;
    let _listening = [listen(&fleet, WEB)?, listen(&fleet, DB)?];
    let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, SSH));
    let _ssh = TcpListener::from(fleet.namespace(WEB)?.listen(any)?);
    let before = rulesets(&fleet)?;
    ensure!(ssh(&fleet)? == [true; 2], "SSH does not pass to begin with");
    let asked = ["lateral", "--client", CLIENT, "--reason", "e2e", "--lease", "1h", "--wait"];
    fleet.cordon(&asked)?;
    ensure!(ssh(&fleet)? == [false; 2], "SSH still comes in");
    ensure!(traffic(&fleet, WEB, DB)? == [true; 4], "more is shut than was asked for");
    let command = standing(&fleet, 2)?;
    fleet.cordon(&["unblock", &command, "--reason", "e2e", "--wait"])?;
    ensure!(ssh(&fleet)? == [true; 2], "unblocked, and SSH does not pass");
    // A jump host comes in, over the family that was named.
    let jump = fleet.endpoint(DB)?.machine.v4;
    fleet.cordon(&[&asked[..], &["--except", jump]].concat())?;
    ensure!(ssh(&fleet)? == [true, false], "the jump host is not told from others");
    let command = standing(&fleet, 2)?;
    fleet.cordon(&["unblock", &command, "--reason", "e2e", "--wait"])?;
    let after = rulesets(&fleet)?;
    ensure!(after == before, "before:\n{before:?}\nafter:\n{after:?}");
    Ok(())
}

/// An endpoint with its addresses, as `cordon segment` takes it.
fn member(fleet: &Fleet, name: &str) -> Result<String> {
    let machine = &fleet.endpoint(name)?.machine;
    Ok(format!("{name}={},{}", machine.v4, machine.v6))
}

fn rulesets(fleet: &Fleet) -> Result<[String; 2]> {
    Ok([ruleset(fleet.namespace(WEB)?)?, ruleset(fleet.namespace(DB)?)?])
}

/// The one command that so many endpoints stand under.
fn standing(fleet: &Fleet, endpoints: usize) -> Result<String> {
    await_some("every endpoint is listed under one command", || {
        let listed = fleet.cordon_json(&["containment", "list"])?;
        let first = listed.first().map(|standing| standing["command"].clone());
        let Some(command) = first else { return Ok(None) };
        let same = listed.iter().filter(|standing| standing["command"] == command).count();
        let command = command.as_str().context("a containment without a command")?;
        Ok((same == endpoints && listed.len() == endpoints).then(|| command.to_owned()))
    })
}

/// Whether the one endpoint's SSH is reached from the other, over IPv4 and IPv6.
fn ssh(fleet: &Fleet) -> Result<[bool; 2]> {
    let machine = &fleet.endpoint(WEB)?.machine;
    let opens = |address: &str| {
        let to = SocketAddr::new(address.parse()?, SSH);
        let namespace = fleet.namespace(DB)?;
        Ok(namespace.run(move || TcpStream::connect_timeout(&to, TRY_MAX).is_ok())?)
    };
    let opened: Result<Vec<bool>> = [machine.v4, machine.v6].into_iter().map(opens).collect();
    let opened = opened?;
    Ok([opened[0], opened[1]])
}
