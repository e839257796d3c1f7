//! Addresses and ports that are blocked: what does not pass, what does, and that blocks which
//! overlap are undone each alone.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cordon_agent::action::block::Blocking;
use cordon_agent::action::block::fences::{Ask, Blocks};
use cordon_agent::action::deed::{Deed, Done, Hand, NotDone, Seen, Tools};
use cordon_agent::containment::Ways;
use cordon_agent::identity::StateDir;
use cordon_agent::ledger::{Kept, KeptDeed};
use cordon_agent::sensor::dns::Names;
use cordon_proto::command::{Action, Block, Direction, Network, Peer, Ports, Rule};
use cordon_proto::id::{CommandId, EndpointId, Hash};
use cordon_proto::policy::Transport;

use crate::lab::{
    ATTACKER, COLLECTOR, ENDPOINT4, ENDPOINT6, Lab, MARK, PEER4, PEER6, answers, exchange, peer4,
    peer6,
};
use crate::life::{ADMIN, ruleset};
use crate::platform::packet::{PacketSocket, udp_frame};
use crate::sessions::connect_marked;
use crate::{Needs, Test};

pub(crate) const TESTS: &[Test] = &[
    ("a_blocked_address_is_cut_off_both_ways_at_once", address_is_cut, Needs::Root),
    ("an_administrators_accept_does_not_undo_a_block", accept_is_not_enough, Needs::Nft),
    ("blocks_that_overlap_are_undone_each_alone", overlapping, Needs::Nft),
    ("ports_are_blocked_on_the_side_that_was_named", sides, Needs::Root),
    ("an_inbound_port_is_shut_but_for_jump_hosts", jump_hosts, Needs::Root),
    ("the_agent_lives_and_nobody_else_passes_with_it", agent_lives, Needs::Root),
    ("loopback_is_never_blocked", loopback_lives, Needs::Root),
    ("a_raw_frame_to_a_blocked_address_is_dropped", frames_are_dropped, Needs::Root),
    ("blocks_outlive_the_agent_and_a_lost_table", outlives, Needs::Nft),
    ("a_fence_that_somebody_changed_is_seen_and_put_back", change_is_seen, Needs::Nft),
    ("a_device_that_came_later_is_fenced_at_the_next_look", later_devices, Needs::Root),
    ("each_endpoint_takes_the_rules_of_its_own_group", groups, Needs::Root),
    ("nothing_is_blocked_in_the_initial_namespace", initial_is_refused, Needs::Root),
];

const SSH: u16 = 22;
pub(crate) const ENDPOINT: EndpointId = EndpointId([7; 32]);
static AGENTS: AtomicU32 = AtomicU32::new(0);

/// An agent's hand; its state directory goes with it.
pub(crate) struct Agent {
    pub(crate) hand: Hand,
    dir: std::path::PathBuf,
}

impl Agent {
    pub(crate) fn start(names: Names, ask: Ask, kept: &Kept) -> Self {
        let number = AGENTS.fetch_add(1, Ordering::Relaxed);
        let name = format!("cordon-block-{}-{number}", std::process::id());
        Self::start_in(std::env::temp_dir().join(name), names, ask, kept)
    }

    pub(crate) fn start_in(dir: std::path::PathBuf, names: Names, ask: Ask, kept: &Kept) -> Self {
        let state = StateDir::open(&dir).unwrap();
        let blocks = Blocks::resume(state.clone(), true, names, ask, kept);
        Self::with(blocks, state, dir)
    }

    fn with(blocks: Blocks, state: StateDir, dir: std::path::PathBuf) -> Self {
        let tools = Tools { endpoint: ENDPOINT, blocks, ..Tools::new(state, true) };
        let collectors = vec![peer4(COLLECTOR), peer6(COLLECTOR)];
        let ways = Ways { mark: MARK, collectors, ..Ways::default() };
        let tools = Arc::new(tools);
        Self { hand: Hand { tools, policy: None, ways, door_ports: vec![COLLECTOR] }, dir }
    }

    pub(crate) fn apply(&self, lab: &Lab, block: &Block) -> Result<(Vec<u8>, Done), NotDone> {
        lab.endpoint.run(|| {
            let deed = Blocking::new(block, &self.hand);
            let before = deed.prepare()?;
            Ok((before.clone(), deed.apply(&before)?))
        })
    }

    /// Blocks, and sees it proved.
    #[track_caller]
    pub(crate) fn block(&self, lab: &Lab, block: &Block) -> Vec<u8> {
        let (before, done) = self.apply(lab, block).unwrap();
        assert!(done.missing.is_empty() && !done.probes.is_empty(), "{done:?}");
        assert!(done.probes.iter().all(|probe| probe.passed), "{done:?}");
        before
    }

