//! What a table makes of changes, as timelines.

use super::*;

const OWN: u32 = 0xefff_fff9;

fn peer(text: &str) -> Peer {
    let address: std::net::SocketAddr = text.parse().unwrap();
    Peer { ip: address.ip(), port: address.port() }
}

fn owner(pid: u32) -> Option<Arc<Owner>> {
    let (start_boot_ns, uid, cgroup_id, name) = (Some(1), Some(0), None, None);
    Some(Arc::new(Owner { pid, start_boot_ns, uid, cgroup_id, name }))
}

/// `time socket netns: old new local remote pid`, a line each; `find …` for the list.
fn line(table: &mut Table, line: &str) -> Option<NetworkEvent> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let pid = |text: &str| if text == "-" { None } else { owner(text.parse().unwrap()) };
    let naming = |ip: IpAddr| (ip == IpAddr::from([192, 0, 2, 1])).then(|| "named".into());
    match words.as_slice() {
        ["find", local, "*", owner] => table.find_listener(peer(local), pid(owner)),
        ["find", local, remote, owner] => {
            table.find_connection(peer(local), peer(remote), pid(owner), &naming)
        }
        [time, socket, netns, old, new, local, remote, owner] => {
            let remote = if *remote == "*" { "0.0.0.0:0" } else { remote };
            let (old, new) = (state(old), state(new));
            let change = Change {
                boot_ns: time.parse().unwrap(),
                socket: socket.parse().unwrap(),
                netns: if *netns == "own" { OWN } else { 7 },
                old,
                new,
                local: peer(local),
                remote: peer(remote),
                owner: pid(owner),
                content: (new == STATE_CLOSE).then_some((10, 20)),
                error: (old == STATE_SYN_SENT && new == STATE_CLOSE).then_some(111),
            };
            table.handle(change, &naming)
        }
        _ => panic!("{line}"),
    }
}

fn state(name: &str) -> i32 {
    match name {
        "established" => STATE_ESTABLISHED,
        "syn-sent" => STATE_SYN_SENT,
        "syn-received" => STATE_SYN_RECEIVED,
        "fin-wait" => 5,
        "listen" => STATE_LISTEN,
        _ => STATE_CLOSE,
    }
}

fn said(event: &NetworkEvent) -> String {
    let end = |end: &Peer| std::net::SocketAddr::new(end.ip, end.port).to_string();
    let whose = |owner: &Option<Owner>| match owner {
        Some(owner) => format!("pid {}", owner.pid),
        None => "nobody".to_owned(),
    };
    let told = |connection: &Connection| {
        let Connection { direction, local, remote, owner, host_name, netns, .. } = connection;
        let direction = direction.map_or("?", |direction| match direction {
            Direction::Inbound => "from",
            Direction::Outbound => "to",
        });
        let name = host_name.as_ref().map_or_else(String::new, |name| format!(" {name:?}"));
        let netns = netns.map_or_else(String::new, |netns| format!(" netns {netns}"));
        format!("{} {direction} {}{name} of {}{netns}", end(local), end(remote), whose(owner))
    };
    match event {
        NetworkEvent::Opened(Opened { connection, existing }) => {
            format!("{} {}", if *existing { "found" } else { "open" }, told(connection))
        }
        NetworkEvent::Closed(Ended { connection, duration_ns, bytes_sent, .. }) => {
            format!("close {} {duration_ns:?} {bytes_sent:?}", told(connection))
        }
        NetworkEvent::Failed(Ended { connection, error, .. }) => {
            format!("fail {} {error:?}", told(connection))
        }
        NetworkEvent::Listening(Listener { local, owner, .. }) => {
            format!("listen {} of {}", end(local), whose(owner))
        }
        NetworkEvent::ListeningEnded(Listener { local, owner, .. }) => {
            format!("no more {} of {}", end(local), whose(owner))
        }
        NetworkEvent::Traffic(_) => panic!("TCP has no traffic"),
    }
}

#[track_caller]
fn check(loopback: bool, lines: &str, expected: &str) {
    let mut table = Table::new(OWN, loopback);
    let events = lines.lines().filter_map(|text| line(&mut table, text.trim()));
    let said: Vec<String> = events.map(|event| said(&event)).collect();
    let expected: Vec<&str> = expected.lines().map(str::trim).collect();
    assert_eq!(said, expected);
}

#[test]
fn a_connection_is_told_at_both_ends_of_its_life() {
    check(
        false,
        "100 1 own close syn-sent 192.0.2.9:0 192.0.2.1:443 7
         130 1 own syn-sent established 192.0.2.9:4000 192.0.2.1:443 -
         150 1 own established fin-wait 192.0.2.9:4000 192.0.2.1:443 -
         190 1 own fin-wait close 192.0.2.9:4000 192.0.2.1:443 -",
        "open 192.0.2.9:4000 to 192.0.2.1:443 \"named\" of pid 7
         close 192.0.2.9:4000 to 192.0.2.1:443 \"named\" of pid 7 Some(90) Some(10)",
    );
}

#[test]
fn an_attempt_that_came_to_nothing_is_marked() {
    check(
        false,
        "100 1 own close syn-sent 192.0.2.9:0 192.0.2.2:443 7
         130 1 own syn-sent close 192.0.2.9:4000 192.0.2.2:443 -",
        "fail 192.0.2.9:4000 to 192.0.2.2:443 of pid 7 Some(111)",
    );
}

