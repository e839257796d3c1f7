//! The one table of the lab: what is tried, what the design wants of it, what was seen.
//!
//! What is kept open on an isolated endpoint is written down once, in [`KEPT`], in the words of the
//! design; everything else that begins or ends at the endpoint or behind it must be closed.

use crate::place::{Family, Place};
use crate::session;
use crate::trial::{
    AGENTS_PORT, CONTROL_PORT, DNS_PORT, How, Over, PUBLISHED_PORT, SSH_PORT, Scan, TCP_PORT,
    Trial, UDP_PORT,
};

/// When everything is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Before,
    /// Just cut off.
    Cut,
    /// Leases renewed, neighbours forgotten, devices added.
    Later,
    /// After somebody worked against the rules.
    Tampered,
    After,
}

/// What the design wants of a trial at one time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Must {
    Pass,
    Fail,
    /// The design leaves it to others.
    Either,
    /// There is nothing to try yet.
    Absent,
}

struct Kept {
    why: &'static str,
    fits: fn(&Trial) -> bool,
}

const KEPT: [Kept; 8] = [
    Kept { why: "neither end is the endpoint's", fits: |trial| !trial.is_of_the_endpoint() },
    Kept {
        why: "loopback stays whole",
        fits: |trial| trial.from == Place::Endpoint && trial.to == Place::Endpoint,
    },
    Kept { why: "the agent's own connection", fits: |trial| trial.how == How::Agent },
    Kept {
        why: "DHCP renewal, with the server on record",
        fits: |trial| {
            let server = trial.to == Place::Router && trial.family == Family::V4;
            trial.how == How::DhcpRenewal || (trial.how == How::DhcpPorts && server)
        },
    },
    Kept {
        why: "neighbour and router discovery",
        fits: |trial| matches!(trial.how, How::RouterDiscovery | How::NeighbourDiscovery),
    },
    Kept {
        why: "limit: root holding the agent's mark reaches the agents' door",
        fits: |trial| {
            let door = (Place::Collector, AGENTS_PORT);
            trial.how == How::AgentsMark && (trial.to, trial.port) == door
        },
    },
    Kept {
        why: "limit: a packet socket hears what arrives, and cannot answer",
        fits: |trial| trial.how == How::Overheard,
    },
    Kept {
        why: "limit: a renewal that was broadcast is answered by whoever serves",
        fits: |trial| trial.how == How::DhcpAnswer && trial.family == Family::V4,
    },
];

const WHEN: [When; 5] = [When::Before, When::Cut, When::Later, When::Tampered, When::After];

/// What is wanted, and where it may pass while isolated, why.
pub(crate) fn wanted(trial: &Trial, when: When) -> (Must, &'static str) {
    let kept = KEPT.iter().find(|kept| (kept.fits)(trial)).map(|kept| kept.why);
    let late = trial.over != Over::First;
    let must = match when {
        When::Before | When::Cut if late => Must::Absent,
        When::After if matches!(trial.how, How::Session(_)) => session::afterwards(trial),
        When::Before | When::After => Must::Pass,
        When::Cut | When::Later | When::Tampered if kept.is_some() => Must::Pass,
        When::Cut | When::Later | When::Tampered => Must::Fail,
    };
    (must, kept.unwrap_or_default())
}

/// Everything that is tried.
pub(crate) fn trials() -> Vec<Trial> {
    let mut trials = Vec::new();
    for family in Family::BOTH {
        // First, because they take longest.
        scans(family, &mut trials);
        pairs(family, &mut trials);
        specials(family, &mut trials);
        late(family, &mut trials);
    }
    let renewal = (Place::Endpoint, Place::Router, How::DhcpRenewal, 67);
    let agent = (Place::Endpoint, Place::Collector, How::Agent, AGENTS_PORT);
    for (from, to, how, port) in [renewal, agent] {
        trials.push(Trial::new(from, to, how, Family::V4, port));
    }
    for (at, session) in session::ALL.iter().enumerate() {
        let how = How::Session(at);
        trials.push(Trial::new(session.from, session.to, how, session.family, 0));
    }
    trials
}

