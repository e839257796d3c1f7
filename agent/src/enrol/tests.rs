//! Enrolment at a door on the loopback that answers rightly, wrongly, and not at all.

use cordon_proto::message::Signed;
use cordon_proto::token::SECRET_BYTES;

use super::*;
use crate::link::test_door::{Authority, accept, listen};
use crate::roster_keeper::tests::signed as roster;

fn string(authority: &Authority, collector: String) -> EnrolmentString {
    // The rosters of the tests are signed with the key of seed 1.
    let key = SigningKey::from_seed(&[1; 32]).unwrap().verifying();
    EnrolmentString {
        collectors: vec![collector],
        ca_pin: authority.pin(),
        authority: key,
        recovery: key,
        roster_min: RosterRef { version: 3, hash: Hash::default() },
        client: "acme".parse().unwrap(),
        secret: vec![9; SECRET_BYTES],
        expires_secs: 0,
    }
}

fn granted(chain: Vec<Vec<u8>>, roster: Vec<u8>) -> Message {
    let chain = chain.into_iter().map(|bytes| Signed { bytes }).collect();
    let answer = EnrolAnswer::Granted { chain, roster: Signed { bytes: roster }, valid_secs: 900 };
    Message::binary(codec::encode(&answer))
}

/// Enrols at a door that answers with what `answer` makes of the request.
async fn at_door(
    answer: impl FnOnce(&Authority, EnrolRequest) -> Message,
) -> Result<(Identity, Held), EnrolError> {
    let authority = Authority::new();
    let (listener, address) = listen().await;
    let serve = async {
        let door = authority.door((2020, 2099), false);
        let (mut socket, path, exporter) = accept(&listener, door).await.unwrap();
        assert_eq!(path, ENROL_PATH);
        let bytes = socket.next().await.unwrap().unwrap().into_data();
        let claimed: EnrolRequest = document::peek(Kind::Enrol, &bytes).unwrap();
        let request: EnrolRequest =
            document::verify(Kind::Enrol, &bytes, &exporter, &claimed.signing_key).unwrap();
        assert_eq!(request.token, Some(vec![9; SECRET_BYTES]));
        // The agent may hang up before it has heard all of it, and need not take leave.
        drop(socket.send(answer(&authority, request)).await);
        drop(socket.next().await);
    };
    let string = string(&authority, address);
    let (enrolled, ()) = tokio::join!(enrol(&string, None), serve);
    enrolled
}

#[track_caller]
fn check(enrolled: Result<(Identity, Held), EnrolError>, says: &str) {
    let said = enrolled.map_or_else(|error| error.to_string(), |_| "enrolled".to_owned());
    assert!(said.contains(says), "{said}");
}

#[tokio::test]
async fn an_endpoint_enrols_and_what_it_got_can_be_used() {
    let enrolled =
        at_door(|ca, request| granted(ca.grant(&request.csr), roster("acme", 3, 0, 1))).await;
    let (identity, held) = enrolled.unwrap();
    assert_eq!(held.reference.version, 3);
    assert_eq!(identity.endpoint.0, identity.signing.id().0);
    assert_eq!(identity.certificate.valid_secs, 900);
    tls::client(vec![identity.pins.ca], Some(&identity.certificate)).unwrap();
}

#[tokio::test]
async fn a_refusal_is_told_in_the_collectors_words_without_control_characters() {
    let enrolled = at_door(|_, _| {
        let sentence = "this token was used up\x1b[2J".to_owned();
        Message::binary(codec::encode(&EnrolAnswer::Refused { sentence }))
    });
    check(enrolled.await, "the collector refuses: this token was used up[2J");
}

#[tokio::test]
async fn what_is_no_answer_is_told_as_such() {
    let enrolled = at_door(|_, _| Message::binary(vec![0xff; 100]));
    check(enrolled.await, "the collector's answer cannot be read (is it another version?): it");
    let enrolled = at_door(|_, _| Message::text("hello"));
    check(enrolled.await, "it is no binary message: hello");
    let enrolled = at_door(|_, _| Message::binary(vec![0; (4 << 20) + 1]));
    check(enrolled.await, "the connection to the collector broke");
    check(at_door(|_, _| Message::Close(None)).await, "it is no binary message");
}