#[test]
fn what_is_accepted_belongs_to_who_listens() {
    check(
        false,
        "100 1 own close listen [::]:80 * 7
         101 2 own close listen 192.0.2.9:80 * 8
         102 3 container close listen 0.0.0.0:80 * 9
         110 4 own syn-received established 192.0.2.9:80 192.0.2.2:5000 -
         111 5 own syn-received established 192.0.2.8:80 192.0.2.2:5000 -
         112 6 container syn-received established 192.0.2.9:80 192.0.2.2:5000 -
         113 7 own syn-received established 192.0.2.9:81 192.0.2.2:5000 -
         120 4 own established close 192.0.2.9:80 192.0.2.2:5000 -
         130 2 own listen close 192.0.2.9:80 * -",
        "listen [::]:80 of pid 7
         listen 192.0.2.9:80 of pid 8
         listen 0.0.0.0:80 of pid 9
         open 192.0.2.9:80 from 192.0.2.2:5000 of pid 8
         open 192.0.2.8:80 from 192.0.2.2:5000 of pid 7
         open 192.0.2.9:80 from 192.0.2.2:5000 of pid 9 netns 7
         open 192.0.2.9:81 from 192.0.2.2:5000 of nobody
         close 192.0.2.9:80 from 192.0.2.2:5000 of pid 8 Some(10) Some(10)
         no more 192.0.2.9:80 of pid 8",
    );
}

#[test]
fn processes_that_listen_side_by_side_leave_the_owner_open() {
    check(
        false,
        "100 1 own close listen 0.0.0.0:80 * 7
         101 2 own close listen 0.0.0.0:80 * 8
         110 4 own syn-received established 192.0.2.9:80 192.0.2.2:5000 -",
        "listen 0.0.0.0:80 of pid 7
         listen 0.0.0.0:80 of pid 8
         open 192.0.2.9:80 from 192.0.2.2:5000 of nobody",
    );
}

#[test]
fn what_stood_before_is_found_once_and_ends_with_its_owner() {
    check(
        false,
        "100 1 own close listen 0.0.0.0:80 * 7
         find 0.0.0.0:80 * 7
         find 0.0.0.0:22 * 8
         find 192.0.2.9:22 192.0.2.2:5000 8
         find 192.0.2.9:4000 192.0.2.1:443 9
         110 6 own established close 192.0.2.9:4001 192.0.2.1:443 -
         find 192.0.2.9:4001 192.0.2.1:443 9
         120 5 own fin-wait close 192.0.2.9:22 192.0.2.2:5000 -
         121 9 own listen close 0.0.0.0:22 * -",
        "listen 0.0.0.0:80 of pid 7
         listen 0.0.0.0:22 of pid 8
         found 192.0.2.9:22 from 192.0.2.2:5000 of pid 8
         found 192.0.2.9:4000 to 192.0.2.1:443 \"named\" of pid 9
         close 192.0.2.9:4001 ? 192.0.2.1:443 of nobody None Some(10)
         close 192.0.2.9:22 from 192.0.2.2:5000 of pid 8 None Some(10)
         no more 0.0.0.0:22 of pid 8",
    );
}

#[test]
fn what_stays_within_the_machine_is_told_only_when_asked_for() {
    let lines = "100 1 own close syn-sent 192.0.2.9:0 192.0.2.9:443 7
         130 1 own syn-sent established 192.0.2.9:4000 192.0.2.9:443 -
         140 2 own close listen 127.0.0.1:80 * 8
         150 1 own established close 192.0.2.9:4000 192.0.2.9:443 -";
    check(false, lines, "listen 127.0.0.1:80 of pid 8");
    check(
        true,
        lines,
        "open 192.0.2.9:4000 to 192.0.2.9:443 of pid 7
         listen 127.0.0.1:80 of pid 8
         close 192.0.2.9:4000 to 192.0.2.9:443 of pid 7 Some(50) Some(10)",
    );
}

#[test]
fn an_end_without_a_beginning_is_told_as_far_as_it_is_known() {
    check(
        false,
        "130 1 own established close 192.0.2.9:4000 192.0.2.1:443 -
         140 2 own syn-received close 192.0.2.9:80 192.0.2.2:5000 -",
        "close 192.0.2.9:4000 ? 192.0.2.1:443 of nobody None Some(10)",
    );
}

#[test]
fn a_full_table_forgets_owners_and_no_events() {
    let mut table = Table::new(OWN, false);
    for number in 0..CONNECTIONS_MAX + 5 {
        let text = format!("1 {number} own close syn-sent 192.0.2.9:0 192.0.2.1:443 7");
        assert!(line(&mut table, &text).is_none());
    }
    assert_eq!(table.connections.len(), CONNECTIONS_MAX);
    let last = CONNECTIONS_MAX + 1;
    let text = format!("2 {last} own syn-sent established 192.0.2.9:40 192.0.2.1:443 -");
    let event = line(&mut table, &text).unwrap();
    assert_eq!(said(&event), "open 192.0.2.9:40 to 192.0.2.1:443 \"named\" of nobody");
}
