//! Sessions that stand when the endpoint is cut off, held at both ends.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result};

use crate::address;
use crate::ground::Ground;
use crate::place::{Family, Place};
use crate::table::Must;
use crate::trial::Trial;

/// How long one end waits for what the other sent.
const HEAR_MAX: Duration = Duration::from_millis(400);
const OPEN_MAX: Duration = Duration::from_secs(10);

pub(crate) struct Plan {
    pub(crate) from: Place,
    pub(crate) to: Place,
    pub(crate) family: Family,
}

const fn plan(from: Place, to: Place, family: Family) -> Plan {
    Plan { from, to, family }
}

/// The intruder's shell on the endpoint, the endpoint's way out to the intruder, a colleague's
/// shell, and what the container has open.
pub(crate) const ALL: [Plan; 8] = [
    plan(Place::Attacker, Place::Endpoint, Family::V4),
    plan(Place::Attacker, Place::Endpoint, Family::V6),
    plan(Place::Endpoint, Place::Attacker, Family::V4),
    plan(Place::Endpoint, Place::Attacker, Family::V6),
    plan(Place::Peer, Place::Endpoint, Family::V4),
    plan(Place::Container, Place::Attacker, Family::V4),
    plan(Place::Container, Place::Attacker, Family::V6),
    plan(Place::Container, Place::Endpoint, Family::V4),
];

/// The endpoint's own sessions are ended for good. Those of the container are its own affair: they
/// were stopped while the endpoint was isolated, and both their ends are elsewhere.
pub(crate) fn afterwards(trial: &Trial) -> Must {
    let own = trial.from == Place::Endpoint || trial.to == Place::Endpoint;
    if own { Must::Fail } else { Must::Either }
}

/// Both ends of one connection.
#[derive(Debug)]
pub(crate) struct Session {
    ends: [TcpStream; 2],
}

impl Session {
    pub(crate) fn open(ground: &Ground, plan: &Plan) -> Result<Self> {
        let Plan { from, to, family } = plan;
        let any = SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0));
        let listener = TcpListener::from(ground.space(*to).listen(any)?);
        let target = SocketAddr::new(address::of(*to, *family), listener.local_addr()?.port());
        let dialled = ground.space(*from).run(|| TcpStream::connect_timeout(&target, OPEN_MAX))?;
        let doing = || format!("a session from {} to {}", from.name(), to.name());
        let dialled = dialled.with_context(doing)?;
        let (taken, _) = listener.accept()?;
        for end in [&dialled, &taken] {
            end.set_read_timeout(Some(HEAR_MAX))?;
            end.set_write_timeout(Some(HEAR_MAX))?;
        }
        Ok(Self { ends: [dialled, taken] })
    }

    /// Does anything arrive, in either direction?
    pub(crate) fn passes(&self) -> bool {
        let [one, other] = &self.ends;
        let there = hears(one, other);
        hears(other, one) || there
    }
}

fn hears(mut from: &TcpStream, mut to: &TcpStream) -> bool {
    // What was said in vain earlier may arrive as well: that is something that arrives.
    let mut heard = [0; 4096];
    // An end that was reset cannot speak; whether the other hears is what is asked.
    drop(from.write_all(b"are you there?"));
    matches!(to.read(&mut heard), Ok(1..))
}
