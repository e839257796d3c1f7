//! Whoever does not keep to the protocol is told so, harms nobody, and gets nothing stored.

use cordon_collector::store::{LogOptions, Position};
use cordon_proto::event::Lane;
use cordon_proto::id::Hash;
use cordon_proto::limits;
use cordon_proto::message::{CollectorMessage, Refusal, RefusalReason};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::endpoint::{Connection, Endpoint};
use crate::stage::{Stage, client};

async fn refused(connection: &mut Connection, answer: CollectorMessage, says: &str) {
    match answer {
        CollectorMessage::Complaint(complaint) => {
            assert!(complaint.fatal && complaint.sentence.contains(says), "{}", complaint.sentence);
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(connection.message().await, None, "the session ended");
}

#[tokio::test]
async fn nobody_speaks_as_another_endpoint() {
    let stage = Stage::open().await;
    let acme = client("acme");
    let one = Endpoint::enrolled(1, &acme, &stage).await;
    let two = Endpoint::enrolled(2, &acme, &stage).await;
    let dial = || one.dial(&stage, "/v1/session", Some("cordon.v1"));
    // Another's id, under another's certificate.
    let mut connection = dial().await.unwrap();
    let answer = connection.greet(&two.hello(&stage), &two.key).await;
    refused(&mut connection, answer, "your certificate is that of").await;
    // Its own id, and another's signature.
    let mut connection = dial().await.unwrap();
    let answer = connection.greet(&one.hello(&stage), &two.key).await;
    refused(&mut connection, answer, "signature").await;
    // Signed for another connection.
    let mut connection = dial().await.unwrap();
    connection.exporter = vec![1; 32];
    let answer = connection.greet(&one.hello(&stage), &one.key).await;
    refused(&mut connection, answer, "signature").await;
    // Another client's.
    let mut connection = dial().await.unwrap();
    let mut hello = one.hello(&stage);
    hello.client = client("other");
    let answer = connection.greet(&hello, &one.key).await;
    refused(&mut connection, answer, "belongs to client acme").await;
    // A batch of another endpoint in an honest session.
    let (mut connection, _) = one.session(&stage).await;
    let (foreign, _) = two.seal(Lane::Telemetry, 1, Hash::default(), 1);
    match connection.batch(foreign).await {
        CollectorMessage::Refusal(Refusal { reason: RefusalReason::Invalid, .. }) => (),
        other => panic!("{other:?}"),
    }
    assert_eq!(stage.collector.log.end().unwrap(), Position(0));
}

#[tokio::test]
async fn a_broken_chain_is_refused_with_its_reason_and_what_is_stored() {
    let stage = Stage::open().await;
    let endpoint = Endpoint::enrolled(1, &client("acme"), &stage).await;
    let (mut connection, _) = endpoint.session(&stage).await;
    let (first, head) = endpoint.seal(Lane::Telemetry, 1, Hash::default(), 3);
    connection.batch(first.clone()).await;
    for (number, previous) in [(5, head), (4, Hash::of(b"something else"))] {
        let (batch, _) = endpoint.seal(Lane::Telemetry, number, previous, 1);
        // A broken chain ends the session: what else was under way would only break, too.
        let (mut connection, _) = endpoint.session(&stage).await;
        match connection.batch(batch).await {
            CollectorMessage::Refusal(refusal) => {
                assert_eq!(refusal.reason, RefusalReason::BrokenChain);
                assert_eq!(refusal.first, number);
                assert_eq!(refusal.stored.unwrap().bytes, first.header);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(stage.collector.log.end().unwrap(), Position(1));
}

#[tokio::test]
async fn other_content_under_stored_numbers_is_a_conflict_and_kept_as_evidence() {
    let stage = Stage::open().await;
    let acme = client("acme");
    let endpoint = Endpoint::enrolled(1, &acme, &stage).await;
    let (mut connection, _) = endpoint.session(&stage).await;
    let (first, _) = endpoint.seal(Lane::Telemetry, 1, Hash::default(), 3);
    let (other, _) = endpoint.seal(Lane::Telemetry, 1, Hash::default(), 2);
    connection.batch(first).await;
    match connection.batch(other.clone()).await {
        CollectorMessage::Refusal(Refusal { reason: RefusalReason::Conflict, .. }) => (),
        answer => panic!("{answer:?}"),
    }
    let evidence = stage.collector.log.evidence(&acme, endpoint.id(), 10).unwrap();
    assert_eq!(evidence.len(), 1);
    assert_eq!(evidence[0].batch, other);
    assert_eq!(stage.collector.log.end().unwrap(), Position(1));
}

#[tokio::test]
async fn garbage_and_oversized_messages_end_the_connection_and_nothing_else() {
    let stage = Stage::open().await;
    let acme = client("acme");
    let endpoint = Endpoint::enrolled(1, &acme, &stage).await;
    let (mut honest, _) = endpoint.session(&stage).await;
    for garbage in [vec![], vec![0xff; 100], b"GET / HTTP/1.1\r\n\r\n".to_vec()] {
        let (mut connection, _) = endpoint.session(&stage).await;
        connection.send(garbage).await;
        let answer = connection.message().await.unwrap();
        refused(&mut connection, answer, "your message is none").await;
    }
    let (mut connection, _) = endpoint.session(&stage).await;
    let oversized = vec![0; limits::MESSAGE_BYTES_MAX + 1];
    // The other end may hang up before all is written.
    futures_util::SinkExt::send(&mut connection.socket, oversized.into()).await.ok();
    assert_eq!(connection.message().await, None);
    // A batch before the hello.
    let mut connection = endpoint.dial(&stage, "/v1/session", Some("cordon.v1")).await.unwrap();
    let (batch, _) = endpoint.seal(Lane::Telemetry, 1, Hash::default(), 1);
    let answer = connection.batch(batch.clone()).await;
    refused(&mut connection, answer, "out of turn").await;
    assert!(matches!(honest.batch(batch).await, CollectorMessage::Ack(_)));
}

#[tokio::test]
async fn without_the_right_path_subprotocol_and_certificate_there_is_no_session() {
    let stage = Stage::open().await;
    let acme = client("acme");
    let enrolled = Endpoint::enrolled(1, &acme, &stage).await;
    let stranger = Endpoint::new(2, &acme);
    for (endpoint, path, subprotocol, status) in [
        (&enrolled, "/v1/other", Some("cordon.v1"), "404"),
        (&enrolled, "/v1/session", None, "400"),
        (&enrolled, "/v1/session", Some("cordon.v9"), "400"),
        (&stranger, "/v1/session", Some("cordon.v1"), "401"),
    ] {
        let error = endpoint.dial(&stage, path, subprotocol).await.err().unwrap().to_string();
        assert!(error.contains(status), "{error}");
    }
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_not_taken() {
    let stage = Stage::open().await;
    let elsewhere = Stage::open().await;
    let endpoint = Endpoint::enrolled(1, &client("acme"), &elsewhere).await;
    // In TLS 1.3 the client learns of it with its first read.
    assert!(endpoint.dial(&stage, "/v1/session", Some("cordon.v1")).await.is_err());
    assert!(endpoint.dial(&stage, "/v1/enrol", None).await.is_err());
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_and_those_within_it_live() {
    let limit = |config: &mut cordon_collector::config::Config| config.agents_per_address_max = 2;
    let stage = Stage::open_with(LogOptions::default(), limit).await;
    let endpoint = Endpoint::enrolled(1, &client("acme"), &stage).await;
    let (mut honest, _) = endpoint.session(&stage).await;
    // What the enrolment held is given back in a moment.
    tokio::task::yield_now().await;
    let _silent = TcpStream::connect(stage.agents).await.unwrap();
    let mut third = TcpStream::connect(stage.agents).await.unwrap();
    let read = third.read(&mut [0; 1]).await;
    assert!(matches!(read, Ok(0) | Err(_)), "closed without a handshake");
    let (batch, _) = endpoint.seal(Lane::Telemetry, 1, Hash::default(), 1);
    assert!(matches!(honest.batch(batch).await, CollectorMessage::Ack(_)));
}
