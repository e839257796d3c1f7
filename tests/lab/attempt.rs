//! Carries one trial out, by plain sockets of a process that is not the agent.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::os::fd::OwnedFd;
use std::time::Duration;

use anyhow::{Context, Result};
use cordon_agent::platform::linux::socket::mark_socket;
use cordon_packaging::clock::wait_until;
use rustix::net::netdevice::name_to_index;
use rustix::net::sockopt::{
    Timeout, set_ipv6_multicast_hops, set_ipv6_unicast_hops, set_socket_timeout,
};
use rustix::net::{AddressFamily, Protocol, RawProtocol, SocketType, connect, ipproto, socket};

use crate::address;
use crate::frame::{self, ARP, IPV4};
use crate::ground::{AGENTS_MARK, Ground, Macs};
use crate::listeners::shared;
use crate::place::{Family, Place};
use crate::platform::packet::Sender;
use crate::table::Seen;
use crate::trial::{How, Over, Trial, UDP_PORT};
use crate::witness::Mark;

/// How long something that must pass may take on two busy cores.
const PASS_MAX: Duration = Duration::from_secs(20);
/// How long it is tried whether something passes that must not; a second SYN is sent after one.
const FAIL_MAX: Duration = Duration::from_millis(1300);
/// How long one attempt waits for a sign.
const SIGN_MAX: Duration = Duration::from_millis(400);

/// A protocol set aside for experiments (RFC 3692).
const EXPERIMENT: u32 = 253;
const NAME: &[u8] = b"\x02c2\x03lab\x04test\0";

/// Tries it until it passes or its time is up.
pub(crate) fn carry_out(ground: &Ground, trial: &Trial, must_pass: bool) -> Result<Seen> {
    let limit = if must_pass { PASS_MAX } else { FAIL_MAX };
    if let How::Scan(scan) = trial.how {
        return crate::nmap::scan(ground.space(trial.from), scan, trial.target());
    }
    let passed = if let How::Session(at) = trial.how {
        ground.session(at).passes()
    } else if trial.how == How::Agent {
        ground.agent_answers()?
    } else if trial.how == How::DhcpRenewal {
        ground.renews(PASS_MAX)?
    } else {
        ground.space(trial.from).run(|| repeat(limit, || once(ground, trial)))??
    };
    Ok(Seen { passed, whole: passed, ..Seen::default() })
}

fn repeat(limit: Duration, mut once: impl FnMut() -> Result<bool>) -> Result<bool> {
    let passed = wait_until(limit, || anyhow::Ok(once()?.then_some(())))?;
    Ok(passed.is_some())
}

/// One attempt, in the namespace of who tries. What the kernel refuses did not pass.
fn once(ground: &Ground, trial: &Trial) -> Result<bool> {
    let to = SocketAddr::new(trial.target(), trial.port);
    Ok(match trial.how {
        How::Tcp => TcpStream::connect_timeout(&to, FAIL_MAX).is_ok(),
        How::AgentsMark => connects_with_mark(to)?,
        How::Ping => pings(to.ip())?,
        How::Dns => resolves(to)?,
        How::DnsOverTcp => resolves_over_tcp(to),
        How::RouterDiscovery => finds_router(trial)?,
        How::NeighbourDiscovery => finds_neighbour(ground, trial)?,
        How::Udp
        | How::Raw
        | How::Broadcast
        | How::Multicast
        | How::DhcpPorts
        | How::DhcpAnswer
        | How::Frame
        | How::FrameAsArp
        | How::FrameMarkedArp => {
            let mark = Mark::new();
            // A refusal is as good as a loss: what arrives is what counts.
            drop(send(ground, trial, &mark.bytes())?);
            let heard = || Ok::<_, anyhow::Error>(ground.witness.has(trial.to, mark).then_some(()));
            wait_until(SIGN_MAX, heard)?.is_some()
        }
        How::Overheard => {
            let mark = Mark::new();
            drop(send(ground, trial, &mark.bytes())?);
            let heard = || anyhow::Ok(ground.witness.has_overheard(mark).then_some(()));
            wait_until(SIGN_MAX, heard)?.is_some()
        }
        How::Agent | How::DhcpRenewal | How::Session(_) | How::Scan(_) => false,
    })
}

