//! What no longer gets through: datagrams, pings, questions for names, frames written by hand;
//! and the little that must, so that the endpoint keeps its addresses.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use cordon_agent::action::isolate::Check;
use cordon_agent::platform::linux::nft::wall::{Exemption, Transport};
use rustix::net::{AddressFamily, RawProtocol, SocketType, ipproto};

use crate::lab::{
    ANSWER_WAIT, COLLECTOR, ENDPOINT4, ENDPOINT6, Isolated, Lab, PEER4, PEER6, answers, peer4,
    peer6, plan, shell,
};
use crate::platform::packet::{PacketSocket, udp_frame};
use crate::{Needs, Test};

pub(crate) const TESTS: &[Test] = &[
    ("datagrams_and_names_are_closed", datagrams_are_closed, Needs::Root),
    ("an_exempt_resolver_answers", exempt_resolver, Needs::Root),
    ("pings_are_closed", pings_are_closed, Needs::Root),
    ("packet_sockets_cannot_send", packet_sockets_are_closed, Needs::Root),
    ("neighbours_are_found_again", neighbours_are_found, Needs::Root),
    ("dhcp_goes_to_everybody_or_to_the_server_on_record_only", dhcp_is_narrow, Needs::Root),
];

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const FREE_PORT: u16 = 9999;

/// Does a datagram from `from` arrive at `at`?
fn arrives(from: &UdpSocket, to: SocketAddr, at: &UdpSocket) -> bool {
    at.set_read_timeout(Some(ANSWER_WAIT)).unwrap();
    let sent = from.send_to(b"any", to).is_ok();
    let mut buffer = [0; 16];
    let received = at.recv_from(&mut buffer).is_ok();
    assert!(sent || !received);
    received
}

fn datagrams_are_closed(lab: &Lab) {
    let here = lab.endpoint.run(|| UdpSocket::bind(("::", FREE_PORT)).unwrap());
    let dns = lab.peer.run(|| UdpSocket::bind(("::", 53)).unwrap());
    let mapped = |ip: &str| match ip.parse().unwrap() {
        IpAddr::V4(ip) => IpAddr::V6(ip.to_ipv6_mapped()),
        ip @ IpAddr::V6(_) => ip,
    };
    let out = [PEER4, PEER6].map(|ip| SocketAddr::new(mapped(ip), 53));
    let back = [ENDPOINT4, ENDPOINT6].map(|ip| SocketAddr::new(mapped(ip), FREE_PORT));
    for to in out {
        assert!(arrives(&here, to, &dns), "{to} cannot be reached even before");
    }
    let mut isolated = lab.isolate(&[]);
    for to in out {
        assert!(!arrives(&here, to, &dns), "{to} is open");
    }
    for to in back {
        assert!(!arrives(&dns, to, &here), "{to} is open from outside");
    }
    isolated.let_back();
    for to in back {
        assert!(arrives(&dns, to, &here), "{to} did not come back");
    }
}

fn exempt_resolver(lab: &Lab) {
    let here = lab.endpoint.run(|| UdpSocket::bind(("0.0.0.0", FREE_PORT)).unwrap());
    let dns = lab.peer.run(|| UdpSocket::bind(("0.0.0.0", 53)).unwrap());
    let mut plan = plan();
    plan.exemptions = vec![Exemption { transport: Transport::Udp, peer: peer4(53), uid: None }];
    let mut isolated = Isolated { lab, shell: shell(), plan };
    isolated.cut_off(Check::Full, &[]).unwrap();
    assert!(arrives(&here, peer4(53), &dns));
    let back = SocketAddr::new(ENDPOINT4.parse().unwrap(), FREE_PORT);
    assert!(arrives(&dns, back, &here));
}

