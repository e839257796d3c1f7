//! What gets through while a machine is being cut off: `cordon isolate` beside two ways in which
//! others do it, against the same traffic in the same lab.
//!
//! The references are of our own making, after what those tools publish: a table of nftables built
//! by one `nft` call a step, DNS and DHCP open to anyone (as Velociraptor's artifact
//! Linux.Remediation.Quarantine does), and the attacker's address dropped where it comes in and
//! where it is forwarded (as Wazuh's firewall-drop does). They begin at once on the endpoint, while
//! `cordon` first has to sign in, sign and send: what passes meanwhile counts against it.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use cordon_packaging::clock::{Stopwatch, wait_until};
use cordon_packaging::fleet::Fleet;
use cordon_packaging::lab::Namespace;
use cordon_packaging::stage::{COLLECTOR, Endpoint};
use cordon_tests::measure::fleet::ENDPOINT;
use cordon_tests::measure::spread::median;
use cordon_tests::measure::{Report, whole, workload};

use crate::probe::Probe;
use crate::session::Session;

/// Where the attacker sits; no agent runs there.
const ATTACKER: &str = "desk-07";

/// How long packets are counted after a tool has said that it is done.
const AFTER: Duration = Duration::from_secs(1);

/// How long traffic may take to flow again once it may.
const FLOW_MAX: Duration = Duration::from_secs(10);

/// What must have come through of every flow before a round begins.
const WARM: u64 = 50;

const TABLE: &str = "reference";
const STEPS: Steps = Steps { agents_port: 7443 };