    pub(crate) fn look(&self, lab: &Lab, block: &Block, before: &[u8]) -> Seen {
        lab.endpoint.run(|| Blocking::new(block, &self.hand).look(before))
    }

    #[track_caller]
    pub(crate) fn unblock(&self, lab: &Lab, block: &Block, before: &[u8]) {
        let done = lab.endpoint.run(|| Blocking::new(block, &self.hand).undo(before)).unwrap();
        assert!(done.probes.iter().all(|probe| probe.passed), "{done:?}");
    }

    /// Ends as a process does, its state left behind, and starts again.
    pub(crate) fn restart(mut self, names: Names, ask: Ask, kept: &Kept) -> Self {
        let dir = std::mem::take(&mut self.dir);
        drop(self);
        Self::start_in(dir, names, ask, kept)
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if !self.dir.as_os_str().is_empty() {
            drop(std::fs::remove_dir_all(&self.dir));
        }
    }
}

fn agent() -> Agent {
    Agent::start(Names::default(), |_| Vec::new(), &Kept::default())
}

pub(crate) fn block(rules: Vec<Rule>) -> Block {
    Block { rules, lease_secs: None, except: None, groups: None }
}

pub(crate) fn rule(peer: Peer) -> Rule {
    Rule { peer, direction: Direction::Both, ports: None, at: None }
}

fn network(address: &str, bits: u8) -> Peer {
    Peer::Network { address: address.parse().unwrap(), bits }
}

fn tcp(peer: Peer, direction: Direction, port: u16) -> Rule {
    let ports = Some(Ports { transport: Transport::Tcp, first: port, last: port });
    Rule { peer, direction, ports, at: None }
}

fn endpoint(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

fn address_is_cut(lab: &Lab) {
    lab.endpoint.echo(SSH);
    let out = lab.endpoint.session(peer4(ATTACKER));
    let through = lab.guest.session(peer4(ATTACKER));
    let inward = lab.peer.session(endpoint(ENDPOINT4, SSH));
    let other_family = lab.endpoint.session(peer6(ATTACKER));
    let (agent, one) = (agent(), block(vec![rule(network(PEER4, 32))]));
    let before = agent.block(lab, &one);
    let end = exchange(&out).unwrap_err();
    assert!(
        matches!(end, ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe),
        "the session ended as {end:?}, not at once"
    );
    assert!(!answers(&through), "a forwarded session lives on");
    assert!(!answers(&inward), "a session from there lives on");
    assert!(lab.endpoint.connect(peer4(ATTACKER)).is_err());
    assert!(lab.guest.connect(peer4(ATTACKER)).is_err());
    assert!(lab.peer.connect(endpoint(ENDPOINT4, SSH)).is_err());
    assert!(answers(&other_family), "another address was cut");
    lab.peer.session(endpoint(ENDPOINT6, SSH));
    let six = block(vec![rule(network("fd77::", 64))]);
    let six_before = agent.block(lab, &six);
    assert!(!answers(&other_family));
    assert!(lab.endpoint.connect(peer6(ATTACKER)).is_err());
    assert!(lab.peer.connect(endpoint(ENDPOINT6, SSH)).is_err());
    assert!(lab.guest.connect(peer6(ATTACKER)).is_err());
    agent.unblock(lab, &six, &six_before);
    agent.unblock(lab, &one, &before);
    for to in [peer4(ATTACKER), peer6(ATTACKER)] {
        lab.endpoint.session(to);
        lab.guest.session(to);
    }
}

fn accept_is_not_enough(lab: &Lab) {
    let early = "table inet early {
    chain out {
        type filter hook output priority -1000; policy accept;
        accept
    }
}";
    for text in [ADMIN, early] {
        let loaded = lab.endpoint.output("nft", &[text]);
        assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
    }
    // Connection tracking is warm and the administrator accepts what is established.
    let session = lab.peer.session(endpoint_listening(lab));
    let before_all = ruleset(lab);
    let (agent, all) = (agent(), block(vec![rule(network("10.77.0.0", 24))]));
    let before = agent.block(lab, &all);
    assert!(!answers(&session));
    assert!(lab.endpoint.connect(peer4(ATTACKER)).is_err());
    assert_ne!(ruleset(lab), before_all);
    agent.unblock(lab, &all, &before);
    assert_eq!(ruleset(lab), before_all);
}

