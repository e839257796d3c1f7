//! Sessions: what is durable is acknowledged, once; what the people's side says arrives.

use std::time::Duration;

use cordon_collector::bus::Heard;
use cordon_collector::store::{LogOptions, Position, Scan};
use cordon_proto::event::Lane;
use cordon_proto::id::Hash;
use cordon_proto::message::{Ack, CollectorMessage, LanePosition, Refusal, RefusalReason, Signed};
use cordon_proto::session::{AgentEffect, AgentSession, Cursor, SealedBatch};
use cordon_proto::sign::document::{self, Kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::endpoint::Endpoint;
use crate::stage::{Stage, client, roster};

fn ack(lane: Lane, last: u64) -> CollectorMessage {
    CollectorMessage::Ack(Ack { lane, epoch: 1, last })
}

#[tokio::test]
async fn batches_are_stored_acknowledged_and_published_and_a_repeat_is_acknowledged_once() {
    let stage = Stage::open().await;
    let mut listener = stage.collector.bus.listen();
    let endpoint = Endpoint::enrolled(1, &client("acme"), &stage).await;
    let (mut connection, welcome) = endpoint.session(&stage).await;
    assert_eq!(welcome.heads, []);
    let (first, head) = endpoint.seal(Lane::Telemetry, 1, Hash::default(), 3);
    let (second, _) = endpoint.seal(Lane::Telemetry, 4, head, 2);
    assert_eq!(connection.batch(first.clone()).await, ack(Lane::Telemetry, 3));
    assert_eq!(connection.batch(first.clone()).await, ack(Lane::Telemetry, 3));
    assert_eq!(connection.batch(second.clone()).await, ack(Lane::Telemetry, 5));
    drop(connection);
    // In the next session the collector says where it stands, and repeats are repeats.
    let (mut connection, welcome) = endpoint.session(&stage).await;
    assert_eq!(welcome.heads, [Signed { bytes: second.header.clone() }]);
    assert_eq!(connection.batch(second.clone()).await, ack(Lane::Telemetry, 5));
    let log = &stage.collector.log;
    let stored = log.scan(&Scan::of(client("acme")), 10).unwrap();
    let batches: Vec<_> = stored.iter().map(|stored| stored.batch.clone()).collect();
    assert_eq!(batches, [first, second], "each once");
    assert_eq!(stored[0].clock_offset_ns, 5_000);
    for position in 1..=2 {
        let Some(Heard::Arrival(arrival)) = listener.next().await else { panic!("missed") };
        assert_eq!(arrival.position, Position(position));
        assert_eq!((&*arrival.host_name, arrival.endpoint), ("web-01", endpoint.id()));
    }
    let known = stage.collector.state.endpoint(endpoint.id()).unwrap().unwrap();
    assert_eq!((known.os.as_str(), known.boot_id.as_str()), ("Debian 13", "boot-1"));
    assert_eq!(known.clock_offset_ns, 5_000);
    drop(connection);
    stage.stop().await;
}

#[tokio::test]
async fn the_agents_own_machine_gets_on_with_this_collector() {
    let stage = Stage::open().await;
    let endpoint = Endpoint::enrolled(1, &client("acme"), &stage).await;
    let mut connection = endpoint.dial(&stage, "/v1/session", Some("cordon.v1")).await.unwrap();
    let hello = endpoint.hello(&stage);
    let bytes = document::sign(Kind::Hello, &hello, &connection.exporter, &endpoint.key);
    let now = Duration::ZERO;
    let mut spool: Vec<SealedBatch> = Vec::new();
    let mut previous = Hash::default();
    for first in [1, 11, 21] {
        let (batch, head) = endpoint.seal(Lane::Telemetry, first, previous, 10);
        spool.push(SealedBatch { epoch: 1, first, last: first + 9, batch });
        previous = head;
    }
    let lane = Lane::Telemetry;
    let sealed = vec![LanePosition { lane, epoch: 1, last: 30, head: previous }];
    let mut session = AgentSession::new(Signed { bytes }, endpoint.key.verifying(), sealed, now);
    let mut forgotten = Cursor::default();
    while forgotten.last < 30 {
        match session.poll_effect() {
            Some(AgentEffect::Send(bytes)) => connection.send(bytes).await,
            Some(AgentEffect::Fetch { lane, after, batches_max, .. }) => {
                let wanted = |sealed: &&SealedBatch| {
                    lane == Lane::Telemetry && after < Cursor { epoch: 1, last: sealed.last }
                };
                let batches: Vec<_> =
                    spool.iter().filter(wanted).take(batches_max).cloned().collect();
                session.handle_batches(lane, batches);
            }
            Some(AgentEffect::Forget { lane: Lane::Telemetry, upto }) => forgotten = upto,
            Some(AgentEffect::Live { .. } | AgentEffect::Forget { .. }) => {}
            Some(other) => panic!("{other:?}"),
            None => session.handle_message(&connection.hear().await.unwrap(), now),
        }
    }
    assert_eq!(stage.collector.log.end().unwrap(), Position(3));
}

#[tokio::test]
async fn a_full_disk_is_told_and_nothing_is_acknowledged_until_there_is_room() {
    let options = LogOptions { free_bytes_min: 0, pages_max: Some(40) };
    let stage = Stage::open_with(options, |_| ()).await;
    let endpoint = Endpoint::enrolled(1, &client("acme"), &stage).await;
    let (mut connection, _) = endpoint.session(&stage).await;
    let (mut first, mut previous) = (1, Hash::default());
    let refusal = loop {
        let (batch, head) = endpoint.seal(Lane::Telemetry, first, previous, 1000);
        match connection.batch(batch).await {
            CollectorMessage::Ack(_) => (first, previous) = (first + 1000, head),
            CollectorMessage::Refusal(refusal) => break refusal,
            other => panic!("{other:?}"),
        }
    };
    let Refusal { reason, sentence, first: refused, .. } = refusal;
    assert_eq!((reason, refused), (RefusalReason::Unavailable, first));
    assert!(sentence.contains("full"), "{sentence}");
    let end = stage.collector.log.end().unwrap();
    assert!(end > Position(0) && end.0 == (first - 1) / 1000, "all that was acknowledged");
    // The agent comes again and hears that its last acknowledged batch is the last stored.
    let (_, welcome) = endpoint.session(&stage).await;
    assert_eq!(Hash::of(&welcome.heads[0].bytes), previous);
}

#[tokio::test]
async fn clones_are_noticed_and_both_are_spoken_to() {
    let stage = Stage::open().await;
    let mut endpoint = Endpoint::enrolled(1, &client("acme"), &stage).await;
    let (mut one, _) = endpoint.session(&stage).await;
    endpoint.machine_id = "machine-copy".to_owned();
    let (mut two, _) = endpoint.session(&stage).await;
    let clones = stage.collector.state.clones(&client("acme"), endpoint.id()).unwrap();
    let machines: Vec<_> = clones.iter().map(|clone| clone.machine_id.as_str()).collect();
    assert_eq!(machines.len(), 2);
    assert!(machines.contains(&"machine-1") && machines.contains(&"machine-copy"));
    let links = &stage.collector.links;
    let written = links.send_command(endpoint.id(), b"signed command");
    assert_eq!(written.len(), 2);
    let command = CollectorMessage::Command(Signed { bytes: b"signed command".to_vec() });
    assert_eq!(one.message().await, Some(command.clone()));
    assert_eq!(two.message().await, Some(command));
    for written in written {
        written.await.unwrap();
    }
    links.end(endpoint.id(), "the test says so");
    assert_eq!(one.message().await, None);
    assert_eq!(two.message().await, None);
}

#[tokio::test]
async fn whoever_holds_an_older_roster_gets_the_newer_one() {
    let stage = Stage::open().await;
    let acme = client("acme");
    let endpoint = Endpoint::enrolled(1, &acme, &stage).await;
    let newer = roster(&acme, 2, &stage.authority);
    let (_, stored) = stage.collector.authority.verify_roster(newer.clone()).unwrap();
    assert!(stage.collector.state.put_roster(&stored, 1).unwrap());
    let (mut connection, _) = endpoint.session(&stage).await;
    let roster = CollectorMessage::Roster(Signed { bytes: newer });
    assert_eq!(connection.message().await, Some(roster));
}

#[tokio::test]
async fn when_the_collector_stops_sessions_end_and_the_port_is_free() {
    let stage = Stage::open().await;
    let address = stage.agents;
    let endpoint = Endpoint::enrolled(1, &client("acme"), &stage).await;
    let (mut connection, _) = endpoint.session(&stage).await;
    let ended = async { connection.hear().await };
    let (heard, ()) = tokio::join!(ended, stage.stop());
    assert_eq!(heard, None);
    assert!(tokio::net::TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn the_peoples_door_answers_over_tls() {
    let stage = Stage::open().await;
    let person = Endpoint::new(1, &client("acme"));
    let mut stream = person.tls(&stage, stage.people).await.unwrap();
    let request = b"GET /api/v1/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}