/// A way to cut a machine off.
struct Way {
    key: &'static str,
    what: &'static str,
    /// What stands before it begins.
    ready: fn(&Scene<'_>) -> Result<()>,
    act: fn(&Scene<'_>) -> Result<()>,
    undo: fn(&Scene<'_>) -> Result<()>,
}

const WAYS: [Way; 3] = [
    Way { key: "cordon", what: "`cordon isolate`", ready: |_| Ok(()), act: isolate, undo: release },
    Way {
        key: "eleven_calls",
        what: "eleven calls",
        ready: |_| Ok(()),
        act: eleven_calls,
        undo: remove_table,
    },
    Way {
        key: "inbound_drop",
        what: "inbound drop",
        ready: empty_chains,
        act: inbound_drop,
        undo: remove_table,
    },
];

struct Scene<'a> {
    fleet: &'a Fleet,
    endpoint: &'a Namespace,
    attacker: &'a Endpoint,
    watch: Stopwatch,
}

/// Packets that came through in one round.
#[derive(Clone, Copy, Debug)]
struct Leaked {
    /// From the start of the act to the end of the round.
    all: u64,
    /// Of them after the tool had said that it was done.
    after: u64,
}

pub(crate) fn measure(fleet: &Fleet, rounds: usize, report: &mut Report) -> Result<()> {
    let attacker = fleet.endpoint(ATTACKER)?;
    let endpoint = fleet.namespace(ENDPOINT)?;
    let scene = Scene { fleet, endpoint, attacker, watch: Stopwatch::start() };
    for way in &WAYS {
        let mut leaked = Vec::new();
        for round in 0..rounds {
            let once = once(&scene, way);
            leaked.push(once.with_context(|| format!("{}, round {round}", way.what))?);
        }
        tell(report, way, &leaked)?;
    }
    Ok(())
}

fn tell(report: &mut Report, way: &Way, leaked: &[Leaked]) -> Result<()> {
    let middle = |count: fn(&Leaked) -> u64| {
        let counts: Vec<f64> = leaked.iter().map(|round| whole(count(round))).collect();
        median(&counts).context("nothing was counted")
    };
    let (all, after) = (middle(|round| round.all)?, middle(|round| round.after)?);
    let what = format!("{}: packets through, median of {}", way.what, leaked.len());
    report.figure(&format!("leaked_packets_{}", way.key), &what, all, "packets")?;
    let what = format!("{}: of them after it was done", way.what);
    report.figure(&format!("leaked_packets_{}_after", way.key), &what, after, "packets")
}

/// Four flows of a packet a millisecond each: out to a port of the attacker's, out to his port 53,
/// in from him, and out through a session that stands already.
fn once(scene: &Scene<'_>, way: &Way) -> Result<Leaked> {
    let Scene { endpoint, attacker, watch, .. } = *scene;
    (way.ready)(scene)?;
    let there = |port| at(attacker.machine.v4, port);
    let here = at(scene.fleet.endpoint(ENDPOINT)?.machine.v4, 9998)?;
    let probes = [
        Probe::start(endpoint, &attacker.namespace, there(9999)?, watch)?,
        Probe::start(endpoint, &attacker.namespace, there(53)?, watch)?,
        Probe::start(&attacker.namespace, endpoint, here, watch)?,
    ];
    let session = Session::start(&attacker.namespace, endpoint, at_port(here, 2222))?;
    let counts = || {
        let mut counts: Vec<u64> = probes.iter().map(Probe::count).collect();
        counts.push(session.count());
        counts
    };
    let warm = || anyhow::Ok(counts().iter().all(|&count| count >= WARM).then_some(()));
    wait_until(FLOW_MAX, warm)?.with_context(|| format!("nothing flows yet: {:?}", counts()))?;
    let sum = || counts().iter().sum::<u64>();
    let before = sum();
    (way.act)(scene)?;
    let done = sum();
    workload::pause(AFTER);
    let end = sum();
    (way.undo)(scene)?;
    Ok(Leaked { all: end - before, after: end - done })
}

fn at(address: &str, port: u16) -> Result<SocketAddr> {
    Ok(SocketAddr::new(address.parse()?, port))
}

fn at_port(mut address: SocketAddr, port: u16) -> SocketAddr {
    address.set_port(port);
    address
}

fn isolate(scene: &Scene<'_>) -> Result<()> {
    scene.fleet.cordon(&["isolate", ENDPOINT, "--reason", "benchmark", "--wait"]).map(drop)
}

fn release(scene: &Scene<'_>) -> Result<()> {
    scene.fleet.cordon(&["release", ENDPOINT, "--reason", "benchmark", "--wait"]).map(drop)
}

/// The steps of a quarantine by calls of a firewall's program.
struct Steps {
    agents_port: u16,
}

impl Steps {
    /// Each is one call.
    fn eleven(&self) -> [String; 11] {
        let Self { agents_port } = self;
        let collector = COLLECTOR.v4;
        let chain = |name: &str, hook: &str| {
            format!(
                "add chain inet {TABLE} {name} {{ type filter hook {hook} priority 0; policy drop; }}"
            )
        };
        let rule = |chain: &str, rule: &str| format!("add rule inet {TABLE} {chain} {rule} accept");
        let door_in = format!("ip saddr {collector} tcp sport {agents_port} ct state established");
        let door_out =
            format!("ip daddr {collector} tcp dport {agents_port} ct state established,new");
        [
            "list tables".to_owned(),
            format!("delete table inet {TABLE}"),
            format!("add table inet {TABLE}"),
            chain("inbound", "input"),
            rule("inbound", &door_in),
            rule("inbound", "udp sport domain ct state established"),
            chain("outbound", "output"),
            rule("outbound", &door_out),
            rule("outbound", "tcp dport 53 ct state new,established"),
            rule("outbound", "udp dport { 53, 67, 68 } ct state new,established"),
            chain("forwarded", "forward"),
        ]
    }
}

fn eleven_calls(scene: &Scene<'_>) -> Result<()> {
    for step in STEPS.eleven() {
        let called = scene.endpoint.output("nft", &[&step]);
        // There is no table to delete the first time: such a tool goes on.
        if !step.starts_with("delete") {
            called?;
        }
    }
    Ok(())
}

/// As iptables has them.
fn empty_chains(scene: &Scene<'_>) -> Result<()> {
    scene.endpoint.output("nft", &[&format!("add table inet {TABLE}")])?;
    for hook in ["input", "forward"] {
        let hooked = format!("{{ type filter hook {hook} priority 0; }}");
        scene.endpoint.output("nft", &[&format!("add chain inet {TABLE} {hook} {hooked}")])?;
    }
    Ok(())
}

fn inbound_drop(scene: &Scene<'_>) -> Result<()> {
    let attacker = scene.attacker.machine.v4;
    for hook in ["input", "forward"] {
        let rule = format!("insert rule inet {TABLE} {hook} ip saddr {attacker} drop");
        scene.endpoint.output("nft", &[&rule])?;
    }
    Ok(())
}

fn remove_table(scene: &Scene<'_>) -> Result<()> {
    Ok(scene.endpoint.output("nft", &[&format!("delete table inet {TABLE}")]).map(drop)?)
}
