//! Where the demo plays: the collector's door and the endpoints, all on one switch.
//!
//! The collector itself runs outside, so that a browser on this machine reaches its other door;
//! only the listener for the agents lives in here.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::lab::{Cgroup, End, Lab, Namespace, Switch};

/// The machine with the collector's door for agents.
pub const COLLECTOR: Machine = Machine { name: "collector", v4: "10.77.0.1", v6: "fd77::1" };

pub const ENDPOINTS: [Machine; 3] = [
    Machine { name: "web-01", v4: "10.77.0.11", v6: "fd77::11" },
    Machine { name: "db-01", v4: "10.77.0.12", v6: "fd77::12" },
    Machine { name: "desk-07", v4: "10.77.0.13", v6: "fd77::13" },
];

const AGENTS_PORT: u16 = 7443;
const REACH_MAX: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, Debug)]
pub struct Machine {
    pub name: &'static str,
    pub v4: &'static str,
    pub v6: &'static str,
}

#[derive(Debug)]
pub struct Endpoint {
    pub machine: Machine,
    pub namespace: Namespace,
    /// For its agent; `None` where this machine has no control groups of the second version.
    pub cgroup: Option<Cgroup>,
}

#[derive(Debug)]
pub struct Stage {
    pub door: Namespace,
    pub endpoints: Vec<Endpoint>,
    /// Joins them, and whoever else is plugged in.
    pub switch: Switch,
}

impl Stage {
    pub fn make() -> Result<Self> {
        let lab = Lab::new()?;
        let switch = lab.switch("switch")?;
        let door = plugged(&lab, &switch, COLLECTOR)?;
        let endpoints = ENDPOINTS.map(|machine| {
            let namespace = plugged(&lab, &switch, machine)?;
            let cgroup = lab.cgroup(machine.name)?;
            Ok(Endpoint { machine, namespace, cgroup })
        });
        let endpoints = endpoints.into_iter().collect::<Result<_>>()?;
        Ok(Self { door, endpoints, switch })
    }

    /// The agents' listener, dual-stack, to be handed to the collector.
    pub fn agents_listener(&self) -> Result<OwnedFd> {
        let any = SocketAddr::from((Ipv6Addr::UNSPECIFIED, AGENTS_PORT));
        Ok(self.door.listen(any)?)
    }

    /// Every endpoint gets a byte from the door over both families.
    pub fn check(&self) -> Result<()> {
        let listener = TcpListener::from(self.agents_listener()?);
        for endpoint in &self.endpoints {
            for text in [COLLECTOR.v4, COLLECTOR.v6] {
                let address: IpAddr = text.parse().context("an address of the stage")?;
                let from = endpoint.machine.name;
                greet(&listener, &endpoint.namespace, (address, AGENTS_PORT).into())
                    .with_context(|| format!("from {from} to {address}"))?;
            }
        }
        Ok(())
    }
}

fn plugged(lab: &Lab, switch: &Switch, machine: Machine) -> Result<Namespace> {
    let namespace = lab.namespace(machine.name)?;
    let addresses =
        vec![format!("{}/24", machine.v4).parse()?, format!("{}/64", machine.v6).parse()?];
    switch.plug(&End { namespace: &namespace, device: "eth0", addresses })?;
    Ok(namespace)
}

fn greet(listener: &TcpListener, from: &Namespace, to: SocketAddr) -> Result<()> {
    let mut caller = from.run(|| TcpStream::connect_timeout(&to, REACH_MAX))??;
    let (mut answerer, _) = listener.accept()?;
    answerer.write_all(b"!")?;
    caller.set_read_timeout(Some(REACH_MAX))?;
    let mut heard = [0];
    caller.read_exact(&mut heard)?;
    ensure!(heard == *b"!", "another answered");
    Ok(())
}