fn endpoint_listening(lab: &Lab) -> SocketAddr {
    lab.endpoint.echo(SSH);
    endpoint(ENDPOINT4, SSH)
}

fn overlapping(lab: &Lab) {
    let (agent, before_all) = (agent(), ruleset(lab));
    let wide = block(vec![rule(network("10.77.0.0", 24)), rule(network("10.99.0.0", 16))]);
    let narrow = block(vec![rule(network(PEER4, 32)), rule(network("::ffff:10.77.0.2", 128))]);
    let (wide_before, narrow_before) = (agent.block(lab, &wide), agent.block(lab, &narrow));
    assert!(matches!(agent.look(lab, &wide, &wide_before), Seen::Holds(_)));
    agent.unblock(lab, &wide, &wide_before);
    assert!(lab.endpoint.connect(peer4(ATTACKER)).is_err(), "the other block went with it");
    assert!(matches!(agent.look(lab, &narrow, &narrow_before), Seen::Holds(_)));
    agent.unblock(lab, &narrow, &narrow_before);
    lab.endpoint.session(peer4(ATTACKER));
    assert_eq!(ruleset(lab), before_all);
}

fn sides(lab: &Lab) {
    for space in [&lab.endpoint, &lab.peer] {
        space.echo(SSH);
    }
    let passes = || {
        let out = lab.endpoint.connect(peer4(SSH)).is_ok();
        (lab.peer.connect(endpoint(ENDPOINT4, SSH)).is_ok(), out)
    };
    assert_eq!(passes(), (true, true));
    let agent = agent();
    for (direction, expected) in [
        (Direction::In, (false, true)),
        (Direction::Out, (true, false)),
        (Direction::Both, (false, false)),
    ] {
        let session = lab.peer.session(endpoint(ENDPOINT4, SSH));
        let one = block(vec![tcp(network(PEER4, 32), direction, SSH)]);
        let before = agent.block(lab, &one);
        assert_eq!(passes(), expected, "{direction:?}");
        assert_eq!(answers(&session), expected.0, "a session that stood: {direction:?}");
        lab.endpoint.session(peer4(ATTACKER));
        agent.unblock(lab, &one, &before);
    }
    assert_eq!(passes(), (true, true));
}

fn jump_hosts(lab: &Lab) {
    lab.endpoint.echo(SSH);
    lab.peer.ip("addr add 10.77.0.9/24 dev p0");
    let from = |source: &str| {
        let source = endpoint(source, 0);
        lab.peer.run(|| connect_from(source, endpoint(ENDPOINT4, SSH)))
    };
    assert!(from(PEER4) && from("10.77.0.9"));
    let except = Some(vec![Network { address: "10.77.0.9".parse().unwrap(), bits: 32 }]);
    let lateral = Block { except, ..block(vec![tcp(Peer::Anyone, Direction::In, SSH)]) };
    let agent = agent();
    let before = agent.block(lab, &lateral);
    assert!(!from(PEER4), "anybody comes in");
    assert!(from("10.77.0.9"), "the jump host does not come in");
    assert!(lab.peer.connect(endpoint(ENDPOINT6, SSH)).is_err(), "IPv6 is open");
    // Who is left out here is not let in elsewhere.
    let other = block(vec![tcp(network("10.77.0.9", 32), Direction::In, SSH)]);
    let other_before = agent.block(lab, &other);
    assert!(!from("10.77.0.9"), "one block's exception opened another");
    agent.unblock(lab, &other, &other_before);
    agent.unblock(lab, &lateral, &before);
    assert!(from(PEER4));
}

fn connect_from(source: SocketAddr, to: SocketAddr) -> bool {
    use rustix::net::sockopt::{Timeout, set_socket_timeout};
    use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &source).unwrap();
    set_socket_timeout(&socket, Timeout::Send, Some(crate::lab::ANSWER_WAIT)).unwrap();
    connect(&socket, &to).is_ok()
}

