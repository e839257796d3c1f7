//! Connections and listeners as they are gathered, by tables of events.

use cordon_proto::event::dns::Answer;
use cordon_proto::event::network::{Means, Owner};

use super::*;

fn peer(text: &str) -> Peer {
    let at: std::net::SocketAddr = text.parse().unwrap();
    Peer { ip: at.ip(), port: at.port() }
}

fn connection(program: &str, local: &str, way: &str, remote: &str) -> Connection {
    let owner = Owner {
        pid: 7,
        start_boot_ns: None,
        uid: Some(33),
        cgroup_id: None,
        name: Some(program.into()),
    };
    let direction = if way == ">" { Direction::Outbound } else { Direction::Inbound };
    Connection {
        means: Means::Bpf,
        transport: Transport::Tcp,
        direction: Some(direction),
        local: peer(local),
        remote: peer(remote),
        owner: Some(owner),
        host_name: None,
        netns: None,
    }
}

/// One event a line, the oldest first: `SECOND WHAT PROGRAM LOCAL WAY REMOTE [SENT]`.
fn event(line: &str) -> (Time, NetworkEvent) {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = Time(0).plus_secs(words[0].parse().unwrap());
    if words[1].starts_with("listen") {
        let owner = connection(words[2], "0.0.0.0:1", ">", "0.0.0.0:1").owner;
        let transport = if words.len() > 4 { Transport::Udp } else { Transport::Tcp };
        let (local, means) = (peer(words[3]), Means::Bpf);
        let listener = Listener { means, transport, local, owner, netns: None, existing: false };
        let ends = words[1] == "listened";
        let event = if ends { NetworkEvent::ListeningEnded } else { NetworkEvent::Listening };
        return (at, event(listener));
    }
    let mut connection = connection(words[2], words[3], words[4], words[5]);
    let sent = words.get(6).and_then(|word| word.parse().ok());
    if words.last() == Some(&"udp") {
        connection.transport = Transport::Udp;
    }
    let existing = words[1] == "stands";
    let ended = Ended {
        connection: connection.clone(),
        duration_ns: None,
        bytes_sent: sent,
        bytes_received: None,
        error: None,
    };
    let event = match words[1] {
        "open" | "stands" => NetworkEvent::Opened(Opened { connection, existing }),
        "close" => NetworkEvent::Closed(ended),
        _ => NetworkEvent::Failed(ended),
    };
    (at, event)
}

fn gather(lines: &str) -> Flows {
    let mut flows = Flows::new(Ways::default());
    for line in lines.lines().rev() {
        let (at, event) = event(line);
        flows.handle_network(&event, at);
    }
    flows
}

#[track_caller]
fn check(lines: &str, from_secs: u64, says: &[&str]) {
    let gathered = gather(lines).finish(Time(0).plus_secs(from_secs));
    let flow = |flow: &Flow| {
        let Flow { address, port, count, open, failed, bytes_sent, fate, .. } = flow;
        let program = flow.program.as_ref().unwrap().to_lossy();
        let sent = bytes_sent.map_or("?".to_owned(), |sent| sent.to_string());
        format!(
            "{program} {address} {port}: {count} open {open} failed {failed} sent {sent} {fate:?}"
        )
    };
    let port = |port: &Port| {
        let program = port.program.as_ref().unwrap().to_lossy();
        format!("{program} waits at {}:{} {:?}", port.address, port.port, port.fate)
    };
    let said: Vec<String> =
        gathered.flows.iter().map(flow).chain(gathered.ports.iter().map(port)).collect();
    assert_eq!(said, says);
}

#[test]
fn connections_of_one_kind_are_one_line_that_says_how_many_stand() {
    check(
        "1 open curl 192.0.2.5:1000 > 192.0.2.9:443
         2 open curl 192.0.2.5:1001 > 192.0.2.9:443
         3 close curl 192.0.2.5:1000 > 192.0.2.9:443 100
         4 fail curl 192.0.2.5:1002 > 192.0.2.9:443
         5 close curl 192.0.2.5:1003 > 192.0.2.9:443 11
         6 open psql 127.0.0.1:9 > 127.0.0.1:5432",
        0,
        &[
            "curl 192.0.2.9 443: 3 open 1 failed 1 sent 111 Cut",
            "psql 127.0.0.1 5432: 1 open 1 failed 0 sent ? Kept",
        ],
    );
}

