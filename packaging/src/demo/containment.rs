//! The demo's isolation: proved by the endpoint, and tried from outside and from inside.

use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::{ENDPOINT, PEER, step};
use crate::fleet::Fleet;
use crate::lab::Namespace;
use crate::stage::{COLLECTOR, Machine};

/// A port that somebody listens on in the endpoint and in its peer.
const PORT: u16 = 9000;

/// How long an attempt that must fail is given.
const TRY_MAX: Duration = Duration::from_millis(700);

/// Cuts the endpoint off, tries to get through, lets it back, and compares.
pub(super) fn isolate_and_release(fleet: &Fleet, name: &str) -> Result<()> {
    let endpoint = fleet.endpoint(ENDPOINT)?;
    let peer = fleet.endpoint(PEER)?;
    let _listening = [listen(&endpoint.namespace)?, listen(&peer.namespace)?];
    let ways = || {
        let to_peer = reaches(&endpoint.namespace, peer.machine)?;
        let to_endpoint = reaches(&peer.namespace, endpoint.machine)?;
        Ok::<_, anyhow::Error>([to_peer, to_endpoint].concat())
    };
    let ruleset = || {
        let listed = endpoint.namespace.output("nft", &["-j", "list", "ruleset"])?;
        Ok::<_, anyhow::Error>(listed)
    };
    let before = ruleset()?;
    step("before: traffic passes both ways, over IPv4 and IPv6", || {
        ensure!(ways()?.iter().all(|passed| *passed), "something is closed already: {:?}", ways()?);
        Ok(())
    })?;
    step("isolated: five facts up to proved, the receipts verified here", || {
        fleet.cordon(&["isolate", name, "--reason", "demo", "--wait"]).map(drop)
    })?;
    step("isolated: nothing passes, neither from outside nor from inside", || {
        ensure!(ways()?.iter().all(|passed| !passed), "something got through: {:?}", ways()?);
        Ok(())
    })?;
    step("isolated: others on the endpoint cannot reach the collector, the agent can", || {
        let door = reaches_at(&endpoint.namespace, COLLECTOR, 7443)?;
        ensure!(door.iter().all(|passed| !passed), "the collector's door is open to all: {door:?}");
        Ok(())
    })?;
    super::sensing::processes(fleet, name, "isolated")?;
    step("released: the rules were seen to be gone", || {
        fleet.cordon(&["release", name, "--reason", "demo", "--wait"]).map(drop)
    })?;
    step("released: the ruleset is byte for byte the one before, and traffic passes", || {
        let after = ruleset()?;
        ensure!(after == before, "before:\n{before}\nafter:\n{after}");
        ensure!(ways()?.iter().all(|passed| *passed), "something stayed closed: {:?}", ways()?);
        Ok(())
    })
}

fn listen(namespace: &Namespace) -> Result<TcpListener> {
    let any = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, PORT));
    Ok(TcpListener::from(namespace.listen(any)?))
}

fn reaches(from: &Namespace, to: Machine) -> Result<Vec<bool>> {
    reaches_at(from, to, PORT)
}

/// Whether a connection opens, over IPv4 and over IPv6.
fn reaches_at(from: &Namespace, to: Machine, port: u16) -> Result<Vec<bool>> {
    let tries = [to.v4, to.v6].map(|text| {
        let address: IpAddr = text.parse().context("an address of the stage")?;
        let peer = SocketAddr::from((address, port));
        Ok(from.run(move || TcpStream::connect_timeout(&peer, TRY_MAX).is_ok())?)
    });
    tries.into_iter().collect()
}