fn agent_lives(lab: &Lab) {
    let own = lab.endpoint.run(|| connect_marked(peer4(COLLECTOR))).unwrap();
    let foreign = lab.endpoint.session(peer4(COLLECTOR));
    let agent = agent();
    let peer = block(vec![rule(network(PEER4, 32)), rule(network(PEER6, 128))]);
    let (before, done) = agent.apply(lab, &peer).unwrap();
    let needs = done.probes.iter().find(|probe| probe.what.contains("needs it")).unwrap();
    assert!(needs.seen.contains("collector 10.77.0.2"), "{needs:?}");
    assert!(answers(&own), "the agent's own connection was cut");
    assert!(!answers(&foreign), "somebody else's connection to the collector lives on");
    for collector in [peer4(COLLECTOR), peer6(COLLECTOR)] {
        assert!(lab.endpoint.connect(collector).is_err(), "{collector} is open to anybody");
        let marked = lab.endpoint.run(|| connect_marked(collector));
        assert!(answers(&marked.unwrap()), "{collector} is closed to the agent");
    }
    for attacker in [peer4(ATTACKER), peer6(ATTACKER)] {
        assert!(lab.endpoint.run(|| connect_marked(attacker)).is_none(), "any port is open");
    }
    agent.unblock(lab, &peer, &before);
}

fn loopback_lives(lab: &Lab) {
    lab.endpoint.echo(5432);
    let addresses = ["127.0.0.1", "::1", ENDPOINT4, ENDPOINT6].map(|ip| endpoint(ip, 5432));
    let before = addresses.map(|address| lab.endpoint.session(address));
    let rules = [("127.0.0.0", 8), ("::1", 128), ("10.0.0.0", 8), ("fd77::", 64)]
        .map(|(address, bits)| rule(network(address, bits)));
    let all = block([&rules[..], &[tcp(Peer::Anyone, Direction::Both, 5432)]].concat());
    let agent = agent();
    agent.apply(lab, &all).unwrap();
    for (address, session) in addresses.into_iter().zip(&before) {
        assert!(answers(session), "the session to {address} was cut");
        lab.endpoint.session(address);
    }
    assert!(lab.endpoint.connect(peer4(ATTACKER)).is_err());
}

fn frames_are_dropped(lab: &Lab) {
    const IPV4: u16 = 0x0800;
    const ARP: u16 = 0x0806;
    let here = lab.endpoint.run(|| PacketSocket::open("e0"));
    let there = lab.peer.run(|| PacketSocket::open("p0"));
    let arrives = |to, label: &[u8], claimed| {
        here.send(&udp_frame(IPV4, to, 4242, label), claimed);
        there.sees(label, Duration::from_millis(150))
    };
    assert!(arrives([10, 77, 0, 2], b"before", IPV4));
    let (agent, one) = (agent(), block(vec![rule(network(PEER4, 32))]));
    let before = agent.block(lab, &one);
    assert!(!arrives([10, 77, 0, 2], b"plain-frame", IPV4));
    assert!(!arrives([10, 77, 0, 2], b"claimed-to-be-arp", ARP));
    assert!(arrives([10, 77, 0, 3], b"another-address", IPV4));
    agent.unblock(lab, &one, &before);
    assert!(arrives([10, 77, 0, 2], b"after", IPV4));
}

pub(crate) fn kept(deeds: &[(&Block, &[u8])]) -> Kept {
    let deed = |(block, before): &(&Block, &[u8])| KeptDeed {
        command: CommandId(uuid::Uuid::from_u128(1)),
        command_hash: Hash([0; 32]),
        action: Action::Block((*block).clone()),
        before: before.to_vec(),
        since_secs: 0,
        until_secs: None,
        applied: true,
        undoing: None,
    };
    Kept { deeds: deeds.iter().map(deed).collect() }
}

fn outlives(lab: &Lab) {
    let (clean, mut now) = (ruleset(lab), agent());
    let four = block(vec![rule(network(PEER4, 32))]);
    let six = block(vec![rule(network(PEER6, 128))]);
    let (four_before, six_before) = (now.block(lab, &four), now.block(lab, &six));
    let deeds: [(&Block, &[u8]); 2] = [(&four, &four_before), (&six, &six_before)];
    // While no agent runs: nobody touches it; somebody opens it; it is lost, as by a reboot.
    for edit in ["list ruleset", "insert rule inet cordon-block output accept", "flush ruleset"] {
        now = now.restart(Names::default(), |_| Vec::new(), &kept(&deeds));
        let edited = lab.endpoint.output("nft", &[edit]);
        assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
        // The first look, though it is about one of them, brings both back.
        let seen = now.look(lab, &four, &four_before);
        assert!(
            matches!(&seen, Seen::Holds(probes) if probes.iter().all(|p| p.passed)),
            "{seen:?}"
        );
        assert!(lab.endpoint.connect(peer4(ATTACKER)).is_err(), "{edit}");
        assert!(lab.endpoint.connect(peer6(ATTACKER)).is_err(), "{edit}");
    }
    now = now.restart(Names::default(), |_| Vec::new(), &kept(&deeds));
    now.unblock(lab, &four, &four_before);
    assert!(lab.endpoint.connect(peer6(ATTACKER)).is_err(), "the other block went with it");
    lab.endpoint.session(peer4(ATTACKER));
    now.unblock(lab, &six, &six_before);
    assert_eq!(ruleset(lab), clean);
}

