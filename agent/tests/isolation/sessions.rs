//! Sessions that stand when the endpoint is cut off: which must die, which must live.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener, TcpStream};

use cordon_agent::action::isolate::Check;
use cordon_agent::platform::linux::nft::wall::{Exemption, Transport};
use cordon_agent::platform::linux::socket::mark_socket;

use crate::lab::{
    ANSWER_WAIT, ATTACKER, COLLECTOR, ENDPOINT4, ENDPOINT6, Isolated, Lab, MARK, answers, exchange,
    peer4, peer6, plan, shell,
};
use crate::{Needs, Test};

pub(crate) const TESTS: &[Test] = &[
    ("cuts_established_sessions_at_once_with_conntrack_warm", cuts_sessions, Needs::Nft),
    ("cuts_sessions_that_came_from_outside", cuts_incoming, Needs::Root),
    ("the_agents_stream_lives_on_without_a_reset", stream_lives, Needs::Root),
    ("nobody_else_reaches_the_collector", collector_is_the_agents, Needs::Root),
    ("loopback_lives", loopback_lives, Needs::Root),
    ("forwarded_traffic_is_closed", forwarding_is_closed, Needs::Root),
    ("what_policy_exempts_stays_open", exemption_stays, Needs::Root),
    (
        "what_policy_exempts_for_a_user_stays_open_for_that_user_only",
        exemption_is_a_users,
        Needs::Root,
    ),
];

/// The port of a remote management that policy exempts.
const RMM: u16 = 5938;

/// An administrator's rules that let established connections pass before anything else.
const CONNTRACK: &str = "table inet admin {
    chain output { type filter hook output priority -400; policy accept; ct state established accept; }
    chain input { type filter hook input priority filter; policy accept; ct state established accept; }
}";

fn cuts_sessions(lab: &Lab) {
    let warm = lab.endpoint.output("nft", &[CONNTRACK]);
    assert!(warm.status.success(), "{}", String::from_utf8_lossy(&warm.stderr));
    let sessions = [lab.endpoint.session(peer4(ATTACKER)), lab.endpoint.session(peer6(ATTACKER))];
    let tracked =
        lab.endpoint.run(|| std::fs::read_to_string("/proc/thread-self/net/nf_conntrack"));
    if let Ok(tracked) = tracked {
        assert!(tracked.contains("dport=4444"), "conntrack is not warm: {tracked}");
    }
    let _isolated = lab.isolate(&[]);
    for session in &sessions {
        // An error at once, not a session that hangs.
        let end = exchange(session).unwrap_err();
        assert!(
            matches!(end, ErrorKind::ConnectionAborted | ErrorKind::BrokenPipe),
            "the session ended as {end:?}"
        );
    }
    assert!(lab.endpoint.connect(peer4(ATTACKER)).is_err());
    assert!(lab.endpoint.connect(peer6(ATTACKER)).is_err());
}

fn cuts_incoming(lab: &Lab) {
    lab.endpoint.echo(22);
    for address in [ENDPOINT4, ENDPOINT6] {
        let ssh = SocketAddr::new(address.parse().unwrap(), 22);
        let session = lab.peer.session(ssh);
        let mut isolated = lab.isolate(&[]);
        assert!(!answers(&session), "{ssh} still answers");
        assert!(lab.peer.connect(ssh).is_err(), "{ssh} still takes connections");
        assert!(isolated.let_back());
        // The listener itself was not harmed.
        lab.peer.session(ssh);
    }
}

fn stream_lives(lab: &Lab) {
    let streams = [lab.endpoint.session(peer4(COLLECTOR)), lab.endpoint.session(peer6(COLLECTOR))];
    let mut isolated = lab.isolate(&[&streams[0], &streams[1]]);
    for round in 0..20 {
        for stream in &streams {
            assert_eq!(exchange(stream), Ok(()), "round {round}");
        }
    }
    assert_eq!(isolated.prove().residual_sockets, 0);
    isolated.let_back();
    assert!(streams.iter().all(answers));
}

fn collector_is_the_agents(lab: &Lab) {
    let before = lab.endpoint.session(peer4(COLLECTOR));
    let _isolated = lab.isolate(&[]);
    assert!(!answers(&before), "a foreign session to the collector lives on");
    for collector in [peer4(COLLECTOR), peer6(COLLECTOR)] {
        assert!(lab.endpoint.connect(collector).is_err(), "{collector} is open to anybody");
        // The mark alone opens this address and port, and no other.
        let marked = lab.endpoint.run(|| connect_marked(collector));
        assert!(answers(&marked.unwrap()), "{collector} is closed to the agent");
    }
    assert!(lab.endpoint.run(|| connect_marked(peer4(ATTACKER))).is_none());
    assert!(lab.endpoint.run(|| connect_marked(peer6(ATTACKER))).is_none());
}

