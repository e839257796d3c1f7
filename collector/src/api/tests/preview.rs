//! What an isolation would cut, and who must sign where others live by a machine.

use cordon_proto::event::inventory::rebuilt::WholeHash;
use cordon_proto::event::inventory::{Change, Field, Inventory, Item, Subject};
use cordon_proto::event::network::{
    Connection, Direction, Listener, Means, NetworkEvent, Opened, Owner, Peer, Transport,
};
use cordon_proto::policy::{self, Exemption, Policy};

use super::*;

fn peer(text: &str) -> Peer {
    let at: std::net::SocketAddr = text.parse().unwrap();
    Peer { ip: at.ip(), port: at.port() }
}

fn owner(program: &str) -> Option<Owner> {
    let name = Some(program.into());
    Some(Owner { pid: 7, start_boot_ns: None, uid: Some(0), cgroup_id: None, name })
}

fn opened(program: &str, remote: &str) -> Fact {
    let connection = Connection {
        means: Means::Bpf,
        transport: Transport::Tcp,
        direction: Some(Direction::Outbound),
        local: peer("192.0.2.5:40000"),
        remote: peer(remote),
        owner: owner(program),
        host_name: Some("backup.example".into()),
        netns: None,
    };
    Fact::Network(Box::new(NetworkEvent::Opened(Opened { connection, existing: false })))
}

fn listening(program: &str, local: &str) -> Fact {
    Fact::Network(Box::new(NetworkEvent::Listening(Listener {
        means: Means::Bpf,
        transport: Transport::Tcp,
        local: peer(local),
        owner: owner(program),
        netns: None,
        existing: false,
    })))
}

/// An inventory that says a name server waits.
fn name_server() -> Fact {
    let field = |name: &str, value: &str| Field { name: name.to_owned(), value: value.into() };
    let fields = vec![
        field("protocol", "udp"),
        field("address", "0.0.0.0"),
        field("port", "53"),
        field("program", "/usr/sbin/named"),
    ];
    let key: cordon_proto::Text = "udp 0.0.0.0 53".into();
    let mut hash = WholeHash::default();
    hash.add(&Item { key: key.clone(), fields: fields.clone() }.to_bytes());
    Fact::Inventory(Inventory {
        subject: Subject::Listeners,
        version: 1,
        is_base: true,
        part: 0,
        parts: 1,
        changes: vec![Change { key, before: None, after: Some(fields), warning: None }],
        items: 1,
        hash: hash.finish(),
        left_out: 0,
    })
}

/// Has `ann` and `rob` set a policy that exempts the backup.
async fn exempt_backup(world: &World, host: &Host) {
    let exempt = Exemption {
        address: "192.0.2.9".parse().unwrap(),
        port: 22,
        transport: policy::Transport::Tcp,
        process: None,
        user: None,
    };
    let policy = Policy {
        exemptions: vec![exempt],
        critical: vec![host.endpoint],
        ..Policy::new(host.client.clone(), 4)
    };
    let command = Command { action: Action::SetPolicy(policy), ..isolation(77, &[host]) };
    let signed = SignedCommand::sign(command.clone(), &key("ann"));
    let stored = crate::store::NewCommand {
        signed: &signed,
        by: "ann".parse().unwrap(),
        authorised: Some(vec!["ann".parse().unwrap(), "rob".parse().unwrap()]),
        act: crate::audit::Act {
            client: host.client.clone(),
            who: "ann".parse().unwrap(),
            key: key("ann").id(),
            what: crate::audit::Deed::CommandUpload,
            to: String::new(),
            detail: String::new(),
        },
        brake: crate::command::Brake {
            commands_per_hour_max: 9,
            alone_percent_max: None,
            carries_others: false,
        },
        now: crate::time::Time(world.clock.wall_ns()),
    };
    world.collector.state.add_command(stored).unwrap();
}