/// Sends something marked; the inner error is the kernel's refusal.
fn send(ground: &Ground, trial: &Trial, mark: &[u8]) -> Result<std::io::Result<usize>> {
    let to = SocketAddr::new(trial.target(), trial.port);
    let any = |port| SocketAddr::new(unspecified(trial.family), port);
    Ok(match (trial.how, trial.family) {
        (How::Raw, family) => {
            let kind = RawProtocol::new(EXPERIMENT).context("a protocol")?;
            raw(family, Protocol::from_raw(kind))?.send_to(mark, SocketAddr::new(to.ip(), 0))
        }
        (How::Broadcast, _) => {
            let socket = UdpSocket::bind(any(0))?;
            socket.set_broadcast(true)?;
            socket.send_to(mark, SocketAddr::from((Ipv4Addr::new(10, 77, 0, 255), UDP_PORT)))
        }
        (How::Multicast, Family::V4) => {
            let group = Ipv4Addr::new(224, 0, 0, 251);
            UdpSocket::bind(any(0))?.send_to(mark, SocketAddr::from((group, trial.port)))
        }
        (How::Multicast, Family::V6) => {
            let socket = UdpSocket::bind(any(0))?;
            let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb);
            let scope = name_to_index(&socket, trial.device())?;
            socket.send_to(mark, SocketAddrV6::new(group, trial.port, 0, scope))
        }
        (How::DhcpPorts, family) => {
            let port = if family == Family::V4 { 68 } else { 546 };
            let here = SocketAddr::new(address::of(trial.from, family), port);
            shared(here)?.send_to(mark, to)
        }
        (How::DhcpAnswer, family) => {
            let port = if family == Family::V4 { 67 } else { 547 };
            let here = SocketAddr::new(address::of(trial.from, family), port);
            shared(here)?.send_to(mark, to)
        }
        (How::Frame | How::FrameAsArp | How::FrameMarkedArp, _) => {
            send_frame(ground, trial, mark)?.map(|()| mark.len())
        }
        _ => UdpSocket::bind(any(0))?.send_to(mark, to),
    })
}

fn send_frame(ground: &Ground, trial: &Trial, mark: &[u8]) -> Result<std::io::Result<()>> {
    let v4 = |address| match address {
        IpAddr::V4(address) => address,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    let own = match trial.over {
        Over::First => address::of(trial.from, Family::V4),
        Over::Late => address::late(trial.from, Family::V4),
        Over::Tunnel => address::tunnel(trial.from, Family::V4),
    };
    let addresses = [v4(own), v4(trial.target())];
    let target = match (trial.from, trial.to) {
        (Place::Container, _) => ground.macs.container_side,
        (_, Place::Attacker) => ground.macs.router,
        _ => [0xff; 6],
    };
    let source =
        if trial.from == Place::Container { [2, 0, 0, 0, 0, 9] } else { ground.macs.endpoint };
    let written = if trial.how == How::FrameMarkedArp { ARP } else { IPV4 };
    let declared = if trial.how == How::FrameAsArp { ARP } else { IPV4 };
    let frame = frame::datagram([source, target], written, addresses, trial.port, mark);
    Ok(Sender::open(trial.device())?.send(&frame, declared))
}

fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn domain(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::INET,
        Family::V6 => AddressFamily::INET6,
    }
}

/// As a datagram socket, whose calls do for a raw one.
fn raw(family: Family, protocol: Protocol) -> Result<UdpSocket> {
    let socket: OwnedFd = socket(domain(family), SocketType::RAW, Some(protocol))?;
    set_socket_timeout(&socket, Timeout::Recv, Some(SIGN_MAX))?;
    if family == Family::V6 {
        set_ipv6_multicast_hops(&socket, 255)?;
        set_ipv6_unicast_hops(&socket, Some(255))?;
    }
    Ok(UdpSocket::from(socket))
}

fn connects_with_mark(to: SocketAddr) -> Result<bool> {
    let family = if to.is_ipv4() { Family::V4 } else { Family::V6 };
    let socket = socket(domain(family), SocketType::STREAM, None)?;
    mark_socket(&socket, AGENTS_MARK)?;
    set_socket_timeout(&socket, Timeout::Send, Some(FAIL_MAX))?;
    Ok(connect(&socket, &to).is_ok())
}

