//! Names that are blocked: asked for, heard from a name server's answers on the wire, and followed
//! where they move.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::thread;

use cordon_agent::action::block::follow_names;
use cordon_agent::clock;
use cordon_agent::ledger::Kept;
use cordon_agent::sensor::Outlet;
use cordon_agent::sensor::dns::message::{Message, Says};
use cordon_agent::sensor::dns::{self, Names};
use cordon_proto::command::{Block, Peer};

use crate::blocked::{Agent, block, rule};
use crate::lab::{ANSWER_WAIT, ATTACKER, Lab, PEER4, peer4, peer6};
use crate::{Needs, Test};

pub(crate) const TESTS: &[Test] = &[
    ("a_blocked_name_is_asked_for_and_followed_by_answers", follows_answers, Needs::Root),
    ("what_is_known_of_a_name_outlives_the_agent", known_outlives, Needs::Root),
    ("a_name_that_leads_to_the_collector_blocks_it_for_nobody", vital_is_left_out, Needs::Root),
];

const EVIL: &str = "evil.example";
const BELOW: &str = "www.evil.example";
/// The name server in the lab.
const SERVER: (&str, u16) = (PEER4, 53);

/// Where each name leads at the moment.
type Zone = Arc<Mutex<Vec<(&'static str, IpAddr)>>>;

/// A name server on the peer, for as long as the lab lives.
fn serve(lab: &Lab) -> Zone {
    let zone = Zone::default();
    let socket = lab.peer.run(|| UdpSocket::bind(("0.0.0.0", 53)).unwrap());
    let answers = Arc::clone(&zone);
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let answer = answer(&buffer[..length], &answers.lock().unwrap());
            drop(socket.send_to(&answer, from));
        }
    });
    zone
}