#[test]
fn what_comes_in_is_told_by_the_port_that_was_asked() {
    check(
        "1 open sshd 192.0.2.5:22 < 192.0.2.9:50001
         2 open sshd 192.0.2.5:22 < 192.0.2.9:50002
         3 close sshd 192.0.2.5:22 < 192.0.2.9:50001",
        0,
        &["sshd 192.0.2.9 22: 2 open 1 failed 0 sent ? Cut"],
    );
}

#[test]
fn a_port_that_is_used_again_is_another_connection() {
    check(
        "1 open curl 192.0.2.5:1000 > 192.0.2.9:443
         2 close curl 192.0.2.5:1000 > 192.0.2.9:443 5
         3 open curl 192.0.2.5:1000 > 192.0.2.9:443",
        0,
        &["curl 192.0.2.9 443: 2 open 1 failed 0 sent 5 Cut"],
    );
}

#[test]
fn what_was_not_told_of_again_after_a_start_does_not_stand() {
    check(
        "1 open curl 192.0.2.5:1000 > 192.0.2.9:443
         1 open curl 192.0.2.5:1001 > 192.0.2.9:443
         1 listen nc 0.0.0.0:99
         1 listen sshd 0.0.0.0:22
         9 stands curl 192.0.2.5:1001 > 192.0.2.9:443
         9 listen sshd 0.0.0.0:22",
        8,
        &["curl 192.0.2.9 443: 2 open 1 failed 0 sent ? Cut", "sshd waits at 0.0.0.0:22 Cut"],
    );
}

#[test]
fn datagrams_are_counted_and_never_open() {
    check(
        "1 open dig 192.0.2.5:1000 > 192.0.2.9:53 udp
         2 open dig 192.0.2.5:1001 > 192.0.2.9:53 udp",
        0,
        &["dig 192.0.2.9 53: 2 open 0 failed 0 sent ? Cut"],
    );
}

#[test]
fn who_listens_is_known_by_its_last_word() {
    check(
        "1 listen nc 0.0.0.0:99
         2 listened nc 0.0.0.0:99
         3 listen redis 127.0.0.1:6379
         4 listen dig 0.0.0.0:40000 udp",
        0,
        &["redis waits at 127.0.0.1:6379 Kept"],
    );
}

#[test]
fn an_inventory_adds_what_events_did_not_tell_and_contradicts_none() {
    let mut flows = gather("1 listened nc 0.0.0.0:99\n2 listen sshd 0.0.0.0:22");
    for (at, program) in [("0.0.0.0:99", "/nc"), ("0.0.0.0:22", "/sshd"), ("[::]:25", "/mta")] {
        flows.handle_listed(Transport::Tcp, peer(at), Some(program.into()));
    }
    let ports = flows.finish(Time(0)).ports;
    let said: Vec<_> = ports.iter().map(|port| (port.port, port.program.clone())).collect();
    assert_eq!(said, [(22, Some("/sshd".into())), (25, Some("/mta".into()))]);
}

#[test]
fn addresses_get_the_names_that_answers_gave_them() {
    let mut flows = gather("1 open curl 192.0.2.5:1000 > 192.0.2.9:443");
    let says = Says::Address("192.0.2.9".parse().unwrap());
    flows.handle_dns(&DnsEvent {
        query: "cdn.example".into(),
        query_type: 1,
        rcode: 0,
        answers: vec![Answer { ttl_secs: 1, says }],
        records: 1,
        server: peer("192.0.2.53:53"),
        client: peer("192.0.2.5:4000"),
        owner: None,
        repeats: 0,
    });
    assert_eq!(flows.finish(Time(0)).flows[0].names, ["cdn.example".into()]);
}

#[test]
fn more_groups_than_fit_are_counted_and_not_kept() {
    let mut flows = Flows::new(Ways::default());
    for number in 0..u32::try_from(GROUPS_MAX + 9).unwrap() {
        let remote = format!("{}:443", std::net::Ipv4Addr::from(0x0a00_0000 + number));
        let connection = connection("scan", "192.0.2.5:1000", ">", &remote);
        let opened = Opened { connection, existing: false };
        flows.handle_network(&NetworkEvent::Opened(opened), Time(1));
    }
    let gathered = flows.finish(Time(0));
    assert_eq!((gathered.flows.len(), gathered.left_out), (GROUPS_MAX, 9));
}