fn pings(to: IpAddr) -> Result<bool> {
    let (family, protocol, [request, reply], header) = match to {
        IpAddr::V4(_) => (Family::V4, ipproto::ICMP, [8, 0], 20),
        IpAddr::V6(_) => (Family::V6, ipproto::ICMPV6, [128, 129], 0),
    };
    let socket = raw(family, protocol)?;
    let mark = Mark::new();
    let mut packet = [&[request, 0, 0, 0, 0x0c, 0x0d, 0, 1][..], &mark.bytes()].concat();
    if family == Family::V4 {
        // The kernel sums up ICMPv6 itself.
        let sum = frame::checksum(&packet).to_be_bytes();
        packet[2..4].copy_from_slice(&sum);
    }
    if socket.send_to(&packet, SocketAddr::new(to, 0)).is_err() {
        return Ok(false);
    }
    hears(&socket, |answer| {
        let kind = answer.get(header);
        kind == Some(&reply) && Mark::find(answer) == Some(mark)
    })
}

/// Does something of this kind arrive in time?
fn hears(socket: &UdpSocket, is_it: impl Fn(&[u8]) -> bool) -> Result<bool> {
    let heard = wait_until(SIGN_MAX, || {
        let mut buffer = [0; 2048];
        let read = socket.recv_from(&mut buffer);
        anyhow::Ok(read.is_ok_and(|(length, _)| is_it(&buffer[..length])).then_some(()))
    })?;
    Ok(heard.is_some())
}

fn question() -> Vec<u8> {
    // A number, "please resolve", one question; address, internet.
    [&[0x12, 0x34, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0][..], NAME, &[0, 1, 0, 1]].concat()
}

/// The answer names the intruder's address, as the server in the lab is told to.
fn is_answer(bytes: &[u8]) -> bool {
    let IpAddr::V4(attacker) = address::of(Place::Attacker, Family::V4) else { return false };
    bytes.starts_with(&[0x12, 0x34]) && bytes.ends_with(&attacker.octets())
}

fn resolves(server: SocketAddr) -> Result<bool> {
    let family = if server.is_ipv4() { Family::V4 } else { Family::V6 };
    let socket = UdpSocket::bind(SocketAddr::new(unspecified(family), 0))?;
    socket.set_read_timeout(Some(SIGN_MAX))?;
    if socket.send_to(&question(), server).is_err() {
        return Ok(false);
    }
    hears(&socket, is_answer)
}

fn resolves_over_tcp(server: SocketAddr) -> bool {
    let ask = || {
        let mut stream = TcpStream::connect_timeout(&server, FAIL_MAX)?;
        stream.set_read_timeout(Some(FAIL_MAX))?;
        let question = question();
        let length = u16::try_from(question.len()).unwrap_or_default().to_be_bytes();
        stream.write_all(&[&length[..], &question].concat())?;
        let mut length = [0; 2];
        stream.read_exact(&mut length)?;
        let mut answer = vec![0; usize::from(u16::from_be_bytes(length))];
        stream.read_exact(&mut answer)?;
        std::io::Result::Ok(answer)
    };
    ask().is_ok_and(|answer| is_answer(&answer))
}

/// Asks all routers of the link, as a host that has just come up does.
fn finds_router(trial: &Trial) -> Result<bool> {
    let all = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 2);
    let socket = raw(Family::V6, ipproto::ICMPV6)?;
    let scope = name_to_index(&socket, trial.device())?;
    let solicitation = [133, 0, 0, 0, 0, 0, 0, 0];
    if socket.send_to(&solicitation, SocketAddrV6::new(all, 0, 0, scope)).is_err() {
        return Ok(false);
    }
    hears(&socket, |answer| answer.first() == Some(&134))
}

/// Asks for a neighbour's hardware address, and waits for the neighbour's answer.
fn finds_neighbour(ground: &Ground, trial: &Trial) -> Result<bool> {
    let IpAddr::V6(target) = trial.target() else { return Ok(false) };
    let [.., a, b, c] = target.octets();
    let [first, second] = [u16::from(a) | 0xff00, u16::from_be_bytes([b, c])];
    let group = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 1, first, second);
    let socket = raw(Family::V6, ipproto::ICMPV6)?;
    let scope = name_to_index(&socket, trial.device())?;
    let Macs { endpoint, peer, .. } = ground.macs;
    let own = if trial.from == Place::Endpoint { endpoint } else { peer };
    // Without the asker's own hardware address nobody answers whom they do not know already.
    let head = [135, 0, 0, 0, 0, 0, 0, 0];
    let solicitation = [&head[..], &target.octets(), &[1, 1], &own].concat();
    if socket.send_to(&solicitation, SocketAddrV6::new(group, 0, 0, scope)).is_err() {
        return Ok(false);
    }
    hears(&socket, |answer| {
        answer.first() == Some(&136) && answer.get(8..24) == Some(&target.octets()[..])
    })
}