/// The question with an answer for each address of its name and type.
fn answer(question: &[u8], zone: &[(&'static str, IpAddr)]) -> Vec<u8> {
    let (mut name, mut at) = (String::new(), 12);
    while question[at] != 0 {
        let end = at + 1 + usize::from(question[at]);
        name += std::str::from_utf8(&question[at + 1..end]).unwrap();
        name.push('.');
        at = end;
    }
    let end = at + 5;
    let is_ipv4 = question[at + 2] == 1;
    let found: Vec<_> = zone
        .iter()
        .filter(|(of, ip)| format!("{of}.") == name && ip.is_ipv4() == is_ipv4)
        .collect();
    let count = u16::try_from(found.len()).unwrap().to_be_bytes();
    let mut bytes = [&question[..2], &[0x81, 0x80, 0, 1], &count, &[0; 4]].concat();
    bytes.extend(&question[12..end]);
    for (_, ip) in found {
        let octets = match ip {
            IpAddr::V4(v4) => v4.octets().to_vec(),
            IpAddr::V6(v6) => v6.octets().to_vec(),
        };
        bytes.extend([0xc0, 12, 0, question[at + 2], 0, 1, 0, 0, 0, 5, 0]);
        bytes.push(u8::try_from(octets.len()).unwrap());
        bytes.extend(octets);
    }
    bytes
}

/// Asks the lab's name server, from the namespace of the calling thread.
fn ask(name: &str) -> Vec<IpAddr> {
    let mut found = Vec::new();
    for kind in [1, 28] {
        let mut question = vec![0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            question.push(u8::try_from(label.len()).unwrap());
            question.extend(label.as_bytes());
        }
        question.extend([0, 0, kind, 0, 1]);
        let socket = UdpSocket::bind(("0.0.0.0", 0)).unwrap();
        socket.set_read_timeout(Some(ANSWER_WAIT)).unwrap();
        let mut buffer = [0; 512];
        // Where the server itself is blocked there is no answer.
        let Ok(length) = socket.send_to(&question, SERVER).and_then(|_| socket.recv(&mut buffer))
        else {
            continue;
        };
        let message = Message::parse(&buffer[..length]).unwrap();
        found.extend(message.answers.iter().filter_map(|record| match record.says {
            Says::Address(ip) => Some(ip),
            Says::Name(_) => None,
        }));
    }
    found
}

fn evil(name: &str) -> Block {
    block(vec![rule(Peer::Name(name.to_owned()))])
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn to(address: &str) -> SocketAddr {
    SocketAddr::new(ip(address), ATTACKER)
}

/// Runs `test` while the sensor of names listens in the endpoint's namespace.
fn listening(lab: &Lab, test: impl FnOnce(&Names)) {
    let names = Names::default();
    let (ready, is_ready) = mpsc::sync_channel(1);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let sensor = names.clone();
    thread::scope(|scope| {
        scope.spawn(move || {
            lab.endpoint.enter();
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async move {
                let (reports, mut heard) = tokio::sync::mpsc::channel(64);
                let listen = dns::run(clock::stamp, sensor, Outlet::new(dns::NAME, reports));
                let read = async {
                    while heard.recv().await.is_some() {
                        // Only the first report is waited for.
                        ready.try_send(()).ok();
                    }
                };
                tokio::select! {
                    _ = listen => {}
                    () = read => {}
                    _ = stopped => {}
                }
            });
        });
        is_ready.recv().unwrap();
        test(&names);
        drop(stop);
    });
}

fn extra_addresses(lab: &Lab) {
    for address in ["10.77.0.3", "10.77.0.4"] {
        lab.peer.ip(&format!("addr add {address}/24 dev p0"));
        // Its neighbours may take a moment to learn of it.
        lab.endpoint.until_connected(to(address));
        lab.endpoint.session(to(address));
    }
    for address in ["fd77::3", "fd77::4"] {
        lab.peer.ip(&format!("addr add {address}/64 dev p0 nodad"));
        lab.endpoint.until_connected(to(address));
        lab.endpoint.session(to(address));
    }
}

fn follows_answers(lab: &Lab) {
    extra_addresses(lab);
    let zone = serve(lab);
    *zone.lock().unwrap() = vec![(EVIL, ip("10.77.0.3")), (EVIL, ip("fd77::3"))];
    listening(lab, |names| {
        let agent = Agent::start(names.clone(), ask, &Kept::default());
        let (evil, below) = (evil(EVIL), evil("*.evil.example"));
        let before = agent.block(lab, &evil);
        let below_before = agent.block(lab, &below);
        assert!(lab.endpoint.connect(to("10.77.0.3")).is_err());
        assert!(lab.endpoint.connect(to("fd77::3")).is_err());
        lab.endpoint.session(peer4(ATTACKER));
        // It moves, and some program asks where to.
        *zone.lock().unwrap() = vec![(EVIL, ip("10.77.0.4")), (BELOW, ip("fd77::4"))];
        let session = lab.endpoint.session(to("10.77.0.4"));
        for name in [EVIL, BELOW] {
            assert!(!lab.endpoint.run(|| ask(name)).is_empty(), "{name}");
        }
        names.refresh(clock::stamp()).unwrap();
        assert!(agent.hand.tools.blocks.is_stirred(clock::boot_ns()), "nothing was heard");
        lab.endpoint.run(|| follow_names(&agent.hand));
        assert!(!crate::lab::answers(&session), "a session that stood lives on");
        assert!(lab.endpoint.connect(to("10.77.0.4")).is_err(), "where it moved to is open");
        assert!(lab.endpoint.connect(to("10.77.0.3")).is_err(), "where it was is open again");
        assert!(lab.endpoint.connect(to("fd77::4")).is_err(), "what is below it is open");
        lab.endpoint.session(peer6(ATTACKER));
        agent.unblock(lab, &below, &below_before);
        lab.endpoint.session(to("fd77::4"));
        agent.unblock(lab, &evil, &before);
        for address in ["10.77.0.3", "10.77.0.4", "fd77::3"] {
            lab.endpoint.session(to(address));
        }
    });
}

fn known_outlives(lab: &Lab) {
    extra_addresses(lab);
    let zone = serve(lab);
    *zone.lock().unwrap() = vec![(EVIL, ip("10.77.0.3"))];
    let agent = Agent::start(Names::default(), ask, &Kept::default());
    let evil = evil(EVIL);
    let before = agent.block(lab, &evil);
    // After the restart nobody answers any more, as behind an isolation.
    let kept = crate::blocked::kept(&[(&evil, &before)]);
    let agent = agent.restart(Names::default(), |_| Vec::new(), &kept);
    let seen = agent.look(lab, &evil, &before);
    assert!(matches!(seen, cordon_agent::action::deed::Seen::Holds(_)), "{seen:?}");
    assert!(lab.endpoint.connect(to("10.77.0.3")).is_err());
    agent.unblock(lab, &evil, &before);
    lab.endpoint.session(to("10.77.0.3"));
}

fn vital_is_left_out(lab: &Lab) {
    extra_addresses(lab);
    let zone = serve(lab);
    // The collector's own address, and one that is none of ours.
    *zone.lock().unwrap() = vec![(EVIL, ip(PEER4)), (EVIL, ip("10.77.0.3"))];
    let agent = Agent::start(Names::default(), ask, &Kept::default());
    let evil = evil(EVIL);
    agent.block(lab, &evil);
    assert!(lab.endpoint.connect(to("10.77.0.3")).is_err());
    lab.endpoint.session(peer4(ATTACKER));
}