/// Every pair with an end at the endpoint or behind it; and one without, which must not be harmed.
fn pairs(family: Family, trials: &mut Vec<Trial>) {
    use Place::{Attacker, Container, Endpoint, Peer};
    for from in Place::ALL {
        for to in Place::ALL {
            let own = |place| matches!(place, Endpoint | Container);
            let control = (from, to) == (Attacker, Peer);
            let itself = from == to && from != Endpoint;
            if itself || !(own(from) || own(to) || control) {
                continue;
            }
            for (how, port) in [(How::Tcp, TCP_PORT), (How::Udp, UDP_PORT), (How::Ping, 0)] {
                trials.push(Trial::new(from, to, how, family, port));
            }
        }
    }
}

fn specials(family: Family, trials: &mut Vec<Trial>) {
    use Place::{Attacker, Collector, Container, Endpoint, Peer, Router};
    let v4 = [
        (Endpoint, Peer, How::Frame, UDP_PORT),
        (Endpoint, Peer, How::FrameAsArp, UDP_PORT),
        (Endpoint, Peer, How::FrameMarkedArp, UDP_PORT),
        (Endpoint, Attacker, How::Frame, UDP_PORT),
        (Container, Attacker, How::Frame, UDP_PORT),
        (Endpoint, Peer, How::Broadcast, UDP_PORT),
        (Endpoint, Router, How::DhcpPorts, 67),
    ];
    let v6 = [
        (Endpoint, Router, How::RouterDiscovery, 0),
        (Endpoint, Peer, How::NeighbourDiscovery, 0),
        (Peer, Endpoint, How::NeighbourDiscovery, 0),
    ];
    let (client, server) = match family {
        Family::V4 => (68, 67),
        Family::V6 => (546, 547),
    };
    let both = [
        (Endpoint, Router, How::Dns, DNS_PORT),
        (Endpoint, Router, How::DnsOverTcp, DNS_PORT),
        (Container, Router, How::Dns, DNS_PORT),
        (Peer, Router, How::Dns, DNS_PORT),
        (Endpoint, Collector, How::Tcp, AGENTS_PORT),
        (Container, Collector, How::Tcp, AGENTS_PORT),
        (Endpoint, Collector, How::AgentsMark, AGENTS_PORT),
        (Endpoint, Collector, How::AgentsMark, TCP_PORT),
        (Endpoint, Attacker, How::AgentsMark, CONTROL_PORT),
        (Attacker, Endpoint, How::Tcp, SSH_PORT),
        (Attacker, Endpoint, How::Tcp, PUBLISHED_PORT),
        (Endpoint, Peer, How::Raw, 0),
        (Endpoint, Attacker, How::Raw, 0),
        (Container, Collector, How::Raw, 0),
        (Endpoint, Peer, How::Multicast, UDP_PORT),
        (Endpoint, Peer, How::DhcpPorts, server),
        (Endpoint, Attacker, How::DhcpPorts, server),
        (Container, Collector, How::DhcpPorts, server),
        (Attacker, Endpoint, How::DhcpAnswer, client),
        (Attacker, Endpoint, How::Overheard, UDP_PORT),
    ];
    let own: &[_] = if family == Family::V4 { &v4 } else { &v6 };
    for &(from, to, how, port) in both.iter().chain(own) {
        trials.push(Trial::new(from, to, how, family, port));
    }
}

fn scans(family: Family, trials: &mut Vec<Trial>) {
    use Place::{Attacker, Collector, Container, Endpoint, Peer};
    let scans = [
        (Attacker, Endpoint, Scan::SynAndUdp),
        (Attacker, Endpoint, Scan::Ack),
        (Peer, Endpoint, Scan::Connect),
        (Peer, Endpoint, Scan::SynAndUdp),
        (Peer, Endpoint, Scan::Ack),
        (Collector, Endpoint, Scan::FromAgentsPort),
        (Attacker, Container, Scan::SynAndUdp),
        (Endpoint, Attacker, Scan::Connect),
        (Endpoint, Attacker, Scan::SynAndUdp),
        (Endpoint, Peer, Scan::SynAndUdp),
        (Endpoint, Collector, Scan::Connect),
        (Container, Attacker, Scan::Connect),
        (Container, Peer, Scan::SynAndUdp),
        (Attacker, Peer, Scan::SynAndUdp),
    ];
    for (from, to, scan) in scans {
        trials.push(Trial::new(from, to, How::Scan(scan), family, 0));
    }
}

