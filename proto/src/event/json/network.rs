//! Connections, listeners and datagrams as JSON: OCSF Network Activity.

use serde_json::{Map, Value, json};

use super::{Kind, put, put_text};
use crate::event::network::{
    Connection, Direction, Ended, Listener, NetworkEvent, Opened, Owner, Peer, Traffic, Transport,
};

/// Linux' numbers of the errors that OCSF has activities for.
const CONNECTION_RESET: u32 = 104;
const CONNECTION_REFUSED: u32 = 111;

/// OCSF Network Activity.
pub(super) fn fields(event: &NetworkEvent, map: &mut Map<String, Value>) -> Kind {
    let (activity_id, activity_name) = match event {
        NetworkEvent::Opened(Opened { connection, existing }) => {
            connection_fields(connection, map);
            put(map, "is_existing", existing.then_some(true));
            (1, "Open")
        }
        NetworkEvent::Closed(ended) => {
            ended_fields(ended, map);
            if ended.error == Some(CONNECTION_RESET) { (3, "Reset") } else { (2, "Close") }
        }
        NetworkEvent::Failed(ended) => {
            ended_fields(ended, map);
            if ended.error == Some(CONNECTION_REFUSED) { (5, "Refuse") } else { (4, "Fail") }
        }
        NetworkEvent::Listening(listener) => {
            listener_fields(listener, map);
            (7, "Listen")
        }
        NetworkEvent::ListeningEnded(listener) => {
            listener_fields(listener, map);
            (99, "Listen Ended")
        }
        NetworkEvent::Traffic(Traffic { connection, duration_ns, sends }) => {
            connection_fields(connection, map);
            put(map, "duration_ns", duration_ns.to_string());
            put(map, "traffic", json!({ "packets_out": sends }));
            (6, "Traffic")
        }
    };
    Kind { class_uid: 4001, class_name: "Network Activity", activity_id, activity_name }
}

/// A process as the actor of what happened.
pub(super) fn actor(owner: &Owner) -> Value {
    let Owner { pid, start_boot_ns, uid, cgroup_id, name } = owner;
    let mut process = Map::new();
    put(&mut process, "pid", pid);
    put(&mut process, "start_boot_ns", start_boot_ns.map(|ns| ns.to_string()));
    put(&mut process, "user", uid.map(|uid| json!({ "uid": uid.to_string() })));
    put(&mut process, "cgroup_id", cgroup_id.map(|id| id.to_string()));
    if let Some(name) = name {
        put_text(&mut process, "name", name);
    }
    json!({ "process": process })
}

/// One end, as OCSF's network endpoint.
pub(super) fn end(Peer { ip, port }: &Peer) -> Map<String, Value> {
    let mut map = Map::new();
    put(&mut map, "ip", ip.to_string());
    put(&mut map, "port", Some(port).filter(|port| **port != 0));
    map
}

fn connection_fields(connection: &Connection, map: &mut Map<String, Value>) {
    let Connection { means, transport, direction, local, remote, owner, host_name, netns } =
        connection;
    let mut other = end(remote);
    if let Some(name) = host_name {
        put_text(&mut other, "hostname", name);
    }
    // OCSF's source is the end that began; where that is not known, this one is told first.
    let (source, destination) = match direction {
        Some(Direction::Inbound) => (other, end(local)),
        Some(Direction::Outbound) | None => (end(local), other),
    };
    map.insert("src_endpoint".to_owned(), Value::Object(source));
    map.insert("dst_endpoint".to_owned(), Value::Object(destination));
    put(map, "connection_info", connection_info(*transport, *direction));
    put(map, "actor", owner.as_ref().map(actor));
    put(map, "netns", netns.map(|inode| inode.to_string()));
    put(map, "sensor_means", means);
    put(map, "unavailable", owner.is_none().then_some(["owner"]));
}

fn connection_info(transport: Transport, direction: Option<Direction>) -> Value {
    let (number, name) = match transport {
        Transport::Tcp => (6, "tcp"),
        Transport::Udp => (17, "udp"),
    };
    let (direction_id, direction) = match direction {
        None => (0, "Unknown"),
        Some(Direction::Inbound) => (1, "Inbound"),
        Some(Direction::Outbound) => (2, "Outbound"),
    };
    json!({
        "protocol_num": number,
        "protocol_name": name,
        "direction_id": direction_id,
        "direction": direction,
    })
}

