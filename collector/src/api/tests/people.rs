//! Sessions, rosters, tokens, the audit trail.

use super::*;

#[tokio::test]
async fn a_session_ends_when_idle_when_signed_out_and_when_the_roster_drops_its_key() {
    let world = World::new();
    let rob = world.sign_in("rob").await;
    world.pass(1000);
    assert_eq!(world.get("/clients", &rob).await["items"][0]["role"], "responder");
    world.pass(1800);
    let (status, _) = world.call("GET", "/clients", Some(&rob), None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "idle for half an hour");

    let rob = world.sign_in("rob").await;
    let (status, _) = world.call("DELETE", "/sign-in", Some(&rob), None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = world.call("GET", "/clients", Some(&rob), None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "signed out");

    let (rob, ann) = (world.sign_in("rob").await, world.sign_in("ann").await);
    let without_rob = roster("acme", 2, &[("ann", Role::Administrator)]);
    let body = json!({ "document": b64(without_rob) });
    let (status, shown) = world.call("PUT", "/clients/acme/roster", Some(&ann), Some(body)).await;
    assert_eq!(status, StatusCode::OK, "{shown}");
    let (status, _) = world.call("GET", "/clients", Some(&rob), None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "no roster has the key");
}

#[tokio::test]
async fn an_answer_opens_one_session_and_a_strangers_key_none() {
    let world = World::new();
    let pin = world.collector.ca_pin;
    let challenge = async |who: &str| {
        let body = json!({ "key": key(who).id() });
        let (status, given) = world.call("POST", "/sign-in/challenge", None, Some(body)).await;
        assert_eq!(status, StatusCode::OK, "whether a key is known is not told");
        unb64(&given["challenge"])
    };
    let open = async |who: &str, answer: &[u8]| {
        let body = json!({ "key": key(who).id(), "answer": b64(answer) });
        world.call("POST", "/sign-in", None, Some(body)).await.0
    };
    let good = answer("ann", &challenge("ann").await, pin);
    assert_eq!(open("ann", &good).await, StatusCode::OK);
    assert_eq!(open("ann", &good).await, StatusCode::UNAUTHORIZED, "an answer counts once");
    let elsewhere = answer("ann", &challenge("ann").await, Hash::of(b"another collector"));
    assert_eq!(open("ann", &elsewhere).await, StatusCode::UNAUTHORIZED);
    let stranger = answer("mallory", &challenge("mallory").await, pin);
    assert_eq!(open("mallory", &stranger).await, StatusCode::UNAUTHORIZED);
    for _ in 0..120 {
        open("ann", b"guess").await;
    }
    assert_eq!(open("ann", b"guess").await, StatusCode::TOO_MANY_REQUESTS);
    let good = answer("ann", &challenge("ann").await, pin);
    assert_eq!(open("ann", &good).await, StatusCode::OK, "whoever has the key is not kept out");
}

#[tokio::test]
async fn a_roster_must_be_the_authoritys_newer_and_for_this_client() {
    let world = World::new();
    let ann = world.sign_in("ann").await;
    let put = async |document: Vec<u8>| {
        let body = json!({ "document": b64(document) });
        world.call("PUT", "/clients/acme/roster", Some(&ann), Some(body)).await
    };
    let forged: Roster = document::peek(Kind::Roster, &roster("acme", 2, ACME)).unwrap();
    let forged = document::sign(Kind::Roster, &forged, b"", &key("mallory"));
    assert_eq!(put(forged).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(put(roster("zeta", 2, ACME)).await.0, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(put(roster("acme", 1, ACME)).await.0, StatusCode::CONFLICT);

    let mut host = world.enrol("acme", "web-01");
    let (status, shown) = put(roster("acme", 2, ACME)).await;
    assert_eq!((status, &shown["version"]), (StatusCode::OK, &json!(2)));
    assert_eq!(shown["laggards"][0]["host_name"], "web-01");
    assert_eq!(unb64(&shown["document"]), roster("acme", 2, ACME));
    world.store(&mut host, Lane::Control, vec![health(60, 2, vec![])]).await;
    // The health names the version under another hash: still a laggard.
    let shown = world.get("/clients/acme/roster", &ann).await;
    assert_eq!(shown["laggards"][0]["roster_version"], 2);
    world.store(&mut host, Lane::Control, vec![health(61, 3, vec![])]).await;
    let shown = world.get("/clients/acme/roster", &ann).await;
    assert_eq!(shown["laggards"], json!([]));
}

#[tokio::test]
async fn a_token_is_made_listed_without_its_secret_and_taken_back() {
    let world = World::new();
    let ann = world.sign_in("ann").await;
    let body = json!({ "uses": 5, "valid_secs": 3600, "note": "first floor" });
    let (status, made) = world.call("POST", "/clients/acme/tokens", Some(&ann), Some(body)).await;
    assert_eq!(status, StatusCode::CREATED);
    let id = TokenId::of(&unb64(&made["secret"])).to_string();
    assert_eq!(made["id"], id);
    let listed = world.get("/clients/acme/tokens", &ann).await;
    assert_eq!(listed["items"][0]["note"], "first floor");
    assert_eq!(listed["items"][0]["expires"], "2026-11-21T01:00:00.000000000Z");
    assert!(!listed.to_string().contains(made["secret"].as_str().unwrap()));
    let path = format!("/clients/acme/tokens/{id}");
    assert_eq!(world.call("DELETE", &path, Some(&ann), None).await.0, StatusCode::NO_CONTENT);
    assert_eq!(world.get("/clients/acme/tokens", &ann).await["items"][0]["revoked"], true);
    for body in [json!({ "uses": 0, "valid_secs": 1 }), json!({ "uses": 1, "valid_secs": 0 })] {
        let (status, _) = world.call("POST", "/clients/acme/tokens", Some(&ann), Some(body)).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
    }
    let unknown = json!({ "uses": 1, "valid_secs": 1, "for_ever": true });
    let (status, _) = world.call("POST", "/clients/acme/tokens", Some(&ann), Some(unknown)).await;
    assert_eq!(status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn what_people_did_is_in_their_clients_trail_and_the_trail_holds() {
    let world = World::new();
    let (ann, zoe) = (world.sign_in("ann").await, world.sign_in("zoe").await);
    let body = json!({ "uses": 1, "valid_secs": 60 });
    world.call("POST", "/clients/acme/tokens", Some(&ann), Some(body)).await;
    let trail = world.get("/audit?client=acme", &ann).await;
    let entries: Vec<crate::audit::Entry> = trail["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| codec::decode_strict(&unb64(&item["entry"])).unwrap())
        .collect();
    let did: Vec<_> = entries.iter().map(|entry| (entry.who.as_str(), entry.what.name())).collect();
    assert_eq!(did, [("ann", "sign-in"), ("ann", "token.create")]);
    let client = "acme".parse().unwrap();
    let head = crate::audit::verify(&client, crate::audit::Head::default(), &entries).unwrap();
    assert_eq!(trail["items"][1]["hash"], head.hash.to_string());
    let page = world.get("/audit?client=acme&limit=1", &ann).await;
    let next = page["next"].as_str().unwrap();
    let page = world.get(&format!("/audit?client=acme&cursor={next}"), &ann).await;
    assert_eq!(page["items"][0]["what"], "token.create");
    assert_eq!(world.get("/audit?client=zeta", &zoe).await["items"][0]["who"], "zoe");
}

#[tokio::test]
async fn endpoints_are_listed_by_page_and_name_with_what_their_health_said() {
    let world = World::new();
    let mut hosts: Vec<Host> =
        ["web-01", "web-02", "db-01"].iter().map(|name| world.enrol("acme", name)).collect();
    world.enrol("zeta", "web-03");
    let vic = world.sign_in("vic").await;
    let shown = world.get("/endpoints?name=WEB", &vic).await;
    assert_eq!(shown["items"].as_array().unwrap().len(), 2);
    let first = world.get("/endpoints?limit=2", &vic).await;
    let next = first["next"].as_str().unwrap();
    let second = world.get(&format!("/endpoints?limit=2&cursor={next}"), &vic).await;
    assert_eq!(first["items"].as_array().unwrap().len(), 2);
    assert_eq!(second["items"].as_array().unwrap().len(), 1);
    assert!(second["next"].is_null());

    let standing = Standing {
        command: CommandId(uuid::Uuid::from_u128(1)),
        action: ActionKind::Isolate,
        until_secs: Some(9000),
        proved: true,
    };
    world.store(&mut hosts[0], Lane::Control, vec![health(1234, 1, vec![standing])]).await;
    world.pass(60);
    let shown = world.get(&format!("/endpoints/{}", hosts[0].endpoint), &vic).await;
    assert_eq!(shown["endpoint_secs"], 1234);
    assert_eq!(shown["nonce"]["boot_count"], "1");
    assert_eq!(shown["nonce"]["mac"], b64([7; 16]));
    assert_eq!((&shown["isolated"], &shown["state"]), (&json!(true), &json!("offline")));
    assert_eq!(shown["health_at"], "2026-11-21T00:00:00.000000000Z");
    assert_eq!(shown["health"]["policy_version"], 0);
    assert_eq!(unb64(&shown["key"]), hosts[0].key.verifying().0);
}
