//! Sessions with a door on the loopback: greeted, ended, refused, through a proxy.

use cordon_proto::id::{EndpointId, Hash};
use cordon_proto::message::{AgentMessage, CollectorMessage, Ping, Welcome};
use cordon_proto::roster::RosterRef;
use cordon_proto::version;
use futures_util::{SinkExt, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::test_door::{Accepted, Authority, accept, listen};
use super::*;
use crate::tls;

fn key() -> SigningKey {
    SigningKey::from_seed(&[5; 32]).unwrap()
}

fn hello() -> Hello {
    Hello {
        protocol: version::PROTOCOL,
        protocol_oldest: version::PROTOCOL_OLDEST,
        endpoint: EndpointId(key().id().0),
        client: "acme".parse().unwrap(),
        agent_version: "1".to_owned(),
        host_name: "h".to_owned(),
        os: "o".to_owned(),
        kernel: "k".to_owned(),
        machine_id: "m".to_owned(),
        boot_id: "b".to_owned(),
        time_ns: 1,
        roster: RosterRef { version: 1, hash: Hash::default() },
    }
}

fn dialer(authority: &Authority, door: String) -> Dialer {
    let certificate = authority.endpoint(EndpointId(key().id().0));
    let tls = tls::client(vec![authority.pin()], Some(&certificate)).unwrap();
    Dialer { collectors: vec![door], proxy: None, known: vec![], tls, prepare: None }
}

/// Lets a link in at a door that asks for its certificate; the hello is verified over the exporter.
async fn welcome(authority: &Authority, listener: &tokio::net::TcpListener) -> Accepted {
    let door = authority.door((2020, 2099), true);
    let (mut socket, path, exporter) = accept(listener, door).await.unwrap();
    assert_eq!(path, SESSION_PATH);
    assert!(socket.get_ref().get_ref().1.peer_certificates().is_some());
    let first = socket.next().await.unwrap().unwrap().into_data();
    let AgentMessage::Hello(signed) = AgentMessage::decode(&first).unwrap() else {
        panic!("the first word is no hello")
    };
    let said: Hello =
        document::verify(Kind::Hello, &signed.bytes, &exporter, &key().verifying()).unwrap();
    assert_eq!(said, hello());
    let welcome = Welcome { protocol: version::PROTOCOL, time_ns: 7, heads: vec![] };
    say(&mut socket, CollectorMessage::Welcome(welcome)).await;
    socket
}

async fn say(socket: &mut Accepted, message: CollectorMessage) {
    socket.send(Message::binary(message.encode())).await.unwrap();
}

/// What the link wants, until it is down; greets by itself.
async fn until_down(link: &mut Link) -> Vec<String> {
    let mut wanted = Vec::new();
    loop {
        match link.next().await {
            LinkEvent::Connected => link.greet(&hello(), &key(), vec![]),
            LinkEvent::Effect(AgentEffect::Fetch { lane, .. }) => {
                wanted.push(format!("fetch {}", lane.name()));
                link.handle_batches(lane, vec![]);
            }
            LinkEvent::Effect(effect) => wanted.push(format!("{effect:?}")),
            LinkEvent::Down { why, .. } => {
                wanted.push(why);
                return wanted;
            }
        }
    }
}

/// A session in which the collector sends `says` after its welcome.
async fn session(says: Vec<Message>) -> Vec<String> {
    let authority = Authority::new();
    let (listener, address) = listen().await;
    let mut link = Link::new(dialer(&authority, address), Clock::start());
    let serve = async {
        let mut socket = welcome(&authority, &listener).await;
        for message in says {
            // The link may hang up before it has heard all of it.
            drop(socket.send(message).await);
        }
        while let Some(Ok(_)) = socket.next().await {}
    };
    tokio::join!(until_down(&mut link), serve).0
}

fn command() -> Message {
    Message::binary(CollectorMessage::Command(Signed { bytes: vec![1, 2] }).encode())
}

#[tokio::test]
async fn a_session_is_greeted_over_its_own_connection_and_carries_commands() {
    let wanted = session(vec![command(), Message::Close(None)]).await;
    let live = "Live { time_ns: 7 }";
    let closed = "the collector closed the session";
    assert_eq!(wanted, [live, "fetch control", "fetch telemetry", "Command([1, 2])", closed]);
}

#[tokio::test]
async fn what_a_collector_must_not_send_ends_the_session_with_its_reason() {
    let text = session(vec![Message::text("hello")]).await;
    assert_eq!(text.last().unwrap(), "the collector sent text, which has no meaning");
    let garbage = session(vec![Message::binary(vec![0xff])]).await;
    assert!(garbage.last().unwrap().starts_with("the collector sent what is none"), "{garbage:?}");
    let long = session(vec![Message::binary(vec![0; (4 << 20) + 1])]).await;
    assert!(long.last().unwrap().contains("Space limit exceeded"), "{long:?}");
}

#[tokio::test]
async fn a_ping_is_answered_with_its_number() {
    let authority = Authority::new();
    let (listener, address) = listen().await;
    let mut link = Link::new(dialer(&authority, address), Clock::start());
    let serve = async {
        let mut socket = welcome(&authority, &listener).await;
        say(&mut socket, CollectorMessage::Ping(Ping { number: 41 })).await;
        let answer = socket.next().await.unwrap().unwrap().into_data();
        assert_eq!(AgentMessage::decode(&answer).unwrap(), AgentMessage::Pong(Ping { number: 41 }));
    };
    let (wanted, ()) = tokio::join!(until_down(&mut link), serve);
    assert_eq!(wanted[0], "Live { time_ns: 7 }");
}

#[tokio::test]
async fn a_certificate_that_is_not_accepted_is_told_apart_from_a_door_that_is_shut() {
    let (other, authority) = (Authority::new(), Authority::new());
    let (listener, address) = listen().await;
    let mut dialer = dialer(&authority, address);
    let foreign = other.endpoint(EndpointId(key().id().0));
    dialer.tls = tls::client(vec![authority.pin()], Some(&foreign)).unwrap();
    let mut link = Link::new(dialer, Clock::start());
    let serve = async {
        assert!(accept(&listener, authority.door((2020, 2099), true)).await.is_err());
    };
    let (event, ()) = tokio::join!(link.next(), serve);
    let LinkEvent::Down { certificate_refused, why, .. } = event else { panic!("{event:?}") };
    assert!(certificate_refused, "{why}");
    drop(listener);
    let event = link.next().await;
    let LinkEvent::Down { certificate_refused, why, .. } = event else { panic!("{event:?}") };
    assert!(!certificate_refused && why.contains("Connection refused"), "{why}");
}

#[tokio::test]
async fn a_proxy_that_answers_connect_is_a_way_to_the_collector() {
    let authority = Authority::new();
    let (door, door_address) = listen().await;
    let (proxy, proxy_address) = listen().await;
    // The collector's name is one that only the proxy can resolve.
    let mut dialer = dialer(&authority, "collector.invalid:7443".to_owned());
    let settings = crate::config::Proxy { address: Some(proxy_address), ..Default::default() };
    dialer.proxy = super::proxy::ProxyWay::from_config(&settings).unwrap();
    let mut link = Link::new(dialer, Clock::start());
    let forward = async {
        let (mut agent, _) = proxy.accept().await.unwrap();
        let mut asked = [0; 256];
        let bytes = agent.read(&mut asked).await.unwrap();
        assert!(asked[..bytes].starts_with(b"CONNECT collector.invalid:7443 HTTP/1.1\r\n"));
        let mut collector = TcpStream::connect(door_address).await.unwrap();
        agent.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.unwrap();
        // Ends when the collector ends it; how does not matter.
        drop(tokio::io::copy_bidirectional(&mut agent, &mut collector).await);
    };
    let serve = async {
        let mut socket = welcome(&authority, &door).await;
        socket.close(None).await.unwrap();
    };
    let (wanted, (), ()) = tokio::join!(until_down(&mut link), forward, serve);
    assert_eq!(wanted[0], "Live { time_ns: 7 }");
}

#[tokio::test]
async fn sockets_are_prepared_before_they_connect_and_known_addresses_need_no_names() {
    let authority = Authority::new();
    let (listener, address) = listen().await;
    let mut dialer = dialer(&authority, "collector.invalid:7443".to_owned());
    dialer.known = vec![address.parse().unwrap()];
    dialer.prepare = Some(std::sync::Arc::new(|_| Err(std::io::Error::other("not permitted"))));
    let mut link = Link::new(dialer, Clock::start());
    let LinkEvent::Down { why, .. } = link.next().await else { panic!("it connected") };
    assert!(why.contains("the socket cannot be marked: not permitted"), "{why}");
    link.set_dialer(|dialer| dialer.prepare = None);
    link.redial();
    let serve = async {
        let mut socket = welcome(&authority, &listener).await;
        socket.close(None).await.unwrap();
    };
    let (wanted, ()) = tokio::join!(until_down(&mut link), serve);
    assert_eq!(wanted[0], "Live { time_ns: 7 }");
}
