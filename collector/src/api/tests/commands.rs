//! Commands from upload to proof.

use cordon_proto::event::Reacted;
use cordon_proto::event::receipt::{EndCause, Proof};
use cordon_proto::message::Hello;

use super::*;
use crate::links::{Seat, Word};

fn proved() -> Outcome {
    Outcome::Proved(Proof {
        ruleset: Hash::default(),
        ruleset_equal: true,
        probes: vec![],
        sockets_residual: 0,
        packets_dropped: 0,
    })
}

fn applied() -> Outcome {
    Outcome::Applied { change_us: 1500, until_secs: Some(87_400), stood_already: false }
}

/// Connects a host, as the agents' door does after its hello.
pub(super) fn connect(world: &World, host: &Host) -> Seat {
    let hello = Hello {
        protocol: 1,
        protocol_oldest: 1,
        endpoint: host.endpoint,
        client: host.client.clone(),
        agent_version: "0.1.0".to_owned(),
        host_name: host.name.clone(),
        os: String::new(),
        kernel: String::new(),
        machine_id: host.name.clone(),
        boot_id: "1".to_owned(),
        time_ns: 0,
        roster: RosterRef::default(),
    };
    world.collector.links.take_seat(&host.client, Arc::new(hello), START_NS)
}

#[track_caller]
fn handed(seat: &mut Seat) -> Vec<u8> {
    match seat.words.try_recv() {
        Ok(Word::Command(bytes, _)) => bytes.to_vec(),
        other => panic!("no command was handed over: {other:?}"),
    }
}

/// How many commands are listed.
async fn listed(world: &World, who: &str, query: &str) -> usize {
    let (status, page) = world.call("GET", &format!("/commands?{query}"), Some(who), None).await;
    assert_eq!(status, StatusCode::OK, "{page}");
    page["items"].as_array().map_or(0, Vec::len)
}

#[tokio::test]
async fn a_command_waits_for_a_signature_until_endpoints_would_find_it_too_old() {
    let world = World::new();
    let (one, two) = (world.enrol("acme", "web-01"), world.enrol("acme", "web-02"));
    let rob = world.sign_in("rob").await;
    let command = isolation(1, &[&one, &two]);
    world.call("POST", "/commands", Some(&rob), Some(signed(&command, &["rob"]))).await;
    world.pass(command.age_max_secs - 1);
    assert_eq!(listed(&world, &rob, "waiting=true").await, 1);
    world.pass(1);
    assert_eq!(listed(&world, &rob, "waiting=true").await, 0);
    assert_eq!(listed(&world, &rob, &format!("endpoint={}", two.endpoint)).await, 1);
    let three = world.enrol("acme", "web-03");
    assert_eq!(listed(&world, &rob, &format!("endpoint={}", three.endpoint)).await, 0);
}

#[tokio::test]
async fn a_command_waits_for_its_second_signature_then_goes_out_and_is_followed_to_its_proof() {
    let world = World::new();
    let (mut one, two) = (world.enrol("acme", "web-01"), world.enrol("acme", "web-02"));
    let mut seat = connect(&world, &one);
    let (rob, ria) = (world.sign_in("rob").await, world.sign_in("ria").await);
    let command = isolation(1, &[&one, &two]);

    let (status, shown) =
        world.call("POST", "/commands", Some(&rob), Some(signed(&command, &["rob"]))).await;
    assert_eq!(status, StatusCode::CREATED, "{shown}");
    assert_eq!(shown["action"], "isolate");
    assert_eq!(shown["parameters"]["lease_secs"], 86_400);
    let waits = "signed by 1 of 2 operators that isolate on 2 endpoint(s) needs";
    assert_eq!(shown["waits_for"], waits);
    assert_eq!(shown["targets"][0]["facts"]["requested"]["by"], "rob");
    assert!(shown["targets"][0]["facts"]["authorised"].is_null());
    assert!(seat.words.try_recv().is_err(), "nothing goes out before it is authorised");
    assert_eq!(listed(&world, &rob, "waiting=true").await, 1);
    assert_eq!(listed(&world, &rob, "waiting=false").await, 1);

    world.pass(10);
    let path = format!("/commands/{}/signatures", command.id);
    let (status, shown) =
        world.call("POST", &path, Some(&ria), Some(signed(&command, &["ria"]))).await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    assert!(shown["waits_for"].is_null());
    assert_eq!(listed(&world, &rob, "waiting=true").await, 0);
    assert_eq!(listed(&world, &rob, &format!("endpoint={}", one.endpoint)).await, 1);
    assert_eq!(shown["signed_by"], json!(["ria", "rob"]));
    let authorised = &shown["targets"][0]["facts"]["authorised"];
    assert_eq!(authorised["at"], "2026-11-21T00:00:10.000000000Z");
    assert_eq!(authorised["by"], json!(["ria", "rob"]));
    assert!(shown["targets"][0]["facts"]["delivered"].is_null(), "handing over is no delivery");
    let bytes = handed(&mut seat);
    assert_eq!(bytes, unb64(&shown["command"]));
    assert_eq!(SignedCommand::read(&bytes).unwrap().key_ids().count(), 2);

    world.pass(1);
    let accepted = Outcome::Accepted { signers: vec!["rob".parse().unwrap()] };
    let receipts = [accepted, applied(), proved()].map(|outcome| receipt(&command, outcome));
    world.store(&mut one, Lane::Control, receipts.to_vec()).await;
    world.pass(5);
    let shown = world.get(&format!("/commands/{}", command.id), &rob).await;
    let (done, waiting) = (&shown["targets"][0], &shown["targets"][1]);
    let at = "2026-11-21T00:00:11.000000000Z";
    for fact in ["delivered", "applied", "proved"] {
        assert_eq!(done["facts"][fact]["at"], at, "{fact}");
        assert!(waiting["facts"][fact].is_null(), "{fact}");
    }
    assert_eq!(done["facts"]["applied"]["change_us"], 1500);
    assert_eq!(done["observed"], json!({ "state": "holds", "at": at, "age_secs": 5 }));
    let outcomes: Vec<_> =
        done["receipts"].as_array().unwrap().iter().map(|r| (&r["seq"], &r["outcome"])).collect();
    assert_eq!(outcomes[2], (&json!("3"), &json!("proved")));

    let standing = world.get("/containments", &rob).await;
    assert_eq!(standing["items"].as_array().unwrap().len(), 1);
    assert_eq!(standing["items"][0]["host_name"], "web-01");
    assert_eq!(standing["items"][0]["until_secs"], 87_400);
}