#[tokio::test]
async fn a_certificate_for_another_key_is_not_kept() {
    let enrolled = at_door(|ca, _| {
        let (_, csr) = tls_key(EndpointId::default()).unwrap();
        granted(ca.grant(&csr), roster("acme", 3, 0, 1))
    });
    check(enrolled.await, "the certificate that the collector granted cannot be used");
    let enrolled = at_door(|_, _| granted(vec![vec![1, 2, 3]], roster("acme", 3, 0, 1)));
    check(enrolled.await, "the certificate that the collector granted cannot be used");
    let enrolled = at_door(|_, _| granted(vec![], roster("acme", 3, 0, 1)));
    check(enrolled.await, "the certificate that the collector granted cannot be used");
}

#[tokio::test]
async fn nothing_is_kept_under_a_roster_that_the_string_does_not_vouch_for() {
    let with = |roster| at_door(|ca, request| granted(ca.grant(&request.csr), roster));
    let said = with(roster("acme", 3, 0, 2)).await;
    check(said, "nothing was kept, because the roster is not signed by this endpoint's authority");
    check(with(roster("acme", 2, 0, 1)).await, "version 3 or newer is required");
    check(with(roster("other", 3, 0, 1)).await, "the roster is for client other");
}

/// Dials a door with these settings, trusting `pin`.
async fn only_tls(config: std::sync::Arc<rustls::ServerConfig>, pin: Hash) -> String {
    let (listener, address) = listen().await;
    let string = EnrolmentString { ca_pin: pin, ..string(&Authority::new(), address) };
    let serve = async {
        match accept(&listener, config).await {
            Ok((mut socket, ..)) => drop(socket.close(None).await),
            Err(error) => drop(error),
        }
    };
    let (enrolled, ()) = tokio::join!(enrol(&string, None), serve);
    enrolled.unwrap_err().to_string()
}

#[tokio::test]
async fn a_server_with_another_root_is_not_the_collector() {
    let said = only_tls(Authority::new().door((2020, 2099), false), Hash::of(b"pin")).await;
    assert!(said.contains("is not the one this endpoint trusts"), "{said}");
    assert!(said.contains(&Hash::of(b"pin").short()), "{said}");
}

#[tokio::test]
async fn an_endpoints_certificate_does_not_make_a_collector() {
    let authority = Authority::new();
    let said = only_tls(authority.endpoint_as_door(), authority.pin()).await;
    assert!(said.contains("was not issued by the pinned root"), "{said}");
}

#[tokio::test]
async fn the_wall_clock_refuses_no_collector() {
    let authority = Authority::new();
    for years in [(2001, 2002), (2090, 2099), (2020, 2099)] {
        let said = only_tls(authority.door(years, false), authority.pin()).await;
        // TLS went well; what is missing is the answer.
        assert!(said.contains("it is no binary message"), "{years:?}: {said}");
    }
}

#[tokio::test]
async fn without_a_connection_every_address_is_told_with_its_reason() {
    let (listener, closed) = listen().await;
    drop(listener);
    let mut string = string(&Authority::new(), closed.clone());
    string.collectors.push("no-port".to_owned());
    let said = enrol(&string, None).await.unwrap_err().to_string();
    assert!(said.contains(&format!("{closed} ({closed}): Connection refused")), "{said}");
    assert!(said.contains("no-port: the name cannot be resolved"), "{said}");
}

#[tokio::test]
async fn a_renewal_carries_no_token_and_the_same_key() {
    let authority = Authority::new();
    let (listener, address) = listen().await;
    let signing = SigningKey::from_seed(&[5; 32]).unwrap();
    let endpoint = EndpointId(signing.id().0);
    let tls = tls::client(vec![authority.pin()], None).unwrap();
    let dialer =
        Dialer { collectors: vec![address], proxy: None, known: vec![], tls, prepare: None };
    let serve = async {
        let door = authority.door((2020, 2099), false);
        let (mut socket, _, exporter) = accept(&listener, door).await.unwrap();
        let bytes = socket.next().await.unwrap().unwrap().into_data();
        let key = signing.verifying();
        let request: EnrolRequest = document::verify(Kind::Enrol, &bytes, &exporter, &key).unwrap();
        assert_eq!((request.token, request.signing_key), (None, key));
        socket.send(granted(authority.grant(&request.csr), vec![])).await.unwrap();
        drop(socket.next().await);
    };
    let client = "acme".parse().unwrap();
    let renewed = renew(&signing, endpoint, &client, vec![authority.pin()], dialer);
    let (renewed, ()) = tokio::join!(renewed, serve);
    assert_eq!(renewed.unwrap().valid_secs, 900);
}