fn ended_fields(ended: &Ended, map: &mut Map<String, Value>) {
    const NS_IN_MS: u64 = 1_000_000;
    let Ended { connection, duration_ns, bytes_sent, bytes_received, error } = ended;
    connection_fields(connection, map);
    put(map, "duration", duration_ns.and_then(|ns| ns.checked_div(NS_IN_MS)));
    put(map, "duration_ns", duration_ns.map(|ns| ns.to_string()));
    let mut traffic = Map::new();
    put(&mut traffic, "bytes_out", bytes_sent.map(|bytes| bytes.to_string()));
    put(&mut traffic, "bytes_in", bytes_received.map(|bytes| bytes.to_string()));
    if !traffic.is_empty() {
        map.insert("traffic".to_owned(), Value::Object(traffic));
    }
    put(map, "status_code", error.map(|number| number.to_string()));
    put(map, "status_detail", error.and_then(error_name));
}

/// The names of the errors that end connections, as `errno(3)` gives them.
fn error_name(number: u32) -> Option<&'static str> {
    Some(match number {
        1 => "EPERM",
        13 => "EACCES",
        32 => "EPIPE",
        103 => "ECONNABORTED",
        CONNECTION_RESET => "ECONNRESET",
        110 => "ETIMEDOUT",
        CONNECTION_REFUSED => "ECONNREFUSED",
        112 => "EHOSTDOWN",
        113 => "EHOSTUNREACH",
        _ => return None,
    })
}

fn listener_fields(listener: &Listener, map: &mut Map<String, Value>) {
    let Listener { means, transport, local, owner, netns, existing } = listener;
    map.insert("dst_endpoint".to_owned(), Value::Object(end(local)));
    put(map, "connection_info", connection_info(*transport, Some(Direction::Inbound)));
    put(map, "actor", owner.as_ref().map(actor));
    put(map, "netns", netns.map(|inode| inode.to_string()));
    put(map, "sensor_means", means);
    put(map, "is_existing", existing.then_some(true));
    put(map, "unavailable", owner.is_none().then_some(["owner"]));
}

#[cfg(test)]
mod tests {
    use super::super::of_body;
    use super::*;
    use crate::event::Body;
    use crate::event::network::Means;

    fn peer(text: &str) -> Peer {
        let address: std::net::SocketAddr = text.parse().unwrap();
        Peer { ip: address.ip(), port: address.port() }
    }

    fn ended(direction: Direction, error: Option<u32>) -> Ended {
        let owner = Owner {
            pid: 7,
            start_boot_ns: Some(5),
            uid: Some(1000),
            cgroup_id: None,
            name: Some("curl".into()),
        };
        let connection = Connection {
            means: Means::Bpf,
            transport: Transport::Tcp,
            direction: Some(direction),
            local: peer("[2001:db8::1]:40000"),
            remote: peer("192.0.2.7:443"),
            owner: Some(owner),
            host_name: Some("example.com".into()),
            netns: None,
        };
        let (duration_ns, bytes_sent) = (Some(1_500_000), Some(u64::MAX));
        Ended { connection, duration_ns, bytes_sent, bytes_received: None, error }
    }

    #[test]
    fn the_source_is_the_end_that_began() {
        let event = NetworkEvent::Closed(ended(Direction::Outbound, None));
        let json = of_body(Body::Network(Box::new(event)));
        assert_eq!(json["type_uid"], 400_102);
        assert_eq!(json["category_uid"], 4);
        assert_eq!(json["src_endpoint"], json!({ "ip": "2001:db8::1", "port": 40000 }));
        assert_eq!(json["dst_endpoint"]["hostname"], "example.com");
        assert_eq!(json["actor"]["process"]["name"], "curl");
        assert_eq!(json["traffic"], json!({ "bytes_out": "18446744073709551615" }));
        assert_eq!((&json["duration"], &json["duration_ns"]), (&json!(1), &json!("1500000")));
        let event = NetworkEvent::Closed(ended(Direction::Inbound, Some(104)));
        let json = of_body(Body::Network(Box::new(event)));
        assert_eq!(json["src_endpoint"]["ip"], "192.0.2.7");
        assert_eq!(json["activity_name"], "Reset");
    }

    #[test]
    fn a_refused_attempt_is_told_from_one_without_an_answer() {
        for (error, activity) in [(Some(111), "Refuse"), (Some(110), "Fail"), (None, "Fail")] {
            let event = NetworkEvent::Failed(ended(Direction::Outbound, error));
            let json = of_body(Body::Network(Box::new(event)));
            assert_eq!(json["activity_name"], activity);
        }
    }
}