#[tokio::test]
async fn a_release_ends_the_containment_and_is_proved_by_its_end() {
    let world = World::new();
    let mut host = world.enrol("acme", "web-01");
    let rob = world.sign_in("rob").await;
    let isolate = isolation(1, &[&host]);
    let release = Command { action: Action::Release, ..isolation(2, &[&host]) };
    for command in [&isolate, &release] {
        let upload = signed(command, &["rob"]);
        let (status, shown) = world.call("POST", "/commands", Some(&rob), Some(upload)).await;
        assert_eq!(status, StatusCode::CREATED, "{shown}");
    }
    let cut_off = vec![receipt(&isolate, applied()), receipt(&isolate, proved())];
    world.store(&mut host, Lane::Control, cut_off).await;
    assert_eq!(world.get("/containments", &rob).await["items"][0]["host_name"], "web-01");
    let done = Outcome::Applied { change_us: 9, until_secs: None, stood_already: false };
    world.store(&mut host, Lane::Control, vec![receipt(&release, done)]).await;
    let path = format!("/commands/{}", release.id);
    assert!(world.get(&path, &rob).await["targets"][0]["facts"]["proved"].is_null());
    let ended = Outcome::Ended { cause: EndCause::Released, observed_gone: true };
    world.store(&mut host, Lane::Control, vec![receipt(&isolate, ended)]).await;
    assert_eq!(world.get("/containments", &rob).await["items"], json!([]));
    let shown = world.get(&path, &rob).await;
    assert!(shown["targets"][0]["facts"]["proved"]["at"].is_string(), "{shown}");
    assert_eq!(shown["targets"][0]["observed"]["state"], "holds");
}

#[tokio::test]
async fn a_command_for_a_machine_that_is_away_goes_out_when_it_connects_and_until_it_lapses() {
    let world = World::new();
    crate::handover::hand_over_on_connect(&world.collector);
    let mut host = world.enrol("acme", "web-01");
    let rob = world.sign_in("rob").await;
    let command = isolation(1, &[&host]);
    let (status, _) =
        world.call("POST", "/commands", Some(&rob), Some(signed(&command, &["rob"]))).await;
    assert_eq!(status, StatusCode::CREATED);
    for _ in 0..2 {
        let mut seat = connect(&world, &host);
        let word = seat.words.recv().await;
        assert!(matches!(word, Some(Word::Command(..))), "at every connection until delivered");
    }
    // The nonce was made at second 1000 and is good for 900.
    world.store(&mut host, Lane::Control, vec![health(1900, 1, vec![])]).await;
    assert_eq!(world.collector.state.waiting_commands(host.endpoint).unwrap().len(), 1);
    world.store(&mut host, Lane::Control, vec![health(1901, 1, vec![])]).await;
    assert!(world.collector.state.waiting_commands(host.endpoint).unwrap().is_empty());
    let shown = world.get(&format!("/commands/{}", command.id), &rob).await;
    assert!(shown["targets"][0]["facts"]["lapsed"]["at"].is_string(), "{shown}");
}