/// Does `to` answer a ping from the namespace of the calling thread?
fn pings(to: &str) -> bool {
    let to = SocketAddr::new(to.parse().unwrap(), 0);
    let (family, protocol, kind) = match to {
        SocketAddr::V4(_) => (AddressFamily::INET, ipproto::ICMP, 8),
        SocketAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6, 128),
    };
    let raw: RawProtocol = protocol.as_raw();
    let protocol = rustix::net::Protocol::from_raw(raw);
    let socket = rustix::net::socket(family, SocketType::RAW, Some(protocol)).unwrap();
    let socket = UdpSocket::from(socket);
    socket.set_read_timeout(Some(ANSWER_WAIT)).unwrap();
    // Type, code, checksum, identifier, number. The kernel sums up ICMPv6 itself.
    let mut request = [kind, 0, 0, 0, 0x12, 0x34, 0, 1];
    let sum = !(u16::from_be_bytes([kind, 0]) + 0x1234 + 1);
    request[2..4].copy_from_slice(&sum.to_be_bytes());
    if socket.send_to(&request, to).is_err() {
        return false;
    }
    let mut answer = [0; 256];
    for _ in 0..32 {
        let Ok((length, _)) = socket.recv_from(&mut answer) else { return false };
        let reply = if to.is_ipv4() { answer.get(20..length) } else { answer.get(..length) };
        let kind = if to.is_ipv4() { 0 } else { 129 };
        if reply.is_some_and(|reply| reply.starts_with(&[kind, 0]) && reply[4..6] == [0x12, 0x34]) {
            return true;
        }
    }
    false
}

fn pings_are_closed(lab: &Lab) {
    let check = |wanted: bool, when: &str| {
        for ip in [PEER4, PEER6] {
            assert_eq!(lab.endpoint.run(|| pings(ip)), wanted, "out to {ip}, {when}");
        }
        for ip in [ENDPOINT4, ENDPOINT6] {
            assert_eq!(lab.peer.run(|| pings(ip)), wanted, "in to {ip}, {when}");
        }
    };
    check(true, "before");
    let mut isolated = lab.isolate(&[]);
    check(false, "while isolated");
    isolated.let_back();
    check(true, "after");
}

fn packet_sockets_are_closed(lab: &Lab) {
    let here = lab.endpoint.run(|| PacketSocket::open("e0"));
    let there = lab.peer.run(|| PacketSocket::open("p0"));
    let arrives = |label: &[u8], ether_type, claimed| {
        here.send(&udp_frame(ether_type, [10, 77, 0, 2], 4242, label), claimed);
        there.sees(label, Duration::from_millis(150))
    };
    assert!(arrives(b"before-the-wall", IPV4, IPV4));
    let mut isolated = lab.isolate(&[]);
    assert!(!arrives(b"plain-frame", IPV4, IPV4));
    // The kernel is told that it is ARP, the frame says IPv4; and the other way round.
    assert!(!arrives(b"claimed-to-be-arp", IPV4, ARP));
    assert!(!arrives(b"written-as-arp", ARP, IPV4));
    assert!(!arrives(b"unknown-protocol", 0x88b5, 0x88b5));
    here.bypass_queue();
    assert!(!arrives(b"past-the-queue", IPV4, IPV4));
    isolated.let_back();
    assert!(arrives(b"after-the-wall", IPV4, IPV4));
}

fn neighbours_are_found(lab: &Lab) {
    let streams = [lab.endpoint.session(peer4(COLLECTOR)), lab.endpoint.session(peer6(COLLECTOR))];
    let _isolated = lab.isolate(&[&streams[0], &streams[1]]);
    for space in [&lab.endpoint, &lab.peer] {
        space.ip("neigh flush all");
    }
    assert!(streams.iter().all(answers), "an address could not be resolved behind the wall");
}

fn dhcp_is_narrow(lab: &Lab) {
    let client = lab.endpoint.run(|| UdpSocket::bind(("0.0.0.0", 68)).unwrap());
    client.set_broadcast(true).unwrap();
    lab.endpoint.ip("route add 255.255.255.255 dev e0");
    let server = lab.peer.run(|| UdpSocket::bind(("0.0.0.0", 67)).unwrap());
    let other = lab.endpoint.run(|| UdpSocket::bind(("0.0.0.0", 6868)).unwrap());
    other.set_broadcast(true).unwrap();
    let everybody = SocketAddr::from(([255, 255, 255, 255], 67));

    let mut isolated = lab.isolate(&[]);
    assert!(arrives(&client, everybody, &server), "a broadcast for an address is lost");
    assert!(!arrives(&other, everybody, &server), "any port may broadcast");
    assert!(!arrives(&client, peer4(67), &server), "DHCP ports to any address are a tunnel");

    isolated.plan.dhcp_servers = vec![PEER4.parse().unwrap()];
    isolated.cut_off(Check::Again, &[]).unwrap();
    assert!(arrives(&client, peer4(67), &server), "the server on record cannot be asked");
    let back = SocketAddr::new(ENDPOINT4.parse().unwrap(), 68);
    assert!(arrives(&server, back, &client), "the server's answer is lost");
}