#[tokio::test]
async fn a_preview_says_what_is_cut_and_what_policy_keeps() {
    let world = World::new();
    let mut host = world.enrol("acme", "web-01");
    exempt_backup(&world, &host).await;
    let facts = vec![
        opened("borg", "192.0.2.9:22"),
        opened("\u{1b}[2Jcurl", "203.0.113.7:443"),
        listening("sshd", "0.0.0.0:22"),
        listening("redis", "127.0.0.1:6379"),
    ];
    world.store(&mut host, Lane::Telemetry, facts).await;
    let vic = world.sign_in("vic").await;
    let path = format!("/endpoints/{}/preview", host.endpoint);
    let shown = world.get(&path, &vic).await;
    assert_eq!(shown["events"], 4, "{shown}");
    assert_eq!((&shown["policy_version"], &shown["critical"]), (&json!(4), &json!(true)));
    let flow = |at: usize| {
        let flow = &shown["flows"][at];
        (flow["address"].clone(), flow["fate"].clone(), flow["open"].clone())
    };
    assert_eq!(flow(0), (json!("203.0.113.7"), json!("cut"), json!(1)));
    assert_eq!(flow(1), (json!("192.0.2.9"), json!("kept"), json!(1)));
    assert_eq!(shown["flows"][1]["names"], json!(["backup.example"]));
    assert_eq!(shown["flows"][0]["program"], "\u{1b}[2Jcurl", "escaping is for who shows it");
    let ports: Vec<_> = shown["listeners"].as_array().unwrap().iter().collect();
    assert_eq!((&ports[0]["port"], &ports[0]["fate"]), (&json!(22), &json!("cut")));
    assert_eq!((&ports[1]["port"], &ports[1]["fate"]), (&json!(6379), &json!("kept")));
    assert!(shown["needs_second"].is_null());

    world.store(&mut host, Lane::Control, vec![health(1000, 1, vec![])]).await;
    // A day later nobody knows of connections any more; of one that is offline what it last told.
    world.pass(3 * 24 * 3600);
    let vic = world.sign_in("vic").await;
    let offline = world.get(&path, &vic).await;
    assert_eq!((&offline["state"], &offline["events"]), (&json!("offline"), &json!(4)));
    let _seat = super::commands::connect(&world, &host);
    let online = world.get(&path, &vic).await;
    assert_eq!((&online["state"], &online["events"]), (&json!("online"), &json!(0)));
}

async fn isolate(world: &World, command: &Command, who: &str) -> (StatusCode, Value) {
    let token = world.sign_in(who).await;
    world.call("POST", "/commands", Some(&token), Some(signed(command, &[who]))).await
}

#[tokio::test]
async fn a_machine_that_others_live_by_waits_for_a_second_person() {
    let world = World::new();
    let mut host = world.enrol("acme", "dns-01");
    world.store(&mut host, Lane::Telemetry, vec![name_server()]).await;
    world.pass(3600);
    let mut seat = super::commands::connect(&world, &host);
    let command = isolation(1, &[&host]);
    let (status, shown) = isolate(&world, &command, "rob").await;
    assert_eq!(status, StatusCode::CREATED, "{shown}");
    let says = "another person's signature: dns-01 is needed by others: DNS server \
                (udp port 53 at 0.0.0.0, by named)";
    assert_eq!(shown["waits_for"], says);
    assert!(seat.words.try_recv().is_err(), "it went out all the same");
    let vic = world.sign_in("vic").await;
    let preview = world.get(&format!("/endpoints/{}/preview", host.endpoint), &vic).await;
    assert!(preview["needs_second"].as_str().unwrap().contains("DNS server"), "{preview}");

    let ria = world.sign_in("ria").await;
    let path = format!("/commands/{}/signatures", command.id);
    let (_, shown) = world.call("POST", &path, Some(&ria), Some(signed(&command, &["ria"]))).await;
    assert!(shown["waits_for"].is_null(), "{shown}");
    assert!(seat.words.try_recv().is_ok(), "two persons are enough");

    // What lets back is never held.
    let release = Command { action: Action::Release, ..isolation(2, &[&host]) };
    let (_, shown) = isolate(&world, &release, "rob").await;
    assert!(shown["waits_for"].is_null(), "{shown}");
}

#[tokio::test]
async fn who_took_a_role_up_a_moment_ago_delays_nothing() {
    let world = World::new();
    let mut host = world.enrol("acme", "web-01");
    world.store(&mut host, Lane::Telemetry, vec![name_server()]).await;
    world.pass(3599);
    let (_, shown) = isolate(&world, &isolation(1, &[&host]), "rob").await;
    assert!(shown["waits_for"].is_null(), "{shown}");
}

#[tokio::test]
async fn where_nobody_else_could_sign_nobody_else_is_asked() {
    let world = World::new();
    let mut host = world.enrol("zeta", "dns-01");
    world.store(&mut host, Lane::Telemetry, vec![name_server()]).await;
    world.pass(3600);
    let (_, shown) = isolate(&world, &isolation(1, &[&host]), "zed").await;
    assert!(shown["waits_for"].is_null(), "{shown}");
}