#[tokio::test]
async fn a_refusal_that_knows_only_the_commands_hash_still_finds_it() {
    let world = World::new();
    let mut host = world.enrol("acme", "web-01");
    let rob = world.sign_in("rob").await;
    let command = isolation(1, &[&host]);
    let upload = signed(&command, &["rob"]);
    world.call("POST", "/commands", Some(&rob), Some(upload.clone())).await;
    let refused = Outcome::Refused {
        check: cordon_proto::event::receipt::Check::Form,
        reason: "not a command".to_owned(),
    };
    let Fact::Receipt(mut receipt) = receipt(&command, refused) else { unreachable!() };
    (receipt.command, receipt.action) = (None, None);
    receipt.command_hash = Hash::of(&unb64(&upload["command"]));
    world.store(&mut host, Lane::Control, vec![Fact::Receipt(receipt)]).await;
    let shown = world.get(&format!("/commands/{}", command.id), &rob).await;
    assert_eq!(shown["targets"][0]["facts"]["refused"]["check"], "form");
}

#[tokio::test]
async fn what_cannot_be_taken_is_refused_with_its_reason_and_leaves_nothing() {
    let world = World::new();
    let (host, other) = (world.enrol("acme", "web-01"), world.enrol("zeta", "web-09"));
    let rob = world.sign_in("rob").await;
    let good = isolation(1, &[&host]);
    let check = async |upload: Value, status: StatusCode, says: &str| {
        let (found, problem) = world.call("POST", "/commands", Some(&rob), Some(upload)).await;
        assert_eq!(found, status, "{problem}");
        assert!(problem["detail"].as_str().unwrap().contains(says), "{problem}");
    };
    let refused = StatusCode::UNPROCESSABLE_ENTITY;
    check(json!({ "command": b64(b"no") }), refused, "not COSE_Sign").await;
    check(json!({ "command": "%%" }), StatusCode::BAD_REQUEST, "base64url").await;
    check(signed(&good, &["mallory"]), refused, "is not in roster version 1").await;
    check(signed(&good, &["vic"]), refused, "no signer has a role that may isolate").await;
    let foreign = Command { targets: vec![other.target()], ..good.clone() };
    check(signed(&foreign, &["rob"]), refused, "is not one of this client's").await;
    let unknown = Command {
        targets: vec![Target { endpoint: EndpointId::of(b"nobody"), ..host.target() }],
        ..good.clone()
    };
    check(signed(&unknown, &["rob"]), refused, "is not one of this client's").await;
    assert_eq!(world.get("/commands", &rob).await["items"], json!([]));
    world.call("POST", "/commands", Some(&rob), Some(signed(&good, &["rob"]))).await;
    check(signed(&good, &["rob"]), StatusCode::CONFLICT, "was brought before").await;
    let path = format!("/commands/{}/signatures", good.id);
    let changed = Command { reason: "another".to_owned(), ..good.clone() };
    let (status, _) = world.call("POST", &path, Some(&rob), Some(signed(&changed, &["ria"]))).await;
    assert_eq!(status, refused, "a signature over other bytes is no signature over these");
}