fn late(family: Family, trials: &mut Vec<Trial>) {
    use Place::{Endpoint, Peer};
    for over in [Over::Late, Over::Tunnel] {
        for (from, to) in [(Endpoint, Peer), (Peer, Endpoint)] {
            for (how, port) in [(How::Tcp, TCP_PORT), (How::Udp, UDP_PORT)] {
                trials.push(Trial::new(from, to, how, family, port).over(over));
            }
        }
        if family == Family::V4 {
            let frame = Trial::new(Endpoint, Peer, How::Frame, family, UDP_PORT);
            trials.push(frame.over(over));
        }
    }
}

/// What was seen of one trial at one time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) passed: bool,
    /// Every part of it passed, where it has parts (the ports of a scan).
    pub(crate) whole: bool,
    /// For a person; empty where there is nothing to add.
    pub(crate) detail: String,
    /// The ports that a scan reached.
    pub(crate) reached: String,
}

#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<(Trial, [Option<Seen>; 5])>,
}

impl Table {
    pub(crate) fn new() -> Self {
        Self { rows: trials().into_iter().map(|trial| (trial, Default::default())).collect() }
    }

    /// The trials of one time, each with its row.
    pub(crate) fn due(&self, when: When) -> Vec<(usize, Trial)> {
        let rows = self.rows.iter().enumerate().map(|(at, (trial, _))| (at, *trial));
        rows.filter(|(_, trial)| wanted(trial, when).0 != Must::Absent).collect()
    }

    pub(crate) fn note(&mut self, row: usize, when: When, seen: Seen) {
        self.rows[row].1[when as usize] = Some(seen);
    }

    /// The rows in which something is not as the design wants it.
    pub(crate) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        for (trial, seen) in &self.rows {
            for when in WHEN {
                let right = match (wanted(trial, when).0, &seen[when as usize]) {
                    (Must::Pass, Some(seen)) => seen.whole,
                    (Must::Fail, Some(seen)) => !seen.passed,
                    (Must::Either, _) | (Must::Absent, None) => true,
                    (Must::Pass | Must::Fail, None) | (Must::Absent, Some(_)) => false,
                };
                if !right {
                    let reached = seen[when as usize].as_ref().map(|seen| seen.reached.as_str());
                    let reached = reached.unwrap_or_default();
                    faults.push(format!("{when:?}: {} {reached}", line(trial, seen)));
                }
            }
        }
        faults
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let head = ["from", "to", "how", "", "port"];
        let [from, target, how, family, port] = head;
        write!(to, "{from:9} {target:9} {how:28} {family:4} {port:>5}  ")?;
        writeln!(
            to,
            "{:10}{:10}{:10}{:10}{:10}",
            "before", "cut off", "later", "tampered", "after"
        )?;
        self.rows.iter().try_for_each(|(trial, seen)| writeln!(to, "{}", line(trial, seen)))
    }
}

fn line(trial: &Trial, seen: &[Option<Seen>; 5]) -> String {
    let Trial { from, to, how, family, port, over } = trial;
    let over = match over {
        Over::First => "",
        Over::Late => ", new device",
        Over::Tunnel => ", new tunnel",
    };
    let (how, family) = (format!("{how}{over}"), family.name());
    let port = if *port == 0 { String::new() } else { port.to_string() };
    let (from, to) = (from.name(), to.name());
    let mut text = format!("{from:9} {to:9} {how:28} {family:4} {port:>5}  ");
    for seen in seen {
        let cell = match seen {
            None => "",
            Some(Seen { detail, .. }) if !detail.is_empty() => detail,
            Some(Seen { passed: true, .. }) => "passes",
            Some(Seen { passed: false, .. }) => "-",
        };
        text.push_str(&format!("{cell:10}"));
    }
    format!("{}{}", text, wanted(trial, When::Cut).1).trim_end().to_owned()
}