fn change_is_seen(lab: &Lab) {
    let dir = std::env::temp_dir().join(format!("cordon-block-{}-plain", std::process::id()));
    let state = StateDir::open(&dir).unwrap();
    // As on an older kernel, where root can change any table.
    let (names, kept) = (Names::default(), Kept::default());
    let blocks = Blocks::resume(state.clone(), true, names, |_| Vec::new(), &kept).plain();
    let (agent, clean) = (Agent::with(blocks, state, dir), ruleset(lab));
    let one = block(vec![rule(network(PEER4, 32))]);
    let before = agent.block(lab, &one);
    for edit in [
        "insert rule inet cordon-block output accept",
        "flush chain inet cordon-block input",
        "delete element inet cordon-block strip-0-4 { 10.77.0.2 }",
        "delete table inet cordon-block",
        "delete table netdev cordon-block",
    ] {
        let edited = lab.endpoint.output("nft", &[edit]);
        assert!(edited.status.success(), "{}", String::from_utf8_lossy(&edited.stderr));
        let seen = agent.look(lab, &one, &before);
        assert!(matches!(seen, Seen::Drifted(_)), "{edit}: {seen:?}");
        let again = lab.endpoint.run(|| Blocking::new(&one, &agent.hand).apply(&before)).unwrap();
        assert!(again.probes.iter().all(|probe| probe.passed), "{edit}: {again:?}");
        assert!(lab.endpoint.connect(peer4(ATTACKER)).is_err(), "{edit}");
    }
    agent.unblock(lab, &one, &before);
    assert_eq!(ruleset(lab), clean);
}

fn later_devices(lab: &Lab) {
    let (agent, one) = (agent(), block(vec![rule(network("10.79.0.2", 32))]));
    let before = agent.block(lab, &one);
    let addresses = ["10.79.0.2", "fd79::2"];
    lab.endpoint.veth("e9", ["10.79.0.1", "fd79::1"], &lab.peer, "p9", addresses);
    let to: IpAddr = "10.79.0.2".parse().unwrap();
    assert!(lab.endpoint.connect(SocketAddr::new(to, ATTACKER)).is_err(), "it is open at first");
    let here = lab.endpoint.run(|| PacketSocket::open("e9"));
    let there = lab.peer.run(|| PacketSocket::open("p9"));
    let arrives = |label: &[u8]| {
        here.send(&udp_frame(0x0800, [10, 79, 0, 2], 4242, label), 0x0800);
        there.sees(label, Duration::from_millis(150))
    };
    assert!(matches!(agent.look(lab, &one, &before), Seen::Holds(_)));
    assert!(!arrives(b"after-the-look"));
    lab.endpoint.ip("link del e9");
    let seen = agent.look(lab, &one, &before);
    assert!(matches!(seen, Seen::Holds(_)), "a device that went is nobody's doing: {seen:?}");
}

fn groups(lab: &Lab) {
    let [ours, theirs] = [PEER4, ENDPOINT4].map(|address| rule(network(address, 32)));
    let rules = vec![Rule { at: Some(0), ..ours }, Rule { at: Some(1), ..theirs }];
    let groups = Some(vec![vec![ENDPOINT], vec![EndpointId([8; 32])]]);
    let segment = Block { groups, ..block(rules.clone()) };
    let agent = agent();
    let before = agent.block(lab, &segment);
    assert!(lab.endpoint.connect(peer4(ATTACKER)).is_err());
    agent.unblock(lab, &segment, &before);
    let foreign = Block { groups: Some(vec![vec![], vec![EndpointId([8; 32])]]), ..segment };
    let refused = agent.apply(lab, &foreign).unwrap_err();
    assert!(matches!(&refused, NotDone::Refused(why) if why.contains("no rule")), "{refused:?}");
}

fn initial_is_refused(_: &Lab) {
    let (agent, one) = (agent(), block(vec![rule(network("192.0.2.1", 32))]));
    // Not in the lab's namespace, but where this program was started.
    let refused = Blocking::new(&one, &agent.hand).prepare().unwrap_err();
    let NotDone::Refused(why) = &refused else { panic!("{refused:?}") };
    assert!(why.contains("initial network namespace"), "{why}");
    assert!(Blocking::new(&one, &agent.hand).undo(&[0]).is_err());
}