#[tokio::test]
async fn the_brake_holds_for_a_client_and_lets_go_after_its_hour() {
    let world = World::with(|config| config.commands_per_hour_max = 2);
    let (host, other) = (world.enrol("acme", "web-01"), world.enrol("zeta", "web-09"));
    let (rob, zed) = (world.sign_in("rob").await, world.sign_in("zed").await);
    let post = async |number: u128, host: &Host, token: &str, who: &str| {
        let upload = signed(&isolation(number, &[host]), &[who]);
        world.call("POST", "/commands", Some(token), Some(upload)).await.0
    };
    assert_eq!(post(1, &host, &rob, "rob").await, StatusCode::CREATED);
    world.pass(600);
    assert_eq!(post(2, &host, &rob, "rob").await, StatusCode::CREATED);
    assert_eq!(post(3, &host, &rob, "rob").await, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(post(4, &other, &zed, "zed").await, StatusCode::CREATED, "another client goes on");
    world.pass(1500);
    assert_eq!(world.get("/commands?limit=1", &rob).await["items"][0]["action"], "isolate");
    world.pass(1500);
    assert_eq!(post(3, &host, &rob, "rob").await, StatusCode::CREATED);
}

#[tokio::test]
async fn one_person_alone_reaches_only_a_part_of_the_endpoints_in_an_hour() {
    let world = World::new();
    let mut hosts = Vec::new();
    for number in 0..7 {
        hosts.push(world.enrol("acme", &format!("web-{number}")));
    }
    let rob = world.sign_in("rob").await;
    for (number, host) in (1..).zip(&hosts[..5]) {
        let upload = signed(&isolation(number, &[host]), &["rob"]);
        let (_, shown) = world.call("POST", "/commands", Some(&rob), Some(upload)).await;
        assert!(shown["waits_for"].is_null(), "{shown}");
    }
    let sixth = isolation(6, &[&hosts[5]]);
    let (_, shown) =
        world.call("POST", "/commands", Some(&rob), Some(signed(&sixth, &["rob"]))).await;
    assert!(shown["waits_for"].as_str().unwrap().contains("another person's"), "{shown}");
    assert!(shown["targets"][0]["facts"]["authorised"].is_null());
    let again = isolation(7, &[&hosts[0]]);
    let (_, shown) =
        world.call("POST", "/commands", Some(&rob), Some(signed(&again, &["rob"]))).await;
    assert!(shown["waits_for"].is_null(), "the same endpoint is no further one: {shown}");
    let release = Command { action: Action::Release, ..isolation(8, &[&hosts[6]]) };
    let (_, shown) =
        world.call("POST", "/commands", Some(&rob), Some(signed(&release, &["rob"]))).await;
    assert!(shown["waits_for"].is_null(), "what repairs is not held: {shown}");
    let ria = world.sign_in("ria").await;
    let path = format!("/commands/{}/signatures", sixth.id);
    let (_, shown) = world.call("POST", &path, Some(&ria), Some(signed(&sixth, &["ria"]))).await;
    assert_eq!(shown["targets"][0]["facts"]["authorised"]["by"], json!(["ria", "rob"]));
}

#[tokio::test]
async fn what_an_endpoint_does_by_itself_is_listed_and_ends() {
    let world = World::new();
    let mut host = world.enrol("acme", "web-01");
    let rob = world.sign_in("rob").await;
    let reacted = |action, id| Reacted {
        id: CommandId(uuid::Uuid::from_u128(id)),
        response: "miner".to_owned(),
        policy_version: 4,
        action,
        withheld: None,
        because: "process 9 was started from /tmp/miner".into(),
        event_ns: 1,
        repeated: 0,
    };
    // Its receipts name it as those of a command name the command.
    let mut like = isolation(77, &[&host]);
    like.id = CommandId(uuid::Uuid::from_u128(77));
    let done = Fact::Response(Box::new(reacted(Some(ActionKind::Isolate), 77)));
    let raised = Fact::Response(Box::new(reacted(None, 78)));
    let told = vec![done.clone(), raised, receipt(&like, applied()), receipt(&like, proved())];
    world.store(&mut host, Lane::Control, told).await;
    let listed = world.get("/containments", &rob).await;
    let item = &listed["items"][0];
    assert_eq!(listed["items"].as_array().unwrap().len(), 1, "{listed}");
    assert_eq!(item["by"], "policy response miner, version 4");
    assert_eq!((&item["action"], &item["host_name"]), (&json!("isolate"), &json!("web-01")));
    assert_eq!(item["reason"], "process 9 was started from /tmp/miner");
    assert_eq!(
        (&item["observed"]["state"], &item["until_secs"]),
        (&json!("holds"), &json!(87_400))
    );
    let state = &world.collector.state;
    state.derive(crate::store::Position(0), &[]).unwrap();
    while derive::step(state, world.collector.log.as_ref()).unwrap() {}
    assert_eq!(world.get("/containments", &rob).await, listed, "told again, and the same");
    let zed = world.sign_in("zed").await;
    assert_eq!(world.get("/containments", &zed).await["items"], json!([]), "another client's");
    let ended = Outcome::Ended { cause: EndCause::LeaseEnded, observed_gone: true };
    world.store(&mut host, Lane::Control, vec![receipt(&like, ended)]).await;
    assert_eq!(world.get("/containments", &rob).await["items"], json!([]));
}

#[tokio::test]
async fn deriving_the_whole_log_again_changes_nothing() {
    let world = World::new();
    let mut host = world.enrol("acme", "web-01");
    let rob = world.sign_in("rob").await;
    let command = isolation(1, &[&host]);
    world.call("POST", "/commands", Some(&rob), Some(signed(&command, &["rob"]))).await;
    for outcome in [applied(), proved(), proved()] {
        world.store(&mut host, Lane::Control, vec![receipt(&command, outcome)]).await;
        world.pass(60);
    }
    let path = format!("/commands/{}", command.id);
    let before = world.get(&path, &rob).await;
    let state = &world.collector.state;
    state.derive(crate::store::Position(0), &[]).unwrap();
    while derive::step(state, world.collector.log.as_ref()).unwrap() {}
    assert_eq!(world.get(&path, &rob).await, before);
}