pub(crate) fn connect_marked(to: SocketAddr) -> Option<TcpStream> {
    use rustix::net::sockopt::{Timeout, set_socket_timeout};
    use rustix::net::{AddressFamily, SocketType, connect, socket};
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = socket(family, SocketType::STREAM, None).unwrap();
    mark_socket(&socket, MARK).unwrap();
    set_socket_timeout(&socket, Timeout::Send, Some(ANSWER_WAIT)).unwrap();
    connect(&socket, &to).ok()?;
    set_socket_timeout(&socket, Timeout::Send, None).unwrap();
    Some(TcpStream::from(socket))
}

fn loopback_lives(lab: &Lab) {
    lab.endpoint.echo(5432);
    let addresses = ["127.0.0.1", "::1", ENDPOINT4, ENDPOINT6];
    let addresses = addresses.map(|ip| SocketAddr::new(ip.parse().unwrap(), 5432));
    let before = addresses.map(|address| lab.endpoint.session(address));
    let _isolated = lab.isolate(&[]);
    for (address, session) in addresses.into_iter().zip(&before) {
        assert!(answers(session), "the session to {address} was cut");
        lab.endpoint.session(address);
    }
}

fn forwarding_is_closed(lab: &Lab) {
    let sessions = [lab.guest.session(peer4(ATTACKER)), lab.guest.session(peer6(ATTACKER))];
    let mut isolated = lab.isolate(&[]);
    assert!(!sessions.iter().any(answers), "a forwarded session lives on");
    assert!(lab.guest.connect(peer4(ATTACKER)).is_err());
    assert!(lab.guest.connect(peer6(COLLECTOR)).is_err());
    isolated.let_back();
    lab.guest.session(peer4(ATTACKER));
}

fn exemption_stays(lab: &Lab) {
    lab.peer.echo(RMM);
    let rmm = lab.endpoint.session(peer4(RMM));
    let other = lab.endpoint.session(peer4(ATTACKER));
    let mut plan = plan();
    plan.exemptions = vec![Exemption { transport: Transport::Tcp, peer: peer4(RMM), uid: None }];
    let mut isolated = Isolated { lab, shell: shell(), plan };
    isolated.cut_off(Check::Full, &[]).unwrap();
    assert!(answers(&rmm), "the exempt session was cut");
    lab.endpoint.session(peer4(RMM));
    assert!(!answers(&other));
    assert!(lab.endpoint.connect(peer6(RMM)).is_err(), "only the address named is exempt");
    // An exemption opens nothing inwards: nobody can connect to a listener here.
    let listener = lab.endpoint.run(|| TcpListener::bind(("::", 22)).unwrap());
    let ssh = SocketAddr::new(ENDPOINT4.parse().unwrap(), listener.local_addr().unwrap().port());
    assert!(lab.peer.connect(ssh).is_err());
    assert_eq!(isolated.prove().residual_sockets, 0);
}

fn exemption_is_a_users(lab: &Lab) {
    const NOBODY: u32 = 65_534;
    let rmm = peer4(RMM);
    lab.peer.echo(RMM);
    // Connections of somebody else, made and used by a thread of that user.
    let as_user = |uid: u32| {
        lab.endpoint.run(move || {
            let uid = rustix::process::Uid::from_raw(uid);
            rustix::thread::set_thread_res_uid(uid, uid, uid).unwrap();
            TcpStream::connect_timeout(&rmm, ANSWER_WAIT).ok().filter(answers)
        })
    };
    let theirs = as_user(NOBODY).expect("the exempt user does not get out even before");
    let others = as_user(NOBODY - 1).expect("another user does not get out even before");
    let mut plan = plan();
    let exempt = Exemption { transport: Transport::Tcp, peer: rmm, uid: Some(NOBODY) };
    plan.exemptions = vec![exempt];
    let mut isolated = Isolated { lab, shell: shell(), plan };
    isolated.cut_off(Check::Full, &[]).unwrap();
    assert!(answers(&theirs), "the exempt user's session was cut");
    assert!(!answers(&others), "another user's session lives on");
    assert!(as_user(NOBODY).is_some(), "the exempt user cannot connect");
    assert!(as_user(NOBODY - 1).is_none() && as_user(0).is_none(), "another user can connect");
    assert_eq!(isolated.drift(), None);
}
