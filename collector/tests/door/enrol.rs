//! Joining and renewing.

use std::time::Duration;

use cordon_proto::codec;
use cordon_proto::id::{EndpointId, TokenId};
use cordon_proto::message::EnrolAnswer;
use cordon_proto::sign::document::{self, Kind};

use crate::endpoint::Endpoint;
use crate::stage::{Stage, client};

const DAY: Duration = Duration::from_secs(24 * 3600);

#[track_caller]
fn check(answer: &EnrolAnswer, says: &str) {
    match answer {
        EnrolAnswer::Granted { .. } => assert_eq!("granted", says),
        EnrolAnswer::Refused { sentence } => assert!(sentence.contains(says), "{sentence}"),
    }
}

#[tokio::test]
async fn each_token_lets_in_as_many_as_it_says_and_each_refusal_says_why() {
    let stage = Stage::open().await;
    let acme = client("acme");
    let state = &stage.collector.state;
    let good = stage.token(b"good", &acme, 2, 60);
    let revoked = stage.token(b"revoked", &acme, 2, 60);
    assert!(state.revoke_token(&acme, TokenId::of(b"revoked")).unwrap());
    let mut one = Endpoint::new(1, &acme);
    check(&one.enrol(&stage, Some(b"nobody made it".to_vec())).await, "does not know");
    check(&one.enrol(&stage, Some(revoked)).await, "was revoked");
    check(
        &Endpoint::new(9, &client("other")).enrol(&stage, Some(good.clone())).await,
        "client other",
    );
    check(&one.enrol(&stage, None).await, "not registered here");
    check(&one.enrol(&stage, Some(good.clone())).await, "granted");
    check(&one.enrol(&stage, Some(good.clone())).await, "granted"); // its answer was lost
    check(&Endpoint::new(2, &acme).enrol(&stage, Some(good.clone())).await, "granted");
    check(
        &Endpoint::new(3, &acme).enrol(&stage, Some(good.clone())).await,
        "spent: it was made for 2",
    );
    stage.clock.turn(Duration::from_secs(60));
    check(&Endpoint::new(3, &acme).enrol(&stage, Some(good)).await, "expired");
    assert_eq!(state.tokens(&acme).unwrap().iter().map(|token| token.used).max(), Some(2));
    let known = state.endpoint_of(&acme, one.id()).unwrap().unwrap();
    assert_eq!((known.host_name.as_str(), known.machine_id.as_str()), ("web-01", "machine-1"));
    assert_eq!(state.endpoint_of(&client("other"), one.id()).unwrap(), None);
}

#[tokio::test]
async fn a_key_stays_with_the_client_it_came_to() {
    let stage = Stage::open().await;
    let endpoint = Endpoint::enrolled(1, &client("acme"), &stage).await;
    let secret = stage.token(b"theirs", &client("other"), 5, 60);
    let mut moved = Endpoint::new(1, &client("other"));
    check(&moved.enrol(&stage, Some(secret)).await, "registered with another client");
    check(&moved.enrol(&stage, None).await, "registered with another client");
    let known = stage.collector.state.endpoint(endpoint.id()).unwrap().unwrap();
    assert_eq!(known.client, client("acme"));
    assert_eq!(stage.collector.state.tokens(&client("other")).unwrap()[0].used, 0);
}

#[tokio::test]
async fn a_request_counts_only_under_its_own_key_and_on_its_own_connection() {
    let stage = Stage::open().await;
    let acme = client("acme");
    let secret = stage.token(b"good", &acme, 5, 60);
    let endpoint = Endpoint::new(1, &acme);
    let request = endpoint.request(Some(secret));
    let other = Endpoint::new(2, &acme);
    let wrong = [
        document::sign(
            Kind::Enrol,
            &request,
            b"another connection's exporter value!",
            &endpoint.key,
        ),
        document::sign(Kind::Hello, &request, b"", &endpoint.key),
        b"garbage".to_vec(),
        vec![],
    ];
    for bytes in wrong {
        let mut connection = endpoint.dial(&stage, "/v1/enrol", None).await.unwrap();
        let answer: EnrolAnswer = codec::decode_strict(&connection.ask(bytes).await).unwrap();
        check(&answer, "the request");
    }
    let mut connection = endpoint.dial(&stage, "/v1/enrol", None).await.unwrap();
    let stolen = document::sign(Kind::Enrol, &request, &connection.exporter, &other.key);
    let answer: EnrolAnswer = codec::decode_strict(&connection.ask(stolen).await).unwrap();
    check(&answer, "signature does not verify");
    assert_eq!(stage.collector.state.tokens(&acme).unwrap()[0].used, 0);
    assert_eq!(stage.collector.state.endpoint(EndpointId(endpoint.key.id().0)).unwrap(), None);
}

#[tokio::test]
async fn an_endpoint_that_slept_for_400_days_renews_and_comes_back() {
    let stage = Stage::open().await;
    let mut endpoint = Endpoint::enrolled(1, &client("acme"), &stage).await;
    let before = endpoint.chain.clone();
    stage.clock.turn(400 * DAY);
    stage.identity.renew(&stage.collector.ca, stage.clock.wall_secs()).unwrap();
    let refused = endpoint.dial(&stage, "/v1/session", Some("cordon.v1")).await;
    assert!(refused.is_err_and(|error| error.to_string().contains("403")), "renewal only");
    check(&endpoint.enrol(&stage, None).await, "granted");
    assert_ne!(endpoint.chain, before);
    let (_, welcome) = endpoint.session(&stage).await;
    assert_eq!(welcome.time_ns, stage.clock.wall_ns());
}

#[tokio::test]
async fn the_certificate_may_be_gone_altogether_and_the_key_still_renews() {
    let stage = Stage::open().await;
    let mut endpoint = Endpoint::enrolled(1, &client("acme"), &stage).await;
    endpoint.chain.clear();
    check(&endpoint.enrol(&stage, None).await, "granted");
    endpoint.session(&stage).await;
}
